//! The face of one supervised server: what it offers, how it is doing, and the way in for calls.

use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use metrics::Histogram;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, broadcast, mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::base::{Error, ErrorKind, Level, ServerName};
use crate::config;
use crate::credentials::Credential;
use crate::telemetry::RequestMetrics;
use crate::upstream::{Audience, Link, Peer};

use super::admission::{Admission, Fuse, Pulse};
use super::breaker::BreakerState;
use super::hint::{retry_after, seconds_until};
use super::machine::{Next, State};
use super::operator::Operated;
use super::pool::{Membership, OwnNews, Pool, lost_link};
use super::snapshot::Offer;
use super::tasknote::TaskNote;
use super::waiter::Waiter;
use super::wishes::Wishes;

/// A server that can be called now.
#[derive(Debug)]
pub struct Live {
    /// Which start of the server this is.
    pub generation: u64,
    /// The way to it.
    pub link: Link,
    /// What it said of itself.
    pub peer: Arc<Peer>,
}

/// How a server is doing.
#[derive(Clone, Debug)]
pub struct Status {
    /// Its state.
    pub state: State,
    /// The number of its last start.
    pub generation: u64,
    /// Its process, while there is one.
    pub pid: Option<u32>,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// Since when it is in this state.
    pub since: Instant,
    /// How often it has been started again after a fall.
    pub restarts: u64,
}

/// A resource has changed.
#[derive(Clone, Debug)]
pub struct Updated {
    /// The server that said so.
    pub server: ServerName,
    /// The resource.
    pub uri: String,
    /// The wishes of those whom it tells: of everybody, or of who has a link of their own.
    pub(super) wishes: Arc<Wishes>,
}

/// What an operator, or the app, may ask for.
#[derive(Debug)]
pub(super) enum Command {
    Start,
    Stop,
    Restart,
}

/// A handle to one supervised server. Cloning is cheap.
#[derive(Clone)]
pub struct ServerHandle(pub(super) Arc<Shared>);

/// What owner and handles share. The request path reads it and takes no lock that a slow task can hold.
pub(super) struct Shared {
    /// Tells it from every other, also from one of the same name before.
    pub instance: u64,
    pub config: config::Server,
    /// Who the gateway is to the server; its links share it.
    pub credential: Option<Arc<Credential>>,
    pub live: ArcSwapOption<Live>,
    pub offer: ArcSwap<Offer>,
    pub status: watch::Sender<Status>,
    pub permits: Arc<Semaphore>,
    /// Calls in flight without a place, because they wait for their clients.
    pub resting: watch::Sender<usize>,
    /// Calls that wait for a place, or for the server to come up.
    pub waiting: AtomicUsize,
    pub fuse: Fuse,
    pub pulse: Pulse,
    pub commands: mpsc::Sender<Command>,
    /// Somebody calls a server that sleeps.
    pub wake: Notify,
    pub refresh: Notify,
    /// The lowest log level that anybody has asked for.
    pub log_level: watch::Sender<Option<Level>>,
    pub metrics: Arc<RequestMetrics>,
    pub queue_wait: Histogram,
    /// What an operator has said of it, and sees of it.
    pub operated: Operated,
    /// Resources that somebody wants to hear of; the server that follows after a reload shares them.
    pub wishes: Arc<Wishes>,
    /// Where their updates are announced.
    pub updates: broadcast::Sender<Updated>,
    /// Where what it says of tasks is announced.
    pub task_notes: broadcast::Sender<TaskNote>,
    /// Where what comes on links of the pool, and belongs to no call, is announced.
    pub own_news: broadcast::Sender<OwnNews>,
    /// Bumped whenever an offer has changed, of any server.
    pub changes: watch::Sender<u64>,
    /// Whether it is in the fleet, and not yet on its way there.
    pub joined: AtomicBool,
    /// Set when it has been taken out of the fleet.
    pub retired: OnceLock<Retired>,
    /// Tells the owner to stop the server for good.
    pub leave: CancellationToken,
    /// Fires when nothing of the server is left.
    pub gone: CancellationToken,
    /// The links beside this one; a link of the pool has none.
    pub pool: Option<Arc<Pool>>,
    /// What this is, if it is a link of a pool.
    pub member: Option<Membership>,
}

/// Why a server is no longer in the fleet.
#[derive(Clone, Debug)]
pub(super) enum Retired {
    /// Its entry has changed: this one serves now.
    Replaced(ServerHandle),
    /// Its entry has gone.
    Removed,
}

impl Shared {
    /// Whether this is the server itself, and not a link of its pool: only then its lists and its state are the
    /// server's.
    pub fn speaks_for_server(&self) -> bool {
        self.member.is_none()
    }

    /// Whom its links ask.
    pub fn audience(&self) -> Audience {
        self.member.as_ref().map_or_else(Audience::default, |member| Audience {
            declared: member.key.declared,
            owned: member.owned(),
        })
    }

    /// Calls in flight.
    pub fn in_flight(&self) -> usize {
        self.config.max_in_flight.saturating_sub(self.permits.available_permits()) + *self.resting.borrow()
    }

    /// Takes the server away from callers, unless a call is in flight or somebody hears of its resources. A call takes its place before it looks at
    /// `live`; so it has either been seen here, or sees that the server is gone, and waits for the next generation.
    pub fn close_if_idle(&self) -> bool {
        let places = u32::try_from(self.config.max_in_flight).unwrap_or(u32::MAX);
        if !self.wishes.is_empty() {
            return false;
        }
        let Ok(_all) = self.permits.try_acquire_many(places) else { return false };
        if *self.resting.borrow() > 0 {
            return false;
        }
        self.live.store(None);
        true
    }
}

/// Why a server is not available that a reload has taken out.
const REMOVED: &str = "has been removed from the configuration";
/// Commands that may wait for an owner that is busy with the one before.
pub(super) const COMMANDS: usize = 8;
/// How long a call waits for a place at a server that has as many calls in flight as it may. Longer queues only
/// hide an overload; a client that is told can back off.
pub(super) const PLACE_WAIT: Duration = Duration::from_secs(5);
/// What a caller is told who met a full queue: by then the calls that hold it up have ended or been refused.
pub(super) const PLACE_RETRY: u64 = PLACE_WAIT.as_secs();

/// A rest that a caller waits for: the first attempts after a fall follow this closely. Longer ones are told.
const SHORT_REST: Duration = Duration::from_secs(2);

impl ServerHandle {
    /// The server's name.
    pub fn name(&self) -> &ServerName {
        &self.0.config.name
    }

    /// What tells it from every other, also from one of the same name that was there before.
    pub fn instance(&self) -> u64 {
        self.0.instance
    }

    /// The server's entry in the configuration.
    pub fn config(&self) -> &config::Server {
        &self.0.config
    }

    /// What the server offers, as last read; nothing while an operator has taken it out of service.
    pub fn offer(&self) -> Arc<Offer> {
        self.0.operated.instead().unwrap_or_else(|| self.0.offer.load_full())
    }

    /// How the server is doing; follow it with `changed()`.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.0.status.subscribe()
    }

    /// The server as it is now, if it can be called now.
    pub fn live(&self) -> Option<Arc<Live>> {
        self.0.live.load_full()
    }

    /// Calls in flight.
    pub fn in_flight(&self) -> usize {
        self.0.in_flight()
    }

    /// Whether the server sleeps until somebody calls it; its lists are known.
    pub fn is_dormant(&self) -> bool {
        matches!(self.0.status.borrow().state, State::Dormant | State::Stopping { next: Next::Dormant })
    }

    /// What its breaker does with calls.
    pub fn breaker(&self) -> BreakerState {
        self.0.fuse.state()
    }

    /// Lets a call in: waits for a server that is coming up, and for a free place, and says clearly why not.
    ///
    /// `newer_than` is the generation at which the call has been tried in vain; 0 for a first attempt.
    pub async fn admit(&self, newer_than: u64) -> Result<Admission, Error> {
        let mut follower;
        let (mut server, mut newer_than) = (self, newer_than);
        loop {
            match server.0.retired.get() {
                None => match server.admit_here(newer_than).await {
                    // It has left while the call waited.
                    Err(_) if server.0.retired.get().is_some() => {}
                    admitted => return admitted,
                },
                Some(Retired::Replaced(next)) => {
                    follower = next.clone();
                    (server, newer_than) = (&follower, 0);
                }
                Some(Retired::Removed) => return Err(server.unavailable(REMOVED)),
            }
        }
    }

    async fn admit_here(&self, newer_than: u64) -> Result<Admission, Error> {
        // The common case takes no await.
        if let Ok(permit) = Arc::clone(&self.0.permits).try_acquire_owned()
            && let Some(admission) = self.enter(permit, newer_than)?
        {
            return Ok(admission);
        }
        let shared = &self.0;
        let _waiter =
            Waiter::enter(&shared.waiting, shared.config.max_in_flight).ok_or_else(|| self.overloaded())?;
        let since = Instant::now();
        let admitted = self.admit_later(newer_than, since + shared.config.start_timeout).await;
        shared.queue_wait.record(since.elapsed());
        admitted
    }

    /// With a place, the server as it is now; `None` if there is none to be called.
    fn enter(&self, permit: OwnedSemaphorePermit, newer_than: u64) -> Result<Option<Admission>, Error> {
        let Some(live) = self.live().filter(|live| live.generation > newer_than) else { return Ok(None) };
        let ticket = self.0.fuse.admit(Instant::now())?;
        Ok(Some(Admission::new(live, &self.0, ticket, permit)))
    }

    async fn admit_later(&self, newer_than: u64, deadline: Instant) -> Result<Admission, Error> {
        loop {
            self.wait_until_live(newer_than).await?;
            // Who would be refused in the end is not kept waiting for a place.
            if let Some(refusal) = self.0.fuse.refuses(Instant::now()) {
                return Err(refusal);
            }
            let place = tokio::time::timeout(PLACE_WAIT, Arc::clone(&self.0.permits).acquire_owned()).await;
            let Ok(Ok(permit)) = place else { return Err(self.overloaded()) };
            if let Some(admission) = self.enter(permit, newer_than)? {
                return Ok(admission);
            }
            if Instant::now() >= deadline {
                return Err(self.unavailable("does not stay up"));
            }
        }
    }

    fn overloaded(&self) -> Error {
        let text = format!(
            "server '{}' has {} calls in flight, as many as it may (max_in_flight); try again later",
            self.name(),
            self.0.config.max_in_flight
        );
        Error::new(ErrorKind::Overloaded, text).with_data(retry_after(PLACE_RETRY))
    }

    /// Waits for a generation newer than `newer_than` that is coming up, at most as long as a start may take, and wakes
    /// a server that sleeps. One that rests for long after failures is not waited for.
    pub async fn wait_until_live(&self, newer_than: u64) -> Result<Arc<Live>, Error> {
        let mut status = self.0.status.subscribe();
        let arrival = async {
            loop {
                if let Some(live) = self.live().filter(|live| live.generation > newer_than) {
                    return Ok(live);
                }
                if self.is_lost(&status.borrow_and_update().state) {
                    return Err(lost_link(self.name()));
                }
                let hopeless = match &status.borrow_and_update().state {
                    State::Failed { reason, retry_at } => Some((reason.clone(), Some(*retry_at))),
                    State::Backoff { reason, until, .. } if *until > Instant::now() + SHORT_REST => {
                        Some((reason.clone(), Some(*until)))
                    }
                    State::Stopped | State::Stopping { next: Next::Stopped } => {
                        let why =
                            if self.is_disabled() { "has been taken out of service" } else { "is stopped" };
                        Some((why.to_owned(), None))
                    }
                    State::Dormant | State::Stopping { next: Next::Dormant } => {
                        self.0.wake.notify_one();
                        None
                    }
                    _ => None,
                };
                if let Some((reason, next_try)) = hopeless {
                    let error = self.unavailable(&reason);
                    return Err(match next_try {
                        Some(at) => error.with_data(retry_after(seconds_until(at))),
                        None => error,
                    });
                }
                if status.changed().await.is_err() {
                    return Err(self.unavailable("is stopped"));
                }
            }
        };
        match tokio::time::timeout(self.0.config.start_timeout, arrival).await {
            Ok(arrived) => arrived,
            Err(_) => {
                let reason = self.0.status.borrow().last_error.clone();
                Err(self.unavailable(&reason.unwrap_or_else(|| "is still starting".to_owned())))
            }
        }
    }

    /// Whether this was one session's own, and has ended.
    fn is_lost(&self, state: &State) -> bool {
        matches!(state, State::Stopped | State::Stopping { next: Next::Stopped })
            && self.0.member.as_ref().is_some_and(Membership::one_life)
    }

    /// Says that somebody has used the lists, so that they are read again in the background if they are old.
    pub fn lists_used(&self) {
        self.0.refresh.notify_one();
    }

    /// Says that somebody wants log messages from `level` on. The server is told the lowest of all such wishes.
    pub fn want_log_level(&self, level: Level) {
        self.0.log_level.send_if_modified(|wanted| {
            let lower = wanted.is_none_or(|wanted| level < wanted);
            if lower {
                *wanted = Some(level);
            }
            lower
        });
    }

    /// Where requests to this server are counted.
    pub fn metrics(&self) -> &RequestMetrics {
        &self.0.metrics
    }

    fn unavailable(&self, reason: &str) -> Error {
        let text = format!("server '{}' is not available: it {reason}", self.name());
        Error::new(ErrorKind::Unavailable, text)
    }
}

impl std::fmt::Debug for ServerHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ServerHandle").field(self.name()).finish()
    }
}
