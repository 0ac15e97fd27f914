//! Where a [`SealKey`] is kept between starts: one file of 32 random bytes, made once.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::random;
use super::seal::{SEAL_KEY_LEN, SealKey};

/// The name of the file in the data directory that holds the key of everything that is sealed there.
pub const SEAL_KEY_FILE: &str = "seal.key";

/// Why a key file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum SealKeyError {
    /// The file or its folder could not be read or written.
    #[error("cannot {doing} the seal key {path}: {source}", path = path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The key file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Users other than the owner could have read it.
    #[error(
        "the seal key {path} has mode {mode:04o}, so other users may have read it and could forge session ids; \
         delete it if they may have, else run: chmod 600 {path}",
        path = path.display()
    )]
    Exposed {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is not a key.
    #[error(
        "the seal key {path} is {found}, not {SEAL_KEY_LEN} bytes long; restore it from a backup, or delete it \
         and a new one is made at the next start (clients then open new sessions)",
        path = path.display()
    )]
    WrongLength {
        /// The key file.
        path: PathBuf,
        /// The length found, in words.
        found: String,
    },
}

impl SealKey {
    /// Reads the key at `path`, or makes one there that only its owner can read.
    ///
    /// Two processes that start at once end up with the same key: the file appears under its name
    /// complete, by a link that succeeds for one of them only. The folder must exist.
    ///
    /// # Errors
    /// If the file cannot be read or made, is not a key, or is open to other users. A file of root's may be
    /// readable by its group (mode 0640), as PostgreSQL allows for its server key: mounted secrets are so.
    pub fn load_or_create(path: &Path) -> Result<SealKey, SealKeyError> {
        if let Some(key) = load(path)? {
            return Ok(key);
        }
        create(path)?;
        load(path)?.ok_or_else(|| SealKeyError::Io {
            doing: "read",
            path: path.to_owned(),
            source: io::Error::new(io::ErrorKind::NotFound, "it vanished just after it was made"),
        })
    }
}

fn load(path: &Path) -> Result<Option<SealKey>, SealKeyError> {
    let fail = |source| SealKeyError::Io { doing: "read", path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fail(error)),
    };
    refuse_exposed(path, &file.metadata().map_err(fail)?)?;
    // One byte of room more than a key, to see a file that is too long. A fixed buffer leaves no copies behind.
    let mut bytes = Zeroizing::new([0; SEAL_KEY_LEN + 1]);
    let mut len = 0;
    while len < bytes.len() {
        match (&file).read(&mut bytes[len..]) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(fail(error)),
        }
    }
    match bytes.first_chunk::<SEAL_KEY_LEN>() {
        Some(key) if len == SEAL_KEY_LEN => Ok(Some(SealKey::from_bytes(key))),
        _ => {
            let found = if len > SEAL_KEY_LEN { format!("over {SEAL_KEY_LEN}") } else { len.to_string() };
            Err(SealKeyError::WrongLength { path: path.to_owned(), found })
        }
    }
}

/// Makes the file unless another process was faster.
fn create(path: &Path) -> Result<(), SealKeyError> {
    let fail = |source| SealKeyError::Io { doing: "create", path: path.to_owned(), source };
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{:016x}.tmp", random::next_u64()));
    let temp = path.with_file_name(name);
    let made = write_new(&temp).and_then(|()| publish(&temp, path));
    // After a link the temporary name is a second one; after a failure it is litter; after a rename it is gone.
    let _ = fs::remove_file(&temp);
    made.map_err(fail)?;
    sync_folder(path);
    Ok(())
}

fn write_new(temp: &Path) -> io::Result<()> {
    let mut bytes = Zeroizing::new([0; SEAL_KEY_LEN]);
    random::fill(bytes.as_mut());
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(temp)?;
    file.write_all(bytes.as_ref())?;
    file.sync_all()
}

/// Gives the complete file its name. A link never replaces what is there, so the first process wins.
fn publish(temp: &Path, path: &Path) -> io::Result<()> {
    match fs::hard_link(temp, path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        // A file system without links (FAT, some network shares): the rename is still atomic, but of two
        // processes that start in the same instant one may go on with a key that its successor won't have.
        Err(_) => fs::rename(temp, path),
    }
}

/// Makes the new name outlive a power cut. Not every file system can; the key is in use either way.
fn sync_folder(path: &Path) {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if let Ok(folder) = File::open(folder) {
        let _ = folder.sync_all();
    }
}

#[cfg(unix)]
fn refuse_exposed(path: &Path, metadata: &fs::Metadata) -> Result<(), SealKeyError> {
    use std::os::unix::fs::MetadataExt as _;

    const OWNER_ONLY: u32 = 0o700;
    const OWNER_AND_GROUP_READ: u32 = 0o740;
    const ROOT: u32 = 0;

    let mode = metadata.mode() & 0o777;
    // Root's key with a readable group is a mounted secret, but only when we are not root ourselves:
    // then we made the file, and would have made it 0600.
    let mounted = metadata.uid() == ROOT && rustix::process::geteuid().as_raw() != ROOT;
    let allowed = if mounted { OWNER_AND_GROUP_READ } else { OWNER_ONLY };
    if mode & !allowed == 0 { Ok(()) } else { Err(SealKeyError::Exposed { path: path.to_owned(), mode }) }
}

/// Elsewhere the folder's access list protects the file.
#[cfg(not(unix))]
fn refuse_exposed(_: &Path, _: &fs::Metadata) -> Result<(), SealKeyError> {
    Ok(())
}

#[cfg(all(test, unix))]
#[expect(clippy::unwrap_used, reason = "clippy knows tests by `cfg(test)` alone")]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::Barrier;

    const PURPOSE: &[u8] = b"test";

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn the_key_outlives_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seal.key");
        let sealed = SealKey::load_or_create(&path).unwrap().seal(PURPOSE, b"session");
        let again = SealKey::load_or_create(&path).unwrap();
        assert_eq!(again.open(PURPOSE, &sealed).as_deref(), Some(b"session".as_slice()));
    }

    #[test]
    fn the_file_is_the_owners_alone_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seal.key");
        SealKey::load_or_create(&path).unwrap();
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!((metadata.permissions().mode() & 0o777, metadata.len()), (0o600, SEAL_KEY_LEN as u64));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn processes_that_start_at_once_agree() {
        const STARTERS: usize = 8;
        for _ in 0..20 {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("seal.key");
            let line = Barrier::new(STARTERS);
            let keys: Vec<SealKey> = std::thread::scope(|scope| {
                let starters: Vec<_> = (0..STARTERS)
                    .map(|_| {
                        scope.spawn(|| {
                            line.wait();
                            SealKey::load_or_create(&path).unwrap()
                        })
                    })
                    .collect();
                starters.into_iter().map(|starter| starter.join().unwrap()).collect()
            });
            let sealed = keys[0].seal(PURPOSE, b"x");
            assert!(keys.iter().all(|key| key.open(PURPOSE, &sealed).is_some()));
        }
    }

    #[test]
    fn a_key_that_others_can_read_is_refused_with_the_cure() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seal.key");
        SealKey::load_or_create(&path).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o602, 0o644] {
            chmod(&path, mode);
            let error = SealKey::load_or_create(&path).unwrap_err().to_string();
            assert!(error.contains(&format!("chmod 600 {}", path.display())), "{error}");
            assert!(error.contains(&format!("{mode:04o}")), "{error}");
        }
        chmod(&path, 0o400);
        SealKey::load_or_create(&path).unwrap();
    }

    #[test]
    fn a_file_of_another_length_is_refused_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seal.key");
        for (length, words) in [(0, "is 0,"), (31, "is 31,"), (33, "is over 32,"), (5_000, "is over 32,")] {
            fs::write(&path, vec![1; length]).unwrap();
            chmod(&path, 0o600);
            let error = SealKey::load_or_create(&path).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
            assert_eq!(fs::metadata(&path).unwrap().len(), length as u64);
        }
    }

    #[test]
    fn a_missing_folder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("absent").join("seal.key");
        let error = SealKey::load_or_create(&path).unwrap_err().to_string();
        assert!(error.contains("cannot create") && error.contains("absent"), "{error}");
    }
}
