//! One call as the router tells it, and packed for the way to the file.
//!
//! An entry is made on a request's way. It borrows everything; packing copies the texts into one buffer, which pins no
//! message. What many calls have in common (who, what, and how it ended) stands first in the buffer, so that the writer
//! finds its number in one look-up (see `context`).

use std::time::{Duration, SystemTime};

use super::payload::Waiting;
use crate::base::utc;

/// What a client has said of itself.
#[derive(Debug, Clone, Copy)]
pub enum ClientText<'a> {
    /// Nothing.
    Unknown,
    /// Name and version.
    Known {
        /// The name.
        name: &'a str,
        /// The version.
        version: &'a str,
    },
    /// A JSON object with both, which the writer reads.
    Raw(&'a str),
}

impl<'a> ClientText<'a> {
    /// A name without a version; empty for none.
    pub fn named(name: &'a str) -> ClientText<'a> {
        if name.is_empty() { ClientText::Unknown } else { ClientText::Known { name, version: "" } }
    }
}

/// One call.
#[derive(Debug, Clone)]
pub struct Entry<'a> {
    /// Who called.
    pub principal: &'a str,
    /// With which program.
    pub client: ClientText<'a>,
    /// The client's era.
    pub era: &'static str,
    /// The server whose own endpoint was called; empty for the merged one.
    pub endpoint: &'a str,
    /// The server that the call was for; empty for what the gateway answered itself.
    pub server: &'a str,
    /// Which start of it answered; 0 if none was reached.
    pub generation: u64,
    /// The method.
    pub method: &'a str,
    /// The tool or prompt under the server's own name, or the URI.
    pub name: &'a str,
    /// How it ended: `ok`, `upstream_error`, or the kind of the gateway's error.
    pub outcome: &'static str,
    /// The JSON-RPC code of an error, or the HTTP status where there is none; 0 for no error.
    pub code: i64,
    /// Whether the answer was one that the gateway had kept: empty where nothing is kept, `hit`, `miss`, or `bypass`.
    pub cache: &'static str,
    /// What became of a prompt that was to be made better: empty where there was none, `yes`, or `no`.
    pub enhanced: &'static str,
    /// What the breaker did with it: empty, `closed`, `half_open` (let through to try) or `open` (refused).
    pub breaker: &'static str,
    /// Who ended it early: empty, `client`, `disconnect`, `deadline` or `gateway`.
    pub cancelled_by: &'static str,
    /// A hash of the session.
    pub session: Option<u64>,
    /// The request's id, as raw JSON.
    pub request: &'a str,
    /// The trace that it belongs to.
    pub trace: &'a str,
    /// From its arrival until it was sent on.
    pub queue: Duration,
    /// From sending it on until the answer; `None` if it was not sent.
    pub upstream: Option<Duration>,
    /// From its arrival until its answer.
    pub total: Duration,
    /// Bytes of the request.
    pub bytes_in: usize,
    /// Bytes of the reply and everything that came before it.
    pub bytes_out: usize,
    /// Notes of progress on the way.
    pub progress: u32,
    /// The messages of request and reply, if they are to be kept.
    pub payload: Option<(&'a str, &'a str)>,
}

impl Entry<'static> {
    /// Nothing that is known of anything.
    pub const EMPTY: Entry<'static> = Entry {
        principal: "",
        client: ClientText::Unknown,
        era: "",
        endpoint: "",
        server: "",
        generation: 0,
        method: "",
        name: "",
        outcome: "",
        code: 0,
        cache: "",
        enhanced: "",
        breaker: "",
        cancelled_by: "",
        session: None,
        request: "",
        trace: "",
        queue: Duration::ZERO,
        upstream: None,
        total: Duration::ZERO,
        bytes_in: 0,
        bytes_out: 0,
        progress: 0,
        payload: None,
    };
}

/// An entry on its way to the file.
#[derive(Debug)]
pub(super) struct Row {
    /// The context, then the request's id, then the trace.
    text: Box<[u8]>,
    context: u32,
    request: u8,
    /// When it ended, in microseconds since 1970.
    pub ended: i64,
    pub session: Option<u64>,
    pub queue: i64,
    pub upstream: Option<i64>,
    pub total: i64,
    pub bytes_in: i64,
    pub bytes_out: i64,
    pub progress: u32,
    /// For a row that stands for missing ones: how many, if that is known.
    pub lost: Option<i64>,
    /// What is kept of its messages.
    pub payload: Option<Box<Waiting>>,
}

/// Bytes kept of a URI, and of a client's own words about itself. A longer one is cut; the log is no archive of what
/// clients send.
const MAX_LONG: usize = 512;
/// Bytes kept of a principal. Two that begin alike must not become one: this is beyond what a credential can hold.
const MAX_PRINCIPAL: usize = 16 << 10;
/// Bytes kept of any other text.
const MAX_SHORT: usize = 128;
/// Bytes kept of a request's id and of a trace.
const MAX_ID: usize = 64;
/// Where the marks of [`ClientText`] begin.
const UNKNOWN: u8 = 0;
const KNOWN: u8 = 1;
const RAW: u8 = 2;

impl Row {
    /// Packs an entry that has just ended.
    pub fn pack(entry: &Entry<'_>) -> Row {
        let (mark, name, version) = match entry.client {
            ClientText::Unknown => (UNKNOWN, "", ""),
            ClientText::Known { name, version } => (KNOWN, cut(name, MAX_SHORT), cut(version, MAX_SHORT)),
            ClientText::Raw(text) if text.len() <= MAX_LONG => (RAW, text, ""),
            ClientText::Raw(_) => (UNKNOWN, "", ""),
        };
        let texts = [
            cut(entry.principal, MAX_PRINCIPAL),
            name,
            version,
            entry.era,
            entry.endpoint,
            entry.server,
            cut(entry.method, MAX_SHORT),
            cut(entry.name, MAX_LONG),
            entry.outcome,
            entry.breaker,
            entry.cancelled_by,
            entry.cache,
            entry.enhanced,
        ];
        let (request, trace) = (cut(entry.request, MAX_ID), cut(entry.trace, MAX_ID));
        let length: usize = texts.iter().map(|text| text.len() + 2).sum();
        let mut buffer = Vec::with_capacity(length + 17 + request.len() + trace.len());
        buffer.push(mark);
        buffer.extend_from_slice(&entry.generation.to_le_bytes());
        buffer.extend_from_slice(&entry.code.to_le_bytes());
        for text in texts {
            // All caps fit.
            buffer.extend_from_slice(&(text.len() as u16).to_le_bytes());
            buffer.extend_from_slice(text.as_bytes());
        }
        let context = buffer.len() as u32;
        buffer.extend_from_slice(request.as_bytes());
        buffer.extend_from_slice(trace.as_bytes());
        Row {
            text: buffer.into_boxed_slice(),
            context,
            request: request.len() as u8,
            ended: utc::micros(SystemTime::now()),
            session: entry.session,
            queue: micros(entry.queue),
            upstream: entry.upstream.map(micros),
            total: micros(entry.total),
            bytes_in: bytes(entry.bytes_in),
            bytes_out: bytes(entry.bytes_out),
            progress: entry.progress,
            lost: None,
            payload: None,
        }
    }

    /// The packed context; equal contexts have equal bytes.
    pub fn context(&self) -> &[u8] {
        self.text.get(..self.context as usize).unwrap_or_default()
    }

    /// When it arrived, in microseconds since 1970.
    pub fn arrived(&self) -> i64 {
        self.ended - self.total
    }

    /// Whether it says nothing of trace, progress and loss.
    pub fn is_plain(&self) -> bool {
        self.text.len() == self.context as usize + usize::from(self.request)
            && self.progress == 0
            && self.lost.is_none()
    }

    /// The request's id, as raw JSON.
    pub fn request(&self) -> &str {
        let start = self.context as usize;
        text(self.text.get(start..start + usize::from(self.request)).unwrap_or_default())
    }

    /// The trace.
    pub fn trace(&self) -> &str {
        text(self.text.get(self.context as usize + usize::from(self.request)..).unwrap_or_default())
    }
}

/// What many calls have in common.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Context<'a> {
    pub client: Client<'a>,
    pub generation: u64,
    pub code: i64,
    pub principal: &'a str,
    pub era: &'a str,
    pub endpoint: &'a str,
    pub server: &'a str,
    pub method: &'a str,
    pub name: &'a str,
    pub outcome: &'a str,
    pub breaker: &'a str,
    pub cancelled_by: &'a str,
    pub cache: &'a str,
    pub enhanced: &'a str,
}

/// The client of a packed context.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Client<'a> {
    #[default]
    Unknown,
    Known {
        name: &'a str,
        version: &'a str,
    },
    Raw(&'a str),
}

/// Reads a packed context; `None` for bytes that [`Row::pack`] has not made.
pub(super) fn unpack(packed: &[u8]) -> Option<Context<'_>> {
    let (mark, rest) = packed.split_first()?;
    let (generation, rest) = rest.split_first_chunk::<8>()?;
    let (code, mut rest) = rest.split_first_chunk::<8>()?;
    let mut next = || {
        let (length, tail) = rest.split_first_chunk::<2>()?;
        let (found, tail) = tail.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
        rest = tail;
        Some(text(found))
    };
    let (principal, name, version) = (next()?, next()?, next()?);
    let client = match *mark {
        KNOWN => Client::Known { name, version },
        RAW => Client::Raw(name),
        _ => Client::Unknown,
    };
    Some(Context {
        client,
        generation: u64::from_le_bytes(*generation),
        code: i64::from_le_bytes(*code),
        principal,
        era: next()?,
        endpoint: next()?,
        server: next()?,
        method: next()?,
        name: next()?,
        outcome: next()?,
        breaker: next()?,
        cancelled_by: next()?,
        cache: next()?,
        enhanced: next()?,
    })
}

/// The beginning of `text`, cut at a character's boundary.
fn cut(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or(text)
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn bytes(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A call of which everything is known.
    pub fn entry() -> Entry<'static> {
        Entry {
            principal: "anonymous",
            client: ClientText::Known { name: "desk", version: "1.2" },
            era: "legacy",
            endpoint: "",
            server: "files",
            generation: 3,
            method: "tools/call",
            name: "read",
            outcome: "ok",
            code: 0,
            cache: "miss",
            enhanced: "no",
            breaker: "closed",
            cancelled_by: "",
            session: Some(0xfeed_0000_0000_0001),
            request: "7",
            trace: "4bf92f3577b34da6a3ce929d0e0e4736",
            queue: Duration::from_micros(20),
            upstream: Some(Duration::from_micros(900)),
            total: Duration::from_micros(1_000),
            bytes_in: 180,
            bytes_out: 220,
            progress: 2,
            payload: None,
        }
    }

    #[test]
    fn what_is_packed_is_unpacked() {
        let row = Row::pack(&entry());
        let found = unpack(row.context()).unwrap();
        assert_eq!(found.client, Client::Known { name: "desk", version: "1.2" });
        assert_eq!((found.principal, found.server, found.generation), ("anonymous", "files", 3));
        assert_eq!((found.method, found.name, found.outcome), ("tools/call", "read", "ok"));
        assert_eq!((found.breaker, found.cancelled_by, found.endpoint), ("closed", "", ""));
        assert_eq!((found.cache, found.enhanced), ("miss", "no"));
        assert_eq!((row.request(), row.trace()), ("7", "4bf92f3577b34da6a3ce929d0e0e4736"));
        assert_eq!((row.queue, row.upstream, row.total), (20, Some(900), 1_000));
    }

    #[test]
    fn equal_contexts_are_equal_bytes_and_others_are_not() {
        let packed = |entry: &Entry<'_>| Row::pack(entry).context().to_vec();
        let one = packed(&entry());
        assert_eq!(one, packed(&Entry { request: "8", trace: "", bytes_in: 1, ..entry() }));
        assert_ne!(one, packed(&Entry { name: "rea", ..entry() }));
        assert_ne!(one, packed(&Entry { client: ClientText::Raw("desk"), ..entry() }));
        assert_ne!(
            packed(&Entry { server: "a", method: "bc", ..entry() }),
            packed(&Entry { server: "ab", method: "c", ..entry() })
        );
    }

    #[test]
    fn what_a_client_makes_long_is_cut() {
        let long = "ü".repeat(100_000);
        let row = Row::pack(&Entry { name: &long, request: &long, principal: &long, ..entry() });
        assert!(row.text.len() < 20_000, "{}", row.text.len());
        assert_eq!(unpack(row.context()).unwrap().name, "ü".repeat(MAX_LONG / 2));
        assert_eq!(row.request(), "ü".repeat(MAX_ID / 2));
    }
}
