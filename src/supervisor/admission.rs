//! Leave to make one call: a place among the server's calls and a ticket of its breaker, both given back at the end.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use metrics::{Counter, Gauge};
use tokio::sync::{OwnedSemaphorePermit, broadcast};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::base::{Error, ErrorKind, ServerName};
use crate::telemetry::names;
use crate::upstream::Fault;

use super::breaker::{Breaker, BreakerState, Policy, Refused, Ticket};
use super::event::{ServerChange, ServerEvent};
use super::handle::{Live, Shared};
use super::hint::retry_after;

/// Leave to make one call. Say how the call ended with [`Admission::succeed`], [`Admission::fail`] or
/// [`Admission::time_out`]; one that is dropped without was withdrawn, and counts neither way.
pub struct Admission {
    /// The server as it is now.
    pub live: Arc<Live>,
    shared: Arc<Shared>,
    ticket: Option<Ticket>,
    probe: bool,
    permit: Option<OwnedSemaphorePermit>,
    resting: bool,
}

impl Admission {
    /// Gives the place back although the admission is still looked at: the call at the server is over.
    pub fn release(&mut self) {
        self.permit = None;
        self.stop_resting();
    }

    /// The call waits for its client, who may take minutes: its place is free for others meanwhile, and the server is not
    /// idle all the same.
    pub fn rest(&mut self) {
        if !self.resting {
            self.shared.resting.send_modify(|resting| *resting += 1);
            self.resting = true;
        }
        self.permit = None;
    }

    /// The call goes on, in a place if one is free. If none is it goes on without: its server has been at it all the while.
    pub fn go_on(&mut self) {
        if self.resting
            && let Ok(permit) = Arc::clone(&self.shared.permits).try_acquire_owned()
        {
            self.permit = Some(permit);
            self.stop_resting();
        }
    }

    fn stop_resting(&mut self) {
        if std::mem::take(&mut self.resting) {
            self.shared.resting.send_modify(|resting| *resting -= 1);
        }
    }

    pub(super) fn new(
        live: Arc<Live>,
        shared: &Arc<Shared>,
        ticket: Ticket,
        permit: OwnedSemaphorePermit,
    ) -> Admission {
        Admission {
            live,
            shared: Arc::clone(shared),
            probe: ticket.probe,
            ticket: Some(ticket),
            permit: Some(permit),
            resting: false,
        }
    }

    /// What the breaker was when it let the call in.
    pub fn breaker(&self) -> &'static str {
        if self.probe { BreakerState::HalfOpen.as_str() } else { BreakerState::Closed.as_str() }
    }

    /// The server answered, be it with an error of its own.
    pub fn succeed(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.shared.pulse.answered.fetch_add(1, Ordering::Relaxed);
            self.shared.fuse.with(|breaker| breaker.succeed(ticket, Instant::now()));
        }
    }

    /// There was no answer, for this reason.
    pub fn fail(&mut self, fault: &Fault) {
        match self.ticket.take() {
            Some(ticket) if is_trouble(fault) => {
                self.shared.fuse.with(|breaker| breaker.fail(ticket, Instant::now()))
            }
            other => self.ticket = other,
        }
    }

    /// There was no answer by the call's deadline.
    pub fn time_out(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.shared.pulse.timeouts.fetch_add(1, Ordering::Relaxed);
            self.shared.fuse.with(|breaker| breaker.fail(ticket, Instant::now()));
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.shared.pulse.use_now();
        self.stop_resting();
        if let Some(ticket) = self.ticket.take() {
            self.shared.fuse.with(|breaker| breaker.abandon(ticket));
        }
    }
}

impl std::fmt::Debug for Admission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admission").field("live", &self.live).finish_non_exhaustive()
    }
}

/// Whether a fault speaks of the way to the server: no link, no answer, a broken one, a 5xx. A status below 500 is
/// the answer of a server that is well and does not like what it was sent.
fn is_trouble(fault: &Fault) -> bool {
    let link =
        matches!(fault.error.kind, ErrorKind::Unavailable | ErrorKind::ServerFailed | ErrorKind::Timeout);
    link && fault.status.is_none_or(|status| status.is_server_error())
}

/// A server's breaker where all calls can reach it. The lock is held for a few arithmetic steps, never across an
/// await or anything that can wait.
pub(super) struct Fuse {
    breaker: Mutex<Breaker>,
    server: ServerName,
    states: [(BreakerState, Gauge); 3],
    refusals: Counter,
    /// Where its changes are told; nowhere for a link that does not speak for the server.
    told: Option<broadcast::Sender<ServerEvent>>,
}

impl Fuse {
    /// With `told`, its state is a metric and its changes are told there; a link beside the shared one must not speak for
    /// the server.
    pub fn new(server: &ServerName, policy: Policy, told: Option<broadcast::Sender<ServerEvent>>) -> Fuse {
        let gauge = |state: BreakerState| match told {
            Some(_) => (state, names::BREAKER_STATE.gauge(&[server.as_str(), state.as_str()])),
            None => (state, Gauge::noop()),
        };
        let states = [BreakerState::Closed, BreakerState::Open, BreakerState::HalfOpen].map(gauge);
        states.iter().for_each(|(state, gauge)| gauge.set(f64::from(*state == BreakerState::Closed)));
        let refusals = names::BREAKER_REFUSALS.counter(&[server.as_str()]);
        Fuse { breaker: Mutex::new(Breaker::new(policy)), server: server.clone(), states, refusals, told }
    }

    /// A ticket, or the refusal for the client.
    pub fn admit(&self, now: Instant) -> Result<Ticket, Error> {
        self.with(|breaker| breaker.admit(now)).map_err(|refused| self.refusal(refused))
    }

    /// The refusal that a call would get now, without taking a ticket.
    pub fn refuses(&self, now: Instant) -> Option<Error> {
        self.with(|breaker| breaker.refuses(now)).map(|refused| self.refusal(refused))
    }

    pub fn state(&self) -> BreakerState {
        self.with(|breaker| breaker.state())
    }

    pub fn with<T>(&self, act: impl FnOnce(&mut Breaker) -> T) -> T {
        // Nothing under the lock can panic half-way through a change.
        let mut breaker = self.breaker.lock().unwrap_or_else(PoisonError::into_inner);
        let before = breaker.state();
        let result = act(&mut breaker);
        let after = breaker.state();
        if before == after {
            return result;
        }
        // Still under the lock, so that the last word is the last state.
        self.states.iter().for_each(|(state, gauge)| gauge.set(f64::from(*state == after)));
        if let Some(told) = &self.told {
            let change = ServerChange::Breaker(after);
            // Nobody may be watching, which is fine.
            let _ = told.send(ServerEvent { server: self.server.clone(), change });
        }
        drop(breaker);
        match after {
            BreakerState::Open => warn!(server = %self.server, "its breaker opens: its calls got no answer"),
            BreakerState::HalfOpen => info!(server = %self.server, "its breaker lets a call through to try"),
            BreakerState::Closed => info!(server = %self.server, "its breaker is closed"),
        }
        result
    }

    fn refusal(&self, refused: Refused) -> Error {
        self.refusals.increment(1);
        let seconds = refused.wait.as_secs() + u64::from(refused.wait.subsec_nanos() > 0);
        let text = format!(
            "'{}' is not called for now, because the last calls got no answer; the next try is in {seconds} s",
            self.server
        );
        Error::new(ErrorKind::Unavailable, text).with_data(retry_after(seconds))
    }
}

/// Signs of life and of use of one server, for whoever judges its health and its idleness.
#[derive(Debug)]
pub(super) struct Pulse {
    born: Instant,
    /// Milliseconds from `born` to the last use.
    used: AtomicU64,
    /// Calls that got an answer.
    pub answered: AtomicU64,
    /// Calls that were withdrawn at their deadline.
    pub timeouts: AtomicU64,
}

impl Pulse {
    pub fn new() -> Pulse {
        Pulse {
            born: Instant::now(),
            used: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            timeouts: AtomicU64::new(0),
        }
    }

    pub fn use_now(&self) {
        self.used
            .store(u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub fn last_use(&self) -> Instant {
        self.born + std::time::Duration::from_millis(self.used.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trouble_on_the_way_counts() {
        let counts = |kind, status: Option<u16>| {
            let status = status.and_then(|code| http::StatusCode::from_u16(code).ok());
            is_trouble(&Fault { status, ..Fault::unknown(kind, "x") })
        };
        assert!(counts(ErrorKind::ServerFailed, None) && counts(ErrorKind::Timeout, None));
        assert!(counts(ErrorKind::Unavailable, None) && counts(ErrorKind::ServerFailed, Some(503)));
        assert!(!counts(ErrorKind::Overloaded, Some(429)), "a server that says so is well");
        assert!(!counts(ErrorKind::Unavailable, Some(401)) && !counts(ErrorKind::ServerFailed, Some(404)));
    }
}
