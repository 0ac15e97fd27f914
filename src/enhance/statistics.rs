//! What became of prompts, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::telemetry::names;

/// What became of one prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Became {
    /// A model made it better.
    Enhanced,
    /// It was known.
    Cached,
    /// It was asked for at the same time.
    Shared,
    /// It was to be left as it is: by its client's rule, or for privacy.
    Untouched,
    /// The breaker was open.
    Refused,
    /// The service had as many requests as its rate allows.
    Limited,
    /// No model answered.
    Failed,
}

impl Became {
    const ALL: [Became; 7] = [
        Became::Enhanced,
        Became::Cached,
        Became::Shared,
        Became::Untouched,
        Became::Refused,
        Became::Limited,
        Became::Failed,
    ];

    const fn as_str(self) -> &'static str {
        match self {
            Became::Enhanced => "enhanced",
            Became::Cached => "cached",
            Became::Shared => "shared",
            Became::Untouched => "untouched",
            Became::Refused => "refused",
            Became::Limited => "limited",
            Became::Failed => "failed",
        }
    }
}

/// Counts since the start or the last reset; metrics go on counting.
#[derive(Debug, Default)]
pub(super) struct Counts([AtomicU64; Became::ALL.len()]);

impl Counts {
    pub fn add(&self, became: Became) {
        self.0[became as usize].fetch_add(1, Ordering::Relaxed);
        names::ENHANCEMENTS.counter(&[became.as_str()]).increment(1);
    }

    pub fn reset(&self) {
        self.0.iter().for_each(|count| count.store(0, Ordering::Relaxed));
    }

    pub fn read(&self, became: Became) -> u64 {
        self.0[became as usize].load(Ordering::Relaxed)
    }
}

/// A look at the counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// Prompts that a model made better.
    pub enhanced: u64,
    /// Prompts that were known.
    pub cached: u64,
    /// Prompts that shared the answer to an equal one.
    pub shared: u64,
    /// Prompts that were to be left as they are.
    pub untouched: u64,
    /// Prompts for which no model was asked, because those before got no answer.
    pub refused: u64,
    /// Prompts for which no model was asked, because the service had as many requests as its rate allows.
    pub limited: u64,
    /// Prompts for which no model answered.
    pub failed: u64,
    /// Prompts that are kept.
    pub cache_size: usize,
    /// The most that are kept.
    pub cache_max: usize,
    /// Prompts that had to go for want of room.
    pub cache_evicted: u64,
    /// What the breaker does.
    pub breaker: &'static str,
}

impl Statistics {
    /// Prompts that were not known.
    pub fn misses(&self) -> u64 {
        self.enhanced + self.shared + self.failed + self.refused + self.limited
    }

    /// The share of prompts that were known, from 0 to 1.
    pub fn hit_rate(&self) -> f64 {
        self.cached as f64 / (self.cached + self.misses()).max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_has_a_count_of_its_own() {
        let counts = Counts::default();
        for (index, became) in Became::ALL.into_iter().enumerate() {
            assert_eq!(became as usize, index);
            counts.add(became);
            assert_eq!(counts.read(became), 1, "{}", became.as_str());
        }
        counts.reset();
        assert!(Became::ALL.into_iter().all(|became| counts.read(became) == 0));
    }
}
