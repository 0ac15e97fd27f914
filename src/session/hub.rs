//! Everybody who listens for changes: legacy GET streams and modern `subscriptions/listen` streams.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::broadcast;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::base::{Error, ErrorKind, ServerName};
use crate::catalog::{CatalogHandle, Changed};
use crate::protocol::params::key;
use crate::protocol::{RawId, method, skim, sse, write};
use crate::supervisor::{Fleet, Updated};
use crate::upstream::ListKind;

use super::queue::{self, Reader, Writer};
use super::watched::Watched;

/// A silent stream gets a comment this often: proxies and browsers close a connection that is silent for half a
/// minute or a minute.
pub const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(15);

/// Which changes a listener wants to hear of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// Of tools.
    pub tools: bool,
    /// Of prompts.
    pub prompts: bool,
    /// Of resources and templates.
    pub resources: bool,
}

impl Wants {
    /// All of them, as every legacy client does.
    pub const ALL: Wants = Wants { tools: true, prompts: true, resources: true };
}

#[derive(Debug)]
struct Listener {
    endpoint: Option<ServerName>,
    wants: Wants,
    /// The id of the listen request, which a modern client finds in every notification.
    subscription: Option<RawId>,
    watched: Arc<Watched>,
    writer: Writer,
}

/// The listeners. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Hub(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    listeners: Mutex<HashMap<u64, Listener>>,
    next: AtomicU64,
    cap: usize,
}

/// An open stream. Dropping it ends the listening.
#[derive(Debug)]
pub struct Listening {
    /// What arrives, as finished server-sent events.
    pub reader: Reader,
    /// Through which whoever opened the stream can say more on it, or end it.
    pub writer: Writer,
    key: u64,
    hub: Hub,
}

impl Hub {
    /// A hub for at most `cap` streams; it follows the catalog until `shutdown`, and then ends every stream in good
    /// order.
    pub fn start(catalog: &CatalogHandle, fleet: &Fleet, cap: usize, shutdown: CancellationToken) -> Hub {
        let hub = Hub(Arc::new(Inner { listeners: Mutex::default(), next: AtomicU64::new(0), cap }));
        let (follower, changes, updates) = (hub.clone(), catalog.changes(), fleet.updates());
        tokio::spawn(async move { follower.follow(changes, updates, shutdown).await });
        hub
    }

    /// Opens a stream at an endpoint. For a modern client `subscription` is the id of its listen request; the
    /// acknowledgement is on the stream before anything else can be.
    pub fn listen(
        &self,
        endpoint: Option<ServerName>,
        wants: Wants,
        watched: Arc<Watched>,
        subscription: Option<RawId>,
    ) -> Result<Listening, Error> {
        let (writer, reader) = queue::queue();
        if let Some(id) = &subscription {
            // The reader is in our hands, so the queue cannot be gone.
            let _ = writer.push(acknowledgement(id, wants, &watched.uris()));
        }
        let key = self.0.next.fetch_add(1, Ordering::Relaxed);
        let mut listeners = self.lock();
        if listeners.len() >= self.0.cap {
            let text =
                format!("the gateway has {} event streams open, as many as it may (max_streams)", self.0.cap);
            return Err(Error::new(ErrorKind::Overloaded, text));
        }
        listeners.insert(key, Listener { endpoint, wants, subscription, watched, writer: writer.clone() });
        drop(listeners);
        Ok(Listening { reader, writer, key, hub: self.clone() })
    }

    /// Streams that are open.
    pub fn streams(&self) -> usize {
        self.lock().len()
    }

    async fn follow(
        self,
        mut changes: broadcast::Receiver<Changed>,
        mut updates: broadcast::Receiver<Updated>,
        shutdown: CancellationToken,
    ) {
        let mut tick = tokio::time::interval(KEEP_ALIVE_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return self.end_all(),
                change = changes.recv() => match change {
                    Ok(changed) => self.announce(Some(&changed)),
                    // Too far behind to know what was missed: everything may have changed.
                    Err(broadcast::error::RecvError::Lagged(_)) => self.announce(None),
                    Err(broadcast::error::RecvError::Closed) => return self.end_all(),
                },
                updated = updates.recv() => match updated {
                    Ok(updated) => self.update(&updated),
                    // What was missed is heard of with the next update of the same resource.
                    Err(broadcast::error::RecvError::Lagged(missed)) => debug!(missed, "updates came too fast"),
                    Err(broadcast::error::RecvError::Closed) => return self.end_all(),
                },
                _ = tick.tick() => self.keep_alive(),
            }
        }
    }

    fn announce(&self, changed: Option<&Changed>) {
        let everything: BTreeSet<ListKind> = ListKind::ALL.into_iter().collect();
        for listener in self.lock().values() {
            let kinds = match changed {
                None => &everything,
                Some(changed) if changed.endpoint == listener.endpoint => &changed.kinds,
                Some(_) => continue,
            };
            for (wanted, kind, method) in [
                (listener.wants.tools, kinds.contains(&ListKind::Tools), method::TOOLS_CHANGED),
                (listener.wants.prompts, kinds.contains(&ListKind::Prompts), method::PROMPTS_CHANGED),
                (
                    listener.wants.resources,
                    kinds.contains(&ListKind::Resources) || kinds.contains(&ListKind::Templates),
                    method::RESOURCES_CHANGED,
                ),
            ] {
                if wanted && kind {
                    let params = listener
                        .subscription
                        .as_ref()
                        .map(subscription_meta)
                        .map(|meta| format!("{{{meta}}}"));
                    let text = write::notification(method, params.as_deref());
                    if listener.writer.push(sse::event(None, &[&text])).is_err() {
                        debug!(method, "a reader of an event stream was too slow and has been cut off");
                    }
                }
            }
        }
    }

    fn update(&self, updated: &Updated) {
        let uri = skim::quote(&updated.uri);
        for listener in self.lock().values().filter(|listener| listener.watched.covers(updated)) {
            let params = match &listener.subscription {
                Some(id) => format!(r#"{{{},"uri":{uri}}}"#, subscription_meta(id)),
                None => format!(r#"{{"uri":{uri}}}"#),
            };
            let text = write::notification(method::RESOURCE_UPDATED, Some(&params));
            let _ = listener.writer.push(sse::event(None, &[&text]));
        }
    }

    fn keep_alive(&self) {
        for listener in self.lock().values() {
            let _ = listener.writer.push_if_idle(sse::KEEP_ALIVE);
        }
    }

    /// A modern listen request is answered when the gateway ends it (2026-07-28, `basic/patterns/subscriptions`,
    /// "Graceful Closure").
    fn end_all(&self) {
        for listener in self.lock().values() {
            if let Some(id) = &listener.subscription {
                let result = format!(r#"{{"resultType":"complete",{}}}"#, subscription_meta(id));
                let _ = listener.writer.push(sse::event(None, &[&write::result(id, result.as_bytes())]));
            }
            listener.writer.end();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Listener>> {
        self.0.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.hub.lock().remove(&self.key);
    }
}

fn subscription_meta(id: &RawId) -> String {
    format!(r#""_meta":{{"{}":{}}}"#, key::SUBSCRIPTION_ID, String::from_utf8_lossy(id.as_bytes()))
}

fn acknowledgement(id: &RawId, wants: Wants, uris: &[String]) -> Bytes {
    let mut accepted: Vec<String> = [
        (wants.tools, r#""toolsListChanged":true"#),
        (wants.prompts, r#""promptsListChanged":true"#),
        (wants.resources, r#""resourcesListChanged":true"#),
    ]
    .into_iter()
    .filter(|(wanted, _)| *wanted)
    .map(|(_, field)| field.to_owned())
    .collect();
    if !uris.is_empty() {
        let uris: Vec<String> = uris.iter().map(|uri| skim::quote(uri)).collect();
        accepted.push(format!(r#""resourceSubscriptions":[{}]"#, uris.join(",")));
    }
    let params = format!(r#"{{{},"notifications":{{{}}}}}"#, subscription_meta(id), accepted.join(","));
    sse::event(None, &[&write::notification(method::ACKNOWLEDGED, Some(&params))])
}
