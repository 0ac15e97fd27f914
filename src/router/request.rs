//! A client's request as the router takes it, and what it gives back.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use tokio::time::Instant;

use crate::base::{Era, Error, Level, Principal};
use crate::guard::Access;
use crate::protocol::trace::Trace;
use crate::protocol::{ClientCapabilities, ClientInfo, Message, Params, RawId, params, skim, write};
use crate::supervisor::{Caller, ServerHandle, SessionKey};
use crate::telemetry::EndpointKind;
use crate::traces::RequestSpan;

use super::limit::{Visit, Work};
use super::wishes::Wishes;

/// Where a request came in.
#[derive(Clone, Debug)]
pub enum Endpoint {
    /// `/mcp`: the whole fleet.
    Merged,
    /// `/mcp/<server>`: one server under its own names.
    Server(ServerHandle),
}

impl Endpoint {
    /// The metric label.
    pub fn kind(&self) -> EndpointKind {
        match self {
            Endpoint::Merged => EndpointKind::Merged,
            Endpoint::Server(_) => EndpointKind::Server,
        }
    }

    /// The server's name; empty for the merged endpoint.
    pub fn name(&self) -> &str {
        match self {
            Endpoint::Merged => "",
            Endpoint::Server(server) => server.name().as_str(),
        }
    }
}

/// A request whose envelope has been read and whose era has been settled.
#[derive(Debug)]
pub struct Request {
    /// The message.
    pub message: Message,
    /// The routed fields of its params.
    pub params: Box<Params>,
    /// Its id, as it must come back.
    pub id: RawId,
    /// Where it came in.
    pub endpoint: Endpoint,
    /// Who asks.
    pub principal: Principal,
    /// The session; modern clients have none.
    pub session: Option<SessionKey>,
    /// What a legacy client said of itself at `initialize`; a modern one says it in each request.
    pub client: Option<Arc<ClientInfo>>,
    /// What they may use.
    pub access: Access,
    /// The client's era.
    pub era: Era,
    /// The lowest log level that the client wants to see; none means none for a modern client, and the server's own
    /// choice for a legacy one.
    pub log_level: Option<Level>,
    /// What the client can be asked.
    pub capabilities: ClientCapabilities,
    /// The `Mcp-Param-*` headers of a modern client over HTTP; none for those who have no headers to mirror into.
    pub headers: Option<Vec<(HeaderName, HeaderValue)>>,
    /// What the client wishes for its call, beside what it asks.
    pub wishes: Option<Box<Wishes>>,
    /// The trace that the client is in.
    pub trace: Option<Box<Trace>>,
    /// Its spans, if it is traced. Whoever takes the request in begins them; they end where its row is told.
    pub span: Option<Box<RequestSpan>>,
}

impl Request {
    /// Who asks, as far as it matters to whom a link belongs.
    pub fn caller(&self) -> Caller<'_> {
        Caller { principal: &self.principal, session: self.session, capabilities: self.capabilities }
    }

    /// The name by which the client's rule of enhancement is chosen. It is what the client says of itself.
    pub fn client_name(&self) -> Option<Cow<'_, str>> {
        if let Some(name) = self.wishes.as_deref().and_then(|wishes| wishes.client.as_deref()) {
            return Some(Cow::Borrowed(name));
        }
        if let Some(client) = &self.client {
            return Some(Cow::Borrowed(&client.name));
        }
        let info = self.params.meta.as_ref().and_then(|meta| meta.client_info.clone())?;
        skim::string_field(&self.message.as_str()[info], "name")
    }

    /// What it names: a tool, a prompt or a URI.
    pub(super) fn names(&self) -> Option<Cow<'_, str>> {
        let span = if self.params.name.is_some() { &self.params.name } else { &self.params.uri };
        params::string_at(&self.message, span)
    }

    /// Notes in its span with which words the gateway fails it.
    pub(super) fn fails(&self, error: &Error) {
        if let Some(span) = &self.span {
            span.failed(&error.message);
        }
    }

    /// `params.arguments`, raw JSON.
    pub fn arguments(&self) -> &str {
        self.params.arguments.clone().map_or("{}", |span| &self.message.as_str()[span])
    }
}

impl Request {
    /// What the list of requests under way shows of it.
    pub(super) fn visit(&self, since: Instant) -> Visit {
        let endpoint = match &self.endpoint {
            Endpoint::Merged => None,
            Endpoint::Server(server) => Some(server.name().clone()),
        };
        Visit {
            since,
            principal: self.principal.clone(),
            work: Work::Message { era: self.era, endpoint, message: self.message.clone() },
        }
    }
}

/// A finished answer.
#[derive(Debug)]
pub struct Reply {
    /// The whole JSON-RPC message.
    pub message: Bytes,
    /// The HTTP status that goes with it.
    pub status: u16,
    /// After how long the same request may do better, if that is known.
    pub retry_after: Option<Duration>,
}

impl Reply {
    /// A result made here; `result` is JSON text.
    pub fn result(id: &RawId, result: &[u8]) -> Reply {
        Reply { message: write::result(id, result), status: 200, retry_after: None }
    }

    /// An error made here.
    pub fn error(id: Option<&RawId>, error: &Error, era: Era) -> Reply {
        let (_, status) = error.kind.wire(era);
        Reply { message: write::error(id, error, era), status, retry_after: error.retry_after }
    }
}
