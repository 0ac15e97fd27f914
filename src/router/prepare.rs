//! The edits that a request needs on its way to a server.

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

use crate::base::{Era, Level, Version};
use crate::protocol::params::key;
use crate::protocol::trace::{Trace, Unfit, is_trace_field};
use crate::protocol::{Message, Params, Patch, Splice, method, skim, translate};
use crate::supervisor::Live;
use crate::upstream::{Link, Outgoing, Party, own_info, own_meta};

use super::request::Request;
use super::resolve::Target;

/// The log level that a modern server is asked for on behalf of a legacy client that named none: what servers of
/// that era send by themselves.
pub(super) const USUAL_LEVEL: Level = Level::Info;

/// Makes the outgoing request: our id, our progress token, the server's own name, and what its era requires.
/// `round` is what a further round of a request with questions adds; see [`Round`].
pub(super) fn outgoing(request: &Request, target: &Target, live: &Live, round: &Round) -> Outgoing {
    let message = &request.message;
    let mut splice = Splice::new(message.text().clone());
    if let Some(id) = message.id_span() {
        splice.edit(id, Patch::Minted);
    }
    if let Some(token) = progress_token(request) {
        splice.edit(token, Patch::Minted);
    }
    if let Some((span, name)) = &target.rename {
        splice.replace(span.clone(), name.clone());
    }
    if let Some(rewritten) = &target.rewritten {
        splice.replace(rewritten.span.clone(), rewritten.text.clone());
    }
    if let (Some(field), Some(params)) = (target.dropped, request.params.span.clone()) {
        translate::drop_field(&mut splice, message.as_str(), params, field);
    }
    let traced = request.params.meta.as_ref().filter(|meta| meta.is_traced());
    let unfit = traced.map(|meta| Unfit::of(message, meta)).unwrap_or_default();
    // A trace that came in headers goes on in the body too, where servers on pipes find it.
    let trace = request.trace.as_deref().filter(|trace| !trace.in_body);
    let trace = trace.map(Trace::fields).unwrap_or_default();
    // Of two contexts none is mixed into the other.
    let drops = |name: &str| unfit.drops(name) || (!trace.is_empty() && is_trace_field(name));
    let behind = message.method_span().map_or(0, |span| span.end + 1);
    let same_era = |splice: &mut Splice| {
        if traced.is_some() || !trace.is_empty() {
            let added = (&*trace, target.dropped);
            translate::meta(splice, message.as_str(), &request.params, behind, added, drops);
        }
    };
    match (request.era, live.peer.era()) {
        (Era::Legacy, Era::Modern) => {
            let mut meta = meta(request);
            if !trace.is_empty() {
                meta = format!("{meta},{trace}");
            }
            translate::request_to_modern(
                &mut splice,
                message.as_str(),
                &request.params,
                behind,
                (&meta, &round.fields()),
                drops,
            );
        }
        (Era::Modern, Era::Modern) => {
            if let (Some(span), Some(state)) = (&request.params.request_state, &round.state) {
                splice.replace(span.clone(), state.clone());
            }
            same_era(&mut splice);
        }
        (Era::Modern, Era::Legacy) => {
            if target.dropped.is_none() {
                translate::drop_rounds(&mut splice, message.as_str(), &request.params);
            }
            let drops = |name: &str| drops(name) || translate::is_modern_field(name);
            let added = (&*trace, target.dropped);
            translate::meta(&mut splice, message.as_str(), &request.params, behind, added, drops);
        }
        (Era::Legacy, Era::Legacy) => same_era(&mut splice),
    }
    let method = message.method_span().map(|span| message.slice(span)).unwrap_or_default();
    let name = target.name.clone().filter(|_| method::is_named(message.method()));
    let party = request.session.map_or(Party::Somebody, |session| Party::Session(session.id));
    Outgoing { message: splice, method, name, headers: headers(request, target, live), party }
}

/// The `Mcp-Param-*` headers for an HTTP server: those of the tool's own parameters, made from the body whoever the
/// client is, and those of the client that nobody here knows.
fn headers(request: &Request, target: &Target, live: &Live) -> Vec<(HeaderName, HeaderValue)> {
    if !matches!(live.link, Link::Http(_)) {
        return Vec::new();
    }
    let mirrors = target.mirrors.as_deref().filter(|_| live.peer.era() == Era::Modern);
    let mut headers = mirrors.map(|mirrors| mirrors.headers(&target.arguments(request))).unwrap_or_default();
    headers.extend(request.trace.iter().flat_map(|trace| trace.headers()));
    let others = request.headers.iter().flatten();
    headers.extend(others.filter(|(name, _)| mirrors.is_none_or(|mirrors| !mirrors.covers(name))).cloned());
    headers
}

/// A client's notification as a server of its era takes it.
pub(super) fn notification(message: &Message, params: &Params, (from, to): (Era, Era)) -> Bytes {
    if from == to {
        return message.text().clone();
    }
    let mut splice = Splice::new(message.text().clone());
    let behind = message.method_span().map_or(0, |span| span.end + 1);
    let (text, ours) = (message.as_str(), own_meta());
    match to {
        Era::Legacy => {
            translate::meta(&mut splice, text, params, behind, ("", None), translate::is_modern_field)
        }
        Era::Modern => {
            translate::request_to_modern(&mut splice, text, params, behind, (&ours, ""), |_| false)
        }
    }
    splice.to_bytes(0)
}

/// What a request carries beyond its first round.
#[derive(Clone, Debug, Default)]
pub(super) struct Round {
    /// The server's own `requestState`, raw JSON.
    pub state: Option<String>,
    /// Answers by key, raw JSON, for a modern server on behalf of a legacy client.
    pub answers: Vec<(String, Bytes)>,
}

impl Round {
    /// The fields that `params` gains.
    fn fields(&self) -> String {
        if self.answers.is_empty() && self.state.is_none() {
            return String::new();
        }
        let answers: Vec<String> = self
            .answers
            .iter()
            .map(|(key, answer)| format!("{}:{}", skim::quote(key), String::from_utf8_lossy(answer)))
            .collect();
        let state =
            self.state.as_ref().map(|state| format!(r#","requestState":{state}"#)).unwrap_or_default();
        format!(r#""inputResponses":{{{}}}{state}"#, answers.join(","))
    }
}

/// The place of the client's progress token.
pub(super) fn progress_token(request: &Request) -> Option<crate::protocol::Span> {
    request.params.meta.as_ref().and_then(|meta| meta.progress_token.clone())
}

/// The `_meta` fields of a legacy client's request to a modern server.
fn meta(request: &Request) -> String {
    format!(
        r#""{}":"{}","{}":{},"{}":{},"{}":"{}""#,
        key::PROTOCOL_VERSION,
        Version::LATEST_MODERN,
        key::CLIENT_CAPABILITIES,
        request.capabilities.to_json(),
        key::CLIENT_INFO,
        own_info(),
        key::LOG_LEVEL,
        request.log_level.unwrap_or(USUAL_LEVEL).as_str(),
    )
}
