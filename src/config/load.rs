//! Finding the file, laying the layers on each other, and what comes out of it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::build;
use super::document;
use super::faults::{At, Collector, Faults, SourceText};
use super::given;
use super::layers::Place;
use super::model::{Config, Origin};
use super::references::Scope;

/// The configuration that holds when no file is found; also the example for people to copy.
pub const EXAMPLE: &str = include_str!("../../gateway.toml");

const EMBEDDED_NAME: &str = "gateway.toml (built in)";
const FILE_NAME: &str = "trunkline/gateway.toml";
const SYSTEM_FILE: &str = "/etc/trunkline/gateway.toml";

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

/// A configuration, and where each part of it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Every setting in force, sorted by key.
    pub settings: Vec<Setting>,
}

/// A setting in force and its origin; the value is in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The key, such as `gateway.listen`.
    pub key: String,
    /// `default`, `<file>:<line>`, `environment variable <name>` or `flag <name>`.
    pub origin: String,
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

/// Reads, merges and checks a configuration: defaults, then the file, then the environment, then flags.
///
/// The file is the one that `sources.file` names, else `TRUNKLINE_CONFIG`, else
/// `$XDG_CONFIG_HOME/trunkline/gateway.toml` (`~/.config` without that variable), else
/// `/etc/trunkline/gateway.toml`, else the built-in [`EXAMPLE`]; never one of the current folder, because a
/// configuration starts programs. All faults come back at once.
///
/// This reads files and blocks for as long as that takes.
pub fn load(sources: Sources) -> Result<Loaded, Faults> {
    load_with(&sources, Path::new(SYSTEM_FILE))
}

/// [`load`] with another place for the system's file.
pub(super) fn load_with(sources: &Sources, system_file: &Path) -> Result<Loaded, Faults> {
    let mut faults = Collector::default();
    let origin = locate(sources, system_file);
    faults.source =
        SourceText { name: EMBEDDED_NAME.to_owned(), text: EXAMPLE.to_owned(), veils: Vec::new() };
    let file = match &origin {
        (Origin::File(path), named_by) => {
            faults.source = SourceText { name: path.display().to_string(), ..SourceText::default() };
            read_file(path, named_by, &mut faults).and_then(|text| {
                faults.source.text = text;
                document::read(&mut faults)
            })
        }
        (Origin::Embedded, _) => document::read(&mut faults),
    };
    let env = given::from_env(&sources.env, &mut faults);
    let flags = given::from_flags(&sources.flags, &mut faults);
    let mut built = None;
    // Without a readable file, what is missing cannot be told from what could not be read.
    if let Some(file) = file {
        let scope = scope(sources, &origin.0);
        built =
            build::build(build::Input { sources, origin: origin.0, file, env, flags, scope }, &mut faults);
    }
    match (built, faults.finish()) {
        (Some(loaded), None) => Ok(loaded),
        (_, Some(faults)) => Err(faults),
        (None, None) => unreachable!("nothing was built and nothing was wrong"),
    }
}

/// The file in force, and where a fault about it as a whole is reported.
fn locate(sources: &Sources, system_file: &Path) -> (Origin, At) {
    if let Some(path) = &sources.file {
        return (Origin::File(path.clone()), At::Flag("--config".to_owned()));
    }
    if let Some(path) = sources.variable(given::FILE_VARIABLE) {
        return (Origin::File(path.into()), At::Variable(given::FILE_VARIABLE.to_owned()));
    }
    let config_home = sources.folder("XDG_CONFIG_HOME");
    let config_home = config_home.or_else(|| sources.folder("HOME").map(|home| home.join(".config")));
    let user_file = config_home.map(|folder| folder.join(FILE_NAME));
    // A file that is there and cannot be read is a fault, and no reason to take the next one.
    let exists = |path: &PathBuf| !matches!(path.try_exists(), Ok(false));
    match user_file.into_iter().chain([system_file.to_owned()]).find(exists) {
        Some(path) => (Origin::File(path), At::File),
        None => (Origin::Embedded, At::File),
    }
}

fn read_file(path: &Path, named_by: &At, faults: &mut Collector) -> Option<String> {
    let error = match fs::read(path).map(String::from_utf8) {
        Ok(Ok(text)) => return Some(text),
        Ok(Err(_)) => "it is not UTF-8 text".to_owned(),
        Err(error) => error.to_string(),
    };
    let message = format!("the configuration file {} cannot be read: {error}", path.display());
    let help = match named_by {
        At::Flag(_) | At::Variable(_) => "name a TOML file that the gateway may read",
        _ => "make it a TOML file that the gateway may read, or name another with --config",
    };
    faults.fault(named_by.clone(), message, help);
    None
}

fn scope(sources: &Sources, origin: &Origin) -> Scope {
    let folder = match origin {
        Origin::File(path) => {
            std::path::absolute(path).ok().and_then(|path| path.parent().map(Path::to_owned))
        }
        Origin::Embedded => None,
    };
    Scope {
        env: sources.env.iter().cloned().collect(),
        exe: sources.exe.clone(),
        folder: folder.unwrap_or_default(),
    }
}

/// Where a setting came from, in words.
pub(super) fn origin_of(place: &Place, source: &SourceText) -> String {
    match place {
        Place::File { key, .. } => format!("{}:{}", source.name, source.line_of(key.start)),
        Place::Variable(name) => format!("environment variable {name}"),
        Place::Flag(name) => format!("flag {name}"),
        Place::Default => "default".to_owned(),
    }
}
