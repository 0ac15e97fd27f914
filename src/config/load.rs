//! Laying the layers on each other, and what comes out of it.

use std::path::{Path, PathBuf};

use super::build;
use super::document::FileLayer;
use super::faults::{Collector, Faults};
use super::files::{self, Files};
use super::given;
use super::imports;
use super::inputs::Sources;
use super::layers::{Layer, Place};
use super::model::{Config, Origin};
use super::references::Scope;
use super::source::SourceMap;

/// The system's file.
pub(super) const SYSTEM_FILE: &str = "/etc/trunkline/gateway.toml";

/// A configuration, and where each part of it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Every setting in force, sorted by key.
    pub settings: Vec<Setting>,
    /// What was read or looked for: the file, its drop-ins in their order, and the folder of drop-ins last. Empty when
    /// no file was found.
    pub paths: Vec<PathBuf>,
}

/// A setting in force and its origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The key as TOML writes it, such as `gateway.listen`.
    pub key: String,
    /// The value as TOML, its references unresolved, and without what may be a credential.
    pub value: String,
    /// `default`, `<file>:<line>`, `environment variable <name>`, `flag <name>` or `computed: <how>`.
    pub origin: String,
}

/// Reads, merges and checks a configuration: defaults, then the file, then its drop-ins by name, then the environment,
/// then flags.
///
/// The file is the one that `sources.file` names, else `TRUNKLINE_CONFIG`, else
/// `$XDG_CONFIG_HOME/trunkline/gateway.toml` (`~/.config` without that variable), else
/// `/etc/trunkline/gateway.toml`, else the built-in [`EXAMPLE`](super::EXAMPLE); never one of the current folder, because a
/// configuration starts programs. Its drop-ins are the `*.toml` of the folder beside it that is named like it, with the
/// extension `.d`. All faults come back at once.
///
/// This reads files and blocks for as long as that takes.
pub fn load(sources: Sources) -> Result<Loaded, Faults> {
    load_with(&sources, Path::new(SYSTEM_FILE))
}

/// [`load`] with another place for the system's file.
pub(super) fn load_with(sources: &Sources, system_file: &Path) -> Result<Loaded, Faults> {
    load_as(sources, system_file, true)
}

/// [`load`], with references resolved or left as written.
pub(super) fn load_as(sources: &Sources, system_file: &Path, resolve: bool) -> Result<Loaded, Faults> {
    let mut faults = Collector::default();
    let Files { origin, layers, mut paths } = files::read(sources, system_file, &mut faults);
    let env = given::from_env(&sources.env, &mut faults);
    let flags = given::from_flags(&sources.flags, &mut faults);
    let mut built = None;
    // Without every file, what is missing cannot be told from what could not be read.
    if let Some(mut files) = layers {
        let scope = scope(sources, &origin);
        let ours: Vec<&Layer> = files.iter().map(|file| &file.layer).chain([&env, &flags]).collect();
        let (mut imported, imports) = imports::read(sources, &scope, &ours, &mut faults);
        // Ours are stronger, and stand first: of two servers with one resource the first answers.
        let servers = imported.iter_mut().flat_map(|layer| std::mem::take(&mut layer.servers)).collect();
        files.splice(0..0, imported);
        files.push(FileLayer { servers, ..FileLayer::default() });
        paths.extend(imports);
        built = build::build(
            build::Input { sources, origin, paths, files, env, flags, scope, resolve },
            &mut faults,
        );
    }
    match (built, faults.finish()) {
        (Some(loaded), None) => Ok(loaded),
        (_, Some(faults)) => Err(faults),
        (None, None) => unreachable!("nothing was built and nothing was wrong"),
    }
}

/// What references of a configuration may mean.
pub(super) fn scope(sources: &Sources, origin: &Origin) -> Scope {
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
pub(super) fn origin_of(place: &Place, source: &SourceMap) -> String {
    match place {
        Place::File { key, .. } => {
            let (name, line) = source.line_of(key.start);
            format!("{name}:{line}")
        }
        Place::Variable(name) => format!("environment variable {name}"),
        Place::Flag(name) => format!("flag {name}"),
        Place::Default => "default".to_owned(),
    }
}
