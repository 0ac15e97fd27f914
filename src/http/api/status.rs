//! How the gateway is, in one answer.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;

use crate::supervisor::State as ServerState;

use super::cache;
use super::shape::{Status, Trouble};
use super::state::Api;
use super::telling::next_try;

/// Always 200: a gateway that answers is up, and a server that is down makes it degraded.
pub async fn status(State(api): State<Api>) -> Json<Status> {
    let mut servers = BTreeMap::new();
    let mut degraded = Vec::new();
    let mut trouble = |server: &str, state: &str, reason: String, next_try_ms| {
        let (server, state) = (server.to_owned(), state.to_owned());
        degraded.push(Trouble { server, state, reason, next_try_ms });
    };
    for server in api.fleet().servers().iter() {
        let state = server.status().borrow().state.clone();
        *servers.entry(counted(&state, server.is_disabled())).or_insert(0) += 1;
        if let Some(reason) = server.trouble() {
            let next = next_try(&state, server.breaker_wait());
            trouble(server.name().as_str(), state.as_str(), reason, next);
        }
    }
    let mut services = BTreeMap::new();
    for service in api.0.parts.services.all() {
        let state = service.status().borrow().state.clone();
        *services.entry(counted(&state, service.is_disabled())).or_insert(0) += 1;
        if let Some(reason) = service.trouble() {
            let next = next_try(&state, service.breaker_wait());
            trouble(service.name().as_str(), state.as_str(), reason, next);
        }
    }
    let parts = &api.0.parts;
    Json(Status {
        status: if degraded.is_empty() { "healthy" } else { "degraded" }.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        uptime_seconds: api.0.started.elapsed().as_secs(),
        configuration: parts.configuration.clone(),
        servers,
        services,
        degraded,
        in_flight: parts.router.gate().count(),
        parked: parts.router.parked(),
        sessions: parts.sessions.count(),
        streams: parts.hub.streams(),
        cache: cache::figures(&api),
    })
}

/// Under which word it is counted.
fn counted(state: &ServerState, disabled: bool) -> String {
    if disabled { "disabled" } else { state.as_str() }.to_owned()
}
