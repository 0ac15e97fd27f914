//! `[gateway.replay]`: what is kept for clients that lost a stream.

use std::time::Duration;

/// What is kept for legacy clients that lost a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replay {
    /// The most memory for it, in bytes.
    pub memory: u64,
    /// How long it is kept.
    pub age: Duration,
    /// After how long a stream is closed whose client polls.
    pub poll_after: Option<Duration>,
}
