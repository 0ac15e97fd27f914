//! What a link over pipes counts.

use std::sync::atomic::AtomicU64;

/// What a link counts.
#[derive(Debug, Default)]
pub struct Counts {
    /// Messages of the server, of any kind.
    pub messages: AtomicU64,
    /// Lines on stdout that were no messages.
    pub noise: AtomicU64,
    /// Replies whose number nobody waited for.
    pub unknown_replies: AtomicU64,
    /// Notes that made room for newer ones, or that had no party.
    pub dropped_notes: AtomicU64,
    /// Requests of the server that were refused.
    pub refused_questions: AtomicU64,
}
