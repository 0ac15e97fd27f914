//! How the database is doing, and when it is tried again.

use std::time::Duration;

use tokio::time::Instant;

use super::fault::{Hindrance, OpenError};
use crate::base::Backoff;

/// The retry schedule while hindered: a short lock passes in a tick, a full disk is looked at about three times
/// a minute.
const RETRY: Backoff = Backoff { base: Duration::from_millis(100), cap: Duration::from_secs(30) };

/// What the last work on the database came to.
pub enum Health {
    /// It did what it was asked.
    Good,
    /// It is tried again later.
    Hindered {
        /// Why it cannot be used.
        why: Hindrance,
        /// Failures in a row before this one.
        attempt: u32,
        /// When it is tried again.
        retry_at: Instant,
    },
    /// It is not for us, and is left alone.
    Refused(OpenError),
}

impl Health {
    /// The health after one more failure. The waits grow from failure to failure, whatever its kind.
    pub fn hindered_by(&self, why: Hindrance, now: Instant, random: u64) -> Health {
        let attempt = match self {
            Health::Hindered { attempt, .. } => attempt.saturating_add(1),
            _ => 0,
        };
        Health::Hindered { why, attempt, retry_at: now + RETRY.delay(attempt, random) }
    }

    /// Whether this trouble is of another kind than the present one.
    pub fn is_news(&self, trouble: &Hindrance) -> bool {
        !matches!(self, Health::Hindered { why, .. } if why.kind == trouble.kind)
    }

    /// When it is tried again.
    pub fn retry_at(&self) -> Option<Instant> {
        match self {
            Health::Hindered { retry_at, .. } => Some(*retry_at),
            _ => None,
        }
    }

    /// Why it cannot be used now.
    pub fn why_not(&self) -> String {
        match self {
            Health::Good => "it is not open".to_owned(),
            Health::Hindered { why, .. } => why.reason.clone(),
            Health::Refused(refusal) => refusal.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trouble(kind: &'static str) -> Hindrance {
        Hindrance { kind, reason: format!("it is {kind}") }
    }

    #[test]
    fn retries_come_further_and_further_apart_and_begin_anew_after_a_success() {
        let now = Instant::now();
        let mut health = Health::Good;
        for attempt in 0..100 {
            health = health.hindered_by(trouble("full"), now, u64::MAX);
            assert_eq!(health.retry_at(), Some(now + RETRY.ceiling(attempt)));
        }
        assert_eq!(health.retry_at(), Some(now + RETRY.cap));
        health = Health::Good.hindered_by(trouble("full"), now, u64::MAX);
        assert_eq!(health.retry_at(), Some(now + RETRY.base));
    }

    #[test]
    fn only_another_kind_of_trouble_is_news() {
        let locked = Health::Good.hindered_by(trouble("locked"), Instant::now(), 0);
        assert!(Health::Good.is_news(&trouble("locked")));
        assert!(!locked.is_news(&trouble("locked")));
        assert!(locked.is_news(&trouble("full")));
    }
}
