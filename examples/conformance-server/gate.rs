//! What a server of one era refuses. rmcp's server speaks both and cannot be told to answer as an old server would, so
//! this is decided on the raw message, before rmcp sees it.

use http::StatusCode;
use rmcp::model::ProtocolVersion;
use serde_json::{Value, json};

use crate::Era;

const VERSION_KEY: &str = "io.modelcontextprotocol/protocolVersion";
/// The methods that the legacy era does not know.
const MODERN_METHODS: [&str; 5] =
    ["server/discover", "subscriptions/listen", "tasks/get", "tasks/update", "tasks/cancel"];
const METHOD_NOT_FOUND: i32 = -32601;
const INVALID_PARAMS: i32 = -32602;
const HEADER_MISMATCH: i32 = -32020;
/// What servers of the legacy era answer with HTTP status 400, for instance the TypeScript SDK's.
const BAD_REQUEST: i32 = -32000;
const ONLY_MODERN: &str = "this server supports protocol version 2026-07-28 only, which has no `initialize`";

/// How a request came.
#[derive(Clone, Copy)]
pub(crate) enum Came<'a> {
    Stdio,
    /// With the value of `MCP-Protocol-Version`.
    Http(Option<&'a str>),
}

/// The answer to a request that the server's era does not know.
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    /// A JSON-RPC error response.
    pub(crate) body: String,
}

/// The versions that a server of this era supports.
pub(crate) fn supported(era: Era) -> &'static [ProtocolVersion] {
    match era {
        Era::Both => ProtocolVersion::KNOWN_VERSIONS,
        Era::Legacy => ProtocolVersion::known_up_to(&ProtocolVersion::V_2025_11_25),
        Era::Modern => &[ProtocolVersion::V_2026_07_28],
    }
}

/// Whether rmcp has to be spared this message: a notification of the legacy handshake ends its modern server.
pub(crate) fn ignored(era: Era, message: &Value) -> bool {
    era == Era::Modern && message.get("method") == Some(&json!("notifications/initialized"))
}

/// What a server of this era answers to a request that it refuses; `None` for those that it serves.
pub(crate) fn refusal(era: Era, message: &Value, came: Came<'_>) -> Option<Refusal> {
    let method = message.get("method")?.as_str()?;
    let id = message.get("id")?;
    let modern = is_modern(message);
    let (status, error) = match era {
        Era::Both => None,
        Era::Legacy => refused_by_legacy(method, modern, came),
        Era::Modern => refused_by_modern(method, modern, came),
    }?;
    Some(Refusal { status, body: json!({ "jsonrpc": "2.0", "id": id, "error": error }).to_string() })
}

/// Whether the request carries the modern era's metadata.
pub(crate) fn is_modern(message: &Value) -> bool {
    message.pointer("/params/_meta").is_some_and(|meta| meta.get(VERSION_KEY).is_some())
}

fn refused_by_legacy(method: &str, modern: bool, came: Came<'_>) -> Option<(StatusCode, Value)> {
    let newest = ProtocolVersion::V_2026_07_28;
    let error = match came {
        Came::Http(header) if modern || header.is_some_and(|header| header >= newest.as_str()) => {
            json!({ "code": BAD_REQUEST, "message": "Bad Request: Unsupported protocol version" })
        }
        _ if modern || MODERN_METHODS.contains(&method) => {
            json!({ "code": METHOD_NOT_FOUND, "message": "Method not found" })
        }
        _ => return None,
    };
    Some((StatusCode::BAD_REQUEST, error))
}

fn refused_by_modern(method: &str, modern: bool, came: Came<'_>) -> Option<(StatusCode, Value)> {
    let opens = method == "initialize";
    let data = json!({ "supported": supported(Era::Modern) });
    Some(match came {
        Came::Http(None) if opens && !modern => {
            let message = format!("the MCP-Protocol-Version header is missing: {ONLY_MODERN}");
            (StatusCode::BAD_REQUEST, json!({ "code": HEADER_MISMATCH, "message": message, "data": data }))
        }
        _ if opens => {
            let message = format!("Method not found: {ONLY_MODERN}");
            (StatusCode::NOT_FOUND, json!({ "code": METHOD_NOT_FOUND, "message": message, "data": data }))
        }
        _ if !modern => {
            let message = format!("params._meta lacks `{VERSION_KEY}`");
            (StatusCode::BAD_REQUEST, json!({ "code": INVALID_PARAMS, "message": message, "data": data }))
        }
        _ => return None,
    })
}
