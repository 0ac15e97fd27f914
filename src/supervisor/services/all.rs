//! All services together.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};

use arc_swap::ArcSwapOption;
use http::HeaderValue;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::base::random;
use crate::config;
use crate::telemetry::{RequestMetrics, names};
use crate::upstream::http::Places;

use super::super::admission::Fuse;
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
}

/// Handles to every service, in the order of the configuration. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Services {
    all: Arc<Vec<ServiceHandle>>,
    by_name: Arc<HashMap<String, ServiceHandle>>,
    pseudonym: Arc<str>,
    shutdown: CancellationToken,
    tasks: TaskTracker,
}

impl Services {
    /// Starts to watch over each enabled service. Returns at once.
    pub fn start(options: ServicesOptions) -> Services {
        let all_connections = Arc::new(Semaphore::new(options.max_connections));
        let (shutdown, tasks) = (CancellationToken::new(), TaskTracker::new());
        let metrics: Arc<ServerMetrics> = Arc::default();
        let mut all = Vec::new();
        for config in options.services.into_iter().filter(|service| service.enabled) {
            if !config.tls_verify {
                warn!(
                    service = %config.name,
                    "its certificate is not checked (tls_verify = false): anybody on the way can read and change what is sent"
                );
            }
            let (commands, received) = mpsc::channel(COMMANDS);
            let shared = Arc::new(Shared {
                ready: ArcSwapOption::empty(),
                places: Places {
                    own: Some(Arc::new(Semaphore::new(config.max_connections))),
                    all: Some(Arc::clone(&all_connections)),
                },
                status: watch::Sender::new(Status {
                    state: State::Starting,
                    generation: 0,
                    pid: None,
                    last_error: None,
                }),
                permits: Arc::new(Semaphore::new(config.max_in_flight)),
                waiting: AtomicUsize::new(0),
                fuse: Fuse::new(&config.name, config.breaker, true),
                metrics: RequestMetrics::for_server(config.name.as_str()),
                commands,
                answered: AtomicU64::new(0),
                recovered: Notify::new(),
                config,
            });
            let handle = ServiceHandle(shared);
            handle.equip();
            tasks.spawn(watch_over(handle.clone(), received, Arc::clone(&metrics), shutdown.clone()));
            all.push(handle);
        }
        let by_name =
            all.iter().map(|service| (service.name().as_str().to_owned(), service.clone())).collect();
        // Our name in `Via`; another gateway in the way has another.
        let pseudonym = format!("trunkline-{:08x}", random::next_u64() as u32).into();
        Services { all: Arc::new(all), by_name: Arc::new(by_name), pseudonym, shutdown, tasks }
    }

    /// The services in the order of the configuration.
    pub fn all(&self) -> &[ServiceHandle] {
        &self.all
    }

    /// The service of this name.
    pub fn get(&self, name: &str) -> Option<&ServiceHandle> {
        self.by_name.get(name)
    }

    /// Whether a request with this `Via` has been through here before.
    pub fn has_seen(&self, via: &HeaderValue) -> bool {
        memchr::memmem::find(via.as_bytes(), self.pseudonym.as_bytes()).is_some()
    }

    /// Our name in `Via`, which requests carry so that a circle is noticed.
    pub fn pseudonym(&self) -> &str {
        &self.pseudonym
    }

    /// Tells what is counted only when somebody asks.
    pub fn tell_metrics(&self) {
        for service in self.all.iter() {
            names::SERVER_IN_FLIGHT.gauge(&[service.name().as_str()]).set(service.in_flight() as f64);
        }
    }

    /// Ends the watching.
    pub async fn shutdown(&self) {
        self.shutdown.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}
