//! The handle that everybody holds: whether requests are traced, and the queue to whoever sends their spans.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use http::HeaderMap;
use tokio::task::JoinHandle;
use tokio::time::timeout;
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
    running: Mutex<Option<Running>>,
}

/// The exporter that is told when to end.
struct Running {
    options: config::Traces,
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
        if running.as_ref().map(|running| &running.options) == options {
            return;
        }
        let Some(options) = options else {
            self.0.on.store(false, Ordering::Relaxed);
            self.0.pipeline.store(None);
            *running = None;
            return;
        };
        let collector = match Collector::new(options) {
            Ok(collector) => collector,
            Err(error) => {
                warn!("requests are not traced as configured: {error}");
                return;
            }
        };
        info!(collector = collector.origin(), "requests are traced");
        let (pipeline, queue) = pipeline(options);
        let stop = CancellationToken::new();
        let exporter = Exporter::new(options, collector, queue, stop.clone());
        self.0.pipeline.store(Some(Arc::new(pipeline)));
        self.0.on.store(true, Ordering::Relaxed);
        // The one before ends by itself when the last of its requests has.
        *running = Some(Running { options: options.clone(), stop, task: tokio::spawn(exporter.run()) });
    }

    /// Ends: what is queued is sent, as far as that can be done within `traces.timeout`.
    pub async fn shutdown(&self) {
        self.0.on.store(false, Ordering::Relaxed);
        self.0.pipeline.store(None);
        let running = self.0.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Running { options, stop, mut task }) = running else { return };
        stop.cancel();
        if timeout(options.timeout, &mut task).await.is_err() {
            task.abort();
            warn!("the collector of traces did not take the last spans within {:?}", options.timeout);
        }
    }
}

impl std::fmt::Debug for Traces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Traces").field(&self.0.on.load(Ordering::Relaxed)).finish()
    }
}
