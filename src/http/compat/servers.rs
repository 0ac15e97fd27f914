//! Servers as AgentHub showed them, and what could be done to them.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use axum::Json;
use axum::extract::{Extension, Path, State};
use axum::http::StatusCode;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::base::utc;
use crate::config::{Start, Transport};
use crate::guard::Caller;
use crate::supervisor::{ServerHandle, State as ServerState, Status};

use super::super::api::{Act, Order};
use super::package::package;
use super::refusal::Refusal;
use super::state::{Client, Compat, by};

/// All of them.
pub async fn list(State(compat): State<Compat>) -> Json<Value> {
    let servers = compat.api.fleet().servers();
    let servers: Vec<Value> = servers
        .iter()
        .map(|server| {
            let status = server.status().borrow().clone();
            json!({
                "name": server.name().as_str(),
                "package": package(&server.config().transport),
                "transport": transport(server),
                "status": word(server, &status),
                "pid": status.pid,
                "auto_start": auto_start(server),
                "restart_count": status.restarts,
                "description": description(server),
            })
        })
        .collect();
    Json(json!({ "servers": servers }))
}

/// One of them.
pub async fn detail(State(compat): State<Compat>, Path(name): Path<String>) -> Result<Json<Value>, Refusal> {
    let server = compat.server(&name)?;
    let status = server.status().borrow().clone();
    let config = server.config();
    let shown = Shown::of(&compat, &name);
    Ok(Json(json!({
        "name": name,
        "config": {
            "name": name,
            "package": package(&config.transport),
            "transport": transport(&server),
            "command": shown.value("command"),
            "args": shown.value("args").unwrap_or_else(|| json!([])),
            "env": shown.below("env"),
            "url": shown.value("url"),
            // Nothing is asked beside the protocol.
            "health_endpoint": null,
            "auto_start": auto_start(&server),
            // What falls is started again, whoever it is.
            "restart_on_failure": true,
            "max_restarts": config.restart.budget,
            "health_check_interval": config.health.interval.map(|interval| interval.as_secs()),
            "proxy_timeout": config.call_timeout.as_secs_f64(),
            "description": description(&server),
        },
        "process": {
            "pid": status.pid,
            "status": word(&server, &status),
            "started_at": match status.state {
                ServerState::Ready { since } => Some(unix(since)),
                _ => None,
            },
            "restart_count": status.restarts,
            "last_error": status.last_error,
        },
    })))
}

/// Starts, stops or restarts one, and waits for what comes of it.
pub async fn act(
    State(compat): State<Compat>,
    Extension(caller): Extension<Caller>,
    Extension(client): Extension<Client>,
    Path((name, act)): Path<(String, String)>,
) -> Result<Json<Value>, Refusal> {
    let known = [Act::Start, Act::Stop, Act::Restart].into_iter().find(|known| known.as_str() == act);
    let act = known.ok_or_else(|| Refusal::not_found("Not Found"))?;
    let server = compat.server(&name)?;
    let before = server.status().borrow().clone();
    let already = match (act, word(&server, &before)) {
        (Act::Start, "running") => Some("already running"),
        (Act::Stop, "stopped" | "stopping") => Some("not running"),
        _ => None,
    };
    if let Some(already) = already {
        let text = format!("Server {name} is {already}");
        return Err(Refusal::new(StatusCode::BAD_REQUEST, text));
    }
    compat.order(Order::Server { name: name.clone(), act }, &by(&caller, client)).await?;
    let (done, state) = match act {
        Act::Stop => ("stopped", "stopped"),
        Act::Start => ("started", "running"),
        _ => ("restarted", "running"),
    };
    settled(&server, act, &before).await.map_err(|why| {
        let text = format!("Failed to {} server: {why}", act.as_str());
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, text)
    })?;
    Ok(Json(json!({ "message": format!("Server {name} {done}"), "status": state })))
}

/// What is waited for beside what the server itself is granted: the way to its owner and back.
const WAY: Duration = Duration::from_secs(2);

/// Waits until an order has come to its end; the error says how it has not.
async fn settled(server: &ServerHandle, act: Act, before: &Status) -> Result<(), String> {
    let config = server.config();
    // A start that was under way is the one that was asked for.
    let under_way = act == Act::Start && matches!(before.state, ServerState::Starting);
    let newer_than = before.generation.saturating_sub(u64::from(under_way));
    let is_over = |status: &Status| match (act, &status.state) {
        (Act::Stop, state) => matches!(state, ServerState::Stopped),
        (_, ServerState::Starting | ServerState::Stopping { .. }) => false,
        _ => status.generation > newer_than,
    };
    let patience = config.stop_grace + config.start_timeout + WAY;
    let mut watched = server.status();
    let status = match timeout(patience, watched.wait_for(is_over)).await {
        Ok(Ok(status)) => status.clone(),
        Ok(Err(_)) => return Err("it has left the configuration".to_owned()),
        Err(_) => return Err(format!("it has not come to rest within {} s", patience.as_secs())),
    };
    match (act, &status.state) {
        (Act::Stop, _) | (_, ServerState::Ready { .. }) => Ok(()),
        _ => Err(status.last_error.unwrap_or_else(|| "it did not come up".to_owned())),
    }
}

/// AgentHub's word for a state. What rests between two attempts, or has just lost its process, is on its way up; what
/// sleeps has no process.
pub fn word(server: &ServerHandle, status: &Status) -> &'static str {
    let is_child = matches!(server.config().transport, Transport::Stdio { .. });
    match status.state {
        ServerState::Ready { .. } if status.pid.is_some() || !is_child => "running",
        ServerState::Ready { .. } | ServerState::Starting | ServerState::Backoff { .. } => "starting",
        ServerState::Failed { .. } => "failed",
        ServerState::Stopping { .. } => "stopping",
        ServerState::Stopped | ServerState::Dormant => "stopped",
    }
}

/// AgentHub's word for a way of reaching a server.
pub fn transport(server: &ServerHandle) -> &'static str {
    match server.config().transport {
        Transport::Stdio { .. } => "stdio",
        Transport::Http { .. } => "http",
    }
}

/// Whether it is started before anybody calls it.
pub fn auto_start(server: &ServerHandle) -> bool {
    server.config().start == Start::Eager
}

/// A moment as seconds since 1970.
pub fn unix(moment: Instant) -> f64 {
    let now = utc::micros(SystemTime::now()) as f64 / 1e6;
    now - moment.elapsed().as_secs_f64()
}

/// What it says of itself; empty if it says nothing.
fn description(server: &ServerHandle) -> String {
    let offer = server.offer();
    let info: Option<Value> =
        offer.peer.as_ref().and_then(|peer| serde_json::from_str(&peer.server_info).ok());
    let text = |field: &str| info.as_ref()?.get(field)?.as_str().map(str::to_owned);
    text("description").or_else(|| text("title")).unwrap_or_default()
}

/// A server's settings as people may see them: references unresolved, credentials hidden.
struct Shown(BTreeMap<String, Value>);

impl Shown {
    fn of(compat: &Compat, server: &str) -> Shown {
        let prefix = format!("servers.{server}.");
        let settings = compat.api.0.parts.settings.borrow();
        // The TOML of texts, lists and numbers is JSON as well.
        let read = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| json!(text));
        let own = settings.iter().filter_map(|setting| {
            let key = setting.key.strip_prefix(&prefix)?;
            Some((key.to_owned(), read(&setting.value)))
        });
        Shown(own.collect())
    }

    fn value(&self, key: &str) -> Option<Value> {
        self.0.get(key).cloned()
    }

    fn below(&self, table: &str) -> Value {
        let entry = |(key, value): (&String, &Value)| {
            let name = key.strip_prefix(table)?.strip_prefix('.')?;
            Some((name.trim_matches('"').to_owned(), value.clone()))
        };
        Value::Object(self.0.iter().filter_map(entry).collect())
    }
}
