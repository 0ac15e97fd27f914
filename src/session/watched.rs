//! The resources that one client wants to hear of.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::base::{Error, ErrorKind};
use crate::supervisor::{Subscription, Updated};

/// Subscriptions that one client may hold.
const MAX_SUBSCRIPTIONS: usize = 1000;

/// A client's subscriptions, by URI. Dropping them takes the wishes back.
#[derive(Debug, Default)]
pub struct Watched(Mutex<BTreeMap<String, Subscription>>);

impl Watched {
    /// Adds a subscription; one that is there already is replaced.
    pub fn add(&self, subscription: Subscription) -> Result<(), Error> {
        let mut all = self.lock();
        if all.len() >= MAX_SUBSCRIPTIONS && !all.contains_key(subscription.uri()) {
            let text = format!("a client may subscribe to {MAX_SUBSCRIPTIONS} resources at most");
            return Err(Error::new(ErrorKind::Overloaded, text));
        }
        all.insert(subscription.uri().to_owned(), subscription);
        Ok(())
    }

    /// Takes a subscription away, if it is there.
    pub fn remove(&self, uri: &str) {
        let removed = self.lock().remove(uri);
        drop(removed);
    }

    /// Whether the client wants to hear of this update.
    pub fn covers(&self, updated: &Updated) -> bool {
        self.lock().get(&updated.uri).is_some_and(|subscription| *subscription.server() == updated.server)
    }

    /// The URIs.
    pub fn uris(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Subscription>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
