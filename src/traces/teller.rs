//! What an operator hears of the collector: that it does not take spans, once, and that it does again.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use crate::telemetry::{Counter, names};

use super::post::Partly;

/// The same is not said again within this time, whatever happens in between.
const QUIET: Duration = Duration::from_secs(60);

/// Counts spans by what became of them, and says what has changed.
pub(super) struct Teller {
    collector: String,
    /// What is wrong.
    trouble: Option<Trouble>,
    /// When a trouble was said last, and when that spans were rejected.
    said: Option<Instant>,
    said_of_rejected: Option<Instant>,
    /// Spans lost since the trouble began.
    lost: u64,
    sent: Counter,
    refused: Counter,
    rejected: Counter,
    absent: Counter,
}

/// Why spans are not taken.
struct Trouble {
    why: String,
    told: bool,
}

/// Spans by what became of them.
pub(super) fn lost(outcome: &str) -> Counter {
    names::TRACE_SPANS.counter(&[outcome])
}

impl Teller {
    /// Nothing is wrong with the collector yet.
    pub fn new(collector: &str) -> Teller {
        Teller {
            collector: collector.to_owned(),
            trouble: None,
            said: None,
            said_of_rejected: None,
            lost: 0,
            sent: lost("sent"),
            refused: lost("refused"),
            rejected: lost("rejected"),
            absent: lost("unreachable"),
        }
    }

    /// The collector has taken a batch, perhaps not all of it.
    pub fn taken(&mut self, now: Instant, spans: u64, partly: Option<Partly>) {
        let rejected = partly.as_ref().map_or(0, |partly| partly.rejected.min(spans));
        self.sent.increment(spans - rejected);
        self.rejected.increment(rejected);
        if self.trouble.take().is_some_and(|trouble| trouble.told) {
            info!(collector = self.collector, lost = std::mem::take(&mut self.lost), "spans are taken again");
        }
        if let Some(Partly { why, .. }) = partly
            && is_due(&mut self.said_of_rejected, now)
        {
            warn!(collector = self.collector, rejected, "the collector took a batch of spans in part: {why}");
        }
    }

    /// The collector wants a batch never to come again.
    pub fn refused(&mut self, now: Instant, spans: u64, why: &str) {
        self.refused.increment(spans);
        self.lost += spans;
        self.begin(now, why);
    }

    /// The collector takes nothing now.
    pub fn absent(&mut self, now: Instant, why: &str) {
        self.begin(now, why);
    }

    /// A batch has been tried for long enough.
    pub fn lost_to_absence(&mut self, spans: u64) {
        self.absent.increment(spans);
        self.lost += spans;
    }

    fn begin(&mut self, now: Instant, why: &str) {
        let is_news = self.trouble.as_ref().is_none_or(|trouble| !trouble.told || trouble.why != why);
        let told = is_news && is_due(&mut self.said, now);
        if told {
            warn!(collector = self.collector, "spans are not taken: {why}; requests are served all the same");
        }
        if told || self.trouble.is_none() {
            self.trouble = Some(Trouble { why: why.to_owned(), told });
        }
    }
}

fn is_due(said: &mut Option<Instant>, now: Instant) -> bool {
    let due = said.is_none_or(|at| now.duration_since(at) >= QUIET);
    if due {
        *said = Some(now);
    }
    due
}
