//! The configuration that a command works with.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::config::{self, Config, Flag, Loaded, Sources};

use super::exit;
use super::words::{fail, say};

/// Reads the configuration with these flags over it, or says what is wrong with it.
pub fn configuration(
    file: Option<PathBuf>,
    data_dir: Option<PathBuf>,
    listen: Option<String>,
) -> Result<Config, ExitCode> {
    sourced(file, data_dir, listen).map(|(loaded, _)| loaded.config)
}

/// The same, with the place of every setting and where it all came from.
pub fn sourced(
    file: Option<PathBuf>,
    data_dir: Option<PathBuf>,
    listen: Option<String>,
) -> Result<(Loaded, Sources), ExitCode> {
    let mut flags = Vec::new();
    if let Some(listen) = &listen {
        flags.push(Flag::new("--listen", "gateway.listen", listen));
    }
    if let Some(folder) = &data_dir {
        flags.push(Flag::new("--data-dir", "gateway.data_dir", folder.to_string_lossy()));
    }
    let sources = Sources::of_process(file, flags)
        .map_err(|error| fail(exit::FAILURE, &format!("cannot find out where this program is: {error}")))?;
    match config::load(sources.clone()) {
        Ok(loaded) => Ok((loaded, sources)),
        Err(faults) => {
            say(&faults.to_string());
            Err(ExitCode::from(exit::CONFIGURATION))
        }
    }
}
