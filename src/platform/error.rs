//! Why a server could not be started, in words for the person who wrote its entry.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::child::ChildSpec;
use super::order::Report;

/// Why a server could not be started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// No such program.
    #[error("the program `{}` {searched}; install it, or correct `command`", .program.display())]
    NotFound {
        /// The program as the entry names it.
        program: OsString,
        /// Where it was looked for.
        searched: Searched,
    },
    /// The file is there, but cannot be executed.
    #[error(
        "the program `{}` cannot be executed ({reason}); make it executable (chmod +x), or put its interpreter \
         into `command`", .program.display()
    )]
    NotExecutable {
        /// The program as the entry names it.
        program: OsString,
        /// What the system says.
        reason: io::Error,
    },
    /// The file is there, but what its first line (or its loader entry) names is not.
    #[error(
        "the program `{}` is there, but the interpreter that it names in its first line (or its loader) is not; \
         install that, or put an interpreter into `command`", .program.display()
    )]
    BadInterpreter {
        /// The file that was found.
        program: PathBuf,
    },
    /// The working directory cannot be entered.
    #[error(
        "the working directory `{}` of the program `{}` cannot be entered ({reason}); create it, or correct `cwd`",
        .cwd.display(), .program.display()
    )]
    BadCwd {
        /// The program as the entry names it.
        program: OsString,
        /// The working directory of the entry.
        cwd: PathBuf,
        /// What the system says.
        reason: io::Error,
    },
    /// The machine is out of processes, open files or memory.
    #[error(
        "the program `{}` could not be started for lack of processes, open files or memory ({reason}); raise the \
         limit (ulimit -n, ulimit -u; LimitNOFILE=, TasksMax=) or run fewer servers", .program.display()
    )]
    Limit {
        /// The program as the entry names it.
        program: OsString,
        /// What the system says.
        reason: io::Error,
    },
    /// Anything else.
    #[error("the program `{}` could not be started: {reason}", .program.display())]
    Other {
        /// The program as the entry names it.
        program: OsString,
        /// What the system says.
        reason: io::Error,
    },
}

/// Where a program was looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Searched {
    /// In the directories of the server's own PATH.
    Path(OsString),
    /// The server's environment has no PATH, so only in the system's own directories.
    NoPath,
    /// At the path that the entry names.
    Exactly,
}

impl std::fmt::Display for Searched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Path(path) => write!(f, "was not found in the server's PATH ({})", path.display()),
            Self::NoPath => f.write_str("was not found, and the server's environment has no PATH"),
            Self::Exactly => f.write_str("does not exist"),
        }
    }
}

impl SpawnError {
    /// Whether another try is pointless until somebody changes the configuration or the machine.
    pub fn permanent(&self) -> bool {
        match self {
            Self::NotFound { .. } | Self::NotExecutable { .. } => true,
            Self::BadInterpreter { .. } | Self::BadCwd { .. } => true,
            Self::Limit { .. } | Self::Other { .. } => false,
        }
    }

    /// From an error of the gateway itself, on the way to a keeper.
    pub(super) fn own(spec: &ChildSpec, reason: io::Error) -> Self {
        let program = spec.program.clone();
        if is_shortage(&reason) {
            return Self::Limit { program, reason };
        }
        let reason = io::Error::new(reason.kind(), format!("its keeper process failed: {reason}"));
        Self::Other { program, reason }
    }

    /// From what the keeper reports instead of a start.
    pub(super) async fn reported(spec: &ChildSpec, report: Report) -> Self {
        let program = spec.program.clone();
        let errno = match report {
            Report::BadCwd(errno) => {
                let cwd = spec.cwd.clone().unwrap_or_default();
                return Self::BadCwd { program, cwd, reason: io::Error::from_raw_os_error(errno) };
            }
            Report::BadProgram(errno) => errno,
            Report::Started(_) | Report::Unbounded(_) | Report::Exited(_) | Report::Signalled(_) => {
                Errno::PROTO.raw_os_error()
            }
        };
        let reason = io::Error::from_raw_os_error(errno);
        match Errno::from_raw_os_error(errno) {
            Errno::NOENT | Errno::NOTDIR => match find(spec).await {
                Some(program) => Self::BadInterpreter { program },
                None => Self::NotFound { program, searched: searched(spec) },
            },
            Errno::ACCESS | Errno::PERM | Errno::NOEXEC | Errno::ISDIR => {
                Self::NotExecutable { program, reason }
            }
            _ if is_shortage(&reason) => Self::Limit { program, reason },
            _ => Self::Other { program, reason },
        }
    }
}

fn is_shortage(error: &io::Error) -> bool {
    let shortages = [Errno::AGAIN, Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::NOBUFS];
    error.raw_os_error().is_some_and(|errno| shortages.contains(&Errno::from_raw_os_error(errno)))
}

fn searched(spec: &ChildSpec) -> Searched {
    if is_path(&spec.program) {
        Searched::Exactly
    } else {
        path(spec).map_or(Searched::NoPath, |path| Searched::Path(path.to_owned()))
    }
}

/// A name with a slash is a path and is not looked up.
fn is_path(program: &OsStr) -> bool {
    program.as_encoded_bytes().contains(&b'/')
}

fn path(spec: &ChildSpec) -> Option<&OsStr> {
    spec.env.iter().rev().find(|(key, _)| key == "PATH").map(|(_, value)| value.as_os_str())
}

/// The file that the lookup would have found, from the server's working directory.
async fn find(spec: &ChildSpec) -> Option<PathBuf> {
    let from = spec.cwd.as_deref().unwrap_or(Path::new("."));
    let directories: Vec<PathBuf> = match searched(spec) {
        Searched::Exactly => vec![PathBuf::new()],
        Searched::Path(path) => std::env::split_paths(&path).collect(),
        Searched::NoPath => Vec::new(),
    };
    for directory in directories {
        let candidate = from.join(directory).join(&spec.program);
        if tokio::fs::metadata(&candidate).await.is_ok_and(|file| file.is_file()) {
            return Some(candidate);
        }
    }
    None
}
