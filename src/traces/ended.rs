//! A request that has ended, packed for the queue: all its texts in one piece of memory, none longer than it may be.

use std::time::Duration;

use crate::base::Version;
use crate::protocol::traceparent::{SpanContext, SpanId, TraceId};
use crate::telemetry::Outcome;

/// The longest text that is kept, in bytes: a URI, a message to a person. Longer ones are cut.
const MAX_TEXT: usize = 1024;
/// Texts of an ended request.
const TEXTS: usize = 8;

/// How a request ended, as the router tells it.
#[derive(Debug)]
pub struct Ending<'a> {
    /// The method, as it was written.
    pub method: &'a str,
    /// The tool, prompt or resource that the client named; empty for none.
    pub asked: &'a str,
    /// Whether the gateway knows what was named.
    pub known: bool,
    /// The client's id for it, raw JSON.
    pub id: &'a str,
    /// The version that the client speaks, where its message says it.
    pub version: Option<Version>,
    /// How it ended.
    pub outcome: Outcome,
    /// The JSON-RPC code of the error, 0 for none.
    pub code: i64,
    /// Who ended it early; empty for nobody.
    pub by: &'static str,
    /// Whether a kept result was of use; empty where none is kept.
    pub cache: &'static str,
    /// The server's name; empty for none.
    pub server: &'a str,
    /// How long it took.
    pub total: Duration,
    /// What was asked of the server, if anything was.
    pub upstream: Option<Upstream<'a>>,
}

/// What was asked of a server.
#[derive(Debug)]
pub struct Upstream<'a> {
    /// The server's own name for the tool, prompt or resource.
    pub name: &'a str,
    /// Our id for it.
    pub id: u64,
    /// The version that the server speaks.
    pub version: Version,
    /// How it is connected.
    pub transport: Transport<'a>,
    /// When it was sent, from the request's arrival.
    pub after: Duration,
    /// How long the server had it.
    pub took: Duration,
}

/// How somebody is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport<'a> {
    /// By pipes.
    Pipe,
    /// By HTTP; who listens is told of servers only.
    Http(Option<(&'a str, u16)>),
}

/// A request that has ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub trace: TraceId,
    pub parent: Option<SpanId>,
    pub server: SpanId,
    pub flags: u8,
    pub links: [Option<SpanContext>; 2],
    /// Nanoseconds since 1970.
    pub started: u64,
    pub total: Duration,
    pub version: Option<Version>,
    pub piped: bool,
    pub known: bool,
    pub outcome: Outcome,
    pub code: i64,
    pub tool_failed: bool,
    pub by: &'static str,
    pub cache: &'static str,
    pub asked_of: Option<Asked>,
    pub texts: Texts,
}

/// Its texts, one behind the other.
#[derive(Debug)]
pub(super) struct Texts {
    text: Box<str>,
    ends: [u16; TEXTS],
}

/// The part of it that a server had.
#[derive(Debug)]
pub(super) struct Asked {
    pub span: SpanId,
    pub id: u64,
    pub version: Version,
    pub piped: bool,
    pub port: Option<u16>,
    pub after: Duration,
    pub took: Duration,
}

/// The texts of an ended request, in their order.
#[derive(Debug, Clone, Copy)]
pub(super) enum Text {
    Method,
    Asked,
    Id,
    State,
    Server,
    Name,
    Address,
    Said,
}

impl Texts {
    /// Packs these, in the order of [`Text`].
    pub fn pack(texts: [&str; TEXTS]) -> Texts {
        let texts = texts.map(|text| &text[..text.floor_char_boundary(MAX_TEXT)]);
        let mut text = String::with_capacity(texts.iter().map(|text| text.len()).sum());
        let mut ends = [0; TEXTS];
        for (one, end) in texts.iter().zip(&mut ends) {
            text.push_str(one);
            *end = u16::try_from(text.len()).unwrap_or(u16::MAX);
        }
        Texts { text: text.into(), ends }
    }
}

impl Ended {
    /// One of its texts.
    pub fn text(&self, which: Text) -> &str {
        let (at, ends) = (which as usize, &self.texts.ends);
        let start = at.checked_sub(1).map_or(0, |before| ends[before]);
        self.texts.text.get(usize::from(start)..usize::from(ends[at])).unwrap_or_default()
    }

    /// How many spans it makes.
    pub fn spans(&self) -> u64 {
        1 + u64::from(self.asked_of.is_some())
    }
}

/// Whole nanoseconds; those of five hundred years fit.
pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
