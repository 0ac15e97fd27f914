//! The edits that a request needs on its way to a server.

use crate::base::{Era, Level, Version};
use crate::protocol::params::key;
use crate::protocol::{Patch, Splice, method, translate};
use crate::supervisor::Live;
use crate::upstream::{Outgoing, own_info};

use super::request::Request;
use super::resolve::Target;

/// The log level that a modern server is asked for on behalf of a legacy client that named none: what servers of
/// that era send by themselves.
const USUAL_LEVEL: Level = Level::Info;

/// Makes the outgoing request: our id, our progress token, the server's own name, and what its era requires.
pub(super) fn outgoing(request: &Request, target: &Target, live: &Live) -> Outgoing {
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
    if live.peer.era() == Era::Modern && request.era == Era::Legacy {
        let behind = message.method_span().map_or(0, |span| span.end + 1);
        translate::request_to_modern(&mut splice, message.as_str(), &request.params, behind, &meta(request));
    }
    let method = message.method_span().map(|span| message.slice(span)).unwrap_or_default();
    let name = target.name.clone().filter(|_| method::is_named(message.method()));
    Outgoing { message: splice, method, name, headers: request.headers.clone(), client: true }
}

/// The place of the client's progress token.
pub(super) fn progress_token(request: &Request) -> Option<crate::protocol::Span> {
    request.params.meta.as_ref().and_then(|meta| meta.progress_token.clone())
}

/// The `_meta` fields of a legacy client's request to a modern server. The client's own capabilities are not
/// declared: it could not be asked in the way of the modern era.
fn meta(request: &Request) -> String {
    format!(
        r#""{}":"{}","{}":{{}},"{}":{},"{}":"{}""#,
        key::PROTOCOL_VERSION,
        Version::LATEST_MODERN,
        key::CLIENT_CAPABILITIES,
        key::CLIENT_INFO,
        own_info(),
        key::LOG_LEVEL,
        request.log_level.unwrap_or(USUAL_LEVEL).as_str(),
    )
}
