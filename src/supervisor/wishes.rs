//! Resources and tasks of one server that somebody wants to hear of, counted, so that the server is asked once for each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

/// A server that has not confirmed a subscription by then is subscribed to all the same, when it gets there.
const SETTLE: Duration = Duration::from_secs(2);

/// What somebody may want to hear of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Topic {
    /// The resource of this URI.
    Resource(String),
    /// The task of this id.
    Task(String),
}

impl Topic {
    /// The URI, or the id.
    pub fn name(&self) -> &str {
        match self {
            Topic::Resource(name) | Topic::Task(name) => name,
        }
    }
}

/// The wishes for one server.
#[derive(Debug)]
pub(super) struct Wishes {
    wanted: Mutex<BTreeMap<Topic, usize>>,
    /// Grows with every change of the set.
    version: watch::Sender<u64>,
    /// The version that the server has been told.
    applied: watch::Sender<u64>,
}

impl Default for Wishes {
    fn default() -> Wishes {
        Wishes { wanted: Mutex::default(), version: watch::Sender::new(0), applied: watch::Sender::new(0) }
    }
}

impl Wishes {
    /// The set, and its version.
    pub fn current(&self) -> (BTreeSet<Topic>, u64) {
        let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        (wanted.keys().cloned().collect(), *self.version.borrow())
    }

    /// Whether nobody wants anything.
    pub fn is_empty(&self) -> bool {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Hears of changes.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// Says that the server has been told the set of this version.
    pub fn told(&self, version: u64) {
        self.applied.send_replace(version);
    }

    /// One more wants to hear of `topic`.
    pub fn add(&self, topic: &Topic) {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        let count = wanted.entry(topic.clone()).or_default();
        *count += 1;
        if *count == 1 {
            self.version.send_modify(|version| *version += 1);
        }
    }

    /// One less does.
    pub fn remove(&self, topic: &Topic) {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = wanted.get_mut(topic) {
            *count -= 1;
            if *count == 0 {
                wanted.remove(topic);
                self.version.send_modify(|version| *version += 1);
            }
        }
    }

    /// Waits until the server has been told of everything, or a short while if it is not up.
    pub async fn settled(&self) {
        let version = *self.version.borrow();
        let mut applied = self.applied.subscribe();
        let _ = tokio::time::timeout(SETTLE, applied.wait_for(|applied| *applied >= version)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_server_is_asked_once_for_what_many_want_and_told_when_the_last_has_gone() {
        let wishes = Wishes::default();
        let a = Topic::Resource("a".to_owned());
        wishes.add(&a);
        wishes.add(&a);
        assert_eq!(wishes.current(), (BTreeSet::from([a.clone()]), 1));
        wishes.remove(&a);
        assert_eq!(wishes.current().1, 1, "one is left who wants it");
        wishes.remove(&a);
        assert_eq!(wishes.current(), (BTreeSet::new(), 2));
        wishes.told(2);
        wishes.settled().await;
    }
}
