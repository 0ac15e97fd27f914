//! Responses in the forms that MCP asks for.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use crate::base::{Era, Error, ErrorKind, Version};
use crate::protocol::{MessageError, header, sse};
use crate::router::Reply;

use super::body::FrontBody;
use super::untold::Untold;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");
/// Tells reverse proxies not to hold events back (2026-07-28, `basic/transports/streamable-http`).
const UNBUFFERED: HeaderValue = HeaderValue::from_static("no");

/// A response of the front.
pub type FrontResponse = Response<FrontBody>;

/// A JSON-RPC message as one JSON object.
pub fn json(status: u16, message: Bytes) -> FrontResponse {
    let mut response = Response::new(FrontBody::whole(message));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// A finished answer.
pub fn reply(reply: Reply) -> FrontResponse {
    let mut response = json(reply.status, reply.message);
    if let Some(wait) = reply.retry_after {
        response.headers_mut().insert(RETRY_AFTER, whole_seconds(wait));
    }
    response
}

/// A wait as `Retry-After` says it: in whole seconds (RFC 9110 §10.2.3), so that whoever waits has waited long enough.
pub fn whole_seconds(wait: Duration) -> HeaderValue {
    HeaderValue::from((wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).max(1))
}

/// The refusal of an exchange in which there is no request to answer.
pub fn refusal(error: &Error, era: Era) -> FrontResponse {
    Untold::refused(error.kind, era).mark(reply(Reply::error(None, error, era)))
}

/// A status without a body.
pub fn status(status: StatusCode) -> FrontResponse {
    let mut response = Response::new(FrontBody::empty());
    *response.status_mut() = status;
    if status.is_client_error() || status.is_server_error() {
        Untold::status(status).mark(response)
    } else {
        response
    }
}

/// A stream of events.
pub fn events(body: FrontBody) -> FrontResponse {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, EVENTS);
    headers.insert(CACHE_CONTROL, NO_CACHE);
    headers.insert(header::ACCEL_BUFFERING, UNBUFFERED);
    response
}

/// A finished answer as a stream of one event, for a client that accepts nothing else.
pub fn single(done: Reply) -> FrontResponse {
    events(FrontBody::whole(sse::event(None, &[&done.message])))
}

/// What a client is told that asks for an answer which is not held any more.
pub fn not_held() -> Error {
    Error::new(
        ErrorKind::Timeout,
        "the answer to this call is not held any more (gateway.replay); whether the call was executed is not known here",
    )
}

/// Refuses a stream. A client takes 200 for a stream, so that a place that is wanting has to have the status of that.
pub fn no_stream(error: &Error) -> FrontResponse {
    let mut refused = refusal(error, Era::Legacy);
    if error.kind == ErrorKind::Overloaded {
        *refused.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    refused
}

/// A body that is no message. Its era shows in the header only.
pub fn unreadable(error: MessageError, headers: &HeaderMap) -> FrontResponse {
    let header = headers.get(header::PROTOCOL_VERSION).and_then(|value| value.to_str().ok());
    let era = if header.is_some_and(Version::claims_modern) { Era::Modern } else { Era::Legacy };
    let (id, error) = match error {
        MessageError::Syntax(_) => (None, Error::new(ErrorKind::Parse, error.to_string())),
        MessageError::Invalid { reason, id } => (id, Error::new(ErrorKind::InvalidRequest, reason)),
    };
    Untold::refused(error.kind, era).mark(reply(Reply::error(id.as_ref(), &error, era)))
}
