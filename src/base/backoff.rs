//! How long to wait before trying again: exponential growth, a cap, and jitter.
//!
//! The jitter is the "equal jitter" of Marc Brooker's "Exponential Backoff And Jitter" (AWS Architecture
//! Blog, 2015): half of the step is kept, the other half is drawn. "Full jitter" spreads a crowd a little
//! better but may draw zero, and a server that has just crashed must never be started again without
//! a pause. The randomness is passed in, so the whole schedule is a pure function.

use std::time::Duration;

/// A retry schedule. `base` is the ceiling of the first wait, which doubles with each attempt up to `cap`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The longest first wait.
    pub base: Duration,
    /// The longest wait of all.
    pub cap: Duration,
}

impl Backoff {
    /// The wait before retry number `attempt` (0 is the first), with `random` uniform over all of `u64`.
    ///
    /// The answer lies between half of `min(cap, base * 2^attempt)` and the whole of it.
    #[must_use]
    pub fn delay(&self, attempt: u32, random: u64) -> Duration {
        let ceiling = self.ceiling(attempt);
        let half = ceiling / 2;
        half + scale(ceiling - half, random)
    }

    /// The longest wait that `delay` can give for this attempt.
    #[must_use]
    pub fn ceiling(&self, attempt: u32) -> Duration {
        let doubled = 2u32.checked_pow(attempt).and_then(|factor| self.base.checked_mul(factor));
        doubled.map_or(self.cap, |wait| wait.min(self.cap))
    }
}

/// `span * random / u64::MAX`, without overflow and without floating point.
fn scale(span: Duration, random: u64) -> Duration {
    let millionths =
        u64::try_from(u128::from(random) * 1_000_000 / u128::from(u64::MAX)).unwrap_or(1_000_000);
    let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
    let drawn = u128::from(micros) * u128::from(millionths) / 1_000_000;
    Duration::from_micros(u64::try_from(drawn).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn the_wait_doubles_until_the_cap() {
        let backoff = Backoff { base: SECOND, cap: MINUTE };
        let longest: Vec<u64> = (0..8).map(|attempt| backoff.delay(attempt, u64::MAX).as_secs()).collect();
        assert_eq!(longest, [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn the_wait_is_never_less_than_half_the_step() {
        let backoff = Backoff { base: SECOND, cap: MINUTE };
        assert_eq!(backoff.delay(0, 0), SECOND / 2);
        assert_eq!(backoff.delay(4, 0), SECOND * 8);
        assert_eq!(backoff.delay(u32::MAX, 0), MINUTE / 2);
    }

    #[test]
    fn the_draw_spreads_evenly_over_the_upper_half() {
        let backoff = Backoff { base: SECOND, cap: MINUTE };
        assert_eq!(backoff.delay(3, u64::MAX / 2).as_millis(), 5_999);
        assert_eq!(backoff.delay(3, u64::MAX / 4).as_millis(), 4_999);
    }

    proptest! {
        #[test]
        fn the_wait_stays_within_its_bounds(
            base in 0u64..=1 << 50, cap in 0u64..=1 << 50, attempt: u32, random: u64,
        ) {
            let backoff = Backoff { base: Duration::from_micros(base), cap: Duration::from_micros(cap) };
            let delay = backoff.delay(attempt, random);
            prop_assert!(delay <= backoff.cap);
            prop_assert!(delay <= backoff.ceiling(attempt));
            prop_assert!(delay >= backoff.ceiling(attempt) / 2);
        }

        #[test]
        fn a_later_attempt_never_has_a_lower_ceiling(base in 1u64..1 << 40, cap in 1u64..1 << 40, attempt in 0u32..64) {
            let backoff = Backoff { base: Duration::from_micros(base), cap: Duration::from_micros(cap) };
            prop_assert!(backoff.ceiling(attempt + 1) >= backoff.ceiling(attempt));
        }
    }
}
