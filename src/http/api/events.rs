//! The event stream: what changes, as it changes.

use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use tokio::sync::{broadcast, mpsc};
use tokio::time::MissedTickBehavior;

use crate::base::ServerName;
use crate::catalog::Changed;
use crate::protocol::sse;
use crate::session::KEEP_ALIVE_EVERY;
use crate::supervisor::{ServerChange, ServerEvent, Status};

use super::failure::Failure;
use super::feed::{LISTENERS, Stream};
use super::shape::Event;
use super::state::Api;
use super::telling::millis;

/// Events that wait for one listener. Who does not take them is cut off.
const WAITING: usize = 256;

/// Opens a stream. First on it is the state of every server and service, so that a listener knows from what things change.
pub async fn events(State(api): State<Api>) -> Result<Response, Failure> {
    let place = api.0.feed.enter().ok_or_else(|| {
        Failure::busy(format!("{LISTENERS} event streams are open, as many as may be; close one"))
    })?;
    let (told, telling) = mpsc::channel(WAITING);
    // Before the first look, so that nothing that happens meanwhile is lost.
    let (servers, catalog) = (api.fleet().events(), api.catalog().changes());
    for event in present(&api) {
        // More servers than fit: whoever reads that slowly is told of what changes.
        let _ = told.try_send(event);
    }
    let stop = api.0.parts.stop.clone();
    tokio::spawn(async move { stop.run_until_cancelled(follow(servers, catalog, told)).await });
    let body = Body::new(Stream::new(telling, place));
    let headers = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-cache")];
    Ok((headers, body).into_response())
}

/// Passes on what happens until the listener has gone, or does not take it.
async fn follow(
    mut servers: broadcast::Receiver<ServerEvent>,
    mut catalog: broadcast::Receiver<Changed>,
    told: mpsc::Sender<Bytes>,
) {
    use broadcast::error::RecvError::{Closed, Lagged};
    let mut tick = tokio::time::interval(KEEP_ALIVE_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let event = tokio::select! {
            event = servers.recv() => match event {
                Ok(event) => written(&of_server(event)),
                Err(Lagged(missed)) => written(&missing(missed)),
                Err(Closed) => return,
            },
            changed = catalog.recv() => match changed {
                Ok(changed) => written(&of_catalog(&changed)),
                Err(Lagged(missed)) => written(&missing(missed)),
                Err(Closed) => return,
            },
            _ = tick.tick() => sse::KEEP_ALIVE,
            () = told.closed() => return,
        };
        if told.try_send(event).is_err() {
            tracing::debug!("a listener of the event stream was too slow and has been cut off");
            return;
        }
    }
}

/// The state of every server and service, as events.
fn present(api: &Api) -> Vec<Bytes> {
    let state = |name: &ServerName, status: Status| {
        let (state, generation) = (status.state.as_str(), status.generation);
        let change = ServerChange::State { state, generation, reason: status.last_error };
        written(&of_server(ServerEvent { server: name.clone(), change }))
    };
    let servers = api.fleet().servers();
    let servers = servers.iter().map(|server| state(server.name(), server.status().borrow().clone()));
    let services = api.0.parts.services.all();
    let services = services.iter().map(|service| state(service.name(), service.status().borrow().clone()));
    servers.chain(services).collect()
}

fn of_server(event: ServerEvent) -> Event {
    let server = Some(event.server.to_string());
    match event.change {
        ServerChange::State { state, generation, reason } => Event {
            server,
            state: Some(state.to_owned()),
            generation: Some(generation),
            reason,
            ..now("server")
        },
        ServerChange::Breaker(state) => {
            Event { server, state: Some(state.as_str().to_owned()), ..now("breaker") }
        }
        ServerChange::Service(enabled) => {
            let state = if enabled { "enabled" } else { "disabled" };
            Event { server, state: Some(state.to_owned()), ..now("service") }
        }
    }
}

fn of_catalog(changed: &Changed) -> Event {
    let kinds: Vec<&str> = changed.kinds.iter().map(|kind| kind.field()).collect();
    let server = changed.endpoint.as_ref().map(ToString::to_string);
    Event { server, state: Some(kinds.join(", ")), ..now("catalog") }
}

fn missing(missed: u64) -> Event {
    Event { reason: Some(format!("{missed} events came too fast and were left out")), ..now("missed") }
}

fn now(kind: &str) -> Event {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Event {
        kind: kind.to_owned(),
        at_ms: millis(since),
        server: None,
        state: None,
        generation: None,
        reason: None,
    }
}

fn written(event: &Event) -> Bytes {
    // A struct of texts and numbers can always be written.
    let text = serde_json::to_vec(event).unwrap_or_default();
    sse::event(None, &[&text])
}
