//! The machine: clock, limits, folders, database.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::platform;
use crate::store;

use super::finding::Finding;

/// 2026-07-28, the date of the newest protocol version that this program speaks: no clock that is right is behind it.
const PUBLISHED: Duration = Duration::from_secs(1_785_196_800);
/// Descriptors for some hundred clients and a few dozen servers.
const ENOUGH_FILES: u64 = 4096;
/// Room for the database to grow, and for its log beside it.
const ENOUGH_DISK: u64 = 100 << 20;
/// Permission bits of everybody but the owner.
const OTHERS: u32 = 0o077;
/// Permission to write of everybody but the owner.
const OTHERS_WRITE: u32 = 0o022;

pub(super) fn clock(tell: &mut impl FnMut(Finding)) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    if now < PUBLISHED {
        tell(Finding::fault(
            "clock",
            "the clock is behind the date of this program's protocol, 2026-07-28",
            "set it (`timedatectl set-ntp true`): certificates, keys and sessions are dated",
        ));
    } else {
        tell(Finding::good("clock", "it is plausible"));
    }
}

pub(super) fn open_files(tell: &mut impl FnMut(Finding)) {
    let about = "open files";
    match platform::raise_open_files() {
        Ok(Some(files)) if files < ENOUGH_FILES => tell(Finding::warning(
            about,
            format!("at most {files} may be open, which is few for a gateway"),
            "raise the limit: `ulimit -n 65536` in the shell, or `LimitNOFILE=65536` in the unit",
        )),
        Ok(files) => {
            let files = files.map_or_else(|| "any number".to_owned(), |files| files.to_string());
            tell(Finding::good(about, format!("{files} may be open")));
        }
        Err(error) => tell(Finding::warning(
            about,
            format!("the limit cannot be raised: {error}"),
            "raise it where the gateway is started",
        )),
    }
}

pub(super) fn writable_by_others(path: &Path, tell: &mut impl FnMut(Finding)) {
    let mode = fs::metadata(path).map_or(0, |metadata| metadata.mode());
    if mode & OTHERS_WRITE != 0 {
        tell(Finding::warning(
            "configuration",
            format!("others may change {}, and with it what is started as you", path.display()),
            format!("chmod go-w '{}'", path.display()),
        ));
    }
}

pub(super) fn data_folder(folder: &Path, tell: &mut impl FnMut(Finding)) {
    let about = "data folder";
    let shown = folder.display();
    // The nearest folder that is there decides about one that is not.
    let there = folder.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    if !there.is_dir() {
        let what = format!("{} is in the way: it is no folder", there.display());
        return tell(Finding::fault(about, what, "name another place with gateway.data_dir"));
    }
    if let Err(error) = rustix::fs::access(there, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK)
    {
        let what = format!("{} cannot be written to: {error}", there.display());
        let cure = format!("let this user write to {shown}, or name another place with gateway.data_dir");
        return tell(Finding::fault(about, what, cure));
    }
    if there == folder {
        let mode = fs::metadata(folder).map_or(0, |metadata| metadata.mode());
        if mode & OTHERS != 0 {
            let what = format!("others may look into {shown}, which holds the key of the sessions");
            tell(Finding::warning(about, what, format!("chmod 700 '{shown}'")));
        }
    }
    if let Ok(disk) = rustix::fs::statvfs(there) {
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        if free < ENOUGH_DISK {
            let what = format!("only {} MiB are free on its disk", free >> 20);
            return tell(Finding::warning(
                about,
                what,
                "make room, or name another place with gateway.data_dir",
            ));
        }
    }
    tell(Finding::good(
        about,
        if there == folder { shown.to_string() } else { format!("{shown} can be made") },
    ));
}

pub(super) async fn database(folder: &Path, tell: &mut impl FnMut(Finding)) {
    let about = "database";
    match store::examine(folder).await {
        Ok(None) => tell(Finding::good(about, "there is none yet; the first start makes one")),
        Ok(Some(path)) => tell(Finding::good(about, format!("{} is whole", path.display()))),
        Err(why) => tell(Finding::warning(
            about,
            why,
            "the gateway serves without it; a damaged file is moved aside at its next start and a new one begun",
        )),
    }
}
