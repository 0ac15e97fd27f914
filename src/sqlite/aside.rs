//! Files around the database: making it private, and moving a damaged one out of the way.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::base::utc;

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
    let stamp = utc::stamp(now);
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

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
