//! What a backend says to one message: bytes in, bytes out.

use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::options::Era;

/// How long the tool `hold` keeps its answer.
const HOLD: Duration = Duration::from_secs(2);

/// What kind of message was answered, for what the transport must do besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A request; the reply is ready.
    Reply,
    /// The legacy handshake's request: over HTTP a session begins.
    Initialize,
    /// A request that ends the modern handshake.
    Discover,
    /// A request whose reply is to be sent after this time.
    Held(Duration),
    /// A method this backend does not have; the reply is the error.
    Unknown,
    /// A notification or response: nothing is to be sent.
    Silent,
    /// The notification that ends the legacy handshake: nothing is to be sent.
    Initialized,
    /// Not JSON-RPC; the reply is the error.
    Malformed,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<&'a RawValue>,
    #[serde(borrow, default)]
    params: Option<Params<'a>>,
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow, default)]
    name: Option<&'a RawValue>,
    #[serde(borrow, default)]
    arguments: Option<Arguments<'a>>,
}

#[derive(Deserialize)]
struct Arguments<'a> {
    #[serde(borrow, default)]
    text: Option<&'a RawValue>,
}

/// Appends the reply to `message` to `out` (no line end) and says what kind of message it was.
pub fn answer(era: Era, message: &[u8], out: &mut Vec<u8>) -> Kind {
    let Some(envelope) = parse(message) else {
        out.extend_from_slice(
            br#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"not a JSON-RPC message"}}"#,
        );
        return Kind::Malformed;
    };
    let method = envelope.method.map_or("", RawValue::get);
    let Some(id) = envelope.id else {
        return if method == r#""notifications/initialized""# { Kind::Initialized } else { Kind::Silent };
    };
    match (method, era) {
        ("", _) => Kind::Silent,
        (r#""tools/call""#, _) => call(era, id, envelope.params.as_ref(), out),
        (r#""tools/list""#, _) => {
            put_result(id, era, LISTED, MODERN_CACHING, out);
            Kind::Reply
        }
        (r#""ping""#, Era::Legacy) => {
            put_result(id, era, "", "", out);
            Kind::Reply
        }
        (r#""initialize""#, Era::Legacy) => {
            put_result(id, era, INITIALIZED, "", out);
            Kind::Initialize
        }
        (r#""server/discover""#, Era::Modern) => {
            put_result(id, era, DISCOVERED, MODERN_CACHING, out);
            Kind::Discover
        }
        _ => {
            put_error(id, -32601, "method not found", out);
            Kind::Unknown
        }
    }
}

fn parse(message: &[u8]) -> Option<Envelope<'_>> {
    // A derived struct is also read from an array, field by field; a message is an object.
    let is_object = message.trim_ascii_start().starts_with(b"{");
    serde_json::from_slice(message).ok().filter(|_| is_object)
}

const LISTED: &str = concat!(
    r#""tools":[{"name":"echo","description":"Returns the text.","inputSchema":{"type":"object","#,
    r#""properties":{"text":{"type":"string"}},"required":["text"]}},"#,
    r#"{"name":"hold","description":"Returns the text after two seconds.","inputSchema":{"type":"object","#,
    r#""properties":{"text":{"type":"string"}},"required":["text"]}}]"#
);

const INITIALIZED: &str = concat!(
    r#""protocolVersion":"2025-11-25","capabilities":{"tools":{}},"#,
    r#""serverInfo":{"name":"load-echo","version":"1"}"#
);

const DISCOVERED: &str = concat!(
    r#""supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"#,
    r#""_meta":{"io.modelcontextprotocol/serverInfo":{"name":"load-echo","version":"1"}}"#
);

/// A list that stays valid for an hour, so that no refresh falls into a round.
const MODERN_CACHING: &str = r#","ttlMs":3600000,"cacheScope":"public""#;

fn call(era: Era, id: &RawValue, params: Option<&Params<'_>>, out: &mut Vec<u8>) -> Kind {
    let name = params.and_then(|params| params.name).map_or("", RawValue::get);
    let text = params.and_then(|params| params.arguments.as_ref()).and_then(|arguments| arguments.text);
    let kind = match name {
        r#""echo""# => Kind::Reply,
        r#""hold""# => Kind::Held(HOLD),
        _ => {
            put_error(id, -32602, "unknown tool", out);
            return Kind::Reply;
        }
    };
    match text.map(RawValue::get) {
        Some(text) if text.starts_with('"') => {
            open_result(id, out);
            out.extend_from_slice(br#""content":[{"type":"text","text":"#);
            out.extend_from_slice(text.as_bytes());
            out.extend_from_slice(b"}]");
            close_result(era, "", out);
            kind
        }
        _ => {
            put_error(id, -32602, "the argument `text` must be a string", out);
            Kind::Reply
        }
    }
}

fn put_result(id: &RawValue, era: Era, fields: &str, modern_fields: &str, out: &mut Vec<u8>) {
    open_result(id, out);
    out.extend_from_slice(fields.as_bytes());
    close_result(era, modern_fields, out);
}

fn open_result(id: &RawValue, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
    out.extend_from_slice(id.get().as_bytes());
    out.extend_from_slice(br#","result":{"#);
}

fn close_result(era: Era, modern_fields: &str, out: &mut Vec<u8>) {
    if era == Era::Modern {
        out.extend_from_slice(br#","resultType":"complete""#);
        out.extend_from_slice(modern_fields.as_bytes());
    }
    out.extend_from_slice(b"}}");
}

fn put_error(id: &RawValue, code: i32, message: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"jsonrpc":"2.0","id":"#);
    out.extend_from_slice(id.get().as_bytes());
    out.extend_from_slice(format!(r#","error":{{"code":{code},"message":"{message}"}}}}"#).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn ask(era: Era, message: Value) -> (Kind, Value) {
        let mut out = Vec::new();
        let kind = answer(era, message.to_string().as_bytes(), &mut out);
        (kind, if out.is_empty() { Value::Null } else { serde_json::from_slice(&out).unwrap() })
    }

    fn call(tool: &str) -> Value {
        json!({"jsonrpc": "2.0", "id": "a\"1", "method": "tools/call",
               "params": {"name": tool, "arguments": {"text": "hi \"you\""}}})
    }

    #[test]
    fn echo_returns_the_id_and_the_text_as_they_came() {
        let (kind, reply) = ask(Era::Legacy, call("echo"));
        assert_eq!(kind, Kind::Reply);
        assert_eq!(reply["id"], "a\"1");
        assert_eq!(reply["result"], json!({"content": [{"type": "text", "text": "hi \"you\""}]}));
        let (_, reply) = ask(Era::Modern, call("echo"));
        assert_eq!(reply["result"]["resultType"], "complete");
    }

    #[test]
    fn hold_keeps_its_answer() {
        let (kind, reply) = ask(Era::Modern, call("hold"));
        assert_eq!(kind, Kind::Held(HOLD));
        assert_eq!(reply["result"]["content"][0]["text"], "hi \"you\"");
    }

    #[test]
    fn each_era_has_its_own_handshake_and_refuses_the_other() {
        let initialize = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}});
        let discover = json!({"jsonrpc": "2.0", "id": 1, "method": "server/discover", "params": {}});
        assert_eq!(ask(Era::Legacy, initialize.clone()).0, Kind::Initialize);
        assert_eq!(ask(Era::Legacy, discover.clone()).0, Kind::Unknown);
        assert_eq!(ask(Era::Modern, initialize).0, Kind::Unknown);
        let (kind, reply) = ask(Era::Modern, discover);
        assert_eq!(kind, Kind::Discover);
        assert_eq!(reply["result"]["supportedVersions"], json!(["2026-07-28"]));
        assert_eq!(reply["result"]["ttlMs"], 3_600_000);
    }

    #[test]
    fn lists_and_pings_are_answered() {
        for era in [Era::Legacy, Era::Modern] {
            let (_, reply) = ask(era, json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}));
            assert_eq!(reply["result"]["tools"][0]["name"], "echo");
        }
        let (_, reply) = ask(Era::Legacy, json!({"jsonrpc": "2.0", "id": 2, "method": "ping"}));
        assert_eq!(reply, json!({"jsonrpc": "2.0", "id": 2, "result": {}}));
    }

    #[test]
    fn notifications_and_replies_get_no_answer_and_garbage_an_error() {
        let note = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        assert_eq!(ask(Era::Legacy, note), (Kind::Initialized, Value::Null));
        let note = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {}});
        assert_eq!(ask(Era::Legacy, note), (Kind::Silent, Value::Null));
        assert_eq!(ask(Era::Legacy, json!({"id": 3, "result": {}})), (Kind::Silent, Value::Null));
        let (kind, reply) = ask(Era::Legacy, json!([1]));
        assert_eq!((kind, &reply["error"]["code"]), (Kind::Malformed, &json!(-32700)));
    }
}
