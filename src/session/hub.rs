//! Everybody who listens for changes: legacy sessions' own streams and modern `subscriptions/listen` streams.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::broadcast;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::base::{Error, ErrorKind, FINGERPRINT, ServerName};
use crate::catalog::{CatalogHandle, Changed};
use crate::protocol::{RawId, method, skim, sse, write};
use crate::supervisor::{Fleet, LinkKey, News, OwnNews, Updated};
use crate::upstream::ListKind;

use super::notices::{self, Wants, acknowledgement, subscription_meta, under};
use super::queue::{self, Reader, Writer};
use super::resumable::Stream;
use super::sessions::Session;
use super::watched::Watched;

/// A silent stream gets a comment this often: proxies and browsers close a connection that is silent for half a
/// minute or a minute.
pub const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(15);

/// A session, by the fingerprint of its id.
type SessionId = [u8; FINGERPRINT];

/// Where a listener stands: whose changes are news there.
#[derive(Clone, Debug, Default)]
pub struct Vantage {
    /// The server's endpoint, or the merged one.
    pub endpoint: Option<ServerName>,
    /// The link beside the shared one that the listener's requests take there.
    pub own: Option<LinkKey>,
}

#[derive(Debug)]
pub(super) struct Listener {
    pub vantage: Vantage,
    pub wants: Wants,
    /// The id of the listen request, which a modern client finds in every notification.
    pub subscription: Option<RawId>,
    /// The legacy session whose stream it is.
    pub session: Option<SessionId>,
    pub watched: Arc<Watched>,
    /// The number of the last change of the catalog before it came.
    pub since: u64,
    pub line: Line,
}

/// How a listener is reached.
#[derive(Debug)]
pub(super) enum Line {
    /// A modern client's stream, which ends with its connection.
    Once(Writer),
    /// A legacy session's own stream, to which its client may come back.
    Lasting(Arc<Stream>),
}

impl Line {
    fn say(&self, message: &[u8]) {
        match self {
            Line::Once(writer) => {
                if writer.push(sse::event(None, &[message])).is_err() {
                    debug!("a reader of an event stream has gone, or was too slow and has been cut off");
                }
            }
            Line::Lasting(stream) => stream.push(message),
        }
    }
}

/// The listeners. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Hub(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    listeners: Mutex<HashMap<u64, Listener>>,
    catalog: CatalogHandle,
    next: AtomicU64,
    open: AtomicUsize,
    cap: AtomicUsize,
}

/// One of the streams that may be open at once. Dropping it gives it back.
#[derive(Debug)]
pub struct Place(Hub);

/// Hears of changes on somebody's stream. Dropping it ends that.
#[derive(Debug)]
pub struct Attached {
    key: u64,
    hub: Hub,
}

/// An open stream. Dropping it ends the listening.
#[derive(Debug)]
pub struct Listening {
    /// What arrives, as finished server-sent events.
    pub reader: Reader,
    key: u64,
    place: Place,
}

impl Hub {
    /// A hub for at most `cap` streams; it follows the catalog until `shutdown`, and then ends every stream in good
    /// order.
    pub fn start(catalog: &CatalogHandle, fleet: &Fleet, cap: usize, shutdown: CancellationToken) -> Hub {
        let (next, open) = (AtomicU64::new(0), AtomicUsize::new(0));
        let cap = AtomicUsize::new(cap);
        let inner = Inner { listeners: Mutex::default(), catalog: catalog.clone(), next, open, cap };
        let hub = Hub(Arc::new(inner));
        let (follower, changes, updates) = (hub.clone(), catalog.changes(), fleet.updates());
        let own = fleet.own_news();
        tokio::spawn(async move { follower.follow(changes, own, updates, shutdown).await });
        hub
    }

    /// Opens a modern client's stream at an endpoint; `subscription` is the id of its listen request. The acknowledgement
    /// is on the stream before anything else can be.
    pub fn listen(
        &self,
        vantage: Vantage,
        wants: Wants,
        watched: Arc<Watched>,
        subscription: RawId,
    ) -> Result<Listening, Error> {
        let place = self.place()?;
        let (writer, reader) = queue::queue();
        // The reader is in our hands, so the queue cannot be gone.
        let _ = writer.push(acknowledgement(&subscription, wants, &watched));
        let line = Line::Once(writer);
        let (subscription, session) = (Some(subscription), None);
        let since = self.0.catalog.told();
        let key = self.enter(Listener { vantage, wants, subscription, session, watched, since, line });
        Ok(Listening { reader, key, place })
    }

    /// Lets a legacy session's own stream hear of everything at an endpoint, until nobody has been connected to it for as
    /// long as things are kept.
    pub fn adopt(&self, vantage: Vantage, session: &Session, stream: Arc<Stream>) {
        self.enter(self.of_session(vantage, session, Line::Lasting(stream)));
    }

    /// Lets a stream that serves other ends too hear of everything at an endpoint, in the way of a legacy client.
    pub fn attach(&self, vantage: Vantage, session: &Session, writer: Writer) -> Attached {
        let key = self.enter(self.of_session(vantage, session, Line::Once(writer)));
        Attached { key, hub: self.clone() }
    }

    /// A place among the streams that may be open.
    pub fn place(&self) -> Result<Place, Error> {
        let cap = self.0.cap.load(Ordering::Relaxed);
        let below_cap = |open: usize| (open < cap).then_some(open + 1);
        match self.0.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, below_cap) {
            Ok(_) => Ok(Place(self.clone())),
            Err(_) => {
                let text =
                    format!("the gateway has {cap} event streams open, as many as it may (max_streams)");
                Err(Error::new(ErrorKind::Overloaded, text))
            }
        }
    }

    /// Takes another cap; streams above it stay open.
    pub fn set_cap(&self, cap: usize) {
        self.0.cap.store(cap, Ordering::Relaxed);
    }

    /// Streams that are open.
    pub fn streams(&self) -> usize {
        self.0.open.load(Ordering::Relaxed)
    }

    /// A legacy session's own stream, which hears of everything.
    fn of_session(&self, vantage: Vantage, session: &Session, line: Line) -> Listener {
        let watched = Arc::clone(session.watched());
        let (session, since) = (Some(session.key().0), self.0.catalog.told());
        Listener { vantage, wants: Wants::ALL, subscription: None, session, watched, since, line }
    }

    fn enter(&self, listener: Listener) -> u64 {
        let key = self.0.next.fetch_add(1, Ordering::Relaxed);
        self.lock().insert(key, listener);
        key
    }

    async fn follow(
        self,
        mut changes: broadcast::Receiver<Changed>,
        mut own: broadcast::Receiver<OwnNews>,
        mut updates: broadcast::Receiver<Updated>,
        shutdown: CancellationToken,
    ) {
        let everything: BTreeSet<ListKind> = ListKind::ALL.into_iter().collect();
        let mut tick = tokio::time::interval(KEEP_ALIVE_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return self.end_all(),
                change = changes.recv() => match change {
                    Ok(changed) => self.announce(&changed.kinds, |listener| {
                        changed.endpoint == listener.vantage.endpoint && changed.number > listener.since
                    }),
                    // Too far behind to know what was missed: everything may have changed.
                    Err(broadcast::error::RecvError::Lagged(_)) => self.announce(&everything, |_| true),
                    Err(broadcast::error::RecvError::Closed) => return self.end_all(),
                },
                news = own.recv() => match news {
                    Ok(own) => self.tell_owner(&own),
                    Err(broadcast::error::RecvError::Lagged(_)) => self.announce(&everything, |listener| listener.vantage.own.is_some()),
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

    fn announce(&self, kinds: &BTreeSet<ListKind>, concerns: impl Fn(&Listener) -> bool) {
        for listener in self.lock().values().filter(|listener| concerns(listener)) {
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
                    listener.line.say(&write::notification(method, params.as_deref()));
                }
            }
        }
    }

    /// Tells those whose link it is what has come there.
    fn tell_owner(&self, own: &OwnNews) {
        let at_link = |at: &Vantage| {
            at.endpoint.as_ref() == Some(&own.server) && at.own.as_ref().is_some_and(|key| own.concerns(key))
        };
        match &own.news {
            News::Lists(kinds) => self.announce(kinds, |listener| at_link(&listener.vantage)),
            News::Said(note) => {
                let level = notices::level_of(note);
                // A modern client hears log lines on the streams of its calls and nowhere else.
                for listener in self.lock().values().filter(|listener| listener.subscription.is_none()) {
                    let owner =
                        listener.session.is_some_and(|id| own.is_of(&id)) || at_link(&listener.vantage);
                    let wanted =
                        listener.watched.level().zip(level).is_none_or(|(from, level)| level >= from);
                    if owner && wanted {
                        listener.line.say(note.text());
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
            listener.line.say(&write::notification(method::RESOURCE_UPDATED, Some(&params)));
        }
    }

    /// Tells the holder of a task what its server has said of it: the session in which the task was made, or the modern
    /// client that follows it. `id` is the holder's own, and `note` the notification with it.
    pub fn task(&self, id: &str, session: Option<SessionId>, note: &Bytes) {
        for listener in self.lock().values() {
            match &listener.subscription {
                Some(subscription) if listener.watched.follows(id) => {
                    listener.line.say(&under(subscription, note));
                }
                None if session.is_some() && listener.session == session => listener.line.say(note),
                _ => {}
            }
        }
    }

    /// Keeps silent streams open, lets clients that poll go, and lets go of streams to which nobody came back.
    fn keep_alive(&self) {
        self.lock().retain(|_, listener| match &listener.line {
            Line::Once(writer) => {
                let _ = writer.push_if_idle(sse::KEEP_ALIVE);
                true
            }
            Line::Lasting(stream) => {
                stream.keep_alive();
                stream.hang_up();
                let stays = !stream.is_over() && stream.alone_for() < stream.age();
                if !stays {
                    stream.retire();
                }
                stays
            }
        });
    }

    fn end_all(&self) {
        for listener in self.lock().values() {
            match &listener.line {
                Line::Once(writer) => listener.conclude(writer),
                Line::Lasting(stream) => stream.farewell(),
            }
        }
    }

    pub(super) fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Listener>> {
        self.0.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener {
    /// Ends the stream for good.
    pub fn end(&self) {
        match &self.line {
            Line::Once(writer) => self.conclude(writer),
            Line::Lasting(stream) => stream.retire(),
        }
    }

    /// A modern listen request is answered when the gateway ends it (2026-07-28, `basic/patterns/subscriptions`,
    /// "Graceful Closure").
    fn conclude(&self, writer: &Writer) {
        if let Some(id) = &self.subscription {
            let result = format!(r#"{{"resultType":"complete",{}}}"#, subscription_meta(id));
            let _ = writer.push(sse::event(None, &[&write::result(id, result.as_bytes())]));
        }
        writer.end();
    }

    /// Whether somebody is at the other end; a client that has lost its stream may come back.
    pub fn is_connected(&self) -> bool {
        match &self.line {
            Line::Once(writer) => !writer.is_gone(),
            Line::Lasting(stream) => stream.is_connected(),
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let removed = self.place.0.lock().remove(&self.key);
        drop(removed);
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        let removed = self.hub.lock().remove(&self.key);
        drop(removed);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
