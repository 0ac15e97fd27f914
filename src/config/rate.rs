//! Rates as people write them: `100/s`, `60/m burst 5`.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

/// So many in a length of time, and so many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many in `per`.
    pub count: NonZeroU32,
    /// See `count`.
    pub per: Duration,
    /// How many at once after a rest.
    pub burst: NonZeroU32,
}

const UNITS: [(&str, u64); 4] = [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)];
/// The largest count and burst: beyond it a rate limits nothing that one machine can do.
const MOST: u32 = 1_000_000;

/// Reads a rate. The error is the end of a sentence that begins with the value.
pub(super) fn parse_rate(text: &str) -> Result<Rate, &'static str> {
    let (rate, burst) = match text.trim().split_once(char::is_whitespace) {
        Some((rate, rest)) => (rate, Some(rest.trim().strip_prefix("burst").ok_or("is not a rate")?)),
        None => (text.trim(), None),
    };
    let (count, unit) = rate.split_once('/').ok_or("is not a rate")?;
    let count = number(count)?;
    let seconds = UNITS.iter().find(|(name, _)| *name == unit.trim()).ok_or("is not a rate")?.1;
    let burst = burst.map_or(Ok(count), number)?;
    Ok(Rate { count, per: Duration::from_secs(seconds), burst })
}

fn number(text: &str) -> Result<NonZeroU32, &'static str> {
    let digits = text.trim();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("is not a rate");
    }
    let number = digits.parse().ok().filter(|number| (1..=MOST).contains(number));
    number.and_then(NonZeroU32::new).ok_or("has a number that is not from 1 to 1000000")
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit =
            UNITS.iter().find(|(_, seconds)| *seconds == self.per.as_secs()).map_or("s", |(name, _)| name);
        write!(f, "{}/{unit}", self.count)?;
        if self.burst != self.count { write!(f, " burst {}", self.burst) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_and_written_alike() {
        for (text, count, seconds, burst) in [
            ("100/s", 100, 1, 100),
            ("60/m burst 5", 60, 60, 5),
            ("1/h", 1, 3_600, 1),
            ("3/d burst 30", 3, 86_400, 30),
        ] {
            let rate = parse_rate(text).unwrap();
            assert_eq!(
                (rate.count.get(), rate.per.as_secs(), rate.burst.get()),
                (count, seconds, burst),
                "{text}"
            );
            assert_eq!(rate.to_string(), text);
        }
        assert_eq!(parse_rate(" 5/s  burst  7 ").unwrap().burst.get(), 7);
    }

    #[test]
    fn what_is_no_rate_is_refused() {
        for text in
            ["", "100", "/s", "100/", "100/x", "-1/s", "1.5/s", "100/s 5", "100/s burst", "s/100", "1 /s"]
        {
            assert_eq!(parse_rate(text), Err("is not a rate"), "{text}");
        }
        for text in ["0/s", "1/s burst 0", "1000001/s", "99999999999999/s"] {
            assert_eq!(parse_rate(text), Err("has a number that is not from 1 to 1000000"), "{text}");
        }
    }
}
