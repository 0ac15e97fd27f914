//! What a server says of a task, and the link on which it said so.

use crate::base::{FINGERPRINT, ServerName};
use crate::protocol::Message;

/// A server has said something of a task, in a notification that belongs to no call.
#[derive(Clone, Debug)]
pub struct TaskNote {
    /// The server.
    pub server: ServerName,
    /// The link beside the shared one, if it was said there: another process may give its tasks the same ids.
    pub scope: Option<[u8; FINGERPRINT]>,
    /// What it said.
    pub note: Message,
}
