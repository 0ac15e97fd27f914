//! `[traces]`: which requests leave spans, and who gets them.

use std::path::PathBuf;
use std::time::Duration;

use http::{HeaderName, Uri};

use crate::base::Secret;

use super::decimal::Decimal;

/// `[traces]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traces {
    /// Where they go, path and all.
    pub endpoint: Uri,
    /// Headers sent with every export; the values have been checked.
    pub headers: Vec<(HeaderName, Secret)>,
    /// A PEM file of certificate authorities trusted instead of the system's own.
    pub ca_file: Option<PathBuf>,
    /// The share of requests without a trace of their own that leave spans, from 0 to 1.
    pub sample_ratio: Decimal,
    /// `service.name`.
    pub service_name: String,
    /// More attributes of the resource.
    pub resource: Vec<(String, String)>,
    /// The most requests whose spans wait to be sent.
    pub queue: usize,
    /// How long spans may wait for more to be sent with them.
    pub delay: Duration,
    /// How long one export may take.
    pub timeout: Duration,
}
