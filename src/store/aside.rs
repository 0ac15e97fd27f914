//! Files around the database: making it private, and moving a damaged one out of the way.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// What SQLite puts beside a database in WAL mode. A damaged database keeps its own, for whoever repairs it,
/// and a new one must never meet them.
const COMPANIONS: [&str; 2] = ["-wal", "-shm"];

/// Makes sure that folder and file exist; new ones are readable by their owner alone. SQLite gives its
/// companion files the mode of the database.
pub(super) fn prepare(path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(folder)?;
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Renames the database to `<name>.corrupt-<time>`, its companions with it, and answers the new name.
pub(super) fn move_aside(path: &Path, now: SystemTime) -> io::Result<PathBuf> {
    let stamp = utc_stamp(now);
    let mut target = suffixed(path, &format!(".corrupt-{stamp}"));
    let mut again = 1;
    while target.try_exists()? {
        again += 1;
        target = suffixed(path, &format!(".corrupt-{stamp}-{again}"));
    }
    // The log first: a crash in between leaves a damaged database without its log, which is found damaged again.
    // The other order could leave an old log beside a new database.
    for companion in COMPANIONS {
        match fs::rename(suffixed(path, companion), suffixed(&target, companion)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    match fs::rename(path, &target) {
        // Another process of ours was faster.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(target),
        result => result.map(|()| target),
    }
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// `20260728T093000Z`: sorts by time and is a valid file name everywhere.
fn utc_stamp(time: SystemTime) -> String {
    const DAY: u64 = 86_400;
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (year, month, day) = civil_date(seconds / DAY);
    let (hour, minute, second) = (seconds % DAY / 3_600, seconds % 3_600 / 60, seconds % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn stamps_are_utc_dates() {
        let stamp = |seconds| utc_stamp(UNIX_EPOCH + Duration::from_secs(seconds));
        // Each from `date -u -d @<seconds> +%Y%m%dT%H%M%SZ`.
        assert_eq!(stamp(0), "19700101T000000Z");
        assert_eq!(stamp(951_782_399), "20000228T235959Z");
        assert_eq!(stamp(951_782_400), "20000229T000000Z");
        assert_eq!(stamp(1_785_231_000), "20260728T093000Z");
        assert_eq!(stamp(4_107_542_400), "21000301T000000Z");
    }

    #[test]
    fn a_second_damaged_file_in_one_second_does_not_replace_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trunkline.db");
        for content in ["one", "two"] {
            fs::write(&path, content).unwrap();
            fs::write(suffixed(&path, "-wal"), content).unwrap();
            let target = move_aside(&path, UNIX_EPOCH).unwrap();
            assert_eq!(fs::read_to_string(&target).unwrap(), content);
            assert_eq!(fs::read_to_string(suffixed(&target, "-wal")).unwrap(), content);
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4);
    }
}
