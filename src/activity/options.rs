//! How the log is kept.

use std::path::PathBuf;
use std::time::Duration;

use super::retention::Keep;
use crate::base::Secret;

/// How the log is kept.
#[derive(Debug, Clone)]
pub struct Options {
    /// The folder of the file; it is made if missing.
    pub data_dir: PathBuf,
    /// The most rows that wait for the file.
    pub queue: usize,
    /// What may change while the log is kept.
    pub terms: Terms,
}

/// How the log is kept from now on.
#[derive(Debug, Clone)]
pub struct Terms {
    /// How long a row may wait before it is written, and so the most that a kill loses.
    pub window: Duration,
    /// What is kept on file.
    pub keep: Keep,
    /// The most bytes of a request, and of a reply, that are kept of a call whose payload is.
    pub capture_limit: usize,
    /// Whether each batch becomes a link of the chain, so that a change of the file shows.
    pub chain: bool,
    /// What must not be part of a payload, wherever it stands.
    pub secrets: Vec<Secret>,
}
