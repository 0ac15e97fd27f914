//! What one client wants to hear of: resources, tasks, and log lines from a level on.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::base::{Error, ErrorKind, Level};
use crate::supervisor::{Subscription, Updated};

/// Subscriptions that one client may hold.
const MAX_SUBSCRIPTIONS: usize = 1000;

/// Bytes of a URI that is remembered: what HTTP servers commonly accept of one (RFC 9110 §4.1 recommends 8,000).
const MAX_URI: usize = 8 * 1024;
/// How long a client waits for its servers to be told of all its subscriptions together.
const SETTLE: Duration = Duration::from_secs(2);

/// A client's subscriptions, by URI. Dropping them takes the wishes back.
#[derive(Debug, Default)]
pub struct Watched {
    resources: Mutex<BTreeMap<String, Subscription>>,
    /// By the ids that the client knows.
    tasks: Mutex<BTreeMap<String, Subscription>>,
    /// The level of `logging/setLevel` plus one; 0 while the client has not asked.
    level: AtomicU8,
}

impl Watched {
    /// Adds a subscription; one that is there already is replaced.
    pub fn add(&self, subscription: Subscription) -> Result<(), Error> {
        if subscription.name().len() > MAX_URI {
            let text = format!("a resource to subscribe to may have a URI of {MAX_URI} bytes at most");
            return Err(Error::new(ErrorKind::InvalidParams, text));
        }
        let mut all = self.lock();
        if all.len() >= MAX_SUBSCRIPTIONS && !all.contains_key(subscription.name()) {
            let text = format!("a client may subscribe to {MAX_SUBSCRIPTIONS} resources at most");
            return Err(Error::new(ErrorKind::Overloaded, text));
        }
        all.insert(subscription.name().to_owned(), subscription);
        Ok(())
    }

    /// Adds a task, under the id that the client knows.
    pub fn follow(&self, id: String, subscription: Subscription) -> Result<(), Error> {
        let mut all = self.lock_tasks();
        if all.len() >= MAX_SUBSCRIPTIONS {
            let text = format!("a client may follow {MAX_SUBSCRIPTIONS} tasks at most");
            return Err(Error::new(ErrorKind::Overloaded, text));
        }
        all.insert(id, subscription);
        Ok(())
    }

    /// The lowest level of log lines that the client has asked for.
    pub fn level(&self) -> Option<Level> {
        let stored = self.level.load(Ordering::Relaxed);
        Level::ALL.get(usize::from(stored).checked_sub(1)?).copied()
    }

    /// Notes the level that the client asks for.
    pub fn set_level(&self, level: Level) {
        self.level.store(level as u8 + 1, Ordering::Relaxed);
    }

    /// Waits until the servers have been told, or a short while for those that are not up.
    pub async fn settled(&self) {
        let mut waits: Vec<_> = self.lock().values().map(Subscription::settling).collect();
        waits.extend(self.lock_tasks().values().map(Subscription::settling));
        let all = async {
            for wait in waits {
                wait.await;
            }
        };
        let _ = tokio::time::timeout(SETTLE, all).await;
    }

    /// Takes a subscription away, if it is there.
    pub fn remove(&self, uri: &str) {
        let removed = self.lock().remove(uri);
        drop(removed);
    }

    /// Takes all of them away.
    pub fn clear(&self) {
        let all = std::mem::take(&mut *self.lock());
        drop(all);
    }

    /// Whether the client wants to hear of this update.
    pub fn covers(&self, updated: &Updated) -> bool {
        self.lock().get(&updated.uri).is_some_and(|subscription| subscription.covers(updated))
    }

    /// The URIs.
    pub fn uris(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    /// The tasks.
    pub fn tasks(&self) -> Vec<String> {
        self.lock_tasks().keys().cloned().collect()
    }

    /// Whether the client follows this task.
    pub fn follows(&self, id: &str) -> bool {
        self.lock_tasks().contains_key(id)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Subscription>> {
        self.resources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_tasks(&self) -> MutexGuard<'_, BTreeMap<String, Subscription>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
