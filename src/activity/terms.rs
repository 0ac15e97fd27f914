//! The terms in force: who keeps the log reads them, whoever reloads the configuration replaces them.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use super::options::Terms;
use super::redact::Redactor;
use crate::base::Secret;

/// The most secrets that are masked though the configuration no longer holds them. A rotated credential is still in calls
/// under way and in rows that wait for the file; beyond this the oldest are forgotten.
const RETIRED: usize = 256;

/// The terms in force.
#[derive(Debug)]
pub(super) struct InForce {
    now: ArcSwap<Held>,
    /// Those that the configuration held before, the latest first.
    retired: Mutex<Vec<Secret>>,
}

/// The terms, ready for use.
#[derive(Debug)]
pub(super) struct Held {
    pub terms: Terms,
    pub redactor: Redactor,
}

impl InForce {
    /// Begins with these.
    pub fn new(terms: Terms) -> InForce {
        let redactor = Redactor::new(&terms.secrets);
        InForce { now: ArcSwap::from_pointee(Held { terms, redactor }), retired: Mutex::default() }
    }

    /// What holds now.
    pub fn get(&self) -> Arc<Held> {
        self.now.load_full()
    }

    /// Takes others over.
    pub fn replace(&self, terms: Terms) {
        let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.now.load();
        let mut gone: Vec<Secret> = before.terms.secrets.iter().chain(&*retired).cloned().collect();
        gone.retain(|secret| !terms.secrets.contains(secret));
        gone.truncate(RETIRED);
        let known: Vec<Secret> = terms.secrets.iter().chain(&gone).cloned().collect();
        *retired = gone;
        self.now.store(Arc::new(Held { redactor: Redactor::new(&known), terms }));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::retention::Keep;
    use super::*;

    fn terms(secret: &str) -> Terms {
        let keep = Keep { age: Duration::from_secs(60), size: 1 << 20 };
        Terms {
            window: Duration::from_millis(100),
            keep,
            capture_limit: 100,
            chain: false,
            secrets: vec![Secret::new(secret)],
        }
    }

    #[test]
    fn a_new_secret_is_masked_from_now_on_and_the_one_before_goes_on_to_be() {
        let in_force = InForce::new(terms("hunter-1"));
        in_force.replace(terms("hunter-2"));
        in_force.replace(terms("hunter-3"));
        let masked = in_force.get().redactor.redact("hunter-1 hunter-2 hunter-3 hunter-4", false);
        assert_eq!(masked, "*** *** *** hunter-4");
    }

    #[test]
    fn secrets_that_are_gone_take_bounded_room() {
        let in_force = InForce::new(terms("first-secret"));
        for number in 0..2 * RETIRED {
            in_force.replace(terms(&format!("secret-{number}-x")));
        }
        assert_eq!(in_force.retired.lock().unwrap().len(), RETIRED);
        assert_eq!(in_force.get().redactor.redact("first-secret", false), "first-secret");
        let last = format!("secret-{}-x", 2 * RETIRED - 2);
        assert_eq!(in_force.get().redactor.redact(&last, false), "***");
    }
}
