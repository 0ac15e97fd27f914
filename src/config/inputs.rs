//! What a configuration is read from.

use std::io;
use std::path::PathBuf;

/// The configuration that holds when no file is found; also the example for people to copy.
pub const EXAMPLE: &str = include_str!("../../gateway.toml");

/// What a configuration is read from. Nothing else is looked at, the process environment neither.
#[derive(Clone)]
pub struct Sources {
    /// The file that `--config` names.
    pub file: Option<PathBuf>,
    /// The environment: for `TRUNKLINE_…` settings, `${env:…}` references and the places of files.
    pub env: Vec<(String, String)>,
    /// Settings from the command line, the strongest layer.
    pub flags: Vec<Flag>,
    /// The running executable, for `${trunkline}`.
    pub exe: PathBuf,
}

/// One setting from the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    /// The flag as it is written, such as `--listen`.
    pub name: String,
    /// The key it sets, such as `gateway.listen`.
    pub key: String,
    /// The value, written as in an environment variable.
    pub value: String,
}

impl Sources {
    /// The sources of the running process. Variables that are not UTF-8 are left out.
    pub fn of_process(file: Option<PathBuf>, flags: Vec<Flag>) -> io::Result<Self> {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        let env = std::env::vars_os().filter_map(text).collect();
        Ok(Self { file, env, flags, exe: std::env::current_exe()? })
    }

    /// A variable's value; an empty one counts as unset, as the XDG specification asks.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        let found = self.env.iter().rev().find(|(have, _)| have == name);
        found.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    /// A variable's value if it is an absolute path: relative ones are to be ignored, says the same specification.
    pub(super) fn folder(&self, name: &str) -> Option<PathBuf> {
        self.variable(name).map(PathBuf::from).filter(|path| path.is_absolute())
    }
}

/// Shows no value: an environment is full of credentials.
impl std::fmt::Debug for Sources {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.env.iter().map(|(name, _)| name.as_str()).collect();
        let flags: Vec<&str> = self.flags.iter().map(|flag| flag.name.as_str()).collect();
        f.debug_struct("Sources")
            .field("file", &self.file)
            .field("env", &names)
            .field("flags", &flags)
            .field("exe", &self.exe)
            .finish()
    }
}

impl Flag {
    /// A setting from the command line.
    pub fn new(name: impl Into<String>, key: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), key: key.into(), value: value.into() }
    }
}
