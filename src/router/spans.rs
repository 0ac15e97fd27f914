//! What became of a request, told to its spans.

use crate::base::Version;
use crate::config::Transport as Way;
use crate::protocol::params;
use crate::traces::{Ending, RequestSpan, Transport, Upstream};
use crate::upstream::Link;

use super::record::{Asked, At, Ended};
use super::request::Request;

/// Ends the spans of a request.
pub(super) fn end(span: &RequestSpan, request: &Request, at: Option<At<'_>>, ended: &Ended) {
    let asked = request.names();
    let asked = asked.as_deref().unwrap_or_default();
    let upstream = at.and_then(|at| {
        let (sent, of) = (ended.sent?, at.asked?);
        Some(Upstream {
            name: at.target.name.as_deref().unwrap_or(asked),
            id: of.number,
            version: of.live.peer.version,
            transport: transport(&at, of),
            after: sent.0,
            took: sent.1,
        })
    });
    span.end(&Ending {
        method: request.message.method(),
        asked,
        known: at.is_some(),
        id: std::str::from_utf8(request.id.as_bytes()).unwrap_or_default(),
        version: version(request),
        outcome: ended.outcome,
        code: ended.code,
        by: ended.by,
        cache: at.map_or("", |at| at.target.cache),
        server: at.map_or("", |at| at.target.server.name().as_str()),
        total: ended.total,
        upstream,
    });
}

/// The version that a modern client writes into each message.
fn version(request: &Request) -> Option<Version> {
    let meta = request.params.meta.as_ref()?;
    Version::parse(&params::string_at(&request.message, &meta.protocol_version)?)
}

fn transport<'t>(at: &At<'t>, of: Asked<'_>) -> Transport<'t> {
    match (&of.live.link, &at.target.server.config().transport) {
        (Link::Http(_), Way::Http { url, .. }) => {
            let usual = if url.uri().scheme_str() == Some("https") { 443 } else { 80 };
            let host = url.uri().host().unwrap_or_default();
            Transport::Http(Some((host, url.uri().port_u16().unwrap_or(usual))))
        }
        (Link::Http(_), Way::Stdio { .. }) => Transport::Http(None),
        (Link::Stdio(_), _) => Transport::Pipe,
    }
}
