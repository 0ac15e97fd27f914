//! The paths, and who may use them.

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};

use crate::enhance::Enhancer;

use super::super::api::{self, Api};
use super::super::pages::nothing;
use super::super::untold::Untold;
use super::super::who::Who;
use super::refusal::Refusal;
use super::state::{Client, Compat, Switch};
use super::{audit, health, servers};

/// The pages, behind their gate.
pub fn agenthub_pages(api: Api, enhancer: Enhancer, on: Switch) -> Router {
    let compat = Compat { api, enhancer, on };
    let mut pages = Router::new()
        .route("/servers", get(servers::list))
        .route("/servers/{name}", get(servers::detail))
        .route("/servers/{name}/{act}", post(servers::act))
        .route("/health", get(health::overall))
        .route("/health/{server}", get(health::of_server))
        .route("/circuit-breakers", get(health::breakers))
        .route("/circuit-breakers/{name}/reset", post(health::reset))
        .route("/audit/activity", get(audit::page).delete(audit::clear))
        .route("/audit/activity/stats", get(audit::stats));
    for (path, cure) in ELSEWHERE {
        pages = pages.route(path, any(async move || Refusal::not_found(*cure)));
    }
    pages
        .method_not_allowed_fallback(async || {
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
        })
        .layer(from_fn_with_state(compat.clone(), gate))
        .with_state(compat)
}

/// What AgentHub had and is had otherwise here.
const ELSEWHERE: &[(&str, &str)] = &[
    (
        "/servers/install",
        "servers are written into gateway.toml: see `trunkline import`, then `trunkline reload`",
    ),
    ("/audit/activity/cleanup", "rows go by age: set activity.keep"),
    ("/configs/{client}", "`trunkline connect` points a client at the gateway"),
    (
        "/dashboard",
        "`trunkline status` and `trunkline servers` show what it showed; /metrics is for dashboards",
    ),
];

/// Lets an exchange on its way or refuses it, and sees to it that it has its row.
async fn gate(State(compat): State<Compat>, mut request: Request, next: Next) -> Response {
    if !compat.on.is_on() {
        return nothing().into_response();
    }
    let client = request.extensions().get::<Who>().and_then(|who| who.claimed(request.headers()));
    request.extensions_mut().insert(Client(client.clone()));
    let mut response = match api::admit(&compat.api, &request, meant) {
        Ok(()) => next.run(request).await,
        Err(refused) => Refusal::from(refused).into_response(),
    };
    let told = if response.status().is_success() { Untold::DONE } else { Untold::status(response.status()) };
    response.extensions_mut().insert(Untold { client: client.unwrap_or_default(), ..told });
    response
}

/// AgentHub's scripts send a bare POST. A form's has a content type, and what the script of a page sends has an `Origin`,
/// by which it has been refused.
fn meant(headers: &HeaderMap) -> bool {
    api::is_meant(headers) || !headers.contains_key(CONTENT_TYPE)
}
