//! `POST`: one message in; one JSON object out, or a stream once something precedes the answer.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use tokio::time::Instant;
use tracing::debug;

use crate::base::{Era, Error, ErrorKind, Level, Principal, Version};
use crate::protocol::trace::Trace;
use crate::protocol::{
    ClientCapabilities, ClientInfo, Kind, Message, Params, RawId, header, id, method, params, skim,
};
use crate::router::{Answer, ClientCall, Endpoint, Reply, Request as Routed};
use crate::session::{Client, KEEP_ALIVE_EVERY, Session, Ticket};
use crate::supervisor::Caller;

use super::accepts::Accepts;
use super::batch;
use super::body::RequestBody;
use super::era::{check_modern, era_of};
use super::front::{Front, Inside};
use super::reply::{self, FrontResponse};
use super::untold::Untold;
use super::who::Who;
use super::wishes::wishes;
use super::{intake, stream, streams};

/// Answers a POST.
pub async fn answer<B: RequestBody>(
    front: &Arc<Front>,
    endpoint: Endpoint,
    who: Who,
    request: Request<B>,
) -> FrontResponse {
    let (head, body) = request.into_parts();
    if !intake::is_json(&head.headers) {
        return reply::status(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    let text = match intake::read(body, front.max_body.load(Ordering::Relaxed)).await {
        Ok(text) => text,
        Err(error) => return reply::refusal(&error, Era::Legacy),
    };
    if batch::is_batch(&text) {
        return Box::pin(batch::answer(front, endpoint, who, &head.headers, text)).await;
    }
    let message = match Message::parse(text) {
        Ok(message) => message,
        Err(error) => return reply::unreadable(error, &head.headers),
    };
    let params = match Params::read(&message) {
        Ok(params) => params,
        Err(error) => {
            let id = message.id();
            let error = Error::new(ErrorKind::InvalidParams, error.to_string());
            let answer = Reply { status: 400, ..Reply::error(id.as_ref(), &error, Era::Legacy) };
            return Untold::refused(error.kind, Era::Legacy).mark(reply::reply(answer));
        }
    };
    let mirrors = head.extensions.get::<Inside>().is_none();
    let inbound = Inbound { front, endpoint, who, headers: &head.headers, mirrors, message, params };
    let era = era_of(&inbound.message, &inbound.params, inbound.headers);
    // Notifications and answers cost little and cannot be answered; requests are counted, whatever they ask.
    if inbound.message.kind() == Kind::Request
        && let Err(wait) = front.limits.request(&inbound.who.principal)
    {
        return inbound.refuse(wait.into(), era);
    }
    match era {
        Era::Modern => modern(inbound).await,
        Era::Legacy => legacy(inbound).await,
    }
}

/// A message that has been read, with the exchange it came in.
pub(super) struct Inbound<'x> {
    pub front: &'x Arc<Front>,
    pub endpoint: Endpoint,
    pub who: Who,
    pub headers: &'x HeaderMap,
    /// Whether the client mirrors what it sends into headers: not one inside the process.
    pub mirrors: bool,
    pub message: Message,
    pub params: Box<Params>,
}

impl Inbound<'_> {
    fn refuse(self, error: Error, era: Era) -> FrontResponse {
        debug!(method = self.message.method(), %error, "refused");
        let (front, received) = (self.front, Instant::now());
        match self.message.id() {
            Some(id) => {
                let request = self.routed(id, era, None, ClientCapabilities::default());
                reply::reply(front.router.settle(&request, Err(error), received))
            }
            None => reply::refusal(&error, era),
        }
    }

    fn routed(
        self,
        id: RawId,
        era: Era,
        log_level: Option<Level>,
        capabilities: ClientCapabilities,
    ) -> Box<Routed> {
        let wishes = wishes(self.headers);
        let mut trace = Trace::read(&self.message, &self.params, self.headers);
        let mut span = self.front.router.traces().begin(&mut trace, self.headers);
        if let Some(span) = span.as_mut().filter(|_| !self.mirrors) {
            span.comes_by_pipe();
        }
        Box::new(Routed {
            headers: (era == Era::Modern && self.mirrors).then(|| mirrored_params(self.headers)),
            trace,
            span,
            message: self.message,
            params: self.params,
            id,
            endpoint: self.endpoint,
            principal: self.who.principal,
            access: self.who.access,
            session: None,
            client: None,
            era,
            log_level,
            capabilities,
            wishes,
        })
    }

    /// The request as one of a session.
    fn of(self, session: &Session, id: RawId) -> Box<Routed> {
        let mut request = self.routed(id, Era::Legacy, session.log_level(), session.capabilities());
        request.session = Some(streams::session_key(session));
        request.client = Some(Arc::clone(session.client()));
        speaks(&mut request, session);
        request
    }
}

/// Tells the span of a request in which version its session is held.
fn speaks(request: &mut Routed, session: &Session) {
    if let Some(span) = &mut request.span {
        span.speaks(session.version());
    }
}

async fn modern(inbound: Inbound<'_>) -> FrontResponse {
    match inbound.message.kind() {
        Kind::Request => {}
        // The core knows none (2026-07-28: "defines no client-to-server notifications over Streamable HTTP");
        // extensions may.
        Kind::Notification => {
            let Inbound { front, endpoint, who, message, params, .. } = &inbound;
            let principal = &who.principal;
            let declared = params.meta.as_ref().and_then(|meta| meta.client_capabilities.clone());
            let declared = declared.map_or("{}", |span| &message.as_str()[span]);
            let capabilities = ClientCapabilities::read(declared);
            let caller = Caller { principal, session: None, capabilities };
            Box::pin(front.router.pass_notification(endpoint, (message, params), Era::Modern, &caller)).await;
            return reply::status(StatusCode::ACCEPTED);
        }
        Kind::Result | Kind::Error => {
            let error = Error::new(
                ErrorKind::InvalidRequest,
                "a modern client sends requests and notifications only",
            );
            return inbound.refuse(error, Era::Modern);
        }
    }
    let declared = match check_modern(&inbound.message, &inbound.params, inbound.headers) {
        Ok(declared) => declared,
        Err(error) => return inbound.refuse(error, Era::Modern),
    };
    let Some(id) = inbound.message.id() else { return reply::status(StatusCode::BAD_REQUEST) };
    let (front, accepts) = (inbound.front, Accepts::read(inbound.headers));
    let request = inbound.routed(id, Era::Modern, declared.log_level, declared.capabilities);
    if request.message.method() == method::LISTEN {
        return Box::pin(streams::listen(front, &request)).await;
    }
    match dispatch(front, request, None).await {
        Answer::Ready(ready) => finished(ready, accepts),
        Answer::Call(call) => watch(front, call, None, accepts).await,
    }
}

async fn legacy(inbound: Inbound<'_>) -> FrontResponse {
    if inbound.message.method() == method::INITIALIZE && inbound.message.kind() == Kind::Request {
        return Box::pin(initialize(inbound)).await;
    }
    let session =
        match streams::session(inbound.front, &inbound.endpoint, &inbound.who.principal, inbound.headers) {
            Ok(session) => session,
            Err(error) => return inbound.refuse(error, Era::Legacy),
        };
    let named = inbound.headers.get(header::PROTOCOL_VERSION);
    if let Some(version) = named.filter(|version| version.to_str().ok().and_then(Version::parse).is_none()) {
        let text = format!("MCP-Protocol-Version {version:?} is not a version of this gateway");
        return inbound.refuse(Error::new(ErrorKind::UnsupportedVersion, text), Era::Legacy);
    }
    match inbound.message.kind() {
        Kind::Request => {}
        Kind::Notification => {
            let Inbound { front, endpoint, who, message, params, .. } = &inbound;
            let principal = &who.principal;
            Box::pin(notification(front, endpoint, (message, params), (principal, &session))).await;
            return reply::status(StatusCode::ACCEPTED);
        }
        Kind::Result | Kind::Error => {
            if !session.answer(inbound.message.clone()) {
                debug!(id = ?inbound.message.id(), "an answer to a question that nobody waits for");
            }
            return reply::status(StatusCode::ACCEPTED);
        }
    }
    let (front, accepts) = (inbound.front, Accepts::read(inbound.headers));
    match take(inbound, &session).await {
        Taken::Ready(ready) => finished(ready, accepts),
        Taken::Call(call, ticket) => watch(front, call, Some(ticket), accepts).await,
    }
}

/// What becomes of a legacy client's request.
pub(super) enum Taken {
    /// It is answered.
    Ready(Reply),
    /// It is on its way to a server.
    Call(Box<ClientCall>, Ticket),
}

/// Takes one request of a legacy client.
pub(super) async fn take(inbound: Inbound<'_>, session: &Arc<Session>) -> Taken {
    let Some(id) = inbound.message.id() else {
        let error = Error::new(ErrorKind::InvalidRequest, "a request has an id");
        return Taken::Ready(Reply::error(None, &error, Era::Legacy));
    };
    if inbound.message.method() == method::SET_LEVEL
        && let Some(level) = params::level(&inbound.message, &inbound.params)
    {
        session.set_log_level(level);
    }
    if matches!(inbound.message.method(), method::SUBSCRIBE | method::UNSUBSCRIBE) {
        return Taken::Ready(Box::pin(subscription(inbound, session, id)).await);
    }
    let ticket = session.begin(&id);
    let front = inbound.front;
    let request = inbound.of(session, id);
    match dispatch(front, request, Some(&ticket)).await {
        Answer::Ready(ready) => {
            // A session that is gone has nothing left to go on with, here or elsewhere.
            if ready.status == StatusCode::NOT_FOUND {
                streams::end(front, session);
            }
            Taken::Ready(ready)
        }
        Answer::Call(call) => Taken::Call(call, ticket),
    }
}

/// `resources/subscribe` and `unsubscribe`: the session remembers, the server is asked once for all sessions.
async fn subscription(inbound: Inbound<'_>, session: &Session, id: RawId) -> Reply {
    let front = inbound.front;
    let routed = inbound.of(session, id);
    if routed.message.method() == method::UNSUBSCRIBE {
        let received = Instant::now();
        if let Some(uri) = params::string_at(&routed.message, &routed.params.uri) {
            session.watched().remove(&uri);
        }
        return front.router.settle(&routed, Ok(b"{}".to_vec()), received);
    }
    front.router.subscribe(&routed, |one| session.watched().add(one)).await
}

/// Takes a notification of a legacy client.
pub(super) async fn notification(
    front: &Front,
    endpoint: &Endpoint,
    (message, params): (&Message, &Params),
    (principal, session): (&Principal, &Session),
) {
    let caller = streams::caller(principal, session);
    front.router.pass_notification(endpoint, (message, params), Era::Legacy, &caller).await;
    if message.method() == method::PROGRESS
        && let Some(span) = params.progress_token.clone()
        && let Some(number) = id::minted(&message.slice(span))
        && !session.progress(number, message.clone())
    {
        debug!(number, "progress with a question that nobody asked");
    }
    if message.method() == method::CANCELLED
        && let Some(span) = params.request_id.clone()
        && let Some(id) = RawId::new(message.slice(span))
        && !session.cancel(&id)
    {
        debug!(?id, "a cancellation that names no call, or more than one");
    }
}

async fn initialize(inbound: Inbound<'_>) -> FrontResponse {
    let (answer, session) = introduce(inbound).await;
    let mut response = reply::reply(answer);
    if let Some(value) = session.and_then(|session| HeaderValue::from_str(session.id()).ok()) {
        response.headers_mut().insert(header::SESSION_ID, value);
    }
    response
}

/// Answers `initialize`, and opens a session if nothing is wrong with it.
pub(super) async fn introduce(inbound: Inbound<'_>) -> (Reply, Option<Arc<Session>>) {
    let (front, received) = (inbound.front, Instant::now());
    let Some(id) = inbound.message.id() else {
        let error = Error::new(ErrorKind::InvalidRequest, "a request has an id");
        return (Reply::error(None, &error, Era::Legacy), None);
    };
    let mut request = inbound.routed(id, Era::Legacy, None, ClientCapabilities::default());
    let opened = open(front, &mut request).await;
    let (outcome, session) = match opened {
        Ok((result, session)) => (Ok(result.into_bytes()), Some(session)),
        Err(error) => {
            debug!(%error, "refused to initialize");
            (Err(error), None)
        }
    };
    request.session = session.as_deref().map(streams::session_key);
    if let Some(session) = &session {
        speaks(&mut request, session);
    }
    (front.router.settle(&request, outcome, received), session)
}

/// Opens the session that `initialize` asks for, and notes what the client says of itself.
async fn open(front: &Front, request: &mut Routed) -> Result<(String, Arc<Session>), Error> {
    let params = request.message.params();
    let asked = skim::string_field(params, "protocolVersion")
        .ok_or_else(|| Error::new(ErrorKind::InvalidParams, "params.protocolVersion must be a string"))?;
    let version = Version::parse(&asked).filter(|v| v.era() == Era::Legacy).unwrap_or(Version::LATEST_LEGACY);
    let info = ClientInfo::read(skim::field_text(params, "clientInfo").unwrap_or("{}"));
    let capabilities = ClientCapabilities::read(skim::field_text(params, "capabilities").unwrap_or("{}"));
    let client = Client { name: info.name.clone(), version: info.version.clone(), capabilities };
    request.client = Some(Arc::new(info));
    let (endpoint, access) = (&request.endpoint, &request.access);
    let result = front.router.introduce(endpoint, access, version).await?;
    let session = front.sessions.open(version, endpoint.name(), &request.principal, client)?;
    let key = Some(streams::session_key(&session));
    let caller = Caller { principal: &request.principal, session: key, capabilities };
    let own = front.router.introduce_own(endpoint, access, version, &caller).await;
    Ok((own.unwrap_or(result), session))
}

/// Sends a request on its way. A call that waits for its server to come up can be withdrawn, and then never reaches it.
async fn dispatch(front: &Front, request: Box<Routed>, ticket: Option<&Ticket>) -> Answer {
    let cancelled = async {
        match ticket {
            Some(ticket) => ticket.cancelled().await,
            None => std::future::pending().await,
        }
    };
    let withdrawn = async {
        tokio::select! {
            () = cancelled => Error::new(ErrorKind::Cancelled, "the call was cancelled by its client"),
            () = front.abort.cancelled() => Error::new(ErrorKind::ShuttingDown, "the gateway is shutting down"),
        }
    };
    front.router.dispatch(request, withdrawn).await
}

/// One JSON answer, for a caller that has neither a session nor a stream.
pub(super) async fn once(front: &Arc<Front>, request: Box<Routed>) -> FrontResponse {
    let accepts = Accepts { json: true, events: false };
    match dispatch(front, request, None).await {
        Answer::Ready(ready) => finished(ready, accepts),
        Answer::Call(call) => watch(front, call, None, accepts).await,
    }
}

fn finished(ready: Reply, accepts: Accepts) -> FrontResponse {
    if accepts.json { reply::reply(ready) } else { reply::single(ready) }
}

async fn watch(
    front: &Arc<Front>,
    call: Box<ClientCall>,
    ticket: Option<Ticket>,
    accepts: Accepts,
) -> FrontResponse {
    let silence = accepts.events.then(|| Instant::now() + KEEP_ALIVE_EVERY);
    stream::watch(front, call, ticket, accepts, silence).await
}

fn mirrored_params(headers: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    let mirrored = headers.iter().filter(|(name, _)| name.as_str().starts_with(header::PARAM_PREFIX));
    mirrored.map(|(name, value)| (name.clone(), value.clone())).collect()
}
