//! The face of one service: how it is doing, and the way in for requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use http::HeaderMap;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, broadcast, mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::base::{Error, ErrorKind, ServerName};
use crate::config;
use crate::telemetry::RequestMetrics;
use crate::upstream::http::{HttpClient, Places};

use super::super::admission::Fuse;
use super::super::breaker::{Breaker, BreakerState, Ticket};
use super::super::event::{ServerChange, ServerEvent};
use super::super::handle::{Command, PLACE_RETRY, PLACE_WAIT, Status};
use super::super::hint::retry_after;
use super::super::machine::State;
use super::super::waiter::Waiter;
use super::body::ServiceBody;

/// A handle to one service. Cloning is cheap.
#[derive(Clone)]
pub struct ServiceHandle(pub(super) Arc<Shared>);

/// What the watching task and all handles share.
pub(super) struct Shared {
    pub config: config::Service,
    /// Connections and headers; none while they cannot be made, for want of a CA file for instance.
    pub ready: ArcSwapOption<Equipment>,
    pub places: Places,
    pub status: watch::Sender<Status>,
    pub permits: Arc<Semaphore>,
    pub waiting: AtomicUsize,
    pub fuse: Fuse,
    pub metrics: RequestMetrics,
    pub commands: mpsc::Sender<Command>,
    /// An operator has taken it out of service.
    pub disabled: AtomicBool,
    /// Where its changes are told.
    pub events: broadcast::Sender<ServerEvent>,
    /// Requests that got an answer, which is a sign of life.
    pub answered: AtomicU64,
    /// Somebody got an answer from a service that was taken to be down.
    pub recovered: Notify,
    /// A reload has put another in its place, or the gateway ends: nobody looks how it is any more.
    pub retired: CancellationToken,
}

/// What a request needs to leave.
pub(super) struct Equipment {
    pub client: HttpClient<ServiceBody>,
    pub headers: HeaderMap,
}

impl ServiceHandle {
    /// The service's name.
    pub fn name(&self) -> &ServerName {
        &self.0.config.name
    }

    /// Its entry in the configuration.
    pub fn config(&self) -> &config::Service {
        &self.0.config
    }

    /// Whether the other handle is to the same service, under the same entry.
    pub fn is(&self, other: &ServiceHandle) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// How it is doing; follow it with `changed()`.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.0.status.subscribe()
    }

    /// What its breaker does with requests.
    pub fn breaker(&self) -> BreakerState {
        self.0.fuse.state()
    }

    /// Closes its breaker, on an operator's word.
    pub fn reset_breaker(&self) {
        self.0.fuse.with(Breaker::reset);
    }

    /// How long its breaker goes on refusing requests, if it does.
    pub fn breaker_wait(&self) -> Option<Duration> {
        self.0.fuse.with(|breaker| breaker.refuses(Instant::now())).map(|refused| refused.wait)
    }

    /// Requests in flight, those included whose answer is still coming.
    pub fn in_flight(&self) -> usize {
        self.0.config.max_in_flight.saturating_sub(self.0.permits.available_permits())
    }

    /// Requests that wait for a place.
    pub fn waiting(&self) -> usize {
        self.0.waiting.load(Ordering::Relaxed)
    }

    /// Takes the service into service again, and looks at once how it is.
    pub async fn enable(&self) {
        self.set_disabled(false);
        let _ = self.0.commands.send(Command::Start).await;
    }

    /// Takes the service out of service until [`ServiceHandle::enable`], or the end of the gateway: no more requests are
    /// let through. Those under way come to their end.
    pub async fn disable(&self) {
        self.set_disabled(true);
        let _ = self.0.commands.send(Command::Stop).await;
    }

    fn set_disabled(&self, disabled: bool) {
        if self.0.disabled.swap(disabled, Ordering::AcqRel) != disabled {
            let change = ServerChange::Service(!disabled);
            // Nobody may be watching, which is fine.
            let _ = self.0.events.send(ServerEvent { server: self.name().clone(), change });
        }
    }

    /// Whether an operator has taken the service out of service.
    pub fn is_disabled(&self) -> bool {
        self.0.disabled.load(Ordering::Acquire)
    }

    /// Why it is not as it should be; `None` if it is, or if an operator has taken it out of service.
    pub fn trouble(&self) -> Option<String> {
        if self.is_disabled() { None } else { self.0.status.borrow().trouble() }
    }

    /// Lets a request in, waits a while for a free place, and says clearly why not.
    pub(super) async fn admit(&self) -> Result<Pass, Error> {
        let shared = &self.0;
        if self.is_disabled() {
            return Err(self.unavailable("has been taken out of service"));
        }
        if let Some(refusal) = shared.fuse.refuses(Instant::now()) {
            return Err(refusal);
        }
        let permit = match Arc::clone(&shared.permits).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => self.place().await?,
        };
        let ticket = shared.fuse.admit(Instant::now())?;
        let state = if ticket.probe { BreakerState::HalfOpen } else { BreakerState::Closed };
        let breaker = state.as_str();
        Ok(Pass { shared: Arc::clone(shared), ticket: Some(ticket), breaker, _permit: permit })
    }

    async fn place(&self) -> Result<OwnedSemaphorePermit, Error> {
        let shared = &self.0;
        let since = Instant::now();
        let _waiter =
            Waiter::enter(&shared.waiting, shared.config.max_in_flight).ok_or_else(|| self.overloaded())?;
        let place = tokio::time::timeout(PLACE_WAIT, Arc::clone(&shared.permits).acquire_owned()).await;
        crate::telemetry::names::QUEUE_WAIT.histogram(&[self.name().as_str()]).record(since.elapsed());
        match place {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(self.overloaded()),
        }
    }

    fn overloaded(&self) -> Error {
        let text = format!(
            "service '{}' has {} requests in flight, as many as it may (max_in_flight); try again later",
            self.name(),
            self.0.config.max_in_flight
        );
        Error::new(ErrorKind::Overloaded, text).with_data(retry_after(PLACE_RETRY))
    }

    pub(super) fn unavailable(&self, reason: &str) -> Error {
        Error::new(ErrorKind::Unavailable, format!("service '{}' {reason}", self.name()))
    }
}

impl std::fmt::Debug for ServiceHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ServiceHandle").field(self.name()).finish()
    }
}

/// Leave to make one request: a place, and a ticket of the breaker. One that is dropped without a word was withdrawn,
/// and counts neither way.
pub(super) struct Pass {
    shared: Arc<Shared>,
    ticket: Option<Ticket>,
    breaker: &'static str,
    _permit: OwnedSemaphorePermit,
}

impl Pass {
    /// What the breaker was when it let the request through.
    pub fn breaker(&self) -> &'static str {
        self.breaker
    }

    /// There was an answer.
    pub fn succeed(&mut self) {
        let shared = &self.shared;
        shared.answered.fetch_add(1, Ordering::Relaxed);
        if let Some(ticket) = self.ticket.take() {
            shared.fuse.with(|breaker| breaker.succeed(ticket, Instant::now()));
        }
        if !matches!(shared.status.borrow().state, State::Ready { .. }) {
            shared.recovered.notify_one();
        }
    }

    /// There was none, or it said that the service is in trouble.
    pub fn fail(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.shared.fuse.with(|breaker| breaker.fail(ticket, Instant::now()));
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.shared.fuse.with(|breaker| breaker.abandon(ticket));
        }
    }
}

impl std::fmt::Debug for Pass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Pass").field(&self.shared.config.name).finish()
    }
}
