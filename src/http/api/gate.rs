//! Who may use the interface, and from where.

use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, HeaderName, ORIGIN};
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::warn;

use crate::guard::{Caller, holds_key};

use super::failure::Failure;
use super::state::Api;

/// A header that no web page can send without asking first, for programs that have no JSON to send.
pub const INTENT: HeaderName = HeaderName::from_static("x-trunkline");

/// Lets an exchange on its way, or refuses it.
pub async fn gate(State(api): State<Api>, request: Request, next: Next) -> Response {
    match admit(&api, &request, is_meant) {
        Ok(()) => next.run(request).await,
        Err(refused) => refused.into_response(),
    }
}

/// Whether an exchange is let on its way; a refusal is in the log. `meant` says whether one that changes something was
/// meant, by its headers.
pub fn admit(api: &Api, request: &Request, meant: fn(&HeaderMap) -> bool) -> Result<(), Failure> {
    let caller = request.extensions().get::<Caller>();
    let checked = check(api, caller, request, meant);
    if let Err(refused) = &checked {
        tell_refused(caller, request.method(), request.uri().path(), refused);
    }
    checked
}

/// Every refusal is in the log, and no key that somebody has written into a path.
pub fn tell_refused(caller: Option<&Caller>, method: &Method, path: &str, refused: &Failure) {
    let principal = caller.map_or("nobody", |caller| caller.principal().as_str());
    let path = if holds_key(path) { "with a key in it" } else { path };
    warn!(target: "audit", principal, %method, path, "refused: {}", refused.message());
}

fn check(
    api: &Api,
    caller: Option<&Caller>,
    request: &Request,
    meant: fn(&HeaderMap) -> bool,
) -> Result<(), Failure> {
    let headers = request.headers();
    if !caller.is_some_and(Caller::may_administer) {
        return Err(Failure::forbidden(
            "the gateway is administered with a credential that has the scope `admin`, or from the machine that it runs on, and \
             not through a proxy",
        ));
    }
    from_no_page(api, headers)?;
    // A page that has bound its own name to this machine is told by that name, wherever the gateway listens.
    let anonymous = caller.is_some_and(|caller| caller.principal().is_anonymous());
    if anonymous && api.0.parts.rules.check(headers, request.uri()).is_err() {
        return Err(Failure::forbidden("this host is not one of the gateway's; see gateway.allowed_hosts"));
    }
    if *request.method() != Method::GET && !meant(headers) {
        return Err(Failure::forbidden(
            "what changes something has to come with `Content-Type: application/json` or the header `X-Trunkline: 1`",
        ));
    }
    Ok(())
}

/// A web page on this machine may use MCP; what it may not is administer the gateway, unless the configuration names it.
fn from_no_page(api: &Api, headers: &HeaderMap) -> Result<(), Failure> {
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    let by_page = match headers.get(ORIGIN) {
        Some(origin) => !api.0.parts.rules.names(origin),
        None => site.is_some_and(|site| site != b"none"),
    };
    match by_page {
        false => Ok(()),
        true => Err(Failure::forbidden(
            "web pages may not administer the gateway, unless gateway.allowed_origins names them",
        )),
    }
}

/// Whether a request that changes something was meant: neither header can be sent by a form, or by a page that has not
/// been allowed to.
pub fn is_meant(headers: &HeaderMap) -> bool {
    let json =
        headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/json"));
    json || headers.contains_key(INTENT)
}
