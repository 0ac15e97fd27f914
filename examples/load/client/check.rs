//! Is this the reply to that request? Full parsing once, comparison of bytes from then on.

use std::borrow::Cow;
use std::collections::BTreeMap;

use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::inbox::{Received, events};

/// What can be wrong with a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// Another HTTP status than 200; with the start of the body.
    Status(u16, String),
    /// HTTP or JSON that cannot be read.
    Shape(String),
    /// A reply with another id.
    WrongId(String),
    /// A reply with another text.
    WrongText(String),
    /// A JSON-RPC error.
    Refused(String),
    /// The socket failed or was closed.
    Socket(String),
    /// No reply within the limit.
    Overdue,
}

impl Fault {
    /// A short name, one a variant.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Status(..) => "status",
            Self::Shape(_) => "shape",
            Self::WrongId(_) => "wrong-id",
            Self::WrongText(_) => "wrong-text",
            Self::Refused(_) => "refused",
            Self::Socket(_) => "socket",
            Self::Overdue => "overdue",
        }
    }

    /// Whether the connection can be used for another request.
    pub fn connection_is_sound(&self) -> bool {
        matches!(self, Self::Status(..) | Self::WrongId(_) | Self::WrongText(_) | Self::Refused(_))
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Status(status, body) => write!(f, "HTTP {status}: {body}"),
            Self::Shape(what) => write!(f, "unreadable reply: {what}"),
            Self::WrongId(reply) => write!(f, "another request's id: {reply}"),
            Self::WrongText(reply) => write!(f, "not the text that was sent: {reply}"),
            Self::Refused(error) => write!(f, "JSON-RPC error: {error}"),
            Self::Socket(error) => write!(f, "socket: {error}"),
            Self::Overdue => f.write_str("no reply within the limit"),
        }
    }
}

impl std::error::Error for Fault {}

/// Faults counted by kind, with the first of each kind as an example.
#[derive(Debug, Default, Clone)]
pub struct Faults {
    kinds: BTreeMap<&'static str, (u64, String)>,
}

impl Faults {
    /// Counts one.
    pub fn add(&mut self, fault: &Fault) {
        self.kinds.entry(fault.label()).or_insert_with(|| (0, fault.to_string())).0 += 1;
    }

    /// Takes over another's counts.
    pub fn absorb(&mut self, other: &Self) {
        for (label, (count, example)) in &other.kinds {
            self.kinds.entry(label).or_insert_with(|| (0, example.clone())).0 += count;
        }
    }

    /// How many there are.
    pub fn total(&self) -> u64 {
        self.kinds.values().map(|(count, _)| count).sum()
    }

    /// One line a kind.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.kinds.iter().map(|(label, (count, example))| format!("{count} × {label}, first: {example}"))
    }
}

/// Checks replies to calls whose requests differ in their id alone.
///
/// The first reply is parsed and its id and text compared; its bytes are then kept, together with the places
/// where the id stands. A later reply that equals those bytes with its own id in those places has the right
/// id and text by construction; any other is parsed again.
#[derive(Debug, Default)]
pub struct Checker {
    known: Vec<u8>,
    known_as_stream: bool,
    holes: Vec<usize>,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct CallResult<'a> {
    #[serde(borrow)]
    content: Vec<Content<'a>>,
    #[serde(default, rename = "isError")]
    is_error: bool,
}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(borrow)]
    text: Cow<'a, str>,
}

impl Checker {
    /// Checks one reply against the id and the text of its request. `id` is decimal digits and part of `text`.
    pub fn check(&mut self, received: &Received<'_>, id: &[u8], text: &[u8]) -> Result<(), Fault> {
        let as_known = received.head.status == 200 && received.head.event_stream == self.known_as_stream;
        if as_known && self.equals_known(received.body, id) {
            return Ok(());
        }
        let result = result_of(received, id)?;
        let call: CallResult<'_> =
            serde_json::from_str(result.get()).map_err(|error| shape(result.get(), &error))?;
        match call.content.as_slice() {
            [Content { text: got }] if got.as_bytes() == text && !call.is_error => {}
            _ => return Err(Fault::WrongText(excerpt(result.get().as_bytes()))),
        }
        received.body.clone_into(&mut self.known);
        self.known_as_stream = received.head.event_stream;
        self.holes = memmem::find_iter(received.body, id).collect();
        Ok(())
    }

    fn equals_known(&mut self, body: &[u8], id: &[u8]) -> bool {
        if self.known.len() != body.len() || self.holes.is_empty() {
            return false;
        }
        for hole in &self.holes {
            match self.known.get_mut(*hole..*hole + id.len()) {
                Some(place) => place.copy_from_slice(id),
                None => return false,
            }
        }
        self.known == body
    }
}

/// The result in a reply, from JSON or an event stream, after its status and id were checked.
pub fn result_of<'a>(received: &Received<'a>, id: &[u8]) -> Result<&'a RawValue, Fault> {
    if received.head.status != 200 {
        return Err(Fault::Status(received.head.status, excerpt(received.body)));
    }
    let message = if received.head.event_stream {
        events(received.body)
            .last()
            .ok_or_else(|| Fault::Shape("an event stream without a message".into()))?
    } else {
        received.body
    };
    // A derived struct is also read from an array, field by field; a reply is an object.
    if !message.trim_ascii_start().starts_with(b"{") {
        return Err(Fault::Shape(format!("no JSON object: {}", excerpt(message))));
    }
    let envelope: Envelope<'a> =
        serde_json::from_slice(message).map_err(|error| shape(&excerpt(message), &error))?;
    if envelope.id.map(|got| got.get().as_bytes()) != Some(id) {
        return Err(Fault::WrongId(excerpt(message)));
    }
    if let Some(error) = envelope.error {
        return Err(Fault::Refused(excerpt(error.get().as_bytes())));
    }
    envelope.result.ok_or_else(|| Fault::Shape(format!("neither result nor error: {}", excerpt(message))))
}

fn shape(text: &str, error: &serde_json::Error) -> Fault {
    Fault::Shape(format!("{error} in {}", excerpt(text.as_bytes())))
}

/// The start of a body, short enough for a line of the report.
fn excerpt(bytes: &[u8]) -> String {
    const LENGTH: usize = 240;
    String::from_utf8_lossy(&bytes[..bytes.len().min(LENGTH)]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::super::head::{Framing, Head};
    use super::*;

    fn head(status: u16, event_stream: bool) -> Head {
        let framing = Framing::Chunked;
        Head { status, len: 0, framing, event_stream, session: None }
    }

    fn check(checker: &mut Checker, head: &Head, body: &str, id: &str) -> Result<(), Fault> {
        let text = format!("echo {id}");
        checker.check(&Received { head, body: body.as_bytes() }, id.as_bytes(), text.as_bytes())
    }

    fn reply(id: &str, text: &str) -> String {
        format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":[{{"type":"text","text":"{text}"}}]}}}}"#)
    }

    #[test]
    fn right_replies_pass_and_are_learnt() {
        let mut checker = Checker::default();
        check(&mut checker, &head(200, false), &reply("10000001", "echo 10000001"), "10000001").unwrap();
        assert_eq!(checker.holes.len(), 2);
        assert!(checker.equals_known(reply("10000002", "echo 10000002").as_bytes(), b"10000002"));
        check(&mut checker, &head(200, false), &reply("10000003", "echo 10000003"), "10000003").unwrap();
    }

    #[test]
    fn after_learning_every_wrong_reply_is_still_seen() {
        let mut checker = Checker::default();
        let json = head(200, false);
        check(&mut checker, &json, &reply("10000001", "echo 10000001"), "10000001").unwrap();
        let faults = [
            (reply("10000001", "echo 10000002"), "wrong-id"),
            (reply("\"10000002\"", "echo 10000002"), "wrong-id"),
            (reply("10000002", "echo 10000001"), "wrong-text"),
            (reply("10000002", "Echo 10000002"), "wrong-text"),
            (r#"{"jsonrpc":"2.0","id":10000002,"error":{"code":1,"message":""}}"#.into(), "refused"),
            (r#"{"jsonrpc":"2.0","id":10000002}"#.into(), "shape"),
            (r#"[10000002,{"content":[{"text":"echo 10000002"}]}]"#.into(), "shape"),
            (reply("10000002", "echo 10000002").replace("}}", ""), "shape"),
            (reply("10000002", "echo 10000002").replace("]}", r#"],"isError":true}"#), "wrong-text"),
        ];
        for (body, label) in faults {
            assert_eq!(check(&mut checker, &json, &body, "10000002").unwrap_err().label(), label, "{body}");
        }
        let body = reply("10000002", "echo 10000002");
        assert_eq!(check(&mut checker, &head(503, false), &body, "10000002").unwrap_err().label(), "status");
    }

    #[test]
    fn the_last_message_of_a_stream_is_the_reply() {
        let mut checker = Checker::default();
        let note = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{}}"#;
        let body = format!("data: {note}\n\ndata: {}\n\n", reply("10000001", "echo 10000001"));
        check(&mut checker, &head(200, true), &body, "10000001").unwrap();
        assert_eq!(check(&mut checker, &head(200, true), ":\n\n", "10000001").unwrap_err().label(), "shape");
    }

    #[test]
    fn faults_are_counted_by_kind() {
        let mut faults = Faults::default();
        faults.add(&Fault::Overdue);
        let mut other = faults.clone();
        other.add(&Fault::Status(503, "busy".into()));
        faults.absorb(&other);
        assert_eq!(faults.total(), 3);
        let lines: Vec<_> = faults.lines().collect();
        assert_eq!(
            lines,
            ["2 × overdue, first: no reply within the limit", "1 × status, first: HTTP 503: busy"]
        );
    }
}
