//! The pages of prompt enhancement, at our own paths and at AgentHub's.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{DefaultBodyLimit, Extension, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use tracing::info;

use crate::config::{Hints, ItemKind, Privacy};
use crate::enhance::{Ask, Enhanced, Enhancer};
use crate::guard::{Caller, Wait};
use crate::supervisor::{ServiceHandle, State as ServiceState};

use super::untold::Untold;
use super::who::Who;
use super::{services, wishes};

/// The pages.
pub fn enhance_pages(enhancer: Enhancer, max_body: usize) -> Router {
    Router::new()
        .route("/enhance", post(own))
        .route("/enhance/stats", get(own_statistics))
        .route("/enhance/reset", post(reset))
        .route("/ollama/enhance", post(agenthub))
        .route("/ollama/stats", get(agenthub_statistics))
        .route("/ollama/reset", post(reset))
        .layer(DefaultBodyLimit::max(max_body))
        .with_state(enhancer)
}

async fn own(
    State(enhancer): State<Enhancer>,
    who: Option<Extension<Who>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    answered(&enhancer, who, &headers, &body, |answer, _, done| {
        answer["prompt"] = json!(&*done.prompt);
        answer["enhanced"] = json!(done.model.is_some());
        answer["reason"] = json!(done.reason.as_deref());
    })
    .await
}

/// AgentHub's answer: `enhanced` is the text there.
async fn agenthub(
    State(enhancer): State<Enhancer>,
    who: Option<Extension<Who>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    answered(&enhancer, who, &headers, &body, |answer, original, done| {
        answer["enhanced"] = json!(&*done.prompt);
        answer["was_enhanced"] = json!(*done.prompt != *original);
        answer["error"] = json!(done.reason.as_deref());
    })
    .await
}

/// Does what is asked for, and says it with what both answers have and what `own` adds, which is also told the original.
async fn answered(
    enhancer: &Enhancer,
    who: Option<Extension<Who>>,
    headers: &HeaderMap,
    body: &[u8],
    own: impl FnOnce(&mut Value, &str, &Enhanced),
) -> Response {
    let ask = match ask(headers, body) {
        Ok(ask) => ask,
        Err(text) => return bad(text),
    };
    let (original, client) = (ask.prompt.clone(), ask.client.clone());
    let done = enhance(enhancer, who, ask).await;
    if let Some(wait) = done.wait {
        return too_many(wait, client);
    }
    let mut answer = json!({ "original": original, "model": done.model.as_deref(), "cached": done.cached });
    own(&mut answer, &original, &done);
    told(page(&answer), client, &done)
}

/// What was made of a prompt has its row; the prompt is no part of it.
fn told(response: Response, client: Option<String>, done: &Enhanced) -> Response {
    let (enhanced, cache) = match (&done.model, done.cached) {
        (Some(_), true) => ("yes", "hit"),
        (Some(_), false) => ("yes", "miss"),
        (None, _) => ("no", ""),
    };
    Untold { client: client.unwrap_or_default(), enhanced, cache, ..Untold::DONE }.mark(response)
}

/// Over the rate of its service, a prompt is a request like any other there.
fn too_many(wait: Wait, client: Option<String>) -> Response {
    let mut response = services::refusal(&wait.into(), StatusCode::TOO_MANY_REQUESTS).map(Body::new);
    if let Some(untold) = response.extensions_mut().get_mut::<Untold>() {
        (untold.client, untold.enhanced) = (client.unwrap_or_default(), "no");
    }
    response
}

/// Whether a request makes the gateway work as hard as a call does, and is counted like one.
pub fn is_costly<B>(request: &http::Request<B>) -> bool {
    matches!(request.uri().path(), "/enhance" | "/ollama/enhance")
}

/// Who may not use the service gets on as if there were none.
async fn enhance(enhancer: &Enhancer, who: Option<Extension<Who>>, ask: Ask) -> Enhanced {
    let may_use = |service: &ServiceHandle| {
        who.is_some_and(|Extension(who)| {
            who.access.allows(ItemKind::Service, service.name().as_str(), "", Hints::UNKNOWN)
        })
    };
    match enhancer.service().is_none_or(|service| may_use(&service)) {
        true => enhancer.enhance(ask).await,
        false => enhancer.leave(&ask),
    }
}

/// Reads what is asked for; the error is a sentence for the client.
fn ask(headers: &HeaderMap, body: &[u8]) -> Result<Ask, String> {
    let body: Value =
        serde_json::from_slice(body).map_err(|error| format!("the body is not JSON: {error}"))?;
    let text = |field: &str| match &body[field] {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        _ => Err(format!("`{field}` must be a string")),
    };
    let read = |word: &str, what: &str| {
        wishes::level(word).ok_or_else(|| {
            let known = Privacy::ALL.map(Privacy::as_str).join(", ");
            format!("{what} must be one of {known}")
        })
    };
    let inside = text("privacy")?.map(|word| read(&word, "`privacy`")).transpose()?;
    let header = headers.get(wishes::PRIVACY).map(|word| word.to_str().unwrap_or_default());
    let header = header.map(|word| read(word, "X-Privacy-Level")).transpose()?;
    let bypass_cache = match &body["bypass_cache"] {
        Value::Null => false,
        Value::Bool(bypass) => *bypass,
        _ => return Err("`bypass_cache` must be true or false".to_owned()),
    };
    let named = headers.get(wishes::CLIENT_NAME).and_then(|name| name.to_str().ok()).map(str::to_owned);
    Ok(Ask {
        prompt: text("prompt")?.ok_or("`prompt` is missing")?,
        client: text("client")?.or(named),
        // Of two, the stricter.
        privacy: inside.max(header),
        bypass_cache,
    })
}

async fn own_statistics(State(enhancer): State<Enhancer>) -> Response {
    let now = enhancer.statistics();
    page(&json!({
        "enhanced": now.enhanced,
        "cached": now.cached,
        "shared": now.shared,
        "untouched": now.untouched,
        "refused": now.refused,
        "limited": now.limited,
        "failed": now.failed,
        "cache": { "size": now.cache_size, "max_size": now.cache_max, "evicted": now.cache_evicted },
        "breaker": now.breaker,
    }))
}

async fn agenthub_statistics(State(enhancer): State<Enhancer>) -> Response {
    let now = enhancer.statistics();
    let healthy = enhancer
        .service()
        .is_some_and(|service| matches!(service.status().borrow().state, ServiceState::Ready { .. }));
    page(&json!({
        "cache": {
            "hits": now.cached,
            "misses": now.misses(),
            "size": now.cache_size,
            "max_size": now.cache_max,
            "evictions": now.cache_evicted,
            "hit_rate": now.hit_rate(),
        },
        "circuit_breaker": { "state": now.breaker, "total_failures": now.failed, "total_successes": now.enhanced },
        "ollama_healthy": healthy,
    }))
}

/// What is forgotten is everybody's, so that it takes the right to administer, and is in the log.
async fn reset(State(enhancer): State<Enhancer>, caller: Option<Extension<Caller>>) -> Response {
    let Some(Extension(caller)) = caller.filter(|Extension(caller)| caller.may_administer()) else {
        return refused(StatusCode::FORBIDDEN, "forbidden", NOT_YOURS.to_owned());
    };
    enhancer.reset();
    info!(target: "audit", principal = %caller.principal(), "prompt enhancement was reset");
    page(&json!({ "message": "Enhancement service reset" }))
}

const NOT_YOURS: &str = "what all callers share is reset with a credential that has the scope `admin`, or on the gateway's machine without one";

fn page(value: &Value) -> Response {
    ([(CONTENT_TYPE, "application/json")], format!("{value}\n")).into_response()
}

fn bad(text: String) -> Response {
    refused(StatusCode::BAD_REQUEST, "invalid_request", text)
}

fn refused(status: StatusCode, word: &str, text: String) -> Response {
    let body = json!({ "error": word, "message": text });
    let mut response = (status, [(CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response();
    response.extensions_mut().insert(Untold::status(status));
    response
}
