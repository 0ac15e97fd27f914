//! The queue between the requests and the exporter.

use std::sync::Arc;

use tokio::sync::{Notify, mpsc};

use crate::config;
use crate::telemetry::Counter;

use super::ended::Ended;
use super::exporter::{BATCH, Queue};
use super::sampler::Sampler;
use super::teller::lost;

/// Where the spans of a request go.
pub(super) struct Pipeline {
    pub sampler: Sampler,
    queue: mpsc::Sender<Ended>,
    /// Wakes the exporter before its time.
    crowded: Arc<Notify>,
    no_room: Counter,
}

/// A queue and both its ends.
pub(super) fn pipeline(options: &config::Traces) -> (Pipeline, Queue) {
    let (sender, queued) = mpsc::channel(options.queue);
    let crowded = Arc::new(Notify::new());
    let queue = Queue { queued, crowded: Arc::clone(&crowded), delay: options.delay };
    let sampler = Sampler::new(options.sample_ratio.get());
    (Pipeline { sampler, queue: sender, crowded, no_room: lost("queue_full") }, queue)
}

impl Drop for Pipeline {
    /// Nothing more will come: what is there need not wait for it.
    fn drop(&mut self) {
        self.crowded.notify_one();
    }
}

impl Pipeline {
    /// Takes what has ended, if there is room.
    pub fn take(&self, ended: Ended) {
        let spans = ended.spans();
        if self.queue.try_send(ended).is_err() {
            return self.no_room.increment(spans);
        }
        if self.queue.max_capacity() - self.queue.capacity() >= BATCH {
            self.crowded.notify_one();
        }
    }
}
