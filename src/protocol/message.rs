//! One JSON-RPC message: parsed once, for its envelope, and kept as the bytes that arrived.

use bytes::Bytes;

use super::id::{RawId, is_id};
use super::skim::{self, Span};

/// What a message is, decided before anything else looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A method and an id: somebody waits for an answer.
    Request,
    /// A method without an id.
    Notification,
    /// `result` and an id.
    Result,
    /// `error`, with the id of the request if it could be read.
    Error,
}

/// Why a text is no JSON-RPC message.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// Not JSON (JSON-RPC 2.0 §5.1, `-32700`).
    #[error("the message is not valid JSON: {0}")]
    Syntax(String),
    /// JSON, but not a message (`-32600`). The id is there if it could be read, for the answer.
    #[error("{reason}")]
    Invalid {
        /// What is wrong with it.
        reason: String,
        /// The id, when it is a usable one.
        id: Option<RawId>,
    },
}

/// A JSON-RPC message as raw bytes with the places of its envelope.
#[derive(Clone, Debug)]
pub struct Message {
    text: Bytes,
    kind: Kind,
    id: Option<Span>,
    method: Option<Span>,
    params: Option<Span>,
    payload: Option<Span>,
}

impl Message {
    /// Parses one message. `text` must hold exactly one JSON object; white space around it is kept.
    pub fn parse(text: Bytes) -> Result<Message, MessageError> {
        let Ok(json) = std::str::from_utf8(&text) else {
            return Err(MessageError::Syntax("it is not UTF-8".to_owned()));
        };
        let mut envelope = Envelope::default();
        let walked = skim::each_field(json, |key, span| envelope.take(key, span));
        if let Err(error) = walked {
            if json.trim_start().starts_with('[') {
                let reason =
                    "a JSON-RPC batch (an array) is not accepted: send each message in a request of its own";
                return Err(MessageError::Invalid { reason: reason.to_owned(), id: None });
            }
            if error.is_syntax() {
                return Err(MessageError::Syntax(error.to_string()));
            }
            return Err(MessageError::Invalid { reason: error.to_string(), id: None });
        }
        let kind = envelope.classify(json).map_err(|reason| MessageError::Invalid {
            reason: reason.to_owned(),
            id: envelope.id.clone().and_then(|span| RawId::new(text.slice(span))),
        })?;
        let Envelope { id, method, params, result, error, .. } = envelope;
        // The quotes are not part of the method's name; `classify` made sure that it holds no escapes.
        let method = method.map(|span| span.start + 1..span.end - 1);
        Ok(Message { kind, id, method, params, payload: result.or(error), text })
    }

    /// What the message is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The whole message.
    pub fn text(&self) -> &Bytes {
        &self.text
    }

    /// The text between two places.
    pub fn slice(&self, span: Span) -> Bytes {
        self.text.slice(span)
    }

    /// The text as a string slice.
    pub fn as_str(&self) -> &str {
        // Validated in `parse`; an empty string can only follow from a bug there, and harms nobody.
        std::str::from_utf8(&self.text).unwrap_or_default()
    }

    /// The id, absent for notifications and for errors that could not name one.
    pub fn id(&self) -> Option<RawId> {
        self.id.clone().and_then(|span| RawId::new(self.text.slice(span)))
    }

    /// The place of the id.
    pub fn id_span(&self) -> Option<Span> {
        self.id.clone()
    }

    /// The id's raw text.
    pub fn id_bytes(&self) -> Option<&[u8]> {
        self.id.clone().map(|span| &self.text[span])
    }

    /// The method, or the empty string for a response.
    pub fn method(&self) -> &str {
        self.method.clone().and_then(|span| std::str::from_utf8(&self.text[span]).ok()).unwrap_or_default()
    }

    /// The place of the method's name, without its quotes.
    pub fn method_span(&self) -> Option<Span> {
        self.method.clone()
    }

    /// The place of `params`.
    pub fn params_span(&self) -> Option<Span> {
        self.params.clone()
    }

    /// The raw text of `params`, or `{}`.
    pub fn params(&self) -> &str {
        self.at(&self.params).unwrap_or("{}")
    }

    /// The place of `result` or `error`.
    pub fn payload_span(&self) -> Option<Span> {
        self.payload.clone()
    }

    /// The raw text of `result` or `error`, or `{}`.
    pub fn payload(&self) -> &str {
        self.at(&self.payload).unwrap_or("{}")
    }

    fn at(&self, span: &Option<Span>) -> Option<&str> {
        span.clone().and_then(|span| std::str::from_utf8(&self.text[span]).ok())
    }
}

/// The fields of the envelope as they are met. A field that stands twice would let two readers see two messages.
#[derive(Default)]
struct Envelope {
    version: Option<Span>,
    id: Option<Span>,
    method: Option<Span>,
    params: Option<Span>,
    result: Option<Span>,
    error: Option<Span>,
}

impl Envelope {
    fn take(&mut self, key: &str, span: Span) -> Result<(), &'static str> {
        let slot = match key {
            "jsonrpc" => &mut self.version,
            "id" => &mut self.id,
            "method" => &mut self.method,
            "params" => &mut self.params,
            "result" => &mut self.result,
            "error" => &mut self.error,
            _ => return Ok(()),
        };
        match slot.replace(span) {
            None => Ok(()),
            Some(_) => Err("a field of the JSON-RPC envelope stands twice"),
        }
    }

    fn classify(&self, json: &str) -> Result<Kind, &'static str> {
        let text = |span: &Option<Span>| span.clone().map(|span| &json[span]);
        if text(&self.version) != Some("\"2.0\"") {
            return Err("\"jsonrpc\" must be \"2.0\"");
        }
        let id = text(&self.id);
        match (text(&self.method), &self.result, &self.error) {
            (Some(method), None, None) => {
                if !method.starts_with('"') {
                    return Err("\"method\" must be a string");
                }
                if method == "\"\"" {
                    return Err("\"method\" must not be empty");
                }
                if method.contains('\\') {
                    return Err("\"method\" must not hold escapes");
                }
                if text(&self.params).is_some_and(|params| !params.starts_with('{')) {
                    return Err("\"params\" must be an object");
                }
                match id {
                    None => Ok(Kind::Notification),
                    Some(id) if is_id(id.as_bytes()) => Ok(Kind::Request),
                    Some(_) => Err("\"id\" must be a string or an integer"),
                }
            }
            (None, Some(_), None) => match id {
                Some(id) if is_id(id.as_bytes()) => Ok(Kind::Result),
                _ => Err("a result needs the \"id\" of its request"),
            },
            (None, None, Some(_)) => Ok(Kind::Error),
            (None, None, None) => Err("a message needs \"method\", \"result\" or \"error\""),
            _ => Err("\"method\", \"result\" and \"error\" exclude each other"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Message, MessageError> {
        Message::parse(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn the_four_kinds_are_told_apart() {
        let kinds = [
            (r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#, Kind::Request),
            (r#"{"method":"notifications/x","jsonrpc":"2.0"}"#, Kind::Notification),
            (r#"{"jsonrpc":"2.0","id":"a","result":null}"#, Kind::Result),
            (r#"{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":""}}"#, Kind::Error),
        ];
        for (text, kind) in kinds {
            assert_eq!(parse(text).unwrap().kind(), kind, "{text}");
        }
    }

    #[test]
    fn an_id_is_echoed_as_it_was_spelt() {
        for id in ["\"1\"", "1", "-0", "\"\\u0031\"", "123456789012345678901234567890"] {
            let message = parse(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"m"}}"#)).unwrap();
            assert_eq!(message.id().unwrap().as_bytes(), id);
        }
    }

    #[test]
    fn ids_that_are_none_are_refused() {
        for id in ["null", "1.5", "{}", "[1]", "true", "1e2"] {
            let error = parse(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"m"}}"#)).unwrap_err();
            assert!(matches!(error, MessageError::Invalid { id: None, .. }), "{id}: {error}");
        }
    }

    #[test]
    fn a_refused_message_still_gives_the_id_for_the_answer() {
        let error = parse(r#"{"jsonrpc":"1.0","id":"x","method":"m"}"#).unwrap_err();
        let MessageError::Invalid { id: Some(id), .. } = error else { panic!("{error}") };
        assert_eq!(id.as_bytes(), "\"x\"");
    }

    #[test]
    fn a_field_that_stands_twice_is_refused() {
        assert!(parse(r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"m"}"#).is_err());
        assert!(parse(r#"{"jsonrpc":"2.0","id":1,"method":"m","\u006dethod":"n"}"#).is_err());
    }

    #[test]
    fn what_is_no_json_is_a_syntax_error_and_what_is_no_message_is_not() {
        for text in ["", "{", "hello", r#"{"jsonrpc":"2.0","id":1,"method":"m"} x"#, "{\"a\":\"\n\"}"] {
            assert!(matches!(parse(text), Err(MessageError::Syntax(_))), "{text}");
        }
        for text in ["[]", "1", "{}", r#"{"jsonrpc":"2.0","id":1}"#, r#"{"jsonrpc":"2.0","id":1,"method":1}"#]
        {
            assert!(matches!(parse(text), Err(MessageError::Invalid { .. })), "{text}");
        }
    }

    #[test]
    fn the_parts_are_the_bytes_that_arrived() {
        let message =
            parse(r#"{"jsonrpc":"2.0", "id":7, "x":0, "method":"tools/call", "params": {"b":1.0e5, "a":2}}"#)
                .unwrap();
        assert_eq!(message.method(), "tools/call");
        assert_eq!(message.params(), r#"{"b":1.0e5, "a":2}"#);
        assert_eq!(message.id_bytes(), Some(&b"7"[..]));
    }
}
