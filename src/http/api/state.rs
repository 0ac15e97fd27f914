//! What all routes share.

use std::sync::Arc;

use axum::Json;
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::catalog::CatalogHandle;
use crate::config::Setting;
use crate::guard::{Caller, Policy};
use crate::router::Router;
use crate::session::{Hub, Sessions};
use crate::store::Store;
use crate::supervisor::{Fleet, ServerHandle, ServiceHandle, Services};

use super::super::origin::OriginRules;
use super::activity::READERS;
use super::failure::Failure;
use super::feed::Feed;
use super::orders::{Order, Orders};
use super::shape::Done;

/// What the interface shows, and where it places orders.
pub struct ApiParts {
    /// Requests under way, and the fleet and catalog behind them.
    pub router: Router,
    /// Sessions.
    pub sessions: Sessions,
    /// Open streams.
    pub hub: Hub,
    /// The keys on file.
    pub store: Store,
    /// Who may use what.
    pub policy: Policy,
    /// Where orders go.
    pub orders: Orders,
    /// Services.
    pub services: Services,
    /// Where its configuration came from.
    pub configuration: String,
    /// The settings in force.
    pub settings: watch::Receiver<Vec<Setting>>,
    /// Under which names a caller without a credential may use it: those of a loopback listener.
    pub rules: OriginRules,
    /// Fires when the gateway ends; event streams end then.
    pub stop: CancellationToken,
}

/// The interface. Cloning is cheap.
#[derive(Clone)]
pub struct Api(pub(in crate::http) Arc<Inner>);

pub(in crate::http) struct Inner {
    pub parts: ApiParts,
    pub feed: Feed,
    /// Places of those who read the activity log.
    pub readers: Arc<Semaphore>,
    pub started: Instant,
}

impl Api {
    /// The interface to these.
    pub fn new(parts: ApiParts) -> Api {
        let readers = Arc::new(Semaphore::new(READERS));
        Api(Arc::new(Inner { feed: Feed::default(), readers, started: Instant::now(), parts }))
    }

    pub(in crate::http) fn fleet(&self) -> &Fleet {
        self.0.parts.router.fleet()
    }

    /// Places an order in the name of whoever asks, and says what has become of it.
    pub(super) async fn order(&self, order: Order, caller: &Caller) -> Result<Json<Done>, Failure> {
        let done = self.0.parts.orders.place(order, caller.principal().clone()).await?;
        Ok(Json(Done { done }))
    }

    pub(super) fn catalog(&self) -> &CatalogHandle {
        self.0.parts.router.catalog()
    }

    pub(in crate::http) fn server(&self, name: &str) -> Result<ServerHandle, Failure> {
        let known = || self.fleet().servers().iter().map(|one| one.name().to_string()).collect();
        self.fleet().get(name).ok_or_else(|| unknown("server", name, known()))
    }

    pub(super) fn service(&self, name: &str) -> Result<ServiceHandle, Failure> {
        let services = &self.0.parts.services;
        let known = || services.all().iter().map(|one| one.name().to_string()).collect();
        services.get(name).ok_or_else(|| unknown("service", name, known()))
    }
}

fn unknown(what: &str, name: &str, known: Vec<String>) -> Failure {
    let known = if known.is_empty() { "none is configured".to_owned() } else { known.join(", ") };
    Failure::not_found(format!("there is no {what} '{name}'; there are: {known}"))
}

/// A number in a path.
pub(super) fn number(text: &str) -> Result<u64, Failure> {
    text.parse().map_err(|_| Failure::not_found(format!("'{text}' is no number")))
}
