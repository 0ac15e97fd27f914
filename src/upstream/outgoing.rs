//! A request on its way to an upstream.

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

use crate::protocol::{Splice, method};

use super::party::Party;

/// A request with its edits, and what a modern HTTP server wants to see of it in headers.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// The message; the link fills in the numbers that it mints.
    pub message: Splice,
    /// The method, for `Mcp-Method`.
    pub method: Bytes,
    /// The server's own name of the tool or prompt, or the URI, for `Mcp-Name`.
    pub name: Option<String>,
    /// `Mcp-Param-*` headers.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Who waits for it.
    pub party: Party,
}

impl Outgoing {
    /// Whether nothing is said about it when its answer is no longer wanted: `initialize` must not be cancelled, before
    /// it nothing else may be said, and a server that does not answer a health check does not need another message.
    pub fn is_quiet(&self) -> bool {
        let quiet = [method::INITIALIZE, method::DISCOVER, method::PING];
        self.party == Party::Gateway && quiet.iter().any(|method| self.method == method.as_bytes())
    }
}
