//! `[admin]`: the administration interface.

use std::net::SocketAddr;

/// `[admin]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admin {
    /// Whether there is one.
    pub enabled: bool,
    /// Its own address; without one it is where the gateway listens.
    pub listen: Option<SocketAddr>,
}
