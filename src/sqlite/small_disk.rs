//! A disk that fills up, for the tests of whoever keeps a file.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A file system of 1 MB that unmounts itself.
pub struct SmallDisk(TempDir);

impl SmallDisk {
    /// Mounts it; `None`, said on standard error, where that is not allowed. CI has to allow it.
    pub fn mount() -> Option<SmallDisk> {
        let folder = TempDir::new().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(folder.path()).stderr(Stdio::null());
        let mounted = mount.status().is_ok_and(|status| status.success());
        if !mounted {
            assert!(std::env::var_os("CI").is_none(), "mounting a tmpfs takes root, which CI is to have");
            // Through a file handle: the lints keep print macros out of the library, tests included.
            let _ = writeln!(std::io::stderr(), "skipped: mounting a tmpfs takes root");
        }
        mounted.then(|| SmallDisk(folder))
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a worker thread may still be closing its files.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}
