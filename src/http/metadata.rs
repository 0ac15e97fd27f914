//! Where clients learn who gives out tokens for this gateway (RFC 9728; MCP, `basic/authorization`).

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, StatusCode};

use crate::guard::Guard;
use crate::protocol::skim::quote;

use super::arrival::Arrival;
use super::body::FrontBody;
use super::reply::{self, FrontResponse};

/// The path of the metadata; that of the resource follows (RFC 9728 §3.1).
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// Answers what asks for metadata, if tokens are taken here; nothing for everything else. Nobody needs a credential for it,
/// and it does not tell which servers there are.
pub fn answer<B>(guard: &Guard, arrival: &Arrival<'_>, request: &Request<B>) -> Option<FrontResponse> {
    let path = request.uri().path().strip_prefix(WELL_KNOWN)?;
    let issuers = guard.issuers();
    if issuers.is_empty() || !(path.is_empty() || path.starts_with('/')) {
        return None;
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = reply::status(StatusCode::METHOD_NOT_ALLOWED);
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return Some(response);
    }
    let list = |texts: &[String]| texts.iter().map(|text| quote(text)).collect::<Vec<_>>().join(",");
    let scopes = guard.required_scopes();
    let scopes = match scopes.is_empty() {
        true => String::new(),
        false => format!(r#","scopes_supported":[{}]"#, list(&scopes)),
    };
    // The very address that the client has used, or it would not believe us (RFC 9728 §3.3).
    let resource = quote(&format!("{}{}", arrival.origin()?, path.trim_end_matches('/')));
    let body = format!(
        r#"{{"resource":{resource},"authorization_servers":[{}]{scopes},"bearer_methods_supported":["header"],"resource_name":"Trunkline"}}"#,
        list(&issuers)
    );
    let mut response = FrontResponse::new(FrontBody::whole(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // It follows the configuration, which may change.
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Some(response)
}

/// The address of the metadata of what a request is for, if tokens are taken here.
pub fn address(guard: &Guard, arrival: &Arrival<'_>, path: &str) -> Option<String> {
    if guard.issuers().is_empty() {
        return None;
    }
    let path =
        if path.starts_with("/mcp") || path.starts_with("/sse") { path.trim_end_matches('/') } else { "" };
    Some(format!("{}{WELL_KNOWN}{path}", arrival.origin()?))
}
