//! What is counted only when somebody asks, and the page that says it.

use std::sync::Arc;

use tokio::runtime::Handle;

use crate::http::{Encryption, Render};
use crate::router::Router;
use crate::session::{Hub, Sessions};
use crate::store::Store;
use crate::supervisor::Services;
use crate::telemetry::{self, LogGuard, MetricsHandle, names};

/// What makes the page of metrics.
pub(super) fn render(
    router: Router,
    (services, sessions, hub, store): (Services, Sessions, Hub, Store),
    encryption: Encryption,
    (metrics, log): (MetricsHandle, Arc<LogGuard>),
) -> Render {
    Arc::new(move || {
        names::IN_FLIGHT.gauge(&[]).set(router.gate().count() as f64);
        names::PARKED_CALLS.gauge(&[]).set(router.parked() as f64);
        telemetry::tell_runtime(&Handle::current());
        router.fleet().tell_metrics();
        services.tell_metrics();
        encryption.tell_metrics();
        router.results().tell_metrics();
        names::SESSIONS.gauge(&[]).set(sessions.count() as f64);
        names::STREAMS.gauge(&[]).set(hub.streams() as f64);
        names::STORE_DROPPED_WRITES.counter(&[]).absolute(store.dropped_writes());
        names::ACTIVITY_DROPPED_ROWS.counter(&[]).absolute(router.activity().dropped_rows());
        names::LOG_DROPPED_LINES.counter(&[]).absolute(log.dropped_lines());
        metrics.render()
    })
}
