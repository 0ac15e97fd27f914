//! What clients hold open: sessions and streams.

use axum::Json;
use axum::extract::{Extension, Path, State};

use crate::guard::Caller;
use crate::session::{OpenStream, SessionFacts};

use super::failure::Failure;
use super::orders::Order;
use super::shape::{Done, Session, Sessions, Stream, Streams};
use super::state::{Api, number};
use super::telling::endpoint;

/// Sessions, and streams, that one answer shows.
const SHOWN: usize = 1_000;

/// The sessions that this gateway holds in memory, the latest used first.
pub async fn list(State(api): State<Api>) -> Json<Sessions> {
    let mut all = api.0.parts.sessions.facts();
    all.sort_by_key(|session| session.idle_seconds);
    let total = all.len();
    all.truncate(SHOWN);
    Json(Sessions { total, sessions: all.into_iter().map(session).collect() })
}

/// Ends one.
pub async fn close(
    State(api): State<Api>,
    caller: Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<Done>, Failure> {
    api.order(Order::CloseSession(id), &caller).await
}

/// The streams on which clients hear of changes.
pub async fn streams(State(api): State<Api>) -> Json<Streams> {
    let all = api.0.parts.hub.open_streams();
    Json(Streams { total: all.len(), streams: all.into_iter().take(SHOWN).map(stream).collect() })
}

/// Ends one.
pub async fn close_stream(
    State(api): State<Api>,
    caller: Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<Done>, Failure> {
    api.order(Order::CloseStream(number(&id)?), &caller).await
}

fn session(facts: SessionFacts) -> Session {
    Session {
        id: facts.handle,
        client: facts.client,
        principal: facts.principal.to_string(),
        endpoint: endpoint(&facts.endpoint),
        version: facts.version.to_string(),
        age_seconds: facts.age_seconds,
        idle_seconds: facts.idle_seconds,
        calls: facts.calls,
        stream: facts.stream,
        watched: facts.watched,
    }
}

fn stream(open: OpenStream) -> Stream {
    let wants =
        [("tools", open.wants.tools), ("prompts", open.wants.prompts), ("resources", open.wants.resources)];
    Stream {
        id: open.number,
        endpoint: endpoint(open.endpoint.as_ref().map_or("", |name| name.as_str())),
        era: open.era.to_string(),
        wants: wants.into_iter().filter(|(_, wanted)| *wanted).map(|(what, _)| what.to_owned()).collect(),
        watched: open.watched,
    }
}
