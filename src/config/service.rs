//! `[services.<name>]`: one plain HTTP service behind the gateway, which does not speak MCP.

use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;

use crate::base::{Secret, ServerName};

use super::model::{Breaker, Health};
use super::rate::Rate;
use super::url::Url;

/// One plain HTTP service. A path below `/services/<name>/` is the same path below its URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// The name, which is part of its address here.
    pub name: ServerName,
    /// Whether it is served. References of one that is not are left as written.
    pub enabled: bool,
    /// Where it is. Its query is not used.
    pub url: Url,
    /// Headers sent with every request, sorted by name; the values have been checked.
    pub headers: Vec<(HeaderName, Secret)>,
    /// A PEM file of certificate authorities trusted instead of the system's own.
    pub ca_file: Option<PathBuf>,
    /// An HTTP proxy to go through. It may hold a user name and a password.
    pub proxy: Option<Proxy>,
    /// Whether its certificate is checked.
    pub tls_verify: bool,
    /// What is asked for to see whether it is well; without, it is taken to be.
    pub health_path: Option<String>,
    /// When it is asked, and what its answers mean.
    pub health: Health,
    /// When its requests are refused because requests before failed.
    pub breaker: Breaker,
    /// How long opening a connection may take, the wait for a free one included.
    pub connect_timeout: Duration,
    /// How long it may take from the last byte of a request to the head of its answer.
    pub request_timeout: Duration,
    /// How long its answer may be silent.
    pub idle_timeout: Option<Duration>,
    /// The most connections to it at once.
    pub max_connections: usize,
    /// The most of them that are kept open without a request.
    pub max_idle_connections: usize,
    /// How long its addresses are remembered.
    pub dns_ttl: Duration,
    /// How many requests are passed on to it in a time, by everybody together.
    pub rate: Option<Rate>,
    /// The most requests to it at once.
    pub max_in_flight: usize,
}

/// The URL of an HTTP proxy, which may hold a credential.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy(pub String);

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}
