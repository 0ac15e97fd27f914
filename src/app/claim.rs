//! The folder of the gateway's own files belongs to one listening gateway at a time.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use tracing::debug;

use crate::base::{SEAL_KEY_FILE, SealKey};

use super::failure::Failure;

/// The file that is locked while a gateway runs. The lock goes with the process, however it ends; the file stays.
const LOCK_FILE: &str = "gateway.lock";

/// The hold on a folder.
#[derive(Debug)]
pub struct Claim(#[expect(dead_code, reason = "the lock lasts as long as the file is open")] Option<File>);

/// The key of everything that is sealed under this folder, which is made if it is missing, as the key is.
pub fn seal_key(data_dir: &Path) -> Result<SealKey, Failure> {
    make_data_dir(data_dir)?;
    Ok(SealKey::load_or_create(&data_dir.join(SEAL_KEY_FILE))?)
}

/// Makes the folder, for our eyes only: it holds the key.
fn make_data_dir(path: &Path) -> Result<(), Failure> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|reason| Failure::DataDir { path: path.to_owned(), reason })
}

/// Claims the folder, or says who has it.
pub fn claim(folder: &Path) -> Result<Claim, Failure> {
    let path = folder.join(LOCK_FILE);
    let opened =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    let mut file = match opened {
        Ok(file) => file,
        // A gateway whose disk is full or was mounted read-only still starts when its key is there.
        Err(error) => {
            debug!(folder = %folder.display(), %error, "cannot be locked");
            return Ok(Claim(None));
        }
    };
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {
            // Who it is, for the words of the next one; nothing depends on it.
            let _ = file.set_len(0).and_then(|()| write!(file, "{}", std::process::id()));
        }
        Err(Errno::WOULDBLOCK) => {
            let mut holder = String::new();
            let _ = file.rewind().and_then(|()| file.read_to_string(&mut holder));
            return Err(Failure::Claimed { path: folder.to_owned(), holder });
        }
        // Some network file systems have no locks. Two gateways are then the operator's to avoid.
        Err(error) => debug!(folder = %folder.display(), %error, "cannot be locked"),
    }
    Ok(Claim(Some(file)))
}
