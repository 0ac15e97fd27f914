//! Dates of UTC, in the two spellings that the gateway writes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

const DAY: u64 = 86_400;

/// `20260728T093000Z`: sorts by time and is a valid file name everywhere.
pub fn stamp(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (year, month, day) = civil_date(seconds / DAY);
    let (hour, minute, second) = (seconds % DAY / 3_600, seconds % 3_600 / 60, seconds % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

/// Microseconds since 1970; 0 for a time before that.
pub fn micros(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// The time of microseconds since 1970.
pub fn from_micros(micros: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(micros.max(0).cast_unsigned())
}

/// `2026-07-28T09:30:00.000000Z` (RFC 3339) for microseconds since 1970.
pub fn rfc3339(micros: i64) -> String {
    let micros = micros.max(0).cast_unsigned();
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    let (year, month, day) = civil_date(seconds / DAY);
    let (hour, minute, second) = (seconds % DAY / 3_600, seconds % 3_600 / 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:06}Z")
}

/// Microseconds since 1970 for a time such as `2026-07-28T09:30:00Z` or `2026-07-28`; always UTC.
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    let text = text.trim().strip_suffix(['Z', 'z']).unwrap_or(text.trim());
    let (date, time) = text.split_once(['T', 't', ' ']).unwrap_or((text, "00:00:00"));
    let number = |part: &str, digits: usize| {
        (part.len() == digits && part.bytes().all(|b| b.is_ascii_digit()))
            .then(|| part.parse::<u64>().ok())?
    };
    let mut parts = date.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let (year, month, day) = (number(year, 4)?, number(month, 2)?, number(day, 2)?);
    let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut parts = clock.splitn(3, ':');
    let (hour, minute) = (number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    let second = number(parts.next().unwrap_or("00"), 2)?;
    let fraction = number(&format!("{:0<6}", fraction.get(..6).unwrap_or(fraction)), 6)?;
    let days = days_of(year, month, day);
    let legal =
        year >= 1970 && hour < 24 && minute < 60 && second < 60 && civil_date(days?) == (year, month, day);
    let seconds = days? * DAY + hour * 3_600 + minute * 60 + second;
    legal.then(|| i64::try_from(seconds * 1_000_000 + fraction).ok())?
}

/// Year, month and day of a day counted from 1970-01-01. Source: Howard Hinnant, "chrono-Compatible Low-Level
/// Date Algorithms", `civil_from_days`; the constants are the days of 400, 100 and 4 years and of a year.
fn civil_date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468; // from 0000-03-01, so that a leap day ends its year
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// The other way round, `days_from_civil` of the same source; `None` before 1970 and for months that are none.
fn days_of(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year.checked_sub(1)? } else { year };
    let (era, year_of_era) = (year / 400, year % 400);
    let month_from_march = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    (era * 146_097 + day_of_era).checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_utc_dates() {
        let stamp = |seconds| stamp(UNIX_EPOCH + Duration::from_secs(seconds));
        // Each from `date -u -d @<seconds> +%Y%m%dT%H%M%SZ`.
        assert_eq!(stamp(0), "19700101T000000Z");
        assert_eq!(stamp(951_782_399), "20000228T235959Z");
        assert_eq!(stamp(951_782_400), "20000229T000000Z");
        assert_eq!(stamp(1_785_231_000), "20260728T093000Z");
        assert_eq!(stamp(4_107_542_400), "21000301T000000Z");
    }

    #[test]
    fn what_is_written_is_read_again() {
        for micros in
            [0, 1, 951_782_399_999_999, 951_782_400_000_000, 1_785_231_000_123_456, 4_107_542_400_000_000]
        {
            assert_eq!(parse_rfc3339(&rfc3339(micros)), Some(micros), "{}", rfc3339(micros));
        }
        assert_eq!(rfc3339(1_785_231_000_123_456), "2026-07-28T09:30:00.123456Z");
        assert_eq!(parse_rfc3339("2026-07-28 09:30"), Some(1_785_231_000_000_000));
        assert_eq!(parse_rfc3339("2026-07-28"), parse_rfc3339("2026-07-28T00:00:00.0Z"));
        for wrong in
            ["", "2026", "2026-02-30", "2026-13-01", "2026-07-28T24:00", "2026-07-28T09:30:00+02:00", "x-y-z"]
        {
            assert_eq!(parse_rfc3339(wrong), None, "{wrong}");
        }
    }
}
