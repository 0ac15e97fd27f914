//! From the spans of a request, and how it ended, to what waits in the queue.

use std::time::UNIX_EPOCH;

use super::begin::{Fault, RequestSpan};
use super::ended::{Asked, Ended, Ending, Texts, Transport, nanos};

/// Packs what has ended.
pub(super) fn pack(span: &RequestSpan, ending: &Ending<'_>) -> Ended {
    let upstream = ending.upstream.as_ref();
    let address = upstream.and_then(|upstream| match upstream.transport {
        Transport::Http(address) => address,
        Transport::Pipe => None,
    });
    let said = match span.fault.get() {
        Some(Fault::Said(said)) => said,
        _ => "",
    };
    let texts = Texts::pack([
        ending.method,
        ending.asked,
        ending.id,
        &span.state,
        ending.server,
        upstream.map_or("", |upstream| upstream.name),
        address.map_or("", |(host, _)| host),
        said,
    ]);
    let since = span.started.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ended {
        trace: span.trace,
        parent: span.parent,
        server: span.server,
        flags: span.flags,
        links: [span.ambient, span.before],
        started: nanos(since),
        total: ending.total,
        version: ending.version.or(span.version),
        piped: span.piped,
        known: ending.known,
        outcome: ending.outcome,
        code: ending.code,
        tool_failed: matches!(span.fault.get(), Some(Fault::Tool)),
        by: ending.by,
        cache: ending.cache,
        asked_of: upstream.map(|upstream| Asked {
            span: span.client,
            id: upstream.id,
            version: upstream.version,
            piped: upstream.transport == Transport::Pipe,
            port: address.map(|(_, port)| port),
            after: upstream.after,
            took: upstream.took,
        }),
        texts,
    }
}
