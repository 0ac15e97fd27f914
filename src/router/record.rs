//! What became of a request, told to the activity log.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::activity::{ActivityLog, ClientText, Entry};
use crate::base::ErrorKind;
use crate::config::Capture;
use crate::supervisor::Live;
use crate::telemetry::Outcome;

use super::request::Request;
use super::resolve::Target;
use super::spans;

/// What is noted of a call on its way, and how it ended.
pub(super) struct Story {
    log: ActivityLog,
    received: Instant,
    /// When it was sent on the first time.
    sent: Instant,
    bytes_out: usize,
    progress: u32,
    ended: Option<Ended>,
    told: bool,
    /// Of which calls the messages are kept.
    capture: Capture,
    /// The reply, if it may be kept.
    reply: Option<Bytes>,
}

/// How a request ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    pub outcome: Outcome,
    /// The JSON-RPC code of the error, 0 for none.
    pub code: i64,
    /// Who ended it early; empty for nobody.
    pub by: &'static str,
    pub total: Duration,
    /// When it was sent on, from its arrival, and how long the server had it from then on.
    pub sent: Option<(Duration, Duration)>,
}

/// Who ended a call, by the error that it ended with.
pub(super) fn ended_by(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Cancelled => "client",
        ErrorKind::Timeout => "deadline",
        ErrorKind::ShuttingDown => "gateway",
        _ => "",
    }
}

/// The word for a call that an operator took back.
pub(super) const ADMINISTRATOR: &str = "administrator";

/// The word for a call whose client went away.
pub(super) const DISCONNECT: &str = "disconnect";

impl Story {
    /// The story of a request that came in at `received` and was sent on at `sent`.
    pub fn new(log: ActivityLog, received: Instant, sent: Instant, capture: Capture) -> Story {
        let (bytes_out, progress, ended, reply) = (0, 0, None, None);
        Story { log, received, sent, bytes_out, progress, ended, told: false, capture, reply }
    }

    /// Begins the story of the request that goes on with the call.
    pub fn begin_again(&mut self, received: Instant) {
        *self = Story::new(self.log.clone(), received, received, self.capture);
    }

    /// Whether the end has been noted.
    pub fn is_over(&self) -> bool {
        self.ended.is_some()
    }

    /// Notes the reply that goes to the client.
    pub fn reply(&mut self, reply: &Bytes) {
        self.sent(reply.len());
        if self.capture != Capture::None {
            self.reply = Some(reply.clone());
        }
    }

    /// Notes bytes that went to the client.
    pub fn sent(&mut self, bytes: usize) {
        self.bytes_out += bytes;
    }

    /// Notes a report of progress.
    pub fn progress(&mut self) {
        self.progress = self.progress.saturating_add(1);
    }

    /// Notes the end; answers how long the whole took.
    pub fn end(&mut self, outcome: Outcome, code: i64, by: &'static str) -> Duration {
        let now = Instant::now();
        let times = (self.sent.duration_since(self.received), now.duration_since(self.sent));
        let total = now.duration_since(self.received);
        self.ended = Some(Ended { outcome, code, by, total, sent: Some(times) });
        total
    }

    /// Writes the row, once.
    pub fn tell(&mut self, request: &Request, at: At<'_>) {
        if self.told {
            return;
        }
        self.told = true;
        if let Some(ended) = &self.ended {
            let keeps = match self.capture {
                Capture::None => false,
                Capture::Errors => ended.outcome != Outcome::Ok,
                Capture::All => true,
            };
            let payload = keeps.then(|| self.reply.as_deref().unwrap_or_default());
            tell(&self.log, request, Some(at), ended, (self.bytes_out, self.progress), payload);
        }
    }
}

/// What a request was for, and how far it got.
#[derive(Clone, Copy)]
pub(super) struct At<'t> {
    pub target: &'t Target,
    /// The start of the server that had it; 0 for none.
    pub generation: u64,
    /// What the breaker did.
    pub breaker: &'static str,
    /// The last that was asked of it.
    pub asked: Option<Asked<'t>>,
}

/// What was asked of a server: as what it was known then, and under which number.
#[derive(Clone, Copy)]
pub(super) struct Asked<'t> {
    pub live: &'t Live,
    pub number: u64,
}

/// Writes the row of a request, and ends its spans: what it was for, how it ended, what went back (bytes and reports of progress), and the
/// reply if the messages are to be kept.
pub(super) fn tell(
    log: &ActivityLog,
    request: &Request,
    at: Option<At<'_>>,
    ended: &Ended,
    (bytes_out, progress): (usize, u32),
    payload: Option<&[u8]>,
) {
    if let Some(span) = &request.span {
        spans::end(span, request, at, ended);
    }
    if !log.is_on() {
        return;
    }
    let unresolved = if at.is_none() { request.names() } else { None };
    let name = at.and_then(|at| at.target.name.as_deref()).or(unresolved.as_deref());
    let trace = request.trace.as_ref().and_then(|trace| trace.id).map(|id| id.text());
    log.record(&Entry {
        principal: request.principal.as_str(),
        client: client(request),
        era: request.era.as_str(),
        endpoint: request.endpoint.name(),
        server: at.map_or("", |at| at.target.server.name().as_str()),
        generation: at.map_or(0, |at| at.generation),
        method: request.message.method(),
        name: name.unwrap_or_default(),
        outcome: ended.outcome.as_str(),
        code: ended.code,
        cache: at.map_or("", |at| at.target.cache),
        enhanced: at.map_or("", |at| at.target.enhanced()),
        breaker: at.map_or("", |at| at.breaker),
        cancelled_by: ended.by,
        session: request.session.map(|session| session.short()),
        request: std::str::from_utf8(request.id.as_bytes()).unwrap_or_default(),
        trace: trace.as_deref().unwrap_or_default(),
        queue: ended.sent.map_or(ended.total, |(queue, _)| queue),
        upstream: ended.sent.map(|(_, upstream)| upstream),
        total: ended.total,
        bytes_in: request.message.text().len(),
        bytes_out,
        progress,
        payload: payload
            .map(|reply| (request.message.as_str(), std::str::from_utf8(reply).unwrap_or_default())),
    });
}

fn client(request: &Request) -> ClientText<'_> {
    if let Some(client) = &request.client {
        return ClientText::Known { name: &client.name, version: &client.version };
    }
    let info = request.params.meta.as_ref().and_then(|meta| meta.client_info.clone());
    match info.and_then(|span| request.message.as_str().get(span)) {
        Some(text) => ClientText::Raw(text),
        // Who speaks no MCP says it in a header.
        None => ClientText::named(
            request.wishes.as_deref().and_then(|wishes| wishes.client.as_deref()).unwrap_or(""),
        ),
    }
}
