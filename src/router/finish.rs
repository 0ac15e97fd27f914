//! What becomes of requests that go to no server: each is counted, and has its row.

use tokio::time::Instant;

use crate::base::{Error, ErrorKind};
use crate::supervisor::BreakerState;
use crate::telemetry::{MethodLabel, Outcome, RequestMetrics};

use super::dispatch::Router;
use super::limit::taken_back;
use super::record::{self, ADMINISTRATOR, Ended, ended_by};
use super::request::{Reply, Request};
use super::resolve::Target;

impl Router {
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
                let reply = Reply::error(Some(&request.id), &error, request.era);
                ((Outcome::Failed(error.kind), ended_by(error.kind)), reply)
            }
        };
        self.record(request, target, &self.0.own, counted, received, reply.message.len());
        reply
    }

    /// Ends a request that an operator has taken back before it went to a server.
    pub(super) fn taken_back(&self, request: &Request, target: Option<&Target>, received: Instant) -> Reply {
        let error = taken_back().error;
        let reply = Reply::error(Some(&request.id), &error, request.era);
        let ended = (Outcome::Failed(error.kind), ADMINISTRATOR);
        self.record(request, target, &self.0.own, ended, received, reply.message.len());
        reply
    }

    /// Counts a request that went to no server, with who ended it early (empty for nobody), and keeps its row.
    pub(super) fn record(
        &self,
        request: &Request,
        target: Option<&Target>,
        metrics: &RequestMetrics,
        (outcome, by): (Outcome, &'static str),
        received: Instant,
        bytes_out: usize,
    ) {
        let label = MethodLabel::of(request.message.method());
        let total = received.elapsed();
        metrics.record(request.endpoint.kind(), label, outcome, total, None);
        let code = match outcome {
            Outcome::Failed(kind) => kind.wire(request.era).0,
            _ => 0,
        };
        let at = target.map(|target| {
            let closed = target.server.breaker() == BreakerState::Closed;
            let refused = outcome == Outcome::Failed(ErrorKind::Unavailable) && !closed;
            (target, 0, if refused { "open" } else { "" })
        });
        let ended = Ended { outcome, code, by, total, sent: None };
        record::tell(&self.0.activity, request, at, &ended, (bytes_out, 0), None);
    }
}

/// A request that waits to be sent on. Dropping it before that means that its client does not want it any more.
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
            let kind = ErrorKind::Cancelled;
            let outcome = (Outcome::Failed(kind), ended_by(kind));
            let router = self.router;
            router.record(self.request, self.target.as_ref(), &router.0.own, outcome, self.received, 0);
        }
    }
}
