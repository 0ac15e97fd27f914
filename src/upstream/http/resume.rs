//! Where to go on with a legacy server's stream after a break, and when (2025-11-25, `basic/transports`, "Resumability
//! and Redelivery").

use std::time::Duration;

use crate::base::backoff::Backoff;
use crate::base::random;
use crate::protocol::sse;

/// Waits after a break of which the server said nothing: as fast as a server restarts, as slow as a probe a minute.
const BREAK: Backoff = Backoff { base: Duration::from_millis(500), cap: Duration::from_secs(60) };
/// The shortest wait, whatever the server wants: one that always closes at once must not keep us busy.
const MIN_WAIT: Duration = Duration::from_millis(100);
/// The longest wait that a server may ask for where no call's deadline bounds it.
const MAX_WAIT: Duration = Duration::from_secs(60 * 60);

/// What is known of a stream.
#[derive(Debug, Default)]
pub struct Resume {
    last_id: Option<String>,
    retry: Option<Duration>,
    failures: u32,
}

impl Resume {
    /// Takes note of an event: the stream is well, and this is how far it has come.
    pub fn note(&mut self, event: &sse::Event) {
        self.failures = 0;
        if let Some(id) = &event.id {
            // An empty id takes the last one back (WHATWG HTML, "Interpreting an event stream").
            self.last_id = Some(id.clone()).filter(|id| !id.is_empty());
        }
        if let Some(retry) = event.retry {
            self.retry = Some(Duration::from_millis(retry));
        }
    }

    /// Takes note that the stream was well, though nothing may have come.
    pub fn was_well(&mut self) {
        self.failures = 0;
    }

    /// The last event, for `Last-Event-ID`.
    pub fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// Takes note of an attempt from which nothing has come yet.
    pub fn attempt(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    /// Attempts in a row from which nothing came.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// How long to wait before the next attempt. The server's own wish counts as long as attempts do not fail.
    pub fn wait(&self) -> Duration {
        match self.retry {
            Some(retry) if self.failures == 0 => retry.clamp(MIN_WAIT, MAX_WAIT),
            wish => {
                BREAK.delay(self.failures, random::next_u64()).max(wish.unwrap_or_default()).min(MAX_WAIT)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: Option<&str>, retry: Option<u64>) -> sse::Event {
        sse::Event { id: id.map(str::to_owned), retry, ..sse::Event::default() }
    }

    #[test]
    fn the_servers_wish_counts_within_reason_and_until_attempts_fail() {
        let mut resume = Resume::default();
        assert!(resume.wait() >= MIN_WAIT && resume.last_id().is_none());
        for (wish, wait) in [(500, 500), (0, 100), (u64::MAX / 2, 3_600_000)] {
            resume.note(&event(Some("a"), Some(wish)));
            assert_eq!(resume.wait(), Duration::from_millis(wait));
        }
        resume.note(&event(None, Some(5000)));
        assert_eq!(resume.last_id(), Some("a"), "an event without an id changes nothing");
        (0..20).for_each(|_| resume.attempt());
        assert!(resume.wait() >= Duration::from_secs(5), "never sooner than the server wants");
        resume.note(&event(Some(""), None));
        assert_eq!((resume.failures(), resume.last_id()), (0, None));
    }
}
