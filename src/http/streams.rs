//! Streams that are not a call's: a legacy client's GET, a modern client's `subscriptions/listen`; and DELETE.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use http::header::ACCEPT;
use http::{HeaderMap, StatusCode};
use tokio::time::Instant;

use crate::base::{Era, Error, ErrorKind, Principal};
use crate::protocol::{Message, Params, header, method, skim, write};
use crate::router::{Endpoint, Reply, Request};
use crate::session::{OWN_STREAM, Position, Reader, Session, Vantage, Wants, Watched};
use crate::supervisor::{Caller, SessionKey};

use super::body::FrontBody;
use super::front::Front;
use super::reply::{self, FrontResponse};
use super::untold::Untold;

/// The session that the headers name: 400 without one, 404 for one that is not known here.
pub fn session(
    front: &Front,
    endpoint: &Endpoint,
    principal: &Principal,
    headers: &HeaderMap,
) -> Result<Arc<Session>, Error> {
    let id = headers.get(header::SESSION_ID).ok_or_else(|| {
        Error::new(
            ErrorKind::SessionRequired,
            "the header Mcp-Session-Id is missing; send `initialize` first",
        )
    })?;
    front.sessions.find(id.to_str().unwrap_or_default(), endpoint.name(), principal)
}

/// `GET`: the stream on which a legacy client hears of changes, or, with `Last-Event-ID`, the rest of a stream that it
/// has lost.
pub fn open(front: &Front, endpoint: &Endpoint, principal: &Principal, headers: &HeaderMap) -> FrontResponse {
    let accepts = headers.get(ACCEPT).map_or(&b""[..], http::HeaderValue::as_bytes);
    if memchr::memmem::find(accepts, b"text/event-stream").is_none() {
        return reply::status(StatusCode::NOT_ACCEPTABLE);
    }
    let opened = session(front, endpoint, principal, headers).and_then(|session| {
        let position = position(headers)?;
        let place = front.hub.place()?;
        let reader = match position {
            Some(position) if position.stream != OWN_STREAM => {
                let stream = session.streams().find(&position);
                match stream.and_then(|stream| stream.connect(Some(position.event)).ok()) {
                    Some(reader) => reader,
                    None => return Ok(lost(&position)),
                }
            }
            position => own_stream(
                front,
                vantage(endpoint, &caller(principal, &session)),
                &session,
                position.as_ref(),
            ),
        };
        let hold = session.hold_stream();
        let told = Untold { session: Some(session_key(&session).short()), ..Untold::DONE };
        Ok(told.mark(reply::events(FrontBody::Opened { reader, _hold: hold, _place: place })))
    });
    opened.unwrap_or_else(|error| reply::no_stream(&error))
}

fn position(headers: &HeaderMap) -> Result<Option<Position>, Error> {
    let Some(value) = headers.get(header::LAST_EVENT_ID) else { return Ok(None) };
    match value.to_str().ok().and_then(Position::read) {
        Some(position) => Ok(Some(position)),
        None => Err(Error::new(
            ErrorKind::InvalidRequest,
            "Last-Event-ID is no id of an event of this gateway; open the stream without it",
        )),
    }
}

/// What is said to a client that asks for the rest of a call's stream which is not held any more. It must not wait in vain:
/// it gets an answer to its call, and that says so.
fn lost(position: &Position) -> FrontResponse {
    let error = reply::not_held();
    match &position.call {
        Some(call) => Untold::refused(error.kind, Era::Legacy).mark(reply::single(Reply::error(
            Some(call),
            &error,
            Era::Legacy,
        ))),
        None => reply::refusal(&Error::new(ErrorKind::InvalidRequest, error.message), Era::Legacy),
    }
}

/// The session's own stream. If it is not held as far back as the client asks, everything may have changed meanwhile,
/// and the client is told just that.
fn own_stream(
    front: &Front,
    vantage: Vantage,
    session: &Arc<Session>,
    position: Option<&Position>,
) -> Reader {
    let streams = session.streams();
    if let Some(position) = position
        && let Some(stream) = streams.find(position)
        && stream.holds_all_after(position.event)
        && let Ok(reader) = stream.connect(Some(position.event))
    {
        return reader;
    }
    loop {
        let (stream, fresh) = streams.own();
        if fresh {
            front.hub.adopt(vantage.clone(), session, Arc::clone(&stream));
        }
        // One that was let go at this very moment is followed by another.
        let Ok(reader) = stream.connect(None) else { continue };
        if position.is_some() {
            for method in [method::TOOLS_CHANGED, method::PROMPTS_CHANGED, method::RESOURCES_CHANGED] {
                stream.push(&write::notification(method, None));
            }
            for uri in session.watched().uris() {
                let params = format!(r#"{{"uri":{}}}"#, skim::quote(&uri));
                stream.push(&write::notification(method::RESOURCE_UPDATED, Some(&params)));
            }
        }
        return reader;
    }
}

/// `DELETE`: the client's last word on its session.
pub fn delete(
    front: &Front,
    endpoint: &Endpoint,
    principal: &Principal,
    headers: &HeaderMap,
) -> FrontResponse {
    match session(front, endpoint, principal, headers) {
        Ok(session) => {
            end(front, &session);
            let told = Untold { session: Some(session_key(&session).short()), ..Untold::DONE };
            told.mark(reply::status(StatusCode::NO_CONTENT))
        }
        Err(error) => reply::refusal(&error, Era::Legacy),
    }
}

/// Ends a session, and what servers keep for it.
pub fn end(front: &Front, session: &Session) {
    front.sessions.delete(session);
    front.router.fleet().end_session(session.key().0);
}

/// Who speaks in a session.
pub fn caller<'a>(principal: &'a Principal, session: &Session) -> Caller<'a> {
    Caller { principal, session: Some(session_key(session)), capabilities: session.capabilities() }
}

/// The session as the fleet knows it.
pub fn session_key(session: &Session) -> SessionKey {
    let (id, inherited) = session.key();
    SessionKey { id, inherited }
}

/// `subscriptions/listen`: the stream on which a modern client hears of the changes that it names.
pub async fn listen(front: &Front, request: &Request) -> FrontResponse {
    let received = Instant::now();
    match hear(front, request).await {
        Ok(response) => {
            front.router.opened(request, received);
            response
        }
        Err(error) => reply::reply(front.router.settle(request, Err(error), received)),
    }
}

async fn hear(front: &Front, request: &Request) -> Result<FrontResponse, Error> {
    let Request { message, params, endpoint, .. } = request;
    let caller = &request.caller();
    let filter =
        params.notifications.clone().map(|span| &message.as_str()[span]).filter(|raw| raw.starts_with('{'));
    let Some(filter) = filter else {
        return Err(Error::new(ErrorKind::InvalidParams, "params.notifications must be an object"));
    };
    if skim::field(filter, "taskIds").is_some() && !has_tasks(message, params) {
        let text = "notifications about tasks need the extension io.modelcontextprotocol/tasks, which the client has not declared";
        return Err(Error::new(ErrorKind::MissingCapability, text).with_data(NEEDS_TASKS.to_owned()));
    }
    let wants = |field: &str| skim::field_text(filter, field) == Some("true");
    let wants = Wants {
        tools: wants("toolsListChanged"),
        prompts: wants("promptsListChanged"),
        resources: wants("resourcesListChanged"),
    };
    let watched = Arc::new(Watched::default());
    // What the fleet has published before is no news any more, also if the catalog has yet to take it in.
    front.router.catalog().settled().await;
    for uri in strings(filter, "resourceSubscriptions") {
        // What cannot be subscribed to is missing in the acknowledgement.
        if let Ok(subscription) = front.router.subscribe_to(endpoint, &uri, (caller, &request.access)).await {
            watched.add(subscription)?;
        }
    }
    for id in strings(filter, "taskIds") {
        // So is what is no task of this client's, or one that nobody tells of.
        if let Some(subscription) = front.router.follow_task(request, &id).await {
            watched.follow(id, subscription)?;
        }
    }
    // From here on it hears; what its servers say as soon as they are told is behind the acknowledgement.
    let listening =
        front.hub.listen(vantage(endpoint, caller), wants, Arc::clone(&watched), request.id.clone())?;
    watched.settled().await;
    Ok(reply::events(FrontBody::Changes(listening)))
}

/// The strings in a list of the filter. What is no list of strings subscribes to nothing, and the acknowledgement says so.
fn strings(filter: &str, field: &str) -> BTreeSet<String> {
    let mut strings = BTreeSet::new();
    if let Some(asked) = skim::field_text(filter, field) {
        let _ = skim::each_element(asked, |span| {
            strings.extend(skim::string(&asked[span]).map(Cow::into_owned));
            Ok(())
        });
    }
    strings
}

/// `error.data` for a client that wants to hear of tasks and has not said that it knows them.
const NEEDS_TASKS: &str = r#"{"requiredCapabilities":{"extensions":{"io.modelcontextprotocol/tasks":{}}}}"#;

/// Whether the client declares the extension for tasks.
fn has_tasks(message: &Message, params: &Params) -> bool {
    let declared = params.meta.as_ref().and_then(|meta| meta.client_capabilities.clone());
    let declared = declared.map_or("{}", |span| &message.as_str()[span]);
    skim::field_text(declared, "extensions")
        .is_some_and(|all| skim::field(all, "io.modelcontextprotocol/tasks").is_some())
}

/// Which changes are a caller's at an endpoint.
pub fn vantage(endpoint: &Endpoint, caller: &Caller<'_>) -> Vantage {
    match endpoint {
        Endpoint::Merged => Vantage::default(),
        Endpoint::Server(server) => {
            Vantage { endpoint: Some(server.name().clone()), own: server.link_key(caller) }
        }
    }
}
