//! The task that sends spans: it waits for a batch or for its time, sends, and tries again as the protocol says.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::base::backoff::Backoff;
use crate::base::random;
use crate::config;

use super::ended::Ended;
use super::otlp::Resource;
use super::post::{Answer, Collector};
use super::teller::Teller;

/// The most requests in one export: the batch of the specification's processor (`maxExportBatchSize`).
pub(super) const BATCH: usize = 512;
/// For so long a batch is tried again: as OpenTelemetry's exporters do by default (`MaxElapsedTime` of the one for Go). What
/// comes after it is newer, and worth more to whoever looks.
const TRY_FOR: Duration = Duration::from_secs(60);
/// The waits between, where the collector names none.
const BACKOFF: Backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(30) };
/// A collector that asks for a longer wait is taken to mean this.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// What is to be sent.
pub(super) struct Queue {
    pub queued: mpsc::Receiver<Ended>,
    pub crowded: Arc<Notify>,
    /// How long spans may wait for more.
    pub delay: Duration,
}

/// Sends spans until nobody makes any more, or it is told to stop.
pub(super) struct Exporter {
    queue: Queue,
    collector: Collector,
    resource: Resource,
    stop: CancellationToken,
    teller: Teller,
    /// Failures since the collector took something last.
    failures: u32,
    /// Before this nothing is sent.
    rests_until: Instant,
}

/// What became of a batch at one attempt.
enum Attempt {
    Over,
    Later,
}

impl Exporter {
    /// An exporter that has not begun.
    pub fn new(
        options: &config::Traces,
        collector: Collector,
        queue: Queue,
        stop: CancellationToken,
    ) -> Exporter {
        let (resource, teller) = (Resource::new(options), Teller::new(collector.origin()));
        Exporter { queue, collector, resource, stop, teller, failures: 0, rests_until: Instant::now() }
    }

    /// Runs it.
    pub async fn run(mut self) {
        loop {
            let is_last = self.wait().await;
            while let Some(batch) = self.batch() {
                self.deliver(&batch).await;
            }
            if is_last {
                return;
            }
        }
    }

    /// Waits until there is something to do; whether it is the last time.
    async fn wait(&mut self) -> bool {
        tokio::select! {
            () = self.stop.cancelled() => self.queue.queued.close(),
            () = sleep(self.queue.delay) => {}
            () = self.queue.crowded.notified() => {}
        }
        self.queue.queued.is_closed()
    }

    fn batch(&mut self) -> Option<Vec<Ended>> {
        let mut batch = Vec::new();
        while batch.len() < BATCH
            && let Ok(ended) = self.queue.queued.try_recv()
        {
            batch.push(ended);
        }
        (!batch.is_empty()).then_some(batch)
    }

    async fn deliver(&mut self, batch: &[Ended]) {
        let spans: u64 = batch.iter().map(Ended::spans).sum();
        let body = self.resource.export(batch);
        let give_up = Instant::now() + TRY_FOR;
        loop {
            // Who stops waits for nothing, and tries once.
            let stopped = self.stop.run_until_cancelled(sleep_until(self.rests_until)).await.is_none();
            let answer = self.collector.post(body.clone()).await;
            match self.heed(answer, spans) {
                Attempt::Over => return,
                Attempt::Later if stopped || self.rests_until > give_up => {
                    return self.teller.lost_to_absence(spans);
                }
                Attempt::Later => {}
            }
        }
    }

    fn heed(&mut self, answer: Answer, spans: u64) -> Attempt {
        let now = Instant::now();
        match answer {
            Answer::Taken(partly) => {
                self.failures = 0;
                self.teller.taken(now, spans, partly);
                Attempt::Over
            }
            Answer::Refused(why) => {
                self.teller.refused(now, spans, &why);
                Attempt::Over
            }
            Answer::Later { why, after } => {
                let wait = after.unwrap_or_else(|| BACKOFF.delay(self.failures, random::next_u64()));
                self.failures = self.failures.saturating_add(1);
                self.rests_until = now + wait.min(LONGEST_WAIT);
                self.teller.absent(now, &why);
                Attempt::Later
            }
        }
    }
}
