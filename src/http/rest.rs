//! `POST /mcp/<server>/<method…>`: one request for callers that speak no MCP, and one JSON answer with a status that says
//! how it went.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::header::{ALLOW, RETRY_AFTER};
use http::{HeaderValue, Method, Request, StatusCode};
use serde::de::IgnoredAny;

use crate::base::error::code;
use crate::base::{Era, Error, ErrorKind, Version};
use crate::protocol::trace::Trace;
use crate::protocol::{
    ClientCapabilities, ClientInfo, Kind, Message, MessageError, Params, RawId, method, skim,
};
use crate::router::{Endpoint, Reply, Request as Routed};

use super::body::{FrontBody, RequestBody};
use super::front::Front;
use super::intake;
use super::post;
use super::reply::{self, FrontResponse};
use super::untold::Untold;
use super::who::Who;
use super::wishes::wishes;

/// The method that a path names behind its server; nothing for the endpoint of the server itself.
pub fn method_of(path: &str) -> Option<&str> {
    let (_, method) = path.strip_prefix("/mcp/")?.split_once('/')?;
    let method = method.trim_matches('/');
    (!method.is_empty()).then_some(method)
}

/// Answers a request for `method`.
pub async fn answer<B: RequestBody>(
    front: &Arc<Front>,
    endpoint: Endpoint,
    who: Who,
    method: &str,
    request: Request<B>,
) -> FrontResponse {
    let (head, body) = request.into_parts();
    if head.method != Method::POST {
        let mut response = reply::status(StatusCode::METHOD_NOT_ALLOWED);
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return response;
    }
    let asked = match intake::read(body, front.max_body.load(Ordering::Relaxed)).await {
        Ok(text) => compose(method, text),
        Err(error) => Err((None, error)),
    };
    let (message, id) = match asked {
        Ok(Asked::Request(message, id)) => (message, id),
        Ok(Asked::Notification) => return reply::status(StatusCode::ACCEPTED),
        Err((id, error)) => return refused(id.as_ref(), &error),
    };
    if let Err(wait) = front.limits.request(&who.principal) {
        return refused(Some(&id), &wait.into());
    }
    match message.method() {
        method::INITIALIZE => {
            return match front.router.introduce(&endpoint, &who.access, Version::LATEST_LEGACY).await {
                Ok(result) => Untold::DONE.mark(reply::reply(Reply::result(&id, result.as_bytes()))),
                Err(error) => refused(Some(&id), &error),
            };
        }
        method::SUBSCRIBE | method::UNSUBSCRIBE => {
            let text = "there is no stream here on which a change could be told; use /mcp";
            return refused(Some(&id), &Error::new(ErrorKind::MethodNotFound, text));
        }
        _ => {}
    }
    let params = match Params::read(&message) {
        Ok(params) => params,
        Err(error) => {
            return refused(Some(&id), &Error::new(ErrorKind::InvalidParams, error.to_string()));
        }
    };
    let claimed = who.claimed(&head.headers);
    let client = claimed.map(|name| Arc::new(ClientInfo { name, version: String::new() }));
    let mut trace = Trace::read(&message, &params, &head.headers);
    let span = front.router.traces().begin(&mut trace, &head.headers);
    let routed = Box::new(Routed {
        message,
        params,
        id,
        endpoint,
        principal: who.principal,
        access: who.access,
        session: None,
        client,
        era: Era::Legacy,
        log_level: None,
        capabilities: ClientCapabilities::default(),
        headers: None,
        wishes: wishes(&head.headers),
        trace,
        span,
    });
    with_status(post::once(front, routed).await)
}

fn refused(id: Option<&RawId>, error: &Error) -> FrontResponse {
    let response = with_status(reply::reply(Reply::error(id, error, Era::Legacy)));
    Untold::refused(error.kind, Era::Legacy).mark(response)
}

/// What a body asks for.
enum Asked {
    Request(Message, RawId),
    /// Nothing that needs an answer.
    Notification,
}

/// The id of a request whose caller gave none.
const OWN_ID: &str = "1";

/// Makes one message of the path's method and a body, which is a JSON-RPC request or bare params.
fn compose(method: &str, body: Bytes) -> Result<Asked, (Option<RawId>, Error)> {
    let invalid = |text: String| Error::new(ErrorKind::InvalidRequest, text);
    // AgentHub wrote `tools.call`.
    let slashed =
        |method: &str| if method.contains('/') { method.to_owned() } else { method.replace('.', "/") };
    let method = slashed(method);
    let text = match body.trim_ascii() {
        b"" => "{}",
        text => {
            // The body alone has to be JSON: it becomes a part of something larger below.
            serde_json::from_slice::<IgnoredAny>(text).map_err(|error| {
                (None, Error::new(ErrorKind::Parse, format!("the body is not JSON: {error}")))
            })?;
            std::str::from_utf8(text).unwrap_or("{}")
        }
    };
    if !text.starts_with('{') {
        return Err((
            None,
            invalid("the body must be a JSON object: params, or a JSON-RPC request".to_owned()),
        ));
    }
    let (id, params) = match skim::field_text(text, "jsonrpc") {
        None => (OWN_ID, Some(text)),
        Some(_) => {
            let id = skim::field_text(text, "id").filter(|id| *id != "null");
            if let Some(named) = skim::string_field(text, "method").map(|named| slashed(&named))
                && named != method
            {
                let text = format!("the path names the method '{method}' and the body '{named}'");
                return Err((
                    id.and_then(|id| RawId::new(Bytes::copy_from_slice(id.as_bytes()))),
                    invalid(text),
                ));
            }
            let Some(id) = id else { return Ok(Asked::Notification) };
            (id, skim::field_text(text, "params"))
        }
    };
    if method.starts_with("notifications/") {
        return Ok(Asked::Notification);
    }
    let params = params.map(|params| format!(r#","params":{params}"#)).unwrap_or_default();
    let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":{}{params}}}"#, skim::quote(&method));
    let message = Message::parse(text.into()).map_err(|error| match error {
        MessageError::Syntax(_) => (None, Error::new(ErrorKind::Parse, error.to_string())),
        MessageError::Invalid { reason, id } => (id, invalid(reason.to_string())),
    })?;
    match (message.kind(), message.id()) {
        (Kind::Request, Some(id)) => Ok(Asked::Request(message, id)),
        (_, id) => Err((id, invalid("the body is no JSON-RPC request".to_owned()))),
    }
}

/// Gives an answer the status that a plain HTTP client goes by. The codes are the gateway's own, which lie outside of what
/// servers use; what a server itself answers is 200, also when it is an error.
fn with_status(mut response: FrontResponse) -> FrontResponse {
    let FrontBody::Whole(Some(text)) = response.body() else { return response };
    let Some(error) = std::str::from_utf8(text).ok().and_then(|text| skim::field_text(text, "error")) else {
        return response;
    };
    let status = match skim::field_text(error, "code").and_then(|code| code.parse::<i64>().ok()) {
        Some(code::OVERLOADED) => StatusCode::TOO_MANY_REQUESTS,
        Some(code::UNAVAILABLE) => StatusCode::SERVICE_UNAVAILABLE,
        Some(code::SERVER_FAILED) => StatusCode::BAD_GATEWAY,
        Some(code::TIMEOUT) => StatusCode::GATEWAY_TIMEOUT,
        _ => return response,
    };
    let retry = skim::field_text(error, "data").and_then(|data| skim::field_text(data, "retry_after"));
    let retry = retry.and_then(|seconds| HeaderValue::from_str(seconds).ok());
    *response.status_mut() = status;
    if let Some(seconds) = retry
        && !response.headers().contains_key(RETRY_AFTER)
    {
        response.headers_mut().insert(RETRY_AFTER, seconds);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(method: &str, body: &'static str) -> Result<String, String> {
        match compose(method, Bytes::from_static(body.as_bytes())) {
            Ok(Asked::Request(message, _)) => Ok(message.as_str().to_owned()),
            Ok(Asked::Notification) => Ok("notification".to_owned()),
            Err((_, error)) => Err(error.kind.to_string()),
        }
    }

    #[test]
    fn a_path_names_a_method_only_behind_a_server() {
        for (path, method) in [
            ("/mcp/a/tools/call", Some("tools/call")),
            ("/mcp/a/ping/", Some("ping")),
            ("/mcp/a", None),
            ("/mcp/a/", None),
            ("/mcp/", None),
            ("/mcp", None),
        ] {
            assert_eq!(method_of(path), method, "{path}");
        }
    }

    #[test]
    fn a_body_is_a_request_or_bare_params() {
        for (method, body, expected) in [
            ("tools/list", "", Ok(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}}"#)),
            ("tools.list", "{}", Ok(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}}"#)),
            ("m", r#"{"a": 1.0}"#, Ok(r#"{"jsonrpc":"2.0","id":1,"method":"m","params":{"a": 1.0}}"#)),
            (
                "m",
                r#"{"jsonrpc":"2.0","id":"ab c","params":{"a":1}}"#,
                Ok(r#"{"jsonrpc":"2.0","id":"ab c","method":"m","params":{"a":1}}"#),
            ),
            (
                "tools/call",
                r#"{"jsonrpc":"2.0","id":12,"method":"tools.call"}"#,
                Ok(r#"{"jsonrpc":"2.0","id":12,"method":"tools/call"}"#),
            ),
            ("notifications/x", "{}", Ok("notification")),
            ("m", r#"{"jsonrpc":"2.0","method":"m"}"#, Ok("notification")),
            ("m", r#"{"jsonrpc":"2.0","id":1,"method":"n"}"#, Err("invalid_request")),
            ("m", "{", Err("parse")),
            ("m", r#"{},"method":"n""#, Err("parse")),
            ("m", "[]", Err("invalid_request")),
            ("m", r#"{"jsonrpc":"2.0","id":{}}"#, Err("invalid_request")),
        ] {
            let made = text(method, body);
            assert_eq!(made.as_deref().map_err(String::as_str), expected, "{method} {body}");
        }
    }
}
