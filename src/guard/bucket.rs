//! One limit, and one limit for each of many keys. The clock is passed in.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use governor::clock::{Clock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::time::Instant;

use crate::config::Rate;

/// tokio's clock, which tests can pause, as governor wants it.
#[derive(Debug, Clone)]
pub(super) struct TokioClock(Instant);

impl TokioClock {
    pub fn start() -> TokioClock {
        TokioClock(Instant::now())
    }
}

impl Clock for TokioClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

/// One limit.
#[derive(Debug)]
pub(super) struct Bucket<C: Clock>(RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<C::Instant>>);

impl<C: Clock + Clone> Bucket<C> {
    pub fn new(rate: Rate, clock: &C) -> Option<Bucket<C>> {
        let quota = Quota::with_period(period(rate))?.allow_burst(rate.burst);
        Some(Bucket(RateLimiter::direct_with_clock(quota, clock.clone())))
    }

    /// Takes one, or says after what wait there will be one.
    pub fn take(&self, clock: &C) -> Result<(), Duration> {
        self.0.check().map_err(|until| until.wait_time_from(clock.now()))
    }
}

/// The time in which one comes back; rounded up, so that never more than was promised are let through.
fn period(rate: Rate) -> Duration {
    let nanos = rate.per.as_nanos().div_ceil(u128::from(rate.count.get()));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// A limit for each key. Memory is bounded: a key that has rested until its bucket was full again is forgotten, which
/// changes nothing for it; when too many are at work, newcomers share one bucket.
#[derive(Debug)]
pub(super) struct Keyed<K, C: Clock> {
    rate: Rate,
    clock: C,
    begun: C::Instant,
    cap: usize,
    table: RwLock<HashMap<K, Slot<C>>>,
    shared: Bucket<C>,
}

#[derive(Debug)]
struct Slot<C: Clock> {
    bucket: Bucket<C>,
    /// When it was last asked, in nanoseconds since the beginning.
    used: AtomicU64,
}

impl<K: Eq + Hash + Clone, C: Clock + Clone> Keyed<K, C> {
    pub fn new(rate: Rate, cap: usize, clock: C) -> Option<Keyed<K, C>> {
        let shared = Bucket::new(rate, &clock)?;
        Some(Keyed { rate, begun: clock.now(), clock, cap, table: RwLock::default(), shared })
    }

    /// Takes one for `key`, or says after what wait there will be one.
    pub fn take(&self, key: &K) -> Result<(), Duration> {
        let now = self.now();
        if let Some(slot) = self.table.read().unwrap_or_else(PoisonError::into_inner).get(key) {
            slot.used.store(now, Ordering::Relaxed);
            return slot.bucket.take(&self.clock);
        }
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        if table.len() >= self.cap {
            self.forget(&mut table, now);
        }
        if table.len() >= self.cap && !table.contains_key(key) {
            return self.shared.take(&self.clock);
        }
        let Some(bucket) = Bucket::new(self.rate, &self.clock) else { return Ok(()) };
        let slot = table.entry(key.clone()).or_insert(Slot { bucket, used: AtomicU64::new(now) });
        slot.bucket.take(&self.clock)
    }

    /// Forgets keys that have rested.
    pub fn reap(&self) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        self.forget(&mut table, self.now());
        table.shrink_to_fit();
    }

    /// Keys that are remembered.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.table.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn forget(&self, table: &mut HashMap<K, Slot<C>>, now: u64) {
        let full = period(self.rate).saturating_mul(self.rate.burst.get());
        let full = u64::try_from(full.as_nanos()).unwrap_or(u64::MAX);
        table.retain(|_, slot| slot.used.load(Ordering::Relaxed).saturating_add(full) > now);
    }

    fn now(&self) -> u64 {
        self.clock.now().duration_since(self.begun).as_u64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU32;

    use governor::clock::FakeRelativeClock;
    use proptest::prelude::*;

    fn rate(count: u32, seconds: u64, burst: u32) -> Rate {
        let nonzero = |number| NonZeroU32::new(number).unwrap();
        Rate { count: nonzero(count), per: Duration::from_secs(seconds), burst: nonzero(burst) }
    }

    proptest! {
        /// Any pattern of arrivals, any rate: in no window are more let through than the burst and what comes back.
        #[test]
        fn no_window_admits_more_than_was_promised(
            count in 1u32..50, seconds in prop::sample::select(vec![1u64, 60, 3_600]), burst in 1u32..50,
            pauses in prop::collection::vec(0u64..3_000_000_000, 1..400),
        ) {
            let clock = FakeRelativeClock::default();
            let rate = rate(count, seconds, burst);
            let bucket = Bucket::new(rate, &clock).unwrap();
            let mut now = 0u64;
            let mut admitted = Vec::new();
            for pause in pauses {
                // Many arrive together, some after a pause.
                let pause = if pause % 3 == 0 { 0 } else { pause };
                clock.advance(Duration::from_nanos(pause));
                now += pause;
                if bucket.take(&clock).is_ok() {
                    admitted.push(now);
                }
            }
            for (first, start) in admitted.iter().enumerate() {
                for (last, end) in admitted.iter().enumerate().skip(first) {
                    let back = u128::from(end - start) * u128::from(count) / rate.per.as_nanos();
                    prop_assert!((last - first + 1) as u128 <= u128::from(burst) + back);
                }
            }
        }

        #[test]
        fn who_waits_as_the_hint_says_is_admitted(count in 1u32..1_000, burst in 1u32..20, takes in 1usize..60) {
            let clock = FakeRelativeClock::default();
            let bucket = Bucket::new(rate(count, 60, burst), &clock).unwrap();
            for _ in 0..takes {
                if let Err(wait) = bucket.take(&clock) {
                    prop_assert!(wait > Duration::ZERO);
                    clock.advance(wait);
                    prop_assert_eq!(bucket.take(&clock), Ok(()));
                }
            }
        }
    }

    #[test]
    fn keys_do_not_cost_each_other_anything_and_the_rested_are_forgotten() {
        let clock = FakeRelativeClock::default();
        let keyed: Keyed<u32, _> = Keyed::new(rate(1, 1, 2), 10, clock.clone()).unwrap();
        for key in 0..3 {
            assert_eq!([keyed.take(&key), keyed.take(&key)], [Ok(()), Ok(())], "{key}");
            assert_eq!(keyed.take(&key), Err(Duration::from_secs(1)), "{key}");
        }
        clock.advance(Duration::from_millis(1_999));
        keyed.reap();
        assert_eq!(keyed.len(), 3, "their buckets are not full again");
        clock.advance(Duration::from_millis(1));
        keyed.reap();
        assert_eq!(keyed.len(), 0);
    }

    #[test]
    fn memory_is_bounded_and_known_keys_keep_their_own_bucket() {
        let clock = FakeRelativeClock::default();
        let keyed: Keyed<u32, _> = Keyed::new(rate(1, 1, 5), 3, clock.clone()).unwrap();
        for key in 0..3 {
            assert_eq!(keyed.take(&key), Ok(()));
        }
        // Newcomers share a bucket of five.
        let admitted = (100..10_000).filter(|key| keyed.take(key).is_ok()).count();
        assert_eq!((admitted, keyed.len()), (5, 3));
        assert_eq!(keyed.take(&1), Ok(()), "who was there first is not hurt");
        clock.advance(Duration::from_secs(5));
        assert_eq!(keyed.take(&100), Ok(()));
        assert!(keyed.len() <= 3);
    }
}
