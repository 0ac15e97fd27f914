//! What happened to the calls of one server.

use std::collections::BTreeMap;
use std::time::Duration;

/// Calls of one server in one phase.
#[derive(Debug, Default, Clone)]
pub struct Tally {
    /// Calls that were answered as they should be.
    pub good: u64,
    /// Calls that were answered by an error, by the error's name.
    pub errors: BTreeMap<String, u64>,
    /// Answers that were not the answer to their question.
    pub wrong: Vec<String>,
    /// How long the plain calls took that were answered well, in microseconds.
    pub micros: Vec<u32>,
}

/// How one call ended.
#[derive(Debug)]
pub enum End {
    /// As it should; `timed` if its time is one to compare.
    Good { took: Duration, timed: bool },
    /// By an error of this name.
    Error(String),
    /// By somebody else's answer.
    Wrong(String),
}

impl Tally {
    /// Counts a call.
    pub fn add(&mut self, end: End) {
        match end {
            End::Good { took, timed } => {
                self.good += 1;
                if timed {
                    self.micros.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
                }
            }
            End::Error(kind) => *self.errors.entry(kind).or_default() += 1,
            End::Wrong(what) => self.wrong.push(what),
        }
    }

    /// Adds another tally.
    pub fn join(mut self, other: &Tally) -> Tally {
        self.good += other.good;
        other.errors.iter().for_each(|(kind, count)| *self.errors.entry(kind.clone()).or_default() += count);
        self.wrong.extend(other.wrong.iter().cloned());
        self.micros.extend(&other.micros);
        self
    }

    /// All errors.
    pub fn failed(&self) -> u64 {
        self.errors.values().sum()
    }
}

/// The value below which this share of the values lies, `share` from 0 to 1.
pub fn quantile(values: &[u32], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let last = sorted.len().saturating_sub(1);
    let at = ((sorted.len() as f64 * share).ceil() as usize).saturating_sub(1).min(last);
    sorted.get(at).copied().map_or(f64::NAN, f64::from)
}
