//! What becomes of requests that go to no server: each is counted, and has its row.

use std::time::Duration;

use tokio::time::Instant;

use crate::base::{Error, ErrorKind};
use crate::config::Capture;
use crate::supervisor::BreakerState;
use crate::telemetry::{MethodLabel, Outcome, RequestMetrics};

use super::dispatch::Router;
use super::limit::taken_back;
use super::record::{self, ADMINISTRATOR, At, DISCONNECT, Ended, ended_by};
use super::request::{Reply, Request};
use super::resolve::Target;

impl Router {
    /// Answers a request with what was found out elsewhere.
    pub fn settle(&self, request: &Request, outcome: Result<Vec<u8>, Error>, received: Instant) -> Reply {
        self.finish(request, None, outcome, received)
    }

    /// Notes a request that a stream answers from now on.
    pub fn opened(&self, request: &Request, received: Instant) {
        self.record(request, None, (Outcome::Ok, ""), received, 0);
    }

    /// Ends a request that went to no server with its reply.
    pub(super) fn finish(
        &self,
        request: &Request,
        target: Option<&Target>,
        outcome: Result<Vec<u8>, Error>,
        received: Instant,
    ) -> Reply {
        let (counted, reply) = match outcome {
            Ok(result) => ((Outcome::Ok, ""), Reply::result(&request.id, &result)),
            Err(error) => {
                request.fails(&error);
                let reply = Reply::error(Some(&request.id), &error, request.era);
                ((Outcome::Failed(error.kind), ended_by(error.kind)), reply)
            }
        };
        self.record(request, target, counted, received, reply.message.len());
        reply
    }

    /// Ends a request whose answer was there already.
    pub(super) fn known(
        &self,
        request: &Request,
        target: &Target,
        result: &[u8],
        received: Instant,
    ) -> Reply {
        let (reply, total) = (Reply::result(&request.id, result), received.elapsed());
        self.count(request, target.server.metrics(), Outcome::Ok, total);
        let at = At { target, generation: 0, breaker: "", asked: None };
        let ended = Ended { outcome: Outcome::Ok, code: 0, by: "", total, sent: None };
        let keeps = target.server.config().capture == Capture::All;
        let payload = keeps.then_some(&reply.message[..]);
        record::tell(&self.0.activity, request, Some(at), &ended, (reply.message.len(), 0), payload);
        reply
    }

    /// Ends a request that an operator has taken back before it went to a server.
    pub(super) fn taken_back(&self, request: &Request, target: Option<&Target>, received: Instant) -> Reply {
        let error = taken_back().error;
        request.fails(&error);
        let reply = Reply::error(Some(&request.id), &error, request.era);
        let ended = (Outcome::Failed(error.kind), ADMINISTRATOR);
        self.record(request, target, ended, received, reply.message.len());
        reply
    }

    /// Counts a request that went to no server, with who ended it early (empty for nobody), and keeps its row.
    pub(super) fn record(
        &self,
        request: &Request,
        target: Option<&Target>,
        (outcome, by): (Outcome, &'static str),
        received: Instant,
        bytes_out: usize,
    ) {
        let code = match outcome {
            Outcome::Failed(kind) => kind.wire(request.era).0,
            _ => 0,
        };
        let total = received.elapsed();
        self.count(request, &self.0.own, outcome, total);
        let at = target.map(|target| {
            let closed = target.server.breaker() == BreakerState::Closed;
            let refused = outcome == Outcome::Failed(ErrorKind::Unavailable) && !closed;
            At { target, generation: 0, breaker: if refused { "open" } else { "" }, asked: None }
        });
        let ended = Ended { outcome, code, by, total, sent: None };
        record::tell(&self.0.activity, request, at, &ended, (bytes_out, 0), None);
    }

    fn count(&self, request: &Request, metrics: &RequestMetrics, outcome: Outcome, total: Duration) {
        metrics.record(
            request.endpoint.kind(),
            MethodLabel::of(request.message.method()),
            outcome,
            total,
            None,
        );
    }
}

/// A request that waits to be sent on. Dropping it before that means that its client has gone.
pub(super) struct Waiting<'r> {
    pub router: &'r Router,
    pub request: &'r Request,
    pub received: Instant,
    pub target: Option<Target>,
    pub over: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.over {
            let ended = (Outcome::Failed(ErrorKind::Cancelled), DISCONNECT);
            self.router.record(self.request, self.target.as_ref(), ended, self.received, 0);
        }
    }
}
