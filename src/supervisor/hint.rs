//! When whoever is refused may come again.

use tokio::time::Instant;

/// `error.data` with the hint when to try again.
pub(super) fn retry_after(seconds: u64) -> String {
    format!(r#"{{"retry_after":{seconds}}}"#)
}

/// Whole seconds, at least one: who comes back sooner comes in vain.
pub(super) fn seconds_until(at: Instant) -> u64 {
    let wait = at.saturating_duration_since(Instant::now());
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0 || wait.is_zero())
}
