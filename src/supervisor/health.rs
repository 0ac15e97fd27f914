//! Whether a server that has not ended is alive: asked now and then, judged with patience.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use crate::base::Era;
use crate::config;
use crate::protocol::method;
use crate::telemetry::names;
use crate::upstream::{Link, Peer, own_meta};

use super::handle::Shared;

/// The longest that one question waits: a server that answers later is of no use to anybody who waits for it.
pub(super) const LONGEST_PROBE: Duration = Duration::from_secs(5);

/// What the answers so far say. Pure.
#[derive(Debug)]
pub struct Health {
    policy: config::Health,
    well: bool,
    /// Misses while well, hits while sick, in a row.
    against: usize,
}

impl Health {
    /// A server that has just come up is well.
    pub fn new(policy: config::Health) -> Health {
        Health { policy, well: true, against: 0 }
    }

    /// What has not been seen yet is not well until it shows that it is.
    pub fn unknown(policy: config::Health) -> Health {
        Health { policy, well: false, against: 0 }
    }

    /// Takes one observation and says whether the server is well.
    pub fn observe(&mut self, hit: bool) -> bool {
        self.against = if hit == self.well { 0 } else { self.against + 1 };
        let enough = if self.well { self.policy.misses } else { self.policy.hits };
        if self.against >= enough {
            (self.well, self.against) = (!self.well, 0);
        }
        self.well
    }
}

/// Watches a server until it has to be replaced, and says why.
///
/// A sick server is replaced when nothing is in flight, or when a call has run into its deadline since it fell
/// silent. Until then it may be at work on one long call, single-threaded, and is left alone.
pub(super) async fn watch(link: &Link, peer: &Peer, shared: &Shared) -> String {
    let policy = shared.config.health;
    let Some(interval) = policy.interval else { return std::future::pending().await };
    let gauge = match shared.speaks_for_server() {
        true => names::SERVER_HEALTHY.gauge(&[shared.config.name.as_str()]),
        false => metrics::Gauge::noop(),
    };
    gauge.set(1.0);
    let mut health = Health::new(policy);
    let mut seen = signs(link, shared);
    let mut silent_since = None;
    let mut next = Instant::now() + interval;
    loop {
        tokio::time::sleep_until(next).await;
        let timeouts = shared.pulse.timeouts.load(Ordering::Relaxed);
        // Traffic is the best answer; whoever has just spoken is not asked.
        let hit = signs(link, shared) != seen
            || probe(link, peer, interval.min(LONGEST_PROBE)).await
            || signs(link, shared) != seen;
        seen = signs(link, shared);
        let was_well = health.well;
        let well = health.observe(hit);
        if was_well != well {
            gauge.set(f64::from(well));
            match well {
                true => info!(server = %shared.config.name, "is well again"),
                false => warn!(server = %shared.config.name, "does not answer health checks"),
            }
        }
        silent_since = if hit { None } else { silent_since.or(Some((Instant::now(), timeouts))) };
        if let (false, Some((since, before))) = (well, silent_since) {
            let overdue = shared.pulse.timeouts.load(Ordering::Relaxed) > before;
            if overdue || shared.in_flight() == 0 {
                let silence = since.elapsed() + interval;
                return format!(
                    "has not answered health checks for {} s; it is taken for hung",
                    silence.as_secs().max(1)
                );
            }
        }
        next = (next + interval).max(Instant::now());
    }
}

/// A number that changes with every sign of life.
fn signs(link: &Link, shared: &Shared) -> u64 {
    let messages = match link {
        Link::Stdio(link) => link.counts().messages.load(Ordering::Relaxed),
        Link::Http(_) => 0,
    };
    messages.wrapping_add(shared.pulse.answered.load(Ordering::Relaxed))
}

/// Asks once. Any answer is a sign of life, an error too: a server may not know `ping`.
async fn probe(link: &Link, peer: &Peer, patience: Duration) -> bool {
    let asked = match peer.era() {
        Era::Legacy => link.ask(method::PING, "{}", patience).await,
        Era::Modern => {
            link.ask(method::DISCOVER, &format!(r#"{{"_meta":{{{}}}}}"#, own_meta()), patience).await
        }
    };
    match asked {
        Ok(_) => true,
        Err(fault) => fault.status.is_some_and(|status| !status.is_server_error()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn health(misses: usize, hits: usize) -> Health {
        Health::new(config::Health { interval: None, misses, hits })
    }

    #[test]
    fn three_misses_in_a_row_make_it_sick_and_one_hit_well() {
        let mut it = health(3, 1);
        assert_eq!(
            [false, false, true, false, false, false].map(|hit| it.observe(hit)),
            [true, true, true, true, true, false]
        );
        assert!(!it.observe(false));
        assert!(it.observe(true));
    }

    proptest! {
        #[test]
        fn it_turns_exactly_after_as_many_contradictions_in_a_row_as_configured(
            misses in 1usize..6, hits in 1usize..6, seen in proptest::collection::vec(any::<bool>(), 0..100),
        ) {
            let mut it = health(misses, hits);
            let (mut well, mut row) = (true, 0);
            for hit in seen {
                row = if hit == well { 0 } else { row + 1 };
                if row == if well { misses } else { hits } {
                    (well, row) = (!well, 0);
                }
                prop_assert_eq!(it.observe(hit), well);
            }
        }
    }
}
