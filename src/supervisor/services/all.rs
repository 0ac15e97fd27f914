//! All services together.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};

use arc_swap::{ArcSwap, ArcSwapOption};
use http::HeaderValue;
use tokio::sync::{Notify, Semaphore, broadcast, mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::base::random;
use crate::config;
use crate::telemetry::{RequestMetrics, names};
use crate::upstream::http::Places;

use super::super::admission::Fuse;
use super::super::event::ServerEvent;
use super::super::handle::{COMMANDS, Status};
use super::super::machine::State;
use super::super::metrics::ServerMetrics;
use super::handle::{ServiceHandle, Shared};
use super::watch::watch_over;

/// What the services are made from.
pub struct ServicesOptions {
    /// The entries of the configuration, in its order.
    pub services: Vec<config::Service>,
    /// The most connections to all of them together.
    pub max_connections: usize,
    /// Where changes of state are told.
    pub events: broadcast::Sender<ServerEvent>,
}

/// Handles to every service. Cloning is cheap; a reload puts others in their place.
#[derive(Clone, Debug)]
pub struct Services(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// In the order of the configuration.
    all: ArcSwap<Vec<ServiceHandle>>,
    /// Places for connections to all of them together.
    connections: Arc<Semaphore>,
    metrics: Arc<ServerMetrics>,
    /// Where changes of state are told.
    events: broadcast::Sender<ServerEvent>,
    pseudonym: Box<str>,
    shutdown: CancellationToken,
    tasks: TaskTracker,
}

impl Services {
    /// Starts to watch over each enabled service. Returns at once.
    pub fn start(options: ServicesOptions) -> Services {
        let services = Services(Arc::new(Inner {
            all: ArcSwap::default(),
            connections: Arc::new(Semaphore::new(options.max_connections)),
            metrics: Arc::default(),
            events: options.events,
            // Our name in `Via`; another gateway in the way has another.
            pseudonym: format!("trunkline-{:08x}", random::next_u64() as u32).into(),
            shutdown: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }));
        services.apply(options.services);
        services
    }

    /// Takes another configuration. A service whose entry is the same goes on as it is; requests under way to one that
    /// was changed or has gone come to their end as they began. One reload at a time calls this.
    pub fn apply(&self, wanted: Vec<config::Service>) {
        let before = self.0.all.load_full();
        let next = wanted.into_iter().filter(|service| service.enabled).map(|config| {
            let known = before.iter().find(|service| *service.name() == config.name);
            let same = known.filter(|service| *service.config() == config);
            // What an operator has said of the one before holds for the next.
            let disabled = known.is_some_and(ServiceHandle::is_disabled);
            same.cloned().unwrap_or_else(|| self.watch(config, disabled))
        });
        let next: Vec<ServiceHandle> = next.collect();
        self.0.all.store(Arc::new(next.clone()));
        for gone in before.iter().filter(|service| !next.iter().any(|next| next.is(service))) {
            gone.0.retired.cancel();
            if !next.iter().any(|next| next.name() == gone.name()) {
                self.0.metrics.forget(gone.name());
            }
        }
    }

    fn watch(&self, config: config::Service, disabled: bool) -> ServiceHandle {
        let inner = &self.0;
        if !config.tls_verify {
            warn!(
                service = %config.name,
                "its certificate is not checked (tls_verify = false): anybody on the way can read and change what is sent"
            );
        }
        let (commands, received) = mpsc::channel(COMMANDS);
        let handle = ServiceHandle(Arc::new(Shared {
            ready: ArcSwapOption::empty(),
            places: Places {
                own: Some(Arc::new(Semaphore::new(config.max_connections))),
                all: Some(Arc::clone(&inner.connections)),
            },
            status: watch::Sender::new(Status {
                state: if disabled { State::Stopped } else { State::Starting },
                generation: 0,
                pid: None,
                last_error: None,
                since: Instant::now(),
                restarts: 0,
            }),
            permits: Arc::new(Semaphore::new(config.max_in_flight)),
            waiting: AtomicUsize::new(0),
            fuse: Fuse::new(&config.name, config.breaker, Some(inner.events.clone())),
            metrics: RequestMetrics::for_server(config.name.as_str()),
            commands,
            disabled: AtomicBool::new(disabled),
            events: inner.events.clone(),
            answered: AtomicU64::new(0),
            recovered: Notify::new(),
            retired: inner.shutdown.child_token(),
            config,
        }));
        handle.equip();
        let retired = handle.0.retired.clone();
        let metrics = Arc::clone(&inner.metrics);
        inner.tasks.spawn(watch_over(handle.clone(), received, metrics, retired));
        handle
    }

    /// The services in the order of the configuration.
    pub fn all(&self) -> Vec<ServiceHandle> {
        self.0.all.load().to_vec()
    }

    /// The service of this name.
    pub fn get(&self, name: &str) -> Option<ServiceHandle> {
        self.0.all.load().iter().find(|service| service.name().as_str() == name).cloned()
    }

    /// Whether a request with this `Via` has been through here before.
    pub fn has_seen(&self, via: &HeaderValue) -> bool {
        memchr::memmem::find(via.as_bytes(), self.0.pseudonym.as_bytes()).is_some()
    }

    /// Our name in `Via`, which requests carry so that a circle is noticed.
    pub fn pseudonym(&self) -> &str {
        &self.0.pseudonym
    }

    /// Tells what is counted only when somebody asks.
    pub fn tell_metrics(&self) {
        for service in self.0.all.load().iter() {
            let name = [service.name().as_str()];
            names::SERVER_IN_FLIGHT.gauge(&name).set(service.in_flight() as f64);
            names::SERVER_PLACES.gauge(&name).set(service.config().max_in_flight as f64);
        }
    }

    /// Ends the watching.
    pub async fn shutdown(&self) {
        self.0.shutdown.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }
}
