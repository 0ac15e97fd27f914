//! Exchanges that bring the router no request, told to the activity log: refusals, streams, sessions that end, services,
//! prompts made better.

use std::time::Duration;

use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Response};
use hyper::body::Body;
use tokio::time::Instant;

use crate::activity::{ActivityLog, ClientText, Entry};
use crate::base::Principal;
use crate::guard::holds_key;
use crate::protocol::trace::{self, TRACEPARENT};

use super::untold::Untold;

/// What stands for the era where there is no MCP request.
const PLAIN: &str = "http";

/// What an exchange was, for its row.
#[derive(Debug)]
pub struct Exchange {
    verb: Method,
    /// For the path alone, unless somebody has written a key there; a clone of it copies no text.
    target: Option<PathAndQuery>,
    trace: Option<HeaderValue>,
    bytes_in: u64,
    received: Instant,
}

impl Exchange {
    /// Notes a request that has just come in.
    pub fn begin<B: Body>(request: &Request<B>) -> Exchange {
        Exchange {
            verb: request.method().clone(),
            target: request.uri().path_and_query().filter(|target| !holds_key(target.path())).cloned(),
            trace: request.headers().get(TRACEPARENT).cloned(),
            bytes_in: request.body().size_hint().exact().unwrap_or(0),
            received: Instant::now(),
        }
    }

    /// Writes the row of a response that is still to be told; `None` for somebody who is not known.
    pub fn tell<B: Body>(
        &self,
        log: &ActivityLog,
        principal: Option<&Principal>,
        response: &mut Response<B>,
    ) {
        let Some(untold) = response.extensions_mut().remove::<Untold>() else { return };
        if !log.is_on() {
            return;
        }
        let (trace, now) = (self.trace(), Instant::now());
        let bytes_out = response.body().size_hint().exact().unwrap_or(0);
        log.record(&Entry {
            principal: principal.map_or("", Principal::as_str),
            client: ClientText::named(&untold.client),
            outcome: untold.outcome.as_str(),
            code: untold.code,
            cache: untold.cache,
            enhanced: untold.enhanced,
            session: untold.session,
            trace: &trace,
            queue: self.until(now),
            bytes_out: usize::try_from(bytes_out).unwrap_or(usize::MAX),
            ..self.entry(now)
        });
    }

    /// What is known of every exchange that ends `now`.
    pub fn entry(&self, now: Instant) -> Entry<'_> {
        Entry {
            era: PLAIN,
            method: self.verb.as_str(),
            name: self.target.as_ref().map_or("", PathAndQuery::path),
            total: self.until(now),
            bytes_in: usize::try_from(self.bytes_in).unwrap_or(usize::MAX),
            ..Entry::EMPTY
        }
    }

    /// How long it took until `then`.
    pub fn until(&self, then: Instant) -> Duration {
        then.saturating_duration_since(self.received)
    }

    /// The trace that the client named, or nothing.
    pub fn trace(&self) -> String {
        let trace = self.trace.as_ref().and_then(|parent| trace::parse(parent.to_str().ok()?));
        trace.map(|id| id.to_string()).unwrap_or_default()
    }
}
