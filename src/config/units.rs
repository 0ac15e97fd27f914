//! Lengths of time and sizes as people write them: `30s`, `1h30m`, `4MiB`.

use std::time::Duration;

const MILLIS_PER_SECOND: u64 = 1_000;
const MILLIS_PER_MINUTE: u64 = 60 * MILLIS_PER_SECOND;
const MILLIS_PER_HOUR: u64 = 60 * MILLIS_PER_MINUTE;
const MILLIS_PER_DAY: u64 = 24 * MILLIS_PER_HOUR;

/// Units of time, the largest first: parts of a length must come in this order.
const TIME_UNITS: [(&str, u64); 5] = [
    ("d", MILLIS_PER_DAY),
    ("h", MILLIS_PER_HOUR),
    ("m", MILLIS_PER_MINUTE),
    ("s", MILLIS_PER_SECOND),
    ("ms", 1),
];

/// Units of size: the decimal ones of SI and the binary ones of IEC 80000-13.
const SIZE_UNITS: [(&str, u64); 8] = [
    ("", 1),
    ("b", 1),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
];

/// Reads a length of time. The error is the end of a sentence that begins with the value.
pub fn parse_duration(text: &str) -> Result<Duration, &'static str> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err("is empty");
    }
    let mut total: u64 = 0;
    let mut units = TIME_UNITS.iter();
    while !rest.is_empty() {
        let (number, unit, tail) = split_number(rest).ok_or("is not a length of time")?;
        if unit.is_empty() {
            return Err(if tail.is_empty() { "has no unit" } else { "is not a length of time" });
        }
        let (_, millis) = units.find(|(name, _)| *name == unit).ok_or("is not a length of time")?;
        let part = number.checked_mul(*millis).ok_or("is too large")?;
        total = total.checked_add(part).ok_or("is too large")?;
        rest = tail;
    }
    Ok(Duration::from_millis(total))
}

/// Reads a size in bytes. The error is the end of a sentence that begins with the value.
pub(super) fn parse_size(text: &str) -> Result<u64, &'static str> {
    let (number, unit, tail) = split_number(text.trim()).ok_or("is not a size")?;
    let unit = unit.to_ascii_lowercase();
    let known = SIZE_UNITS.iter().find(|(name, _)| *name == unit);
    let (_, bytes) = known.filter(|_| tail.is_empty()).ok_or("is not a size")?;
    number.checked_mul(*bytes).ok_or("is too large")
}

/// Splits `12ab34` into 12, `ab` and `34`; blanks around the unit are left out.
fn split_number(text: &str) -> Option<(u64, &str, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number = text[..digits].parse().ok()?;
    let rest = text[digits..].trim_start();
    let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
    Some((number, &rest[..letters], rest[letters..].trim_start()))
}

/// Writes a length of time as [`parse_duration`] reads it.
pub(super) fn show_duration(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (name, millis) in TIME_UNITS {
        if rest >= millis {
            text += &format!("{}{name}", rest / millis);
            rest %= millis;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// Writes a size as [`parse_size`] reads it, in the largest binary unit that divides it.
pub(super) fn show_size(bytes: u64) -> String {
    [("GiB", 1u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)]
        .into_iter()
        .find(|(_, unit)| bytes >= *unit && bytes.is_multiple_of(*unit))
        .map_or_else(|| format!("{bytes} bytes"), |(name, unit)| format!("{}{name}", bytes / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_read_and_written_alike() {
        for (text, millis) in
            [("30s", 30_000), ("500ms", 500), ("1h30m", 5_400_000), ("2d", 172_800_000), ("0s", 0)]
        {
            let duration = Duration::from_millis(millis);
            assert_eq!(parse_duration(text), Ok(duration), "{text}");
            assert_eq!(show_duration(duration), text);
        }
        assert_eq!(parse_duration(" 1 m 5 s "), Ok(Duration::from_secs(65)));
    }

    #[test]
    fn what_is_no_length_of_time_is_refused_with_the_reason() {
        for (text, why) in [("", "is empty"), ("30", "has no unit"), ("1h30", "has no unit")] {
            assert_eq!(parse_duration(text), Err(why), "{text}");
        }
        for text in ["s", "30 parsecs", "-1s", "1.5s", "30s1h", "1s1s", "30S"] {
            assert_eq!(parse_duration(text), Err("is not a length of time"), "{text}");
        }
        assert_eq!(parse_duration("99999999999999d"), Err("is too large"));
    }

    #[test]
    fn sizes_are_read_in_bytes_and_in_both_families_of_units() {
        for (text, bytes) in [
            ("17", 17),
            ("17B", 17),
            ("4MiB", 4 << 20),
            ("4 mib", 4 << 20),
            ("2kB", 2_000),
            ("1GiB", 1 << 30),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "MiB", "4M", "4MiB2", "-4", "1.5MiB", "4 pints"] {
            assert_eq!(parse_size(text), Err("is not a size"), "{text}");
        }
        assert_eq!(parse_size("99999999999GiB"), Err("is too large"));
        assert_eq!((show_size(4 << 20), show_size(1500)), ("4MiB".to_owned(), "1500 bytes".to_owned()));
    }
}
