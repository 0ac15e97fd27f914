//! The snapshot that requests read, and the task that renews it.

use std::collections::{BTreeSet, HashMap};
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::base::ServerName;
use crate::guard::{Access, Class};
use crate::supervisor::{Fleet, Offer};
use crate::upstream::ListKind;

use super::build::{Naming, Remark, build};
use super::source::Source;
use super::view::View;

/// Everything that the fleet offers, at one moment.
#[derive(Debug)]
pub struct Catalog {
    /// The endpoint `/mcp`.
    pub merged: Arc<View>,
    /// The endpoints `/mcp/<server>`.
    pub servers: HashMap<ServerName, Arc<View>>,
    /// What is worth knowing about names and collisions.
    pub remarks: Vec<Remark>,
    sources: Vec<Source>,
    name_limit: usize,
    /// What callers see who may not use everything, by their class. Made when the first of them asks.
    classes: RwLock<HashMap<Class, Arc<Catalog>>>,
    offers: HashMap<ServerName, Arc<Offer>>,
}

/// Classes of callers whose catalogs are kept at the same time. A class is a set of rules, so there are few of them; the
/// number bounds what an odd configuration costs.
const MOST_CLASSES: usize = 256;

/// A catalog as one caller sees it.
#[derive(Debug)]
pub enum Seen {
    /// All of it.
    Whole(arc_swap::Guard<Arc<Catalog>>),
    /// What the caller may use.
    Part(Arc<Catalog>),
}

impl Deref for Seen {
    type Target = Catalog;

    fn deref(&self) -> &Catalog {
        match self {
            Seen::Whole(catalog) => catalog,
            Seen::Part(catalog) => catalog,
        }
    }
}

impl Catalog {
    /// What is left of it for somebody who may not use everything.
    fn part(&self, access: &Access) -> Arc<Catalog> {
        let known = self.classes.read().unwrap_or_else(PoisonError::into_inner).get(&access.class()).cloned();
        if let Some(part) = known {
            return part;
        }
        // Two that ask at the same moment build the same thing; nobody waits for a lock meanwhile.
        let views = self.sources.iter().filter(|(server, _)| access.touches(server.name().as_str()));
        let servers = views.map(|source| {
            let view = build(std::slice::from_ref(source), Naming::Own, access).0;
            (source.0.name().clone(), Arc::new(view))
        });
        let part = Arc::new(Catalog {
            servers: servers.collect(),
            merged: Arc::new(build(&self.sources, Naming::Prefixed(self.name_limit), access).0),
            remarks: Vec::new(),
            sources: Vec::new(),
            name_limit: self.name_limit,
            classes: RwLock::default(),
            offers: HashMap::new(),
        });
        let mut classes = self.classes.write().unwrap_or_else(PoisonError::into_inner);
        if classes.len() >= MOST_CLASSES {
            classes.clear();
        }
        Arc::clone(classes.entry(access.class()).or_insert(part))
    }
}

/// Lists of an endpoint that are not what they were.
#[derive(Clone, Debug)]
pub struct Changed {
    /// The server's endpoint, or the merged one.
    pub endpoint: Option<ServerName>,
    /// Which lists.
    pub kinds: BTreeSet<ListKind>,
    /// Its number: a change is no news to whoever began to listen at this number or later ([`CatalogHandle::told`]).
    pub number: u64,
}

/// Lists of an endpoint that are to be told of.
type Lists = (Option<ServerName>, BTreeSet<ListKind>);

fn all_of(server: &ServerName) -> Lists {
    (Some(server.clone()), ListKind::ALL.into_iter().collect())
}

/// The face of the room. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct CatalogHandle {
    current: Arc<ArcSwap<Catalog>>,
    changes: broadcast::Sender<Changed>,
    /// The number of the change that was told last.
    told: Arc<AtomicU64>,
    /// How often the fleet has changed, and how often by the time of the current snapshot.
    fleet: watch::Receiver<u64>,
    taken: watch::Sender<u64>,
    name_limit: watch::Sender<usize>,
}

/// Building a snapshot of a large fleet takes milliseconds; a machine that needs longer than this is in worse trouble.
const SETTLE: Duration = Duration::from_secs(1);
/// Changes that a slow listener may be behind; one that is further behind is told that everything changed.
const CHANGES: usize = 256;

impl CatalogHandle {
    /// Builds the first snapshot and starts the task that follows the fleet until `shutdown`.
    pub fn start(fleet: Fleet, name_limit: usize, shutdown: CancellationToken) -> CatalogHandle {
        let mut changes = fleet.changes();
        let taken = *changes.borrow_and_update();
        let first = renew(&fleet, name_limit, None);
        let handle = CatalogHandle {
            current: Arc::new(ArcSwap::from_pointee(first)),
            changes: broadcast::Sender::new(CHANGES),
            told: Arc::default(),
            fleet: fleet.changes(),
            taken: watch::Sender::new(taken),
            name_limit: watch::Sender::new(name_limit),
        };
        let (follower, mut limit) = (handle.clone(), handle.name_limit.subscribe());
        tokio::spawn(async move {
            loop {
                let changed = tokio::select! {
                    changed = changes.changed() => changed,
                    changed = limit.changed() => changed,
                    () = shutdown.cancelled() => return,
                };
                if changed.is_err() {
                    return;
                }
                let taken = *changes.borrow_and_update();
                let name_limit = *limit.borrow_and_update();
                follower.update(&fleet, name_limit);
                follower.taken.send_replace(taken);
            }
        });
        handle
    }

    /// Takes another length of names; the lists follow.
    pub fn set_name_limit(&self, name_limit: usize) {
        self.name_limit.send_if_modified(|limit| {
            let changed = *limit != name_limit;
            *limit = name_limit;
            changed
        });
    }

    /// Tells everybody that their lists may be others: not what is offered has changed, but who may use it.
    pub fn announce_all(&self) {
        let names = self.current().servers.keys().cloned().collect::<Vec<_>>();
        for endpoint in names.into_iter().map(Some).chain([None]) {
            self.tell((endpoint, ListKind::ALL.into_iter().collect()));
        }
    }

    fn tell(&self, (endpoint, kinds): Lists) {
        let number = self.told.fetch_add(1, Ordering::SeqCst) + 1;
        // Nobody may be listening, which is fine.
        let _ = self.changes.send(Changed { endpoint, kinds, number });
    }

    /// The number of the change that was told last.
    pub fn told(&self) -> u64 {
        self.told.load(Ordering::SeqCst)
    }

    /// The snapshot of now.
    pub fn current(&self) -> arc_swap::Guard<Arc<Catalog>> {
        self.current.load()
    }

    /// The snapshot of now, as somebody with this access sees it.
    pub fn seen_by(&self, access: &Access) -> Seen {
        let current = self.current();
        if access.is_full() { Seen::Whole(current) } else { Seen::Part(current.part(access)) }
    }

    /// Whether the snapshot holds everything that the fleet has published.
    pub fn is_settled(&self) -> bool {
        *self.taken.borrow() >= *self.fleet.borrow()
    }

    /// Waits until the snapshot holds everything that the fleet has published by now: a turn of the catalog's own
    /// task, never a server.
    pub async fn settled(&self) {
        let now = *self.fleet.borrow();
        let _ = tokio::time::timeout(SETTLE, self.taken.subscribe().wait_for(|taken| *taken >= now)).await;
    }

    /// Hears of every change from now on.
    pub fn changes(&self) -> broadcast::Receiver<Changed> {
        self.changes.subscribe()
    }

    fn update(&self, fleet: &Fleet, name_limit: usize) {
        let before = self.current.load_full();
        let after = renew(fleet, name_limit, Some(&before));
        for remark in after.remarks.iter().filter(|remark| !before.remarks.contains(remark)) {
            info!(server = remark.server, "{}", remark.text);
        }
        let mut events = Vec::new();
        compare(None, &before.merged, &after.merged, &mut events);
        for (name, view) in &after.servers {
            match before.servers.get(name) {
                Some(old) => compare(Some(name), old, view, &mut events),
                None => events.push(all_of(name)),
            }
        }
        // Who listens at the endpoint of a server that has gone looks again, and learns that.
        let gone = before.servers.keys().filter(|name| !after.servers.contains_key(*name));
        events.extend(gone.map(all_of));
        self.current.store(Arc::new(after));
        for event in events {
            self.tell(event);
        }
    }
}

/// Builds the next snapshot; endpoints of servers whose offer is the same are kept.
fn renew(fleet: &Fleet, name_limit: usize, before: Option<&Catalog>) -> Catalog {
    let sources: Vec<Source> =
        fleet.servers().iter().map(|server| (server.clone(), server.offer())).collect();
    let full = Access::full();
    let mut servers = HashMap::new();
    for source in &sources {
        let name = source.0.name().clone();
        // An offer belongs to one server: that of its successor is another, be it the same word for word.
        let same = before.filter(|b| b.offers.get(&name).is_some_and(|offer| Arc::ptr_eq(offer, &source.1)));
        let view = match same.and_then(|before| before.servers.get(&name)) {
            Some(view) => Arc::clone(view),
            None => Arc::new(build(std::slice::from_ref(source), Naming::Own, &full).0),
        };
        servers.insert(name, view);
    }
    let (merged, remarks) = build(&sources, Naming::Prefixed(name_limit), &full);
    let offers = sources.iter().map(|(server, offer)| (server.name().clone(), Arc::clone(offer))).collect();
    let classes = RwLock::default();
    Catalog { merged: Arc::new(merged), servers, remarks, sources, name_limit, classes, offers }
}

fn compare(endpoint: Option<&ServerName>, before: &View, after: &View, events: &mut Vec<Lists>) {
    let kinds: BTreeSet<ListKind> = ListKind::ALL
        .into_iter()
        .filter(|kind| before.lists[*kind as usize] != after.lists[*kind as usize])
        .collect();
    if !kinds.is_empty() {
        events.push((endpoint.cloned(), kinds));
    }
}
