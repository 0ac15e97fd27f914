//! The servers: how they are, and what can be done to them.

use axum::Json;
use axum::extract::{Extension, Path, State};
use axum::http::StatusCode;
use serde_json::Value;

use crate::config::Transport;
use crate::credentials::LoginState;
use crate::guard::Caller;
use crate::supervisor::{ListState, PooledLink, ServerHandle};
use crate::upstream::ListKind;

use super::failure::Failure;
use super::orders::{Act, Order};
use super::shape::{Done, Link, List, Server, ServerDetail, Servers};
use super::state::Api;
use super::telling::{millis, next_try};

/// All of them.
pub async fn list(State(api): State<Api>) -> Json<Servers> {
    Json(Servers { servers: api.fleet().servers().iter().map(summary).collect() })
}

/// One of them.
pub async fn detail(State(api): State<Api>, Path(name): Path<String>) -> Result<Json<ServerDetail>, Failure> {
    let server = api.server(&name)?;
    let offer = server.offer();
    let json = |text: &str| serde_json::from_str::<Value>(text).ok();
    let peer = offer.peer.as_ref();
    Ok(Json(ServerDetail {
        target: match &server.config().transport {
            Transport::Stdio { command, .. } => command.clone(),
            Transport::Http { url, .. } => url.to_string(),
        },
        server_info: peer.and_then(|peer| json(&peer.server_info)),
        capabilities: peer.and_then(|peer| json(&peer.capabilities)),
        stored: offer.stored,
        max_in_flight: server.config().max_in_flight,
        links: server.links().into_iter().map(link).collect(),
        stderr: server.stderr(),
        server: summary(&server),
    }))
}

/// Does something to a server. The answer says that it has been told so; how it fares then is for whoever looks.
pub async fn act(
    State(api): State<Api>,
    caller: Extension<Caller>,
    Path((name, act)): Path<(String, String)>,
) -> Result<(StatusCode, Json<Done>), Failure> {
    let act = Act::read(&act, &Act::ALL, "a server")?;
    let server = api.server(&name)?.name().to_string();
    let order = Order::Server { name: server, act };
    Ok((StatusCode::ACCEPTED, api.order(order, &caller).await?))
}

fn summary(server: &ServerHandle) -> Server {
    let (offer, status) = (server.offer(), server.status().borrow().clone());
    let list = |kind: ListKind| {
        let list = offer.list(kind);
        let (state, reason) = match list {
            ListState::Absent => ("absent", None),
            ListState::Read(_) => ("read", None),
            ListState::Failed { reason, .. } => ("failed", Some(reason.clone())),
        };
        let entries = list.entries().len();
        List { kind: kind.field().to_owned(), state: state.to_owned(), entries, reason }
    };
    let (login, login_reason) = match server.login() {
        None => (None, None),
        Some(LoginState::NotAsked) => (Some("not_asked"), None),
        Some(LoginState::LoggedIn) => (Some("logged_in"), None),
        Some(LoginState::Needed(why)) => (Some("needed"), Some(why)),
    };
    Server {
        name: server.name().to_string(),
        state: status.state.as_str().to_owned(),
        for_ms: millis(status.since.elapsed()),
        enabled: !server.is_disabled(),
        transport: match server.config().transport {
            Transport::Stdio { .. } => "stdio",
            Transport::Http { .. } => "http",
        }
        .to_owned(),
        generation: status.generation,
        pid: status.pid,
        era: offer.peer.as_ref().map(|peer| peer.era().to_string()),
        version: offer.peer.as_ref().map(|peer| peer.version.to_string()),
        lists: ListKind::ALL.map(list).into(),
        breaker: server.breaker().as_str().to_owned(),
        in_flight: server.in_flight(),
        waiting: server.waiting(),
        restarts: status.restarts,
        next_try_ms: next_try(&status.state, server.breaker_wait()),
        last_error: status.last_error,
        login: login.map(str::to_owned),
        login_reason,
    }
}

fn link(link: PooledLink) -> Link {
    Link {
        owner: link.owner.to_owned(),
        name: link.name,
        declared: serde_json::from_str(&link.declared).unwrap_or_default(),
        state: link.state.to_owned(),
        pid: link.pid,
        in_flight: link.in_flight,
        idle_ms: millis(link.idle),
    }
}
