//! The oldest HTTP transport in front (2024-11-05, "HTTP with SSE"): `GET /sse` is a session's one stream, whose first event
//! names where its messages are sent to; everything that there is to say comes on the stream.
//!
//! The stream is the session: when it ends, calls are withdrawn and the endpoint is void. There is nothing to come back to;
//! who wants that speaks a newer version at `/mcp`.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::{HeaderMap, Method, Request, StatusCode};

use crate::base::{Era, Error, ErrorKind, Principal, random};
use crate::protocol::{Kind, Message, MessageError, Params, method, sse};
use crate::router::{Endpoint, Reply};
use crate::session::{Attached, Place, Session, StreamHold, Writer, queue};

use super::body::{FrontBody, RequestBody};
use super::era::era_of;
use super::front::Front;
use super::intake;
use super::outlet::Outlet;
use super::post::{self, Inbound, Taken};
use super::reply::{self, FrontResponse};
use super::stream::relay;
use super::streams;
use super::untold::Untold;
use super::who::Who;

/// The path of the stream of the merged endpoint; servers' own lie below it.
const STREAM: &str = "/sse";
/// The path to which messages are sent.
const MESSAGES: &str = "/messages";
/// What tells the sessions apart there. Both SDKs that had this transport call it so.
const SESSION: &str = "session_id=";

/// The sessions of this transport, by what their endpoints end in.
#[derive(Debug, Default)]
pub struct Oldest(Mutex<HashMap<String, Arc<Connection>>>);

#[derive(Debug)]
struct Connection {
    endpoint: Endpoint,
    principal: Principal,
    writer: Writer,
    opened: Mutex<Option<Opened>>,
}

/// What there is once the client has introduced itself.
#[derive(Debug)]
struct Opened {
    session: Arc<Session>,
    _hold: StreamHold,
    _changes: Attached,
}

/// Lives as long as the stream does.
struct Open {
    front: Arc<Front>,
    id: String,
    _place: Place,
}

impl Drop for Open {
    fn drop(&mut self) {
        let connection = self.front.oldest.lock().remove(&self.id);
        let opened = connection.and_then(|connection| lock(&connection.opened).take());
        if let Some(opened) = opened {
            self.front.sessions.delete(&opened.session);
        }
    }
}

impl Oldest {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<Connection>>> {
        lock(&self.0)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code that can panic runs under these locks; a poisoned state would still be a whole one.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Answers an exchange of this transport, or gives the request back if it is none.
pub async fn answer<B: RequestBody>(
    front: &Arc<Front>,
    who: &Who,
    request: Request<B>,
) -> Result<FrontResponse, Request<B>> {
    let path = request.uri().path();
    if path == MESSAGES || path == "/messages/" {
        return Ok(match *request.method() {
            Method::POST => take(front, who, request).await,
            _ => reply::status(StatusCode::METHOD_NOT_ALLOWED),
        });
    }
    let endpoint = match path.strip_prefix(STREAM).map(|rest| rest.strip_prefix('/').unwrap_or(rest)) {
        Some("") => Endpoint::Merged,
        Some(name) if path.starts_with("/sse/") => match front.router.endpoint(name, &who.access) {
            Some(endpoint) => endpoint,
            None => return Ok(reply::status(StatusCode::NOT_FOUND)),
        },
        _ => return Err(request),
    };
    Ok(match *request.method() {
        Method::GET => open(front, endpoint, who.principal.clone()),
        // By this, clients of both transports tell which one a URL speaks.
        _ => reply::status(StatusCode::METHOD_NOT_ALLOWED),
    })
}

/// Opens the stream. Its first event names the endpoint.
fn open(front: &Arc<Front>, endpoint: Endpoint, principal: Principal) -> FrontResponse {
    let place = match front.hub.place() {
        Ok(place) => place,
        Err(error) => return reply::no_stream(&error),
    };
    // Who knows it speaks in the session, so that it must not be guessed.
    let id = format!("{:016x}{:016x}", random::next_u64(), random::next_u64());
    let (writer, reader) = queue();
    // The reader is in our hands, so the queue cannot be gone.
    let _ = writer.push(sse::named("endpoint", &format!("{MESSAGES}?{SESSION}{id}")));
    let connection = Connection { endpoint, principal, writer, opened: Mutex::default() };
    front.oldest.lock().insert(id.clone(), Arc::new(connection));
    let open = Open { front: Arc::clone(front), id, _place: place };
    Untold::DONE.mark(reply::events(FrontBody::Held { reader, _held: Box::new(open) }))
}

/// Takes a message; what there is to say of it comes on the stream.
async fn take<B: RequestBody>(front: &Arc<Front>, who: &Who, request: Request<B>) -> FrontResponse {
    let (head, body) = request.into_parts();
    let id = head.uri.query().and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix(SESSION)));
    let known = id.and_then(|id| front.oldest.lock().get(id).cloned());
    let Some(connection) = known.filter(|connection| connection.principal == who.principal) else {
        return reply::status(StatusCode::NOT_FOUND);
    };
    if !intake::is_json(&head.headers) {
        return reply::status(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    let refuse = |error: &Error| reply::refusal(error, Era::Legacy);
    let text = match intake::read(body, front.max_body.load(Ordering::Relaxed)).await {
        Ok(text) => text,
        Err(error) => return refuse(&error),
    };
    let message = match Message::parse(text) {
        Ok(message) => message,
        Err(MessageError::Syntax(reason)) => return refuse(&Error::new(ErrorKind::Parse, reason)),
        Err(MessageError::Invalid { reason, .. }) => {
            return refuse(&Error::new(ErrorKind::InvalidRequest, reason));
        }
    };
    let params = match Params::read(&message) {
        Ok(params) => params,
        Err(error) => return refuse(&Error::new(ErrorKind::InvalidRequest, error.to_string())),
    };
    let session = lock(&connection.opened).as_ref().map(|opened| Arc::clone(&opened.session));
    match (message.kind(), session) {
        (Kind::Request, session) => {
            let (front, who, tracker) = (Arc::clone(front), who.clone(), front.calls.clone());
            tracker.spawn(async move {
                serve(&front, &connection, who, session, (head.headers, message, params)).await
            });
        }
        (Kind::Notification, Some(session)) => {
            post::notification(
                front,
                &connection.endpoint,
                (&message, &params),
                (&connection.principal, &session),
            )
            .await;
        }
        (Kind::Result | Kind::Error, Some(session)) => drop(session.answer(message)),
        // What comes before the introduction concerns nobody.
        (_, None) => {}
    }
    reply::status(StatusCode::ACCEPTED)
}

async fn serve(
    front: &Arc<Front>,
    connection: &Connection,
    who: Who,
    session: Option<Arc<Session>>,
    (headers, message, params): (HeaderMap, Message, Box<Params>),
) {
    let outlet = Outlet::Shared(connection.writer.clone());
    let id = message.id();
    let refuse = |text: &'static str| {
        let error = Error::new(ErrorKind::InvalidRequest, text);
        outlet.finish(id.as_ref(), &Reply::error(id.as_ref(), &error, Era::Legacy).message);
    };
    if era_of(&message, &params, &HeaderMap::new()) == Era::Modern {
        return refuse("this is the transport of 2024-11-05; requests of 2026-07-28 go to /mcp");
    }
    if let Err(wait) = front.limits.request(&who.principal) {
        let error = Reply::error(id.as_ref(), &wait.into(), Era::Legacy);
        return outlet.finish(id.as_ref(), &error.message);
    }
    let introduces = message.method() == method::INITIALIZE;
    let inbound = Inbound {
        front,
        endpoint: connection.endpoint.clone(),
        who,
        headers: &headers,
        mirrors: true,
        message,
        params,
    };
    match session {
        None if introduces => {
            let (answer, opened) = post::introduce(inbound).await;
            if let Some(session) = opened {
                settle(front, connection, session);
            }
            outlet.finish(id.as_ref(), &answer.message);
        }
        None => refuse("send `initialize` first"),
        Some(_) if introduces => refuse("the session is initialized already"),
        Some(session) => match post::take(inbound, &session).await {
            Taken::Ready(reply) => outlet.finish(id.as_ref(), &reply.message),
            Taken::Call(call, ticket) => relay(front, call, Some(ticket), outlet, None).await,
        },
    }
}

/// From here on the client hears of changes, and may ask.
fn settle(front: &Front, connection: &Connection, session: Arc<Session>) {
    let vantage = streams::vantage(&connection.endpoint, &streams::caller(&connection.principal, &session));
    let changes = front.hub.attach(vantage, &session, connection.writer.clone());
    let (hold, before) = (session.hold_stream(), lock(&connection.opened).take());
    if connection.writer.is_gone() || before.is_some() {
        // The stream has gone meanwhile, or another introduction was faster.
        *lock(&connection.opened) = before;
        return front.sessions.delete(&session);
    }
    *lock(&connection.opened) = Some(Opened { session, _hold: hold, _changes: changes });
}
