//! The closed list of what can go wrong with a request, and the one table that says how each looks on the wire.
//!
//! [`ErrorKind`] is also the metric label, so it stays small and closed. All of an [`Error`] may be read by a client.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use super::era::Era;

/// Why a request failed. One word of the operator's vocabulary each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The body is not JSON.
    Parse,
    /// The body is JSON but no JSON-RPC message that may be sent here.
    InvalidRequest,
    /// The method does not exist, or not in this era.
    MethodNotFound,
    /// Parameters are missing or wrong: unknown tool, prompt or cursor, or unusable shape.
    InvalidParams,
    /// Required modern `_meta` fields are missing (specification 2026-07-28, `basic/index`: HTTP 400).
    MissingMeta,
    /// No server owns the resource.
    ResourceNotFound,
    /// A header and the body disagree, or a required header is missing.
    HeaderMismatch,
    /// The client must declare a capability first.
    MissingCapability,
    /// The protocol version is not implemented.
    UnsupportedVersion,
    /// A legacy request without `Mcp-Session-Id`.
    SessionRequired,
    /// The session is unknown, expired, deleted or somebody else's; not told apart.
    SessionNotFound,
    /// The body is larger than the configured cap.
    TooLarge,
    /// No credential, or one that is not good.
    Unauthenticated,
    /// A good credential that is not good for this.
    Forbidden,
    /// More requests than a limit allows.
    RateLimited,
    /// A queue or cap of the gateway is full.
    Overloaded,
    /// The server is not up, and did not come up within the wait.
    Unavailable,
    /// The server died, or broke the protocol, while the call was in flight.
    ServerFailed,
    /// The call's deadline passed.
    Timeout,
    /// The client withdrew the call.
    Cancelled,
    /// The gateway is stopping.
    ShuttingDown,
    /// A fault of the gateway itself.
    Internal,
}

impl ErrorKind {
    /// Every kind, in the order of declaration; metric tables are indexed by it.
    pub const ALL: [ErrorKind; 22] = [
        ErrorKind::Parse,
        ErrorKind::InvalidRequest,
        ErrorKind::MethodNotFound,
        ErrorKind::InvalidParams,
        ErrorKind::MissingMeta,
        ErrorKind::ResourceNotFound,
        ErrorKind::HeaderMismatch,
        ErrorKind::MissingCapability,
        ErrorKind::UnsupportedVersion,
        ErrorKind::SessionRequired,
        ErrorKind::SessionNotFound,
        ErrorKind::TooLarge,
        ErrorKind::Unauthenticated,
        ErrorKind::Forbidden,
        ErrorKind::RateLimited,
        ErrorKind::Overloaded,
        ErrorKind::Unavailable,
        ErrorKind::ServerFailed,
        ErrorKind::Timeout,
        ErrorKind::Cancelled,
        ErrorKind::ShuttingDown,
        ErrorKind::Internal,
    ];

    /// The metric label and log word.
    pub const fn as_str(self) -> &'static str {
        match self {
            ErrorKind::Parse => "parse",
            ErrorKind::InvalidRequest => "invalid_request",
            ErrorKind::MethodNotFound => "method_not_found",
            ErrorKind::InvalidParams => "invalid_params",
            ErrorKind::MissingMeta => "missing_meta",
            ErrorKind::ResourceNotFound => "resource_not_found",
            ErrorKind::HeaderMismatch => "header_mismatch",
            ErrorKind::MissingCapability => "missing_capability",
            ErrorKind::UnsupportedVersion => "unsupported_version",
            ErrorKind::SessionRequired => "session_required",
            ErrorKind::SessionNotFound => "session_not_found",
            ErrorKind::TooLarge => "too_large",
            ErrorKind::Unauthenticated => "unauthenticated",
            ErrorKind::Forbidden => "forbidden",
            ErrorKind::RateLimited => "rate_limited",
            ErrorKind::Overloaded => "overloaded",
            ErrorKind::Unavailable => "unavailable",
            ErrorKind::ServerFailed => "server_failed",
            ErrorKind::Timeout => "timeout",
            ErrorKind::Cancelled => "cancelled",
            ErrorKind::ShuttingDown => "shutting_down",
            ErrorKind::Internal => "internal",
        }
    }

    /// How the kind looks on the wire: JSON-RPC code and HTTP status for a client of `era`.
    ///
    /// The rules behind the table: modern codes are those of specification 2026-07-28 (`basic/index`, "Error
    /// Codes"; `basic/transports/streamable-http`). Our own codes lie outside -32768…-32000, as it asks, and are
    /// -31000 less the HTTP status of the same meaning. A legacy client gets call errors with status 200, because
    /// its SDKs take any other status for a broken transport, and 404 for nothing but a lost session, because on
    /// 404 it starts anew.
    pub const fn wire(self, era: Era) -> (i64, u16) {
        match (self, era) {
            (ErrorKind::Parse, _) => (code::PARSE_ERROR, 400),
            (ErrorKind::InvalidRequest, _) => (code::INVALID_REQUEST, 400),
            (ErrorKind::MethodNotFound, Era::Modern) => (code::METHOD_NOT_FOUND, 404),
            (ErrorKind::MethodNotFound, Era::Legacy) => (code::METHOD_NOT_FOUND, 200),
            (ErrorKind::InvalidParams, _) => (code::INVALID_PARAMS, 200),
            (ErrorKind::MissingMeta, _) => (code::INVALID_PARAMS, 400),
            (ErrorKind::ResourceNotFound, Era::Modern) => (code::INVALID_PARAMS, 200),
            (ErrorKind::ResourceNotFound, Era::Legacy) => (code::RESOURCE_NOT_FOUND, 200),
            (ErrorKind::HeaderMismatch, _) => (code::HEADER_MISMATCH, 400),
            (ErrorKind::MissingCapability, Era::Modern) => (code::MISSING_CAPABILITY, 400),
            (ErrorKind::MissingCapability, Era::Legacy) => (code::INVALID_REQUEST, 200),
            (ErrorKind::UnsupportedVersion, Era::Modern) => (code::UNSUPPORTED_VERSION, 400),
            (ErrorKind::UnsupportedVersion, Era::Legacy) => (code::INVALID_REQUEST, 400),
            (ErrorKind::SessionRequired, _) => (code::INVALID_REQUEST, 400),
            (ErrorKind::SessionNotFound, _) => (code::SESSION_NOT_FOUND, 404),
            (ErrorKind::TooLarge, _) => (code::INVALID_REQUEST, 413),
            (ErrorKind::Unauthenticated, _) => (code::UNAUTHENTICATED, 401),
            (ErrorKind::Forbidden, _) => (code::FORBIDDEN, 403),
            // Clients that wait as they are told look at the status and its Retry-After.
            (ErrorKind::RateLimited, _) => (code::OVERLOADED, 429),
            (ErrorKind::Overloaded, _) => (code::OVERLOADED, 200),
            (ErrorKind::Unavailable, _) => (code::UNAVAILABLE, 200),
            (ErrorKind::ServerFailed, _) => (code::SERVER_FAILED, 200),
            (ErrorKind::Timeout, _) => (code::TIMEOUT, 200),
            (ErrorKind::Cancelled, _) => (code::CANCELLED, 200),
            (ErrorKind::ShuttingDown, _) => (code::UNAVAILABLE, 200),
            (ErrorKind::Internal, _) => (code::INTERNAL_ERROR, 200),
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// JSON-RPC error codes, by name.
pub mod code {
    /// JSON-RPC 2.0 §5.1.
    pub const PARSE_ERROR: i64 = -32700;
    /// JSON-RPC 2.0 §5.1.
    pub const INVALID_REQUEST: i64 = -32600;
    /// JSON-RPC 2.0 §5.1.
    pub const METHOD_NOT_FOUND: i64 = -32601;
    /// JSON-RPC 2.0 §5.1.
    pub const INVALID_PARAMS: i64 = -32602;
    /// JSON-RPC 2.0 §5.1.
    pub const INTERNAL_ERROR: i64 = -32603;
    /// MCP up to 2025-11-25, `server/resources`; modern peers never see it.
    pub const RESOURCE_NOT_FOUND: i64 = -32002;
    /// MCP 2025-11-25, `client/elicitation`: the user must visit a URL first; modern peers never see it.
    pub const URL_ELICITATION_REQUIRED: i64 = -32042;
    /// The code that SDKs of the legacy era send with 404 for a lost session.
    pub const SESSION_NOT_FOUND: i64 = -32001;
    /// MCP 2026-07-28, `HeaderMismatch`.
    pub const HEADER_MISMATCH: i64 = -32020;
    /// MCP 2026-07-28, `MissingRequiredClientCapability`.
    pub const MISSING_CAPABILITY: i64 = -32021;
    /// MCP 2026-07-28, `UnsupportedProtocolVersion`.
    pub const UNSUPPORTED_VERSION: i64 = -32022;
    /// Ours: no credential, or one that is not good (401).
    pub const UNAUTHENTICATED: i64 = -31401;
    /// Ours: a good credential that is not good for this (403).
    pub const FORBIDDEN: i64 = -31403;
    /// Ours: a queue or cap is full, or a limit of requests is reached (429).
    pub const OVERLOADED: i64 = -31429;
    /// Ours: the client withdrew the call (499, the reverse proxies' word for it).
    pub const CANCELLED: i64 = -31499;
    /// Ours: the server failed during the call (502).
    pub const SERVER_FAILED: i64 = -31502;
    /// Ours: the server is not up (503).
    pub const UNAVAILABLE: i64 = -31503;
    /// Ours: the deadline passed (504).
    pub const TIMEOUT: i64 = -31504;
}

/// A failed request: the kind, and what the client reads.
#[derive(Clone, Debug)]
pub struct Error {
    /// The closed kind; decides code, status and metric label.
    pub kind: ErrorKind,
    /// One sentence for the client: what, where, and the cure if there is one.
    pub message: Cow<'static, str>,
    /// The JSON text of `error.data`, if any.
    pub data: Option<String>,
    /// After how long the same request may do better, if that is known.
    pub retry_after: Option<Duration>,
}

impl Error {
    /// An error whose message a client may read.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Error {
        Error { kind, message: message.into(), data: None, retry_after: None }
    }

    /// Says after how long to try again, in `error.data` too: in seconds, rounded up to milliseconds.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Error {
        let millis = wait.as_nanos().div_ceil(1_000_000);
        self.data = Some(format!(r#"{{"retry_after":{}.{:03}}}"#, millis / 1_000, millis % 1_000));
        self.retry_after = Some(wait);
        self
    }

    /// Adds `error.data`; `data` must be JSON text.
    #[must_use]
    pub fn with_data(mut self, data: String) -> Error {
        self.data = Some(data);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.message)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_kinds_is_complete_and_in_order() {
        for (index, kind) in ErrorKind::ALL.iter().enumerate() {
            assert_eq!(*kind as usize, index, "{kind} stands at the wrong place in ALL");
        }
    }

    #[test]
    fn a_legacy_client_sees_404_for_a_lost_session_only() {
        for kind in ErrorKind::ALL {
            let (_, status) = kind.wire(Era::Legacy);
            assert_eq!(status == 404, kind == ErrorKind::SessionNotFound, "{kind}");
        }
    }

    #[test]
    fn a_modern_client_never_sees_the_retired_codes() {
        for kind in ErrorKind::ALL {
            let (code, _) = kind.wire(Era::Modern);
            assert!(code != -32002 && code != -32042, "{kind}");
            assert!(!(-32019..=-32000).contains(&code) || kind == ErrorKind::SessionNotFound, "{kind}");
        }
    }
}
