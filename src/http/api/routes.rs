//! The paths of the interface and who answers them.

use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, delete, get, post};
use axum::{Router as Pages, http::Uri};

use super::failure::Failure;
use super::state::Api;
use super::{
    access, activity, cache, calls, catalog, config, events, gate, openapi, servers, services, sessions,
    status,
};

/// What stands before every path of the interface.
pub const PREFIX: &str = "/api/v1";

impl Api {
    /// The pages of the interface, behind their gate.
    pub fn pages(&self) -> Pages {
        let mut pages = Pages::new();
        for (_, path, answering) in routes() {
            pages = pages.route(&format!("{PREFIX}{path}"), answering);
        }
        // What is not there is refused behind the gate as well: who may not look learns nothing.
        pages
            .route(&format!("{PREFIX}/{{*rest}}"), axum::routing::any(unknown))
            .method_not_allowed_fallback(async || Failure::method("this path has no such method"))
            .layer(from_fn_with_state(self.clone(), gate::gate))
            .with_state(self.clone())
    }
}

/// Every route: method, path below the prefix, and who answers.
pub(super) fn routes() -> Vec<(&'static str, &'static str, MethodRouter<Api>)> {
    vec![
        ("get", "/status", get(status::status)),
        ("get", "/servers", get(servers::list)),
        ("get", "/servers/{name}", get(servers::detail)),
        ("post", "/servers/{name}/{act}", post(servers::act)),
        ("get", "/services", get(services::list)),
        ("get", "/services/{name}", get(services::detail)),
        ("post", "/services/{name}/{act}", post(services::act)),
        ("get", "/calls", get(calls::list)),
        ("delete", "/calls/{id}", delete(calls::cancel)),
        ("get", "/sessions", get(sessions::list)),
        ("delete", "/sessions/{id}", delete(sessions::close)),
        ("get", "/streams", get(sessions::streams)),
        ("delete", "/streams/{id}", delete(sessions::close_stream)),
        ("get", "/catalog", get(catalog::catalog)),
        ("get", "/activity", get(activity::page)),
        ("delete", "/activity", delete(activity::erase)),
        ("get", "/activity/stats", get(activity::stats)),
        ("get", "/activity/export", get(activity::export)),
        ("get", "/keys", get(access::keys)),
        ("delete", "/keys/{name}", delete(access::revoke)),
        ("get", "/policy/explain", get(access::policy)),
        ("get", "/cache", get(cache::kept)),
        ("post", "/cache/clear", post(cache::clear)),
        ("post", "/cache/warm", post(cache::warm)),
        ("get", "/config", get(config::config)),
        ("post", "/reload", post(config::reload)),
        ("get", "/events", get(events::events)),
        ("get", "/openapi.json", get(openapi::document)),
    ]
}

async fn unknown(uri: Uri) -> Failure {
    Failure::not_found(format!(
        "there is nothing at {}; {PREFIX}/openapi.json lists what there is",
        uri.path()
    ))
}
