//! What a child's processes use, told as metrics.

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::base::ServerName;
use crate::platform::{Usage, usage_below};
use crate::telemetry::names;

/// How often it is looked at: the usual interval at which Prometheus asks.
const INTERVAL: Duration = Duration::from_secs(15);

/// Looks again and again at what everything below `keeper` uses.
pub(super) async fn collect(server: &ServerName, keeper: u32) -> Infallible {
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + FIRST_LOOK, INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // The kernel's tables are files, and files can block.
        if let Ok(Some(usage)) = tokio::task::spawn_blocking(move || usage_below(keeper)).await {
            tell(server, usage);
        }
    }
}

/// A child has its usual size soon after its start, and who asks should not see nothing for long.
const FIRST_LOOK: Duration = Duration::from_secs(1);

/// What has ended uses nothing.
pub(super) fn forget(server: &ServerName) {
    tell(server, Usage::default());
}

fn tell(server: &ServerName, usage: Usage) {
    let server = [server.as_str()];
    names::SERVER_PROCESSES.gauge(&server).set(f64::from(usage.processes));
    names::SERVER_MEMORY.gauge(&server).set(usage.resident_bytes as f64);
    names::SERVER_CPU.gauge(&server).set(usage.cpu_seconds);
    names::SERVER_FILES.gauge(&server).set(usage.open_files as f64);
}
