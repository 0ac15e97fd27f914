//! Everything beside MCP that a daemon answers: liveness, readiness, metrics.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::catalog::CatalogHandle;
use crate::config::{Hints, ItemKind};
use crate::guard::{Access, Caller};
use crate::protocol::skim::quote;
use crate::supervisor::{Fleet, Services};

use super::who::Who;

/// Renders the metrics, in Prometheus' text format.
pub type Render = Arc<dyn Fn() -> String + Send + Sync>;

#[derive(Clone)]
struct Pages {
    fleet: Fleet,
    services: Services,
    catalog: CatalogHandle,
    render: Render,
}

/// Whether a page answers those who have not been let in: what watches over a process has no credential.
pub fn is_open(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz")
}

/// The pages.
pub fn pages(fleet: Fleet, services: Services, catalog: CatalogHandle, render: Render) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .fallback(async || nothing())
        .with_state(Pages { fleet, services, catalog, render })
}

/// What is answered at a path at which there is nothing.
pub fn nothing() -> (StatusCode, &'static str) {
    (
        StatusCode::NOT_FOUND,
        "Nothing is here. MCP is at /mcp and /mcp/<server>; see also /readyz and /metrics.\n",
    )
}

/// 200 as soon as the gateway serves: a server that is down makes it degraded, not unready.
///
/// Who has not been let in hears the word alone: names and errors of servers are nobody else's business. So are those of
/// servers of which a caller may use nothing, unless it administers them.
async fn ready(
    State(pages): State<Pages>,
    caller: Option<Extension<Caller>>,
    who: Option<Extension<Who>>,
) -> Response {
    // Whoever reads "ready" may call what is ready.
    pages.catalog.settled().await;
    let administers = caller.as_ref().is_some_and(|Extension(caller)| caller.may_administer());
    let access = who.map(|Extension(who)| who.access);
    let sees = |may_use: fn(&Access, &str) -> bool, name: &str| {
        administers || access.as_ref().is_some_and(|access| may_use(access, name))
    };
    let mut well = true;
    let mut degraded = Vec::new();
    let mut tell = |name: &str, state: &str, trouble: Option<String>, seen: bool| {
        well &= trouble.is_none();
        let name = quote(name);
        if let Some(reason) = trouble.filter(|_| seen) {
            degraded.push(format!("{name}:{}", quote(&format!("{state}: {reason}"))));
        }
        seen.then(|| format!("{name}:{}", quote(state)))
    };
    let mut servers = Vec::new();
    for server in pages.fleet.servers().iter() {
        let (name, state) = (server.name().as_str(), server.status().borrow().state.as_str());
        servers.extend(tell(name, state, server.trouble(), sees(Access::touches, name)));
    }
    let may_use = |access: &Access, name: &str| access.allows(ItemKind::Service, name, "", Hints::UNKNOWN);
    let mut services = Vec::new();
    for service in pages.services.all() {
        let (name, state) = (service.name().as_str(), service.status().borrow().state.as_str());
        services.extend(tell(name, state, service.trouble(), sees(may_use, name)));
    }
    let word = if well { "ready" } else { "degraded" };
    if caller.is_none() {
        return ([(CONTENT_TYPE, "application/json")], format!("{{\"status\":\"{word}\"}}\n"))
            .into_response();
    }
    let body = format!(
        r#"{{"status":"{word}","servers":{{{}}},"services":{{{}}},"degraded":{{{}}}}}"#,
        servers.join(","),
        services.join(","),
        degraded.join(",")
    );
    ([(CONTENT_TYPE, "application/json")], body + "\n").into_response()
}

async fn metrics(State(pages): State<Pages>) -> Response {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], (pages.render)()).into_response()
}
