//! Where the gateway's own files are, for commands that read them beside a running gateway or without one.

use std::path::{Path, PathBuf};

use super::build;
use super::faults::{Collector, Faults};
use super::files::{self, Files};
use super::given;
use super::inputs::Sources;
use super::layers::{Layer, Stack};
use super::load::{SYSTEM_FILE, load_as, load_with, scope};
use super::reader::Reader;

/// The gateway's folder for its own files, and what is wrong with the rest of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnFiles {
    /// The folder.
    pub data_dir: PathBuf,
    /// What else is wrong.
    pub faults: Option<Faults>,
}

/// The key that names the folder.
const DATA_DIR: [&str; 2] = ["gateway", "data_dir"];

/// Finds the folder. Whoever reads the gateway's files need not have its credentials, so that references are left as
/// written, but for those in the folder's name; and a fault of any other setting hides no file.
///
/// # Errors
/// All faults, if it cannot be told where the folder is: its name is wrong, or a file that might name it cannot be read.
pub fn own_files(sources: &Sources) -> Result<OwnFiles, Faults> {
    own_files_with(sources, Path::new(SYSTEM_FILE))
}

/// [`own_files`] with another place for the system's file.
pub(super) fn own_files_with(sources: &Sources, system_file: &Path) -> Result<OwnFiles, Faults> {
    match data_dir(sources, system_file) {
        Some(data_dir) => Ok(OwnFiles { data_dir, faults: load_as(sources, system_file, false).err() }),
        None => load_with(sources, system_file)
            .map(|loaded| OwnFiles { data_dir: loaded.config.gateway.data_dir, faults: None }),
    }
}

/// The folder, unless something hides its name.
fn data_dir(sources: &Sources, system_file: &Path) -> Option<PathBuf> {
    // What is wrong is told by whoever reads the whole.
    let mut faults = Collector::default();
    let Files { origin, layers, .. } = files::read(sources, system_file, &mut faults);
    let given = [given::from_env(&sources.env, &mut faults), given::from_flags(&sources.flags, &mut faults)];
    let given = given.map(only_data_dir);
    // A variable or a flag is stronger than whatever a file says.
    let mut all = Vec::new();
    if given.iter().all(|layer| layer.0.is_empty()) {
        for file in layers? {
            let hides = |path: &Vec<String>| DATA_DIR.iter().zip(path).all(|(known, name)| known == name);
            if file.spoiled.iter().any(hides) {
                return None;
            }
            all.push(only_data_dir(file.layer));
        }
    }
    all.extend(given);
    let stack = Stack::new(all).ok()?;
    let scope = scope(sources, &origin);
    let mut reader = Reader { stack: &stack, scope: &scope, faults: &mut faults, resolve: true };
    build::data_dir(&mut reader, sources)
}

fn only_data_dir(mut layer: Layer) -> Layer {
    layer.0.retain(|leaf| leaf.path == DATA_DIR);
    layer
}
