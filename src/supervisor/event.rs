//! What is told to whoever watches the fleet.

use crate::base::ServerName;

use super::breaker::BreakerState;

/// A server's state has changed.
#[derive(Clone, Debug)]
pub struct ServerEvent {
    /// The server.
    pub server: ServerName,
    /// What has changed.
    pub change: ServerChange,
}

/// What has changed.
#[derive(Clone, Debug)]
pub enum ServerChange {
    /// Its state.
    State {
        /// The state that it is in now.
        state: &'static str,
        /// The number of its last start.
        generation: u64,
        /// What went wrong, if something did.
        reason: Option<String>,
    },
    /// The state of its breaker.
    Breaker(BreakerState),
    /// Whether it is in service.
    Service(bool),
}
