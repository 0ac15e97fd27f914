//! Where supervised servers are made: the one that all clients share, and those of its pool.

use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, OnceLock};

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::{Notify, Semaphore, broadcast, mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::base::{Era, random};
use crate::config::{self, Start};
use crate::telemetry::{RequestMetrics, names};

use super::admission::{Fuse, Pulse};
use super::event::ServerEvent;
use super::generation::Resources;
use super::handle::{COMMANDS, ServerHandle, Shared, Status, Updated};
use super::machine::State;
use super::operator::Operated;
use super::owner::Owner;
use super::pool::{LinkKey, Membership, OwnNews, Pool};
use super::snapshot::Offer;
use super::tasknote::TaskNote;
use super::wishes::Wishes;

/// What all servers of a fleet are made with.
#[derive(Clone)]
pub(super) struct Yard {
    pub resources: Resources,
    /// Bumped whenever an offer has changed, of any server, or one has come or gone.
    pub changes: watch::Sender<u64>,
    pub updates: broadcast::Sender<Updated>,
    pub task_notes: broadcast::Sender<TaskNote>,
    pub own_news: broadcast::Sender<OwnNews>,
    pub events: broadcast::Sender<ServerEvent>,
    pub shutdown: CancellationToken,
    pub owners: TaskTracker,
}

impl Yard {
    /// Makes the server that all share who need nothing of their own, and its owner, which is not running yet. What
    /// clients have told the one that it follows holds for it too.
    pub fn server(
        &self,
        config: config::Server,
        offer: Offer,
        before: Option<&ServerHandle>,
    ) -> (ServerHandle, Owner) {
        let (commands, received) = mpsc::channel(COMMANDS);
        let before = before.map(|before| &*before.0);
        let generation = before.map_or(0, |before| before.status.borrow().generation);
        let name = config.name.clone();
        let shared = Shared {
            instance: random::next_u64(),
            offer: ArcSwap::from_pointee(offer.clone()),
            live: ArcSwapOption::empty(),
            status: watch::Sender::new(first_status(&config, &offer, before)),
            permits: Arc::new(Semaphore::new(config.max_in_flight)),
            resting: watch::Sender::new(0),
            waiting: AtomicUsize::new(0),
            fuse: Fuse::new(&name, config.breaker, Some(self.events.clone())),
            pulse: Pulse::new(),
            commands,
            wake: Notify::new(),
            refresh: Notify::new(),
            log_level: watch::Sender::new(before.and_then(|before| *before.log_level.borrow())),
            metrics: Arc::new(RequestMetrics::for_server(name.as_str())),
            queue_wait: names::QUEUE_WAIT.histogram(&[name.as_str()]),
            operated: Operated::after(before.map(|before| &before.operated), self.events.clone()),
            wishes: before.map(|before| Arc::clone(&before.wishes)).unwrap_or_default(),
            updates: self.updates.clone(),
            task_notes: self.task_notes.clone(),
            own_news: self.own_news.clone(),
            changes: self.changes.clone(),
            joined: AtomicBool::new(false),
            retired: OnceLock::new(),
            leave: self.shutdown.child_token(),
            gone: CancellationToken::new(),
            pool: None,
            member: None,
            credential: self.resources.credential(&config),
            config,
        };
        let model = Model {
            yard: self.clone(),
            config: shared.config.clone(),
            log_level: shared.log_level.clone(),
            metrics: Arc::clone(&shared.metrics),
            leave: shared.leave.clone(),
        };
        let links = shared.config.links;
        let make = move |pool: &Arc<Pool>, key: &LinkKey, wishes, era| model.member(pool, key, wishes, era);
        let shared = Shared { pool: Some(Arc::new(Pool::new(&name, links, Box::new(make)))), ..shared };
        let shared = Arc::new(shared);
        let owner = Owner::new(Arc::clone(&shared), self.resources.clone(), received, generation);
        (ServerHandle(shared), owner)
    }
}

/// What the members of a pool are made after.
struct Model {
    yard: Yard,
    config: config::Server,
    log_level: watch::Sender<Option<crate::base::Level>>,
    metrics: Arc<RequestMetrics>,
    /// Ends the server, and its members with it.
    leave: CancellationToken,
}

impl Model {
    /// Starts a server for one link of a pool. It counts under the server's name, and its state speaks for nobody.
    fn member(
        &self,
        pool: &Arc<Pool>,
        key: &LinkKey,
        wishes: Arc<Wishes>,
        era: Option<Era>,
    ) -> (ServerHandle, CancellationToken) {
        let (commands, received) = mpsc::channel(COMMANDS);
        // Somebody calls it, or it would not be made; the pool closes it.
        let config = config::Server { start: Start::Eager, idle_stop: None, ..self.config.clone() };
        let end = self.leave.child_token();
        let shared = Arc::new(Shared {
            instance: random::next_u64(),
            offer: ArcSwap::default(),
            live: ArcSwapOption::empty(),
            status: watch::Sender::new(first_status(&config, &Offer::default(), None)),
            permits: Arc::new(Semaphore::new(config.max_in_flight)),
            resting: watch::Sender::new(0),
            waiting: AtomicUsize::new(0),
            fuse: Fuse::new(&config.name, config.breaker, None),
            pulse: Pulse::new(),
            commands,
            wake: Notify::new(),
            refresh: Notify::new(),
            log_level: self.log_level.clone(),
            metrics: Arc::clone(&self.metrics),
            queue_wait: names::QUEUE_WAIT.histogram(&[config.name.as_str()]),
            operated: Operated::after(None, self.yard.events.clone()),
            wishes,
            updates: self.yard.updates.clone(),
            task_notes: self.yard.task_notes.clone(),
            own_news: self.yard.own_news.clone(),
            changes: watch::Sender::new(0),
            joined: AtomicBool::new(false),
            retired: OnceLock::new(),
            leave: end.clone(),
            gone: CancellationToken::new(),
            pool: None,
            member: Some(Membership { key: key.clone(), era }),
            credential: self.yard.resources.credential(&config),
            config,
        });
        let handle = ServerHandle(Arc::clone(&shared));
        let owner = Owner::new(shared, self.yard.resources.clone(), received, 0).run(end.clone());
        self.yard.owners.spawn(live_in(Arc::clone(pool), handle.clone(), owner));
        (handle, end)
    }
}

/// The life of a pool's member: until it ends by itself, or is closed because nobody uses it.
async fn live_in(pool: Arc<Pool>, handle: ServerHandle, owner: impl Future<Output = ()>) {
    tokio::pin!(owner);
    loop {
        tokio::select! {
            () = &mut owner => break,
            () = tokio::time::sleep_until(pool.due(&handle)) => {
                if pool.retire(&handle, false) {
                    owner.await;
                    break;
                }
                // A call is in flight, which is a use; or somebody has just come.
                handle.0.pulse.use_now();
            }
        }
    }
    pool.retire(&handle, true);
}

/// A server is wanted from the moment it exists, so nobody who comes early is told that it is stopped. A lazy one of
/// which nothing is known has to be asked once: nobody can call what is not listed.
fn first_status(config: &config::Server, offer: &Offer, before: Option<&Shared>) -> Status {
    let sleeps = config.start == Start::Lazy && offer.peer.is_some();
    let out_of_service = before.is_some_and(|before| before.operated.instead().is_some());
    let state = match (out_of_service, sleeps) {
        (true, _) => State::Stopped,
        (false, true) => State::Dormant,
        (false, false) => State::Starting,
    };
    let (generation, restarts) = before.map_or((0, 0), |before| {
        let status = before.status.borrow();
        (status.generation, status.restarts)
    });
    Status { state, generation, pid: None, last_error: None, since: Instant::now(), restarts }
}
