//! The task that watches over one service: it looks how the service is, and says so.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::Request;
use http_body_util::BodyExt;
use http_body_util::Limited;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::telemetry::names;
use crate::upstream::http::{ClientOptions, HttpClient};

use super::super::event::{ServerChange, ServerEvent};
use super::super::handle::{Command, Status};
use super::super::health::{Health, LONGEST_PROBE};
use super::super::launch::header_map;
use super::super::machine::State;
use super::super::metrics::ServerMetrics;
use super::body::whole;
use super::handle::{Equipment, ServiceHandle};
use super::target::join;

/// The most that is read of an answer to a health check, so that its connection can be used again.
const SMALL_ANSWER: usize = 64 << 10;

impl ServiceHandle {
    /// Makes the client, unless there is one. What hinders it is noted, and tried again at the next look.
    pub(super) fn equip(&self) -> bool {
        if self.0.ready.load().is_some() {
            return true;
        }
        let config = self.config();
        let made = config.proxy.as_ref().map(|proxy| proxy.0.parse()).transpose();
        let made = made.map_err(|_| "has a proxy that is no URL (proxy)".to_owned()).and_then(|proxy| {
            let options = ClientOptions {
                https: config.url.uri().scheme_str() == Some("https"),
                connect_timeout: config.connect_timeout,
                ca_file: config.ca_file.clone(),
                trust_anybody: !config.tls_verify,
                proxy,
                http2: true,
                places: self.0.places.clone(),
                max_idle: Some(config.max_idle_connections),
                dns_ttl: config.dns_ttl,
            };
            let client = HttpClient::new(&options).map_err(|error| format!("cannot be asked: {error}"))?;
            Ok(Equipment { client, headers: header_map(&config.headers)? })
        });
        match made {
            Ok(equipment) => {
                self.0.ready.store(Some(Arc::new(equipment)));
                true
            }
            Err(reason) => {
                self.0.status.send_modify(|status| status.last_error = Some(reason));
                false
            }
        }
    }

    /// Asks once for the health path. A service without one is taken to be well.
    async fn look(&self, patience: Duration) -> Result<(), String> {
        if !self.equip() {
            return Err(self.0.status.borrow().last_error.clone().unwrap_or_default());
        }
        let (Some(path), Some(ready)) = (&self.config().health_path, self.0.ready.load_full()) else {
            return Ok(());
        };
        let (path, query) =
            path.split_once('?').map_or((path.as_str(), None), |(path, query)| (path, Some(query)));
        let target = join(self.config().url.uri(), path, query).map_err(|leaves| leaves.to_string())?;
        let mut request = Request::new(whole(bytes::Bytes::new()));
        *request.uri_mut() = target;
        *request.headers_mut() = ready.headers.clone();
        let asked = async {
            let response =
                ready.client.request(request).await.map_err(|error| format!("cannot be reached: {error}"))?;
            let status = response.status();
            let _ = Limited::new(response.into_body(), SMALL_ANSWER).collect().await;
            match status.is_success() || status.is_redirection() {
                true => Ok(()),
                false => Err(format!("answers its health check with {status}")),
            }
        };
        match tokio::time::timeout(patience, asked).await {
            Ok(answered) => answered,
            Err(_) => Err(format!("did not answer its health check within {patience:?}")),
        }
    }
}

/// Looks again and again, until `shutdown`.
pub(super) async fn watch_over(
    service: ServiceHandle,
    mut commands: mpsc::Receiver<Command>,
    metrics: Arc<ServerMetrics>,
    shutdown: CancellationToken,
) {
    let policy = service.config().health;
    let interval = policy.interval.filter(|_| service.config().health_path.is_some());
    let mut watched = Watched { metrics, health: Health::unknown(policy), generation: 0, answered: 0 };
    let mut wanted = !service.is_disabled();
    loop {
        if wanted {
            let patience = policy.interval.unwrap_or(LONGEST_PROBE).min(LONGEST_PROBE);
            let Some(seen) = shutdown.run_until_cancelled(watched.observe(&service, patience)).await else {
                return;
            };
            // Without a health check, only what hinders us ourselves is looked at again.
            let pause = interval.or(seen.is_err().then_some(LONGEST_PROBE));
            watched.tell(&service, seen, Instant::now() + pause.unwrap_or(LONGEST_PROBE));
            tokio::select! {
                () = shutdown.cancelled() => return,
                command = commands.recv() => wanted = matches!(command, Some(Command::Start)),
                () = service.0.recovered.notified() => {}
                () = pause_for(pause) => {}
            }
        } else {
            watched.publish(&service, State::Stopped, None);
            watched.health = Health::unknown(policy);
            tokio::select! {
                () = shutdown.cancelled() => return,
                command = commands.recv() => {
                    wanted = matches!(command, Some(Command::Start));
                    if wanted {
                        watched.publish(&service, State::Starting, None);
                    }
                }
            }
        }
    }
}

async fn pause_for(pause: Option<Duration>) {
    match pause {
        Some(pause) => tokio::time::sleep(pause).await,
        None => std::future::pending().await,
    }
}

struct Watched {
    metrics: Arc<ServerMetrics>,
    health: Health,
    generation: u64,
    /// Requests that had got an answer at the last look.
    answered: u64,
}

impl Watched {
    /// One look. Requests that were answered since the last one are the better look.
    async fn observe(&mut self, service: &ServiceHandle, patience: Duration) -> Result<(), String> {
        let answered = service.0.answered.load(Ordering::Relaxed);
        let seen = if answered == self.answered { service.look(patience).await } else { Ok(()) };
        self.answered = service.0.answered.load(Ordering::Relaxed);
        seen
    }

    fn tell(&mut self, service: &ServiceHandle, seen: Result<(), String>, next: Instant) {
        let well = self.health.observe(seen.is_ok());
        let ready = matches!(service.0.status.borrow().state, State::Ready { .. });
        match (ready, well) {
            (true, true) => {}
            (false, true) => {
                self.generation += 1;
                // What failed before it came back says nothing about now.
                service.reset_breaker();
                info!(service = %service.name(), "ready");
                self.publish(service, State::Ready { since: Instant::now() }, None);
            }
            (_, false) => {
                let reason = seen.err().unwrap_or_else(|| "is not well yet".to_owned());
                if !matches!(service.0.status.borrow().state, State::Failed { .. }) {
                    warn!(service = %service.name(), "{reason}");
                }
                self.publish(service, State::Failed { reason: reason.clone(), retry_at: next }, Some(reason));
            }
        }
    }

    fn publish(&self, service: &ServiceHandle, state: State, last_error: Option<String>) {
        let name = service.name().as_str();
        let was_ready = matches!(service.0.status.borrow().state, State::Ready { .. });
        let fell = was_ready && matches!(state, State::Failed { .. });
        self.metrics.state(name, state.as_str(), self.generation, fell);
        names::SERVER_HEALTHY.gauge(&[name]).set(f64::from(matches!(state, State::Ready { .. })));
        let before = service.0.status.borrow().state.as_str();
        if before != state.as_str() {
            let change = ServerChange::State {
                state: state.as_str(),
                generation: self.generation,
                reason: last_error.clone(),
            };
            // Nobody may be watching, which is fine.
            let _ = service.0.events.send(ServerEvent { server: service.name().clone(), change });
        }
        service.0.status.send_modify(|status: &mut Status| {
            if before != state.as_str() {
                status.since = Instant::now();
            }
            status.restarts += u64::from(fell);
            status.state = state;
            status.generation = self.generation;
            status.last_error = last_error;
        });
    }
}
