//! Why a call to an upstream failed, and whether the upstream may have acted on it.

use crate::base::{Error, ErrorKind, ServerName};

/// Whether a request can have been executed. Only one that cannot may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It never left the gateway, or the upstream refused it unseen (404 for an unknown session).
    NotDelivered,
    /// It may have been executed.
    Unknown,
}

/// A call that got no reply.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{error}")]
pub struct Fault {
    /// What the caller is told.
    pub error: Error,
    /// Whether it may be tried again.
    pub delivery: Delivery,
    /// The HTTP status that was the answer, where there was no better one.
    pub status: Option<http::StatusCode>,
}

impl Fault {
    /// A fault before anything reached the upstream.
    pub fn not_delivered(kind: ErrorKind, message: impl Into<String>) -> Fault {
        Fault { error: Error::new(kind, message.into()), delivery: Delivery::NotDelivered, status: None }
    }

    /// A fault after which nobody knows whether the upstream acted.
    pub fn unknown(kind: ErrorKind, message: impl Into<String>) -> Fault {
        Fault { error: Error::new(kind, message.into()), delivery: Delivery::Unknown, status: None }
    }
}

/// The fault of a call whose link has ended.
pub fn ended_fault(name: &ServerName, what: &str) -> Fault {
    Fault::unknown(
        ErrorKind::ServerFailed,
        format!("server '{name}' {what}; the gateway's log has its last words"),
    )
}
