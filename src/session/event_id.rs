//! The ids of events on a legacy client's streams: which stream of which session, which event, and whose answer is due.
//!
//! `<session's mark>.<stream>.<event>` and, for the stream of a call, `.<the call's id>`. The mark is drawn anew for each
//! session and each process, so that no id of another session, or of a gateway before a restart, names a stream here.
//! The id of the call is there so that a client that asks for what is no longer held gets an answer to its call all the
//! same: one that says so.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;

use crate::protocol::RawId;

/// Bytes of a call's id that are carried. SDKs count; whoever mints longer ones goes without this courtesy.
const MAX_CALL: usize = 64;

/// A mark in hexadecimal digits.
const MARK_LEN: usize = 8;

/// The stream that hears of what belongs to no call.
pub const OWN_STREAM: u64 = 0;

/// The beginning of the ids of one stream.
#[derive(Clone, Debug)]
pub struct EventId {
    mark: u32,
    stream: u64,
    call: Box<str>,
}

/// An id as a client gave it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The mark of the session.
    pub mark: u32,
    /// The stream within it.
    pub stream: u64,
    /// The event within that.
    pub event: u64,
    /// The call whose stream it is.
    pub call: Option<RawId>,
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&EventId::new(self.mark, self.stream, self.call.as_ref()).at(self.event))
    }
}

impl EventId {
    /// The ids of a stream; `call` is the id of the request that it answers.
    pub fn new(mark: u32, stream: u64, call: Option<&RawId>) -> EventId {
        let short = call.map(RawId::as_bytes).filter(|raw| raw.len() <= MAX_CALL);
        let call = short.map(|raw| format!(".{}", URL_SAFE_NO_PAD.encode(raw))).unwrap_or_default();
        EventId { mark, stream, call: call.into() }
    }

    /// The stream.
    pub fn stream(&self) -> u64 {
        self.stream
    }

    /// The id of one event.
    pub fn at(&self, event: u64) -> String {
        format!("{:08x}.{}.{event}{}", self.mark, self.stream, self.call)
    }
}

impl Position {
    /// Reads `Last-Event-ID`; `None` for what no gateway of this kind has given out.
    pub fn read(text: &str) -> Option<Position> {
        let mut parts = text.split('.');
        let (mark, stream, event) = (parts.next()?, parts.next()?, parts.next()?);
        let call = match parts.next() {
            None => None,
            Some(call) if call.len() <= MAX_CALL * 2 => {
                let raw = URL_SAFE_NO_PAD.decode(call).ok()?;
                // It goes back to the client inside of JSON, as it is.
                if raw.len() > MAX_CALL || raw.trim_ascii() != raw {
                    return None;
                }
                let text = std::str::from_utf8(&raw).ok()?;
                serde_json::from_str::<serde::de::IgnoredAny>(text).ok()?;
                Some(RawId::new(Bytes::from(raw))?)
            }
            Some(_) => return None,
        };
        // The standard library would take a sign as well.
        let number =
            |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten();
        let hex = mark.len() == MARK_LEN && mark.bytes().all(|byte| byte.is_ascii_hexdigit());
        let mark = hex.then(|| u32::from_str_radix(mark, 16).ok()).flatten()?;
        parts.next().is_none().then_some(Position {
            mark,
            stream: number(stream)?,
            event: number(event)?,
            call,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_id_says_again_what_it_was_made_of() {
        for call in
            [None, Some(&b"1"[..]), Some(b"\"\xc3\xa9.\\\"\""), Some(b"123456789012345678901234567890")]
        {
            let call = call.map(|raw| RawId::new(Bytes::from_static(raw)).unwrap());
            let text = EventId::new(0x00ab_cdef, 7, call.as_ref()).at(9);
            assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "{text}");
            let read = Position::read(&text).unwrap();
            assert_eq!(read, Position { mark: 0x00ab_cdef, stream: 7, event: 9, call });
        }
        let long = RawId::new(Bytes::from(format!("\"{}\"", "x".repeat(100)))).unwrap();
        assert_eq!(Position::read(&EventId::new(1, 2, Some(&long)).at(3)).unwrap().call, None);
    }

    #[test]
    fn what_was_never_given_out_is_no_position() {
        for text in [
            "",
            "1",
            "00000001.1",
            "00000001.1.x",
            "1.1.1",
            "00000001.1.1.MQ.MQ",
            "+0000001.1.1",
            "00000001.+1.1",
            "00000001.1.1.bm8",
            "00000001.1.1.MSIs",
            "00000001.1.1.!",
        ] {
            assert_eq!(Position::read(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_stumble(text in ".{0,60}") {
            if let Some(position) = Position::read(&text) {
                prop_assert!(Position::read(&position.to_string()) == Some(position));
            }
        }
    }
}
