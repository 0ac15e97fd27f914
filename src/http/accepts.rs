//! What the client can read as an answer.

use http::header::ACCEPT;
use http::{HeaderMap, HeaderValue};

/// What the client can read as an answer.
#[derive(Clone, Copy, Debug)]
pub struct Accepts {
    /// JSON in one piece.
    pub json: bool,
    /// A stream of events.
    pub events: bool,
}

impl Accepts {
    /// By the header. The specification wants both; whoever names one only gets that one, and whoever names none
    /// (curl) gets JSON.
    pub fn read(headers: &HeaderMap) -> Accepts {
        let value = headers.get(ACCEPT).map_or(&b""[..], HeaderValue::as_bytes);
        let names = |what: &str| memchr::memmem::find(value, what.as_bytes()).is_some();
        let events = names("text/event-stream");
        Accepts { json: !events || names("application/json") || names("*/*"), events }
    }
}
