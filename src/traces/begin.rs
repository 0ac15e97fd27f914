//! What a traced request carries from its beginning to its end.

use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use http::HeaderMap;

use crate::base::{Version, random};
use crate::protocol::trace::{self, Trace};
use crate::protocol::traceparent::{SpanContext, SpanId, TraceId};

use super::ended::Ending;
use super::pack::pack;
use super::pipeline::Pipeline;

/// The spans of a request that is traced. [`RequestSpan::end`] sends them on their way; without it they never were.
pub struct RequestSpan {
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) trace: TraceId,
    /// The client's span.
    pub(super) parent: Option<SpanId>,
    /// Ours, for the client's request.
    pub(super) server: SpanId,
    /// Ours, for what is asked of a server; it goes there as the parent.
    pub(super) client: SpanId,
    pub(super) flags: u8,
    /// What vendors add to the trace.
    pub(super) state: Box<str>,
    pub(super) started: SystemTime,
    /// Where the exchange is by its headers, if its message says otherwise.
    pub(super) ambient: Option<SpanContext>,
    /// The span under which a call began that this request goes on with.
    pub(super) before: Option<SpanContext>,
    /// The version that the client speaks, where its message does not say it.
    pub(super) version: Option<Version>,
    /// Whether the client is on pipes.
    pub(super) piped: bool,
    pub(super) fault: OnceLock<Fault>,
}

/// What went wrong, where the outcome alone does not say it.
#[derive(Debug)]
pub(super) enum Fault {
    /// The tool says so itself.
    Tool,
    /// The gateway, in these words.
    Said(Box<str>),
}

impl RequestSpan {
    /// Begins the spans of a request, or leaves it alone. From then on `trace` is at the span for its server; a request that
    /// is not traced keeps the trace that it brought, and is told the server as one that is not recorded if it brought none.
    pub(super) fn begin(
        pipeline: Arc<Pipeline>,
        trace: &mut Option<Box<Trace>>,
        headers: &HeaderMap,
    ) -> Option<Box<RequestSpan>> {
        let parent = trace.as_deref().and_then(Trace::context);
        if parent.is_some_and(|parent| !parent.is_sampled()) {
            return None;
        }
        let drawn = Drawn::new();
        let (id, flags) = match parent {
            Some(parent) => (parent.trace, parent.flags & (SpanContext::SAMPLED | SpanContext::RANDOM)),
            None if pipeline.sampler.takes(&drawn.trace) => {
                (drawn.trace, SpanContext::SAMPLED | SpanContext::RANDOM)
            }
            None => (drawn.trace, SpanContext::RANDOM),
        };
        Trace::go_on(trace, SpanContext { trace: id, span: drawn.client, flags });
        if flags & SpanContext::SAMPLED == 0 {
            return None;
        }
        Some(Box::new(RequestSpan {
            pipeline,
            trace: id,
            parent: parent.map(|parent| parent.span),
            server: drawn.server,
            client: drawn.client,
            flags,
            state: trace.as_deref().and_then(Trace::state).unwrap_or_default().into(),
            started: SystemTime::now(),
            ambient: trace::in_headers(headers)
                .filter(|outer| Some(outer.span) != parent.map(|parent| parent.span)),
            before: None,
            version: None,
            piped: false,
            fault: OnceLock::new(),
        }))
    }

    /// The client speaks this version.
    pub fn speaks(&mut self, version: Version) {
        self.version = Some(version);
    }

    /// The client is on pipes.
    pub fn comes_by_pipe(&mut self) {
        self.piped = true;
    }

    /// The request goes on with a call that began under another.
    pub fn goes_on_with(&mut self, before: &RequestSpan) {
        self.before = Some(SpanContext { trace: before.trace, span: before.client, flags: before.flags });
    }

    /// The tool says that it failed.
    pub fn tool_failed(&self) {
        let _first = self.fault.set(Fault::Tool);
    }

    /// The gateway fails the request, in these words.
    pub fn failed(&self, said: &str) {
        let _first = self.fault.set(Fault::Said(said.into()));
    }

    /// Sends the spans on their way. Never waits; without room they are counted as lost.
    pub fn end(&self, ending: &Ending<'_>) {
        self.pipeline.take(pack(self, ending));
    }
}

impl std::fmt::Debug for RequestSpan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RequestSpan({}-{})", self.trace, self.server)
    }
}

/// Ids, drawn together because the generator's price is by the call.
struct Drawn {
    trace: TraceId,
    server: SpanId,
    client: SpanId,
}

impl Drawn {
    fn new() -> Drawn {
        loop {
            let (mut trace, mut server, mut client) = ([0; 16], [0; 8], [0; 8]);
            let mut all = [0; 32];
            random::fill(&mut all);
            trace.copy_from_slice(&all[..16]);
            server.copy_from_slice(&all[16..24]);
            client.copy_from_slice(&all[24..]);
            // Zeros mean nothing there; they are drawn once in the age of the universe.
            if let (Some(trace), Some(server), Some(client)) =
                (TraceId::new(trace), SpanId::new(server), SpanId::new(client))
            {
                return Drawn { trace, server, client };
            }
        }
    }
}
