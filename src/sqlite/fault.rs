//! What can be wrong with the file, and what follows from it.

use std::io;
use std::path::PathBuf;

/// Why a database is refused. Nothing in it was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// A later release wrote it.
    #[error(
        "{path} has version {found}, this Trunkline knows versions up to {known}: a newer release has written it. \
         Start that release again, or move the file away to start with an empty one",
        path = path.display()
    )]
    Newer {
        /// The database file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest version that this build can read.
        known: usize,
    },
    /// Another program wrote it.
    #[error(
        "{path} is an SQLite database of another program. Set data_dir to a folder of Trunkline's own, or move \
         the file away",
        path = path.display()
    )]
    Foreign {
        /// The database file.
        path: PathBuf,
    },
}

/// The database cannot do this now. The gateway serves on, and goes on trying.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} is unavailable: {reason}")]
pub struct Unavailable {
    /// Which database it is.
    pub name: &'static str,
    /// Why, in words for an operator.
    pub reason: String,
}

/// What an operation on the file ended with.
#[derive(Debug)]
pub enum Fault {
    /// The file's content is broken: it is moved aside.
    Damaged(String),
    /// The file is whole but not for us: it stays untouched, and we do without.
    Refused(OpenError),
    /// The file cannot be used at the moment: it is tried again.
    Hindered(Hindrance),
}

/// Why the file cannot be used at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hindrance {
    /// Tells one kind of trouble from another, so that only a change is logged.
    pub kind: &'static str,
    /// Words for an operator.
    pub reason: String,
}

// SQLite's primary result codes (<https://www.sqlite.org/rescode.html>), the low byte of every extended code.
const SQLITE_ERROR: i32 = 1;
const SQLITE_PERM: i32 = 3;
const SQLITE_BUSY: i32 = 5;
const SQLITE_LOCKED: i32 = 6;
const SQLITE_READONLY: i32 = 8;
const SQLITE_IOERR: i32 = 10;
const SQLITE_CORRUPT: i32 = 11;
const SQLITE_FULL: i32 = 13;
const SQLITE_CANTOPEN: i32 = 14;
const SQLITE_NOTADB: i32 = 26;

impl Fault {
    /// The verdict on a statement that fails only if a table or column is not as it should be.
    pub fn in_layout(error: sqlx::Error) -> Fault {
        if primary_code(&error) == Some(SQLITE_ERROR) {
            Fault::Damaged(error.to_string())
        } else {
            Fault::from(error)
        }
    }

    /// The verdict on a file operation of our own.
    pub fn in_folder(doing: &str, error: &io::Error) -> Fault {
        let kind = match error.kind() {
            io::ErrorKind::StorageFull => "full",
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => "read-only",
            _ => "folder",
        };
        Fault::Hindered(Hindrance { kind, reason: format!("cannot {doing}: {error}") })
    }
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Fault {
        let (kind, words) = match primary_code(&error) {
            Some(SQLITE_CORRUPT | SQLITE_NOTADB) => return Fault::Damaged(error.to_string()),
            Some(SQLITE_FULL) => ("full", "the disk is full; free some space"),
            Some(SQLITE_BUSY | SQLITE_LOCKED) => ("locked", "another process holds its lock"),
            Some(SQLITE_READONLY | SQLITE_PERM) => {
                ("read-only", "it cannot be written; check the owner and mode of the file and its folder")
            }
            Some(SQLITE_CANTOPEN) => {
                ("unopened", "it cannot be opened; check the owner and mode of its folder")
            }
            Some(SQLITE_IOERR) => ("io", "the disk reports an error, or is full"),
            _ => match &error {
                // A value of a type that no statement of ours has written.
                sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => {
                    return Fault::Damaged(error.to_string());
                }
                _ => ("other", "an unexpected answer from SQLite"),
            },
        };
        Fault::Hindered(Hindrance { kind, reason: format!("{words} ({error})") })
    }
}

fn primary_code(error: &sqlx::Error) -> Option<i32> {
    /// Extended codes carry their detail above the low byte.
    const PRIMARY: i32 = 0xff;
    let code: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & PRIMARY)
}
