//! All servers together.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::{Notify, Semaphore, broadcast, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::base::ServerName;
use crate::config::{self, Start};
use crate::store::{Store, StoredCatalog};
use crate::telemetry::{RequestMetrics, names};

use super::admission::{Fuse, Pulse};
use super::generation::Resources;
use super::handle::{COMMANDS, ServerHandle, Shared, Status, Updated};
use super::launch::{Surroundings, era_key};
use super::machine::State;
use super::owner::Owner;
use super::snapshot::Offer;
use super::subscriptions::Wishes;

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
}

/// Handles to every server, in the order of the configuration. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Fleet {
    servers: Arc<Vec<ServerHandle>>,
    by_name: Arc<HashMap<ServerName, ServerHandle>>,
    changes: watch::Sender<u64>,
    updates: broadcast::Sender<Updated>,
    shutdown: CancellationToken,
    owners: TaskTracker,
}

impl Fleet {
    /// Starts an owner for each enabled server. Returns at once; the servers come up in their own time.
    pub fn start(options: FleetOptions) -> Fleet {
        let resources = Resources {
            surroundings: Arc::new(options.surroundings),
            store: options.store,
            metrics: Arc::default(),
            starts: Arc::new(Semaphore::new(options.parallel_starts)),
        };
        let updates = broadcast::Sender::new(UPDATES);
        let (changes, shutdown, owners) =
            (watch::Sender::new(0), CancellationToken::new(), TaskTracker::new());
        let mut servers = Vec::new();
        for config in options.servers.into_iter().filter(|server| server.enabled) {
            let (commands, received) = mpsc::channel(COMMANDS);
            let offer = known_offer(&config, &options.stored);
            let shared = Arc::new(Shared {
                offer: ArcSwap::from_pointee(offer.clone()),
                live: ArcSwapOption::empty(),
                status: watch::Sender::new(first_status(&config, &offer)),
                permits: Arc::new(Semaphore::new(config.max_in_flight)),
                waiting: AtomicUsize::new(0),
                fuse: Fuse::new(&config.name, config.breaker),
                pulse: Pulse::new(),
                commands,
                wake: Notify::new(),
                refresh: Notify::new(),
                log_level: watch::Sender::new(None),
                metrics: RequestMetrics::for_server(config.name.as_str()),
                queue_wait: names::QUEUE_WAIT.histogram(&[config.name.as_str()]),
                wishes: Wishes::default(),
                updates: updates.clone(),
                changes: changes.clone(),
                config,
            });
            owners.spawn(Owner::new(Arc::clone(&shared), resources.clone(), received).run(shutdown.clone()));
            servers.push(ServerHandle(shared));
        }
        let by_name = servers.iter().map(|server| (server.name().clone(), server.clone())).collect();
        Fleet { servers: Arc::new(servers), by_name: Arc::new(by_name), changes, updates, shutdown, owners }
    }

    /// The servers in the order of the configuration.
    pub fn servers(&self) -> &[ServerHandle] {
        &self.servers
    }

    /// The server of this name.
    pub fn get(&self, name: &str) -> Option<&ServerHandle> {
        self.by_name.get(name)
    }

    /// A number that grows whenever the offer of any server has changed.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Tells what is counted only when somebody asks.
    pub fn tell_metrics(&self) {
        for server in self.servers.iter() {
            let name = [server.name().as_str()];
            names::SERVER_IN_FLIGHT.gauge(&name).set(server.in_flight() as f64);
            names::SERVER_PENDING
                .gauge(&name)
                .set(server.live().map_or(0, |live| live.link.pending()) as f64);
        }
    }

    /// Hears of every update of a subscribed resource from now on.
    pub fn updates(&self) -> broadcast::Receiver<Updated> {
        self.updates.subscribe()
    }

    /// Stops every server and waits until the last process is gone.
    pub async fn shutdown(&self) {
        self.shutdown.cancel();
        self.owners.close();
        self.owners.wait().await;
    }
}

/// Updates that a slow listener may be behind. Who is further behind has missed some, and reads a resource again with
/// its next update.
const UPDATES: usize = 1024;

/// A server is wanted from the moment it exists, so nobody who comes early is told that it is stopped. A lazy one of
/// which nothing is known has to be asked once: nobody can call what is not listed.
fn first_status(config: &config::Server, offer: &Offer) -> Status {
    let sleeps = config.start == Start::Lazy && offer.peer.is_some();
    let state = if sleeps { State::Dormant } else { State::Starting };
    Status { state, generation: 0, pid: None, last_error: None }
}

/// The lists of the last run, if the entry is still the same.
fn known_offer(config: &config::Server, stored: &[StoredCatalog]) -> Offer {
    let key = era_key(config);
    stored
        .iter()
        .find(|catalog| catalog.server == config.name.as_str() && catalog.config_hash == key)
        .and_then(|catalog| Offer::from_stored(&catalog.lists))
        .unwrap_or_default()
}
