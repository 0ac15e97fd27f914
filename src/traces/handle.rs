//! The handle that everybody holds: whether requests are traced, and the queue to whoever sends their spans.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use http::HeaderMap;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config;
use crate::protocol::trace::Trace;

use super::begin::RequestSpan;
use super::exporter::Exporter;
use super::pipeline::{Pipeline, pipeline};
use super::post::Collector;

/// Traces requests, or does not. Cloning is cheap.
#[derive(Clone, Default)]
pub struct Traces(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// Whether there is a pipeline: all that a request costs while there is none.
    on: AtomicBool,
    pipeline: ArcSwapOption<Pipeline>,
    running: Mutex<Running>,
}

#[derive(Default)]
struct Running {
    /// What requests are traced as.
    options: Option<config::Traces>,
    /// The exporter in use, and those before it that still have something to send.
    exporters: Vec<Exporting>,
}

/// An exporter that can be told to hurry, and to end.
struct Exporting {
    timeout: Duration,
    hurry: Arc<Notify>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Traces {
    /// Traces nothing until it is told otherwise.
    pub fn off() -> Traces {
        Traces::default()
    }

    /// Begins the spans of a request that has come in, if it is to be traced; `trace` is then where its server will be.
    pub fn begin(&self, trace: &mut Option<Box<Trace>>, headers: &HeaderMap) -> Option<Box<RequestSpan>> {
        if !self.0.on.load(Ordering::Relaxed) {
            return None;
        }
        RequestSpan::begin(self.0.pipeline.load_full()?, trace, headers)
    }

    /// Traces as configured from now on. Spans under way go where they would have gone; the same again changes nothing.
    pub fn replace(&self, options: Option<&config::Traces>) {
        let mut running = self.0.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.options.as_ref() == options {
            return;
        }
        let begun = match options.map(Collector::new).transpose() {
            Ok(collector) => options.zip(collector).map(|(options, collector)| begin(options, collector)),
            Err(error) => {
                warn!("requests are not traced as configured: {error}");
                return;
            }
        };
        self.0.on.store(begun.is_some(), Ordering::Relaxed);
        let (pipeline, exporting) = begun.unzip();
        self.0.pipeline.store(pipeline);
        // What has ended is sent now; an exporter ends when the last of its requests has.
        running.exporters.retain(|exporting| !exporting.task.is_finished());
        running.exporters.iter().for_each(|exporting| exporting.hurry.notify_one());
        running.exporters.extend(exporting);
        running.options = options.cloned();
    }

    /// Ends: what is queued is sent, as far as that can be done within `traces.timeout`.
    pub async fn shutdown(&self) {
        self.0.on.store(false, Ordering::Relaxed);
        self.0.pipeline.store(None);
        let running = std::mem::take(&mut *self.0.running.lock().unwrap_or_else(PoisonError::into_inner));
        running.exporters.iter().for_each(|exporting| exporting.stop.cancel());
        let begun = Instant::now();
        for Exporting { timeout, mut task, .. } in running.exporters {
            if timeout_at(begun + timeout, &mut task).await.is_err() {
                task.abort();
                warn!("the collector of traces did not take the last spans within {timeout:?}");
            }
        }
    }
}

fn begin(options: &config::Traces, collector: Collector) -> (Arc<Pipeline>, Exporting) {
    info!(collector = collector.origin(), "requests are traced");
    let (pipeline, queue) = pipeline(options);
    let (hurry, stop) = (Arc::clone(&queue.crowded), CancellationToken::new());
    let exporter = Exporter::new(options, collector, queue, stop.clone());
    let task = tokio::spawn(exporter.run());
    (Arc::new(pipeline), Exporting { timeout: options.timeout, hurry, stop, task })
}

impl std::fmt::Debug for Traces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Traces").field(&self.0.on.load(Ordering::Relaxed)).finish()
    }
}
