//! Finding the files and reading them: the main one and its drop-ins.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::document::{self, FileLayer};
use super::faults::{At, Collector};
use super::given;
use super::inputs::{EXAMPLE, Sources};
use super::model::Origin;

const EMBEDDED_NAME: &str = "gateway.toml (built in)";
const FILE_NAME: &str = "trunkline/gateway.toml";
const EXTENSION: &str = "toml";
/// What a folder of drop-ins has instead of the file's extension: `gateway.d` beside `gateway.toml`.
const DROP_IN_EXTENSION: &str = "d";
/// The most drop-ins that are read: a folder with more was meant for something else.
const MAX_DROP_INS: usize = 1_000;

/// What the files say.
pub(super) struct Files {
    pub origin: Origin,
    /// The layers, the weakest first; `None` when one of them could not be read.
    pub layers: Option<Vec<FileLayer>>,
    /// Every file that was read or looked for, and the folder of drop-ins.
    pub paths: Vec<PathBuf>,
}

/// Finds and reads the files. What cannot be read is noted, and the others are read all the same.
pub(super) fn read(sources: &Sources, system_file: &Path, faults: &mut Collector) -> Files {
    let (origin, named_by) = locate(sources, system_file);
    let Origin::File(path) = &origin else {
        faults.source.main = EMBEDDED_NAME.to_owned();
        let layers = document::read(EMBEDDED_NAME, EXAMPLE, faults).map(|layer| vec![layer]);
        return Files { origin, layers, paths: Vec::new() };
    };
    faults.source.main = path.display().to_string();
    let folder = drop_in_folder(path);
    let drop_ins = match drop_ins(&folder) {
        Ok(drop_ins) => drop_ins,
        Err(error) => {
            let message = format!("the folder {} cannot be read: {error}", folder.display());
            let help = "make it a folder of TOML files that the gateway may read, or remove it";
            faults.fault(At::Path(folder.display().to_string()), message, help);
            Vec::new()
        }
    };
    let mut layers = Vec::new();
    // Drop-ins may stand alone where nobody has named a file.
    if named_by != At::File || !matches!(path.try_exists(), Ok(false)) {
        layers.push(read_file(path, &named_by, faults));
    }
    layers.extend(drop_ins.iter().map(|path| read_file(path, &At::Path(path.display().to_string()), faults)));
    let mut paths = vec![path.clone()];
    paths.extend(drop_ins);
    paths.push(folder);
    Files { origin, layers: layers.into_iter().collect(), paths }
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
    // A file that is there and cannot be read is a fault, and no reason to take the next one. Neither are drop-ins
    // passed over in silence because the file beside them is missing.
    let exists = |path: &PathBuf| {
        !matches!(path.try_exists(), Ok(false))
            || drop_ins(&drop_in_folder(path)).map_or(true, |found| !found.is_empty())
    };
    match user_file.into_iter().chain([system_file.to_owned()]).find(exists) {
        Some(path) => (Origin::File(path), At::File),
        None => (Origin::Embedded, At::File),
    }
}

/// The folder of drop-ins beside a file.
fn drop_in_folder(file: &Path) -> PathBuf {
    file.with_extension(DROP_IN_EXTENSION)
}

/// The drop-ins of a folder by name; what does not end in `.toml`, or is hidden, is an editor's business.
fn drop_ins(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension() == Some(OsStr::new(EXTENSION)) {
            found.push(path);
        }
        if found.len() > MAX_DROP_INS {
            return Err(io::Error::other(format!("it holds more than {MAX_DROP_INS} TOML files")));
        }
    }
    found.sort();
    Ok(found)
}

fn read_file(path: &Path, named_by: &At, faults: &mut Collector) -> Option<FileLayer> {
    let error = match fs::read(path).map(String::from_utf8) {
        Ok(Ok(text)) => return document::read(&path.display().to_string(), &text, faults),
        Ok(Err(_)) => "it is not UTF-8 text".to_owned(),
        Err(error) => error.to_string(),
    };
    let message = format!("the configuration file {} cannot be read: {error}", path.display());
    let help = match named_by {
        At::Flag(_) | At::Variable(_) => "name a TOML file that the gateway may read",
        At::Path(_) => "make it a TOML file that the gateway may read, or remove it",
        _ => "make it a TOML file that the gateway may read, or name another with --config",
    };
    faults.fault(named_by.clone(), message, help);
    None
}
