//! `isolation` and its companions: who shares a link to a server, and whether the server may ask its clients.

use std::time::Duration;

/// Who shares a link to a server, and whether the server may ask its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Links {
    /// Who shares one.
    pub isolation: Isolation,
    /// Whether clients that have declared that they can be asked get a link that says so.
    pub questions: bool,
    /// The most links beside the shared one.
    pub max: usize,
    /// After how long without a call such a link is closed.
    pub idle: Duration,
    /// How long a client may take to answer a question.
    pub answer_timeout: Duration,
}

/// Who shares one link to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// All clients.
    Shared,
    /// The requests of one session.
    Session,
    /// The requests of one principal.
    Principal,
}
