//! What several pages tell in the same way.

use std::time::Duration;

use tokio::time::Instant;

use crate::supervisor::State;

/// Whole milliseconds.
pub fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The path of the endpoint of this server; of the merged one for an empty name.
pub fn endpoint(server: &str) -> String {
    if server.is_empty() { "/mcp".to_owned() } else { format!("/mcp/{server}") }
}

/// The path at which a service is.
pub fn service_endpoint(service: &str) -> String {
    format!("/services/{service}")
}

/// In how many milliseconds what is down is tried again, or what has an open breaker is called.
pub fn next_try(state: &State, breaker: Option<Duration>) -> Option<u64> {
    let wait = |at: &Instant| Some(at.saturating_duration_since(Instant::now()));
    let wait = match state {
        State::Backoff { until, .. } => wait(until),
        State::Failed { retry_at, .. } => wait(retry_at),
        _ => breaker,
    };
    wait.map(millis)
}
