//! Subscriptions of clients to resources of one server, and how the server is told of them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tracing::debug;

use crate::base::backoff::Backoff;
use crate::base::{FINGERPRINT, ServerName, random};
use crate::protocol::{Kind, method, skim};
use crate::upstream::Link;

use super::handle::{ServerHandle, Shared, Updated};
use super::wishes::{Topic, Wishes};

/// Waits before a server is asked again for what it has refused: it may not have had the resource yet.
const AGAIN: Backoff = Backoff { base: Duration::from_millis(500), cap: Duration::from_secs(60) };
/// How long a server may take to confirm one subscription.
const CONFIRM: Duration = Duration::from_secs(10);

/// One client's wish to hear of one resource, or of one task. Dropping it takes the wish back.
pub struct Subscription {
    wishes: Arc<Wishes>,
    server: ServerName,
    topic: Topic,
}

impl Subscription {
    /// The server that has it.
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

    /// The URI of the resource, or the server's own id of the task.
    pub fn name(&self) -> &str {
        self.topic.name()
    }

    /// Whether this is the update that was wished for: of this resource, and said on the link that was asked.
    pub fn covers(&self, updated: &Updated) -> bool {
        matches!(&self.topic, Topic::Resource(uri) if *uri == updated.uri)
            && Arc::ptr_eq(&self.wishes, &updated.wishes)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.wishes.remove(&self.topic);
    }
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Subscription({} at {})", self.name(), self.server())
    }
}

impl ServerHandle {
    /// Subscribes to a resource. The subscription outlives the server's generations, and its entry.
    pub fn subscribe(&self, uri: &str) -> Subscription {
        self.wish(Topic::Resource(uri.to_owned()))
    }

    /// Asks the server to tell of a task. What has been said of the subscription holds for this one too.
    pub fn follow_task(&self, id: &str) -> Subscription {
        self.wish(Topic::Task(id.to_owned()))
    }

    /// What tells the tasks of this link from those of the server's others; none for the shared one.
    pub fn scope(&self) -> Option<[u8; FINGERPRINT]> {
        self.0.member.as_ref().map(|member| member.key.print())
    }

    fn wish(&self, topic: Topic) -> Subscription {
        self.0.wishes.add(&topic);
        // One that sleeps has nothing to tell; one that is awake does not mind.
        self.0.wake.notify_one();
        Subscription { wishes: Arc::clone(&self.0.wishes), server: self.name().clone(), topic }
    }

    /// Whether the server says that its resources can be subscribed to.
    pub fn can_subscribe(&self) -> bool {
        self.offer().peer.as_ref().is_some_and(|peer| peer.declares_feature("resources", "subscribe"))
    }
}

/// Keeps a legacy server told of what is wanted; what it refuses is asked for again, ever more rarely. Never returns.
pub(super) async fn keep_told(link: &Link, shared: &Shared) {
    let mut changes = shared.wishes.changes();
    let (mut told, mut failures) = (BTreeSet::new(), 0);
    loop {
        let (wanted, version) = shared.wishes.current();
        // A server of the older era tells of tasks unasked, if at all.
        let resource = |topic: Topic| match topic {
            Topic::Resource(uri) => Some(uri),
            Topic::Task(_) => None,
        };
        let wanted: BTreeSet<String> = wanted.into_iter().filter_map(resource).collect();
        let mut subscribed = BTreeSet::new();
        for (uri, method) in wanted
            .difference(&told)
            .map(|uri| (uri, method::SUBSCRIBE))
            .chain(told.difference(&wanted).map(|uri| (uri, method::UNSUBSCRIBE)))
        {
            let params = format!(r#"{{"uri":{}}}"#, skim::quote(uri));
            match link.ask(method, &params, CONFIRM).await {
                Ok(reply) if reply.kind() == Kind::Error => {
                    debug!(server = %shared.config.name, method, uri, error = reply.payload(), "refused");
                }
                Ok(_) => drop(subscribed.insert(uri.clone())),
                Err(fault) => {
                    debug!(server = %shared.config.name, method, uri, "{}", fault.error.message);
                }
            }
        }
        subscribed.extend(told);
        told = &subscribed & &wanted;
        shared.wishes.told(version);
        let behind = told.len() < wanted.len();
        failures = if behind { failures + 1 } else { 0 };
        tokio::select! {
            changed = changes.changed() => if changed.is_err() {
                return std::future::pending().await;
            },
            () = tokio::time::sleep(AGAIN.delay(failures, random::next_u64())), if behind => {}
        }
    }
}
