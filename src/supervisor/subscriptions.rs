//! Resources of one server that somebody wants to hear of, counted, so that the server is asked once for each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tracing::debug;

use crate::base::ServerName;
use crate::protocol::{method, skim};
use crate::upstream::Link;

use super::handle::{ServerHandle, Shared};

/// A server that has not confirmed a subscription by then is subscribed to all the same, when it gets there.
const SETTLE: Duration = Duration::from_secs(2);
/// How long a server may take to confirm one subscription.
const CONFIRM: Duration = Duration::from_secs(10);

/// The wishes for one server.
#[derive(Debug)]
pub(super) struct Wishes {
    wanted: Mutex<BTreeMap<String, usize>>,
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
    pub fn current(&self) -> (BTreeSet<String>, u64) {
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

    fn add(&self, uri: &str) {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        let count = wanted.entry(uri.to_owned()).or_default();
        *count += 1;
        if *count == 1 {
            self.version.send_modify(|version| *version += 1);
        }
    }

    fn remove(&self, uri: &str) {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = wanted.get_mut(uri) {
            *count -= 1;
            if *count == 0 {
                wanted.remove(uri);
                self.version.send_modify(|version| *version += 1);
            }
        }
    }

    async fn settled(&self) {
        let version = *self.version.borrow();
        let mut applied = self.applied.subscribe();
        let _ = tokio::time::timeout(SETTLE, applied.wait_for(|applied| *applied >= version)).await;
    }
}

/// One client's wish to hear of one resource. Dropping it takes the wish back.
pub struct Subscription {
    wishes: Arc<Wishes>,
    server: ServerName,
    uri: String,
}

impl Subscription {
    /// The server that has the resource.
    pub fn server(&self) -> &ServerName {
        &self.server
    }

    /// Waits until the server has been told, or a short while if it is not up.
    pub async fn settled(&self) {
        self.settling().await;
    }

    /// The same, for waiting without holding the subscription.
    pub fn settling(&self) -> impl Future<Output = ()> + Send + use<> {
        let wishes = Arc::clone(&self.wishes);
        async move { wishes.settled().await }
    }

    /// The resource.
    pub fn uri(&self) -> &str {
        &self.uri
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.wishes.remove(&self.uri);
    }
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Subscription({} at {})", self.uri, self.server())
    }
}

impl ServerHandle {
    /// Subscribes to a resource. The subscription outlives the server's generations, and its entry.
    pub fn subscribe(&self, uri: &str) -> Subscription {
        self.0.wishes.add(uri);
        // One that sleeps has nothing to tell; one that is awake does not mind.
        self.0.wake.notify_one();
        Subscription { wishes: Arc::clone(&self.0.wishes), server: self.name().clone(), uri: uri.to_owned() }
    }

    /// Whether the server says that its resources can be subscribed to.
    pub fn can_subscribe(&self) -> bool {
        self.offer().peer.as_ref().is_some_and(|peer| peer.declares_feature("resources", "subscribe"))
    }
}

/// Keeps a legacy server told of what is wanted. Never returns.
pub(super) async fn keep_told(link: &Link, shared: &Shared) {
    let mut changes = shared.wishes.changes();
    let mut told = BTreeSet::new();
    loop {
        let (wanted, version) = shared.wishes.current();
        for (uri, method) in wanted
            .difference(&told)
            .map(|uri| (uri, method::SUBSCRIBE))
            .chain(told.difference(&wanted).map(|uri| (uri, method::UNSUBSCRIBE)))
        {
            let params = format!(r#"{{"uri":{}}}"#, skim::quote(uri));
            if let Err(fault) = link.ask(method, &params, CONFIRM).await {
                debug!(server = %shared.config.name, method, uri, "{}", fault.error.message);
            }
        }
        told = wanted;
        shared.wishes.told(version);
        if changes.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_server_is_asked_once_for_what_many_want_and_told_when_the_last_has_gone() {
        let wishes = Wishes::default();
        wishes.add("a");
        wishes.add("a");
        assert_eq!(wishes.current(), (BTreeSet::from(["a".to_owned()]), 1));
        wishes.remove("a");
        assert_eq!(wishes.current().1, 1, "one is left who wants it");
        wishes.remove("a");
        assert_eq!(wishes.current(), (BTreeSet::new(), 2));
        wishes.told(2);
        wishes.settled().await;
    }
}
