//! Where logins are kept: one sealed file a server, `<data_dir>/logins/<server>`.
//!
//! Files and not the database, because `trunkline login` is another process than the daemon and both write; a file is
//! replaced as a whole, and a person can delete one. Who writes holds the folder's lock.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustix::fs::{FlockOperation, flock};

use crate::base::ServerName;
use crate::base::random;
use crate::base::seal::SealKey;

use super::record::Record;

/// The folder's name in the data directory.
const FOLDER: &str = "logins";
/// The lock in it. No server has this name: it has a dot.
const LOCK: &str = ".lock";
/// The largest file that is read: far more than any login.
const MAX_FILE: u64 = 256 << 10;

/// Why a login cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The file could not be used.
    #[error("the login in {path} cannot be {doing}: {source}", path = path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It does not open.
    #[error(
        "the login in {path} does not open: it was changed, or sealed by another seal.key; \
         log in again, or restore both from one backup",
        path = path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
    },
}

/// The logins in a data directory.
#[derive(Clone, Debug)]
pub struct Vault {
    folder: PathBuf,
    key: SealKey,
}

impl Vault {
    /// The logins under `data_dir`, sealed by `key`. Nothing is made before the first login.
    pub fn new(data_dir: &Path, key: SealKey) -> Vault {
        Vault { folder: data_dir.join(FOLDER), key }
    }

    /// The login to a server.
    pub fn read(&self, name: &ServerName) -> Result<Option<Record>, VaultError> {
        let path = self.path(name);
        let fail = |source| VaultError::Io { doing: "read", path: path.clone(), source };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(fail(error)),
        };
        let mut sealed = Vec::new();
        file.take(MAX_FILE).read_to_end(&mut sealed).map_err(fail)?;
        let record = String::from_utf8(sealed).ok();
        let record = record.and_then(|sealed| Record::open(name.as_str(), &sealed, &self.key));
        record.map(Some).ok_or(VaultError::Damaged { path })
    }

    /// Keeps a login in place of any other.
    pub fn write(&self, name: &ServerName, record: &Record) -> Result<(), VaultError> {
        let _lock = self.lock()?;
        self.put(name, record)
    }

    /// Keeps what a login has become, unless another has taken its place meanwhile: that one comes back then.
    pub(super) fn replace(
        &self,
        name: &ServerName,
        before: u64,
        record: &Record,
    ) -> Result<Option<Record>, VaultError> {
        let _lock = self.lock()?;
        match self.read(name)? {
            Some(other) if other.serial != before => Ok(Some(other)),
            // Somebody has logged out; what was renewed in that moment is not kept either.
            None => Ok(None),
            Some(_) => self.put(name, record).map(|()| None),
        }
    }

    /// Forgets a login. False if there was none.
    pub fn remove(&self, name: &ServerName) -> Result<bool, VaultError> {
        let _lock = self.lock()?;
        let path = self.path(name);
        match fs::remove_file(&path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(VaultError::Io { doing: "deleted", path, source }),
        }
    }

    /// What changes whenever any login does.
    pub(super) fn changed_at(&self) -> Option<SystemTime> {
        fs::metadata(&self.folder).and_then(|folder| folder.modified()).ok()
    }

    fn put(&self, name: &ServerName, record: &Record) -> Result<(), VaultError> {
        let path = self.path(name);
        let fail = |source| VaultError::Io { doing: "written", path: path.clone(), source };
        let sealed = record.seal(name.as_str(), &self.key).map_err(|error| fail(io::Error::other(error)))?;
        let temp = self.folder.join(format!(".{name}.{:016x}", random::next_u64()));
        let written = write_new(&temp, sealed.as_bytes()).and_then(|()| fs::rename(&temp, &path));
        if written.is_err() {
            let _ = fs::remove_file(&temp);
        }
        written.map_err(fail)
    }

    fn lock(&self) -> Result<File, VaultError> {
        let path = self.folder.join(LOCK);
        let fail = |source| VaultError::Io { doing: "locked", path: path.clone(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder).map_err(fail)?;
        let mut options = OpenOptions::new();
        let file = options.create(true).truncate(false).write(true).mode(0o600).open(&path).map_err(fail)?;
        flock(&file, FlockOperation::LockExclusive).map_err(|error| fail(error.into()))?;
        Ok(file)
    }

    fn path(&self, name: &ServerName) -> PathBuf {
        self.folder.join(name.as_str())
    }
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::record::tests::canary;
    use super::*;

    fn name() -> ServerName {
        ServerName::new("x").unwrap()
    }

    #[test]
    fn a_login_comes_back_is_replaced_and_goes_and_its_file_is_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::new(folder.path(), SealKey::random());
        assert_eq!(vault.read(&name()).unwrap(), None);
        assert!(!vault.remove(&name()).unwrap());
        vault.write(&name(), &canary()).unwrap();
        assert_eq!(vault.read(&name()).unwrap(), Some(canary()));
        let path = folder.path().join("logins/x");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!fs::read_to_string(&path).unwrap().contains("canary"));

        let next = Record { serial: 2, ..canary() };
        assert_eq!(vault.replace(&name(), 1, &next).unwrap(), None);
        assert_eq!(vault.read(&name()).unwrap().unwrap().serial, 2);
        let late = Record { serial: 3, ..canary() };
        assert_eq!(vault.replace(&name(), 1, &late).unwrap().unwrap().serial, 2, "a fresh login stays");
        assert!(vault.remove(&name()).unwrap());
        assert_eq!(vault.replace(&name(), 2, &late).unwrap(), None);
        assert_eq!(vault.read(&name()).unwrap(), None, "who has logged out is not logged in again");
    }

    #[test]
    fn a_file_that_was_changed_is_told_by_name_and_by_cure() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::new(folder.path(), SealKey::random());
        vault.write(&name(), &canary()).unwrap();
        let path = folder.path().join("logins/x");
        let mut text = fs::read(&path).unwrap();
        text[10] ^= 1;
        fs::write(&path, text).unwrap();
        let error = vault.read(&name()).unwrap_err().to_string();
        assert!(error.contains("logins/x does not open") && error.contains("log in again"), "{error}");
    }
}
