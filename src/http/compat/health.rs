//! How everything is, as AgentHub told it, and the breakers.

use axum::Json;
use axum::extract::{Extension, Path, State};
use serde_json::{Map, Value, json};

use crate::guard::Caller;
use crate::supervisor::{BreakerState, ServerHandle, State as ServiceState};

use super::super::api::{Act, Order};
use super::package::package;
use super::refusal::Refusal;
use super::servers::{auto_start, transport, unix, word};
use super::state::{Client, Compat, by};

/// Always 200, as there; the word tells whether all is well.
pub async fn overall(State(compat): State<Compat>) -> Json<Value> {
    let servers = compat.api.fleet().servers();
    let (mut of_servers, mut counts, mut troubled) = (Map::new(), [0_usize; 3], false);
    for server in servers.iter() {
        let status = server.status().borrow().clone();
        let status_word = word(server, &status);
        let slot = match status_word {
            "running" => 0,
            "failed" => 2,
            _ => 1,
        };
        counts[slot] += 1;
        troubled |= server.trouble().is_some();
        let told = json!({ "status": status_word, "pid": status.pid, "restart_count": status.restarts });
        of_servers.insert(server.name().to_string(), told);
    }
    let model = match compat.enhancer.service() {
        None => "unknown",
        Some(service) if matches!(service.status().borrow().state, ServiceState::Ready { .. }) => "up",
        Some(_) => "down",
    };
    let now = compat.enhancer.statistics();
    let [running, stopped, failed] = counts;
    let total: usize = counts.iter().sum();
    Json(json!({
        "status": if troubled { "degraded" } else { "healthy" },
        "services": {
            "router": "up",
            // The later name of AgentHub called it `llm`.
            "ollama": model,
            "llm": model,
            "cache": { "status": "up", "hit_rate": now.hit_rate(), "size": now.cache_size },
        },
        "servers": {
            "total": total,
            "running": running,
            "stopped": stopped,
            "failed": failed,
            "servers": of_servers,
        },
    }))
}

/// One server.
pub async fn of_server(
    State(compat): State<Compat>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Refusal> {
    let server = compat.server(&name)?;
    let status = server.status().borrow().clone();
    Ok(Json(json!({
        "server": name,
        "status": word(&server, &status),
        "pid": status.pid,
        "restart_count": status.restarts,
        "last_error": status.last_error,
        "circuit_breaker": breaker(&server),
        "config": {
            "package": package(&server.config().transport),
            "transport": transport(&server),
            "auto_start": auto_start(&server),
        },
    })))
}

/// The breakers of all servers.
pub async fn breakers(State(compat): State<Compat>) -> Json<Value> {
    let servers = compat.api.fleet().servers();
    Json(Value::Object(servers.iter().map(|server| (server.name().to_string(), breaker(server))).collect()))
}

/// Closes one.
pub async fn reset(
    State(compat): State<Compat>,
    Extension(caller): Extension<Caller>,
    Extension(client): Extension<Client>,
    Path(name): Path<String>,
) -> Result<Json<Value>, Refusal> {
    compat.server(&name).map_err(|_| Refusal::not_found(format!("Circuit breaker {name} not found")))?;
    let order = Order::Server { name: name.clone(), act: Act::Reset };
    compat.order(order, &by(&caller, client)).await?;
    Ok(Json(json!({ "message": format!("Circuit breaker {name} reset") })))
}

/// An open breaker whose time is over is half open there, although nobody has tried yet.
fn breaker(server: &ServerHandle) -> Value {
    let seen = server.breaker_counts();
    let state = match server.breaker() {
        BreakerState::Open if server.breaker_wait().is_none() => BreakerState::HalfOpen,
        state => state,
    };
    json!({
        "state": state.as_str(),
        "failure_count": seen.failures_in_a_row,
        "success_count": seen.successes_since_closed,
        "last_failure_time": seen.last_failure.map(unix),
        "last_success_time": seen.last_success.map(unix),
        "total_failures": seen.failures,
        "total_successes": seen.successes,
        "times_opened": seen.opened,
    })
}
