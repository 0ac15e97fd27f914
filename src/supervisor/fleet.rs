//! All servers together: who is in the fleet now.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use tokio::sync::{Semaphore, broadcast, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::base::{FINGERPRINT, ServerName};
use crate::config;
use crate::credentials::Credentials;
use crate::store::{Store, StoredCatalog};
use crate::telemetry::names;

use super::event::ServerEvent;
use super::generation::Resources;
use super::handle::{ServerHandle, Updated};
use super::launch::{Surroundings, era_key};
use super::pool::OwnNews;
use super::snapshot::Offer;
use super::tasknote::TaskNote;
use super::yard::Yard;

/// What a fleet is made from.
pub struct FleetOptions {
    /// The entries of the configuration, in its order.
    pub servers: Vec<config::Server>,
    /// What children inherit.
    pub surroundings: Surroundings,
    /// Where verdicts and lists outlive the process.
    pub store: Option<Store>,
    /// The most servers brought up at the same moment.
    pub parallel_starts: usize,
    /// What is known from the last run.
    pub stored: Vec<StoredCatalog>,
    /// Logins to servers; without them none can be logged in to.
    pub credentials: Option<Arc<Credentials>>,
}

/// Handles to every server. Cloning is cheap.
#[derive(Clone)]
pub struct Fleet(pub(super) Arc<Inner>);

pub(super) struct Inner {
    /// Who is in the fleet now; requests read it without a lock.
    pub current: ArcSwap<Members>,
    /// Servers that will take the place of one that serves, as soon as they are ready. The lock is also what a change
    /// of `current` is made under; it is never held across an await.
    pub successors: Mutex<HashMap<ServerName, ServerHandle>>,
    pub yard: Yard,
}

/// The servers of one moment.
#[derive(Debug, Default)]
pub struct Members {
    /// In the order of the configuration.
    servers: Vec<ServerHandle>,
    by_name: HashMap<ServerName, ServerHandle>,
}

impl Members {
    pub(super) fn new(servers: Vec<ServerHandle>) -> Members {
        let by_name = servers.iter().map(|server| (server.name().clone(), server.clone())).collect();
        Members { servers, by_name }
    }

    /// The servers in the order of the configuration.
    pub fn iter(&self) -> impl Iterator<Item = &ServerHandle> {
        self.servers.iter()
    }

    /// The server of this name.
    pub fn get(&self, name: &str) -> Option<&ServerHandle> {
        self.by_name.get(name)
    }
}

impl Fleet {
    /// Starts an owner for each enabled server. Returns at once; the servers come up in their own time.
    pub fn start(options: FleetOptions) -> Fleet {
        let resources = Resources {
            surroundings: Arc::new(options.surroundings),
            store: options.store,
            metrics: Arc::default(),
            credentials: options.credentials,
            starts: Arc::new(Semaphore::new(options.parallel_starts)),
        };
        let yard = Yard {
            resources,
            changes: watch::Sender::new(0),
            updates: broadcast::Sender::new(UPDATES),
            task_notes: broadcast::Sender::new(UPDATES),
            own_news: broadcast::Sender::new(UPDATES),
            events: broadcast::Sender::new(EVENTS),
            shutdown: CancellationToken::new(),
            owners: TaskTracker::new(),
        };
        let enabled = options.servers.into_iter().filter(|server| server.enabled);
        let servers = enabled.map(|config| {
            let offer = known_offer(&config, &options.stored);
            let (server, owner) = yard.server(config, offer, None);
            server.0.joined.store(true, Ordering::Relaxed);
            yard.owners.spawn(owner.run(server.0.leave.clone()));
            server
        });
        let members = Members::new(servers.collect());
        Fleet(Arc::new(Inner { current: ArcSwap::from_pointee(members), successors: Mutex::default(), yard }))
    }

    /// The servers of now.
    pub fn servers(&self) -> Arc<Members> {
        self.0.current.load_full()
    }

    /// The server of this name.
    pub fn get(&self, name: &str) -> Option<ServerHandle> {
        self.0.current.load().get(name).cloned()
    }

    /// Closes what a session has of its own: it has ended.
    pub fn end_session(&self, id: [u8; FINGERPRINT]) {
        self.servers().iter().for_each(|server| server.end_session(id));
    }

    /// A number that grows whenever the offer of any server has changed, or a server has come or gone.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.yard.changes.subscribe()
    }

    /// Tells what is counted only when somebody asks.
    pub fn tell_metrics(&self) {
        for server in self.servers().iter() {
            let name = [server.name().as_str()];
            names::SERVER_LINKS.gauge(&name).set(server.link_count() as f64);
            names::SERVER_WAITING.gauge(&name).set(server.waiting() as f64);
            names::SERVER_IN_FLIGHT.gauge(&name).set(server.in_flight() as f64);
            names::SERVER_PLACES.gauge(&name).set(server.config().max_in_flight as f64);
            names::SERVER_PENDING
                .gauge(&name)
                .set(server.live().map_or(0, |live| live.link.pending()) as f64);
        }
    }

    /// Hears of every update of a subscribed resource from now on.
    pub fn updates(&self) -> broadcast::Receiver<Updated> {
        self.0.yard.updates.subscribe()
    }

    /// Hears of everything that servers say of tasks from now on.
    pub fn task_notes(&self) -> broadcast::Receiver<TaskNote> {
        self.0.yard.task_notes.subscribe()
    }

    /// Hears of everything that comes on links of the pools, and belongs to no call, from now on.
    pub fn own_news(&self) -> broadcast::Receiver<OwnNews> {
        self.0.yard.own_news.subscribe()
    }

    /// Hears of every change of a server's state from now on. Who is far behind misses some, and is
    /// told so.
    pub fn events(&self) -> broadcast::Receiver<ServerEvent> {
        self.0.yard.events.subscribe()
    }

    /// Where changes of state are told.
    pub fn announcer(&self) -> broadcast::Sender<ServerEvent> {
        self.0.yard.events.clone()
    }

    /// Stops every server and waits until the last process is gone.
    pub async fn shutdown(&self) {
        self.0.yard.shutdown.cancel();
        self.0.yard.owners.close();
        self.0.yard.owners.wait().await;
    }
}

impl std::fmt::Debug for Fleet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Fleet").field(&self.0.current.load()).finish()
    }
}

/// Updates that a slow listener may be behind. Who is further behind has missed some, and reads a resource again with
/// its next update.
const UPDATES: usize = 1024;

/// Changes of state that one who watches may be behind: a hundred servers that fall and come back at once.
const EVENTS: usize = 512;

/// The lists of the last run, if the entry is still the same.
fn known_offer(config: &config::Server, stored: &[StoredCatalog]) -> Offer {
    let key = era_key(config);
    stored
        .iter()
        .find(|catalog| catalog.server == config.name.as_str() && catalog.config_hash == key)
        .and_then(|catalog| Offer::from_stored(&catalog.lists))
        .unwrap_or_default()
}
