//! Batches: several messages in one POST, which version 2025-03-26 of the protocol knows and no other.
//!
//! Each element is taken as if it had come alone, with its own place and limits; what is wrong with one is the answer to
//! that one. The answers come as one array, or as a stream once something precedes them.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};

use crate::base::{Era, Error, ErrorKind, Version};
use crate::protocol::{Kind, Message, MessageError, Params, header, method, skim};
use crate::router::{Endpoint, Reply};
use crate::session::{KEEP_ALIVE_EVERY, Session};

use super::accepts::Accepts;
use super::body::FrontBody;
use super::era::era_of;
use super::front::Front;
use super::gathering::{Gathered, Gathering};
use super::outlet::Outlet;
use super::post::{Inbound, Taken, notification, take};
use super::reply::{self, FrontResponse};
use super::stream::relay;
use super::streams;
use super::who::Who;

/// Messages in one batch. Each may be a call; a client that has more to say has more than one POST.
const MAX_BATCH: usize = 64;

/// Whether a body is an array.
pub fn is_batch(text: &[u8]) -> bool {
    text.trim_ascii_start().first() == Some(&b'[')
}

/// Answers a batch.
pub async fn answer(
    front: &Arc<Front>,
    endpoint: Endpoint,
    who: Who,
    headers: &HeaderMap,
    text: Bytes,
) -> FrontResponse {
    let named = headers.get(header::PROTOCOL_VERSION).and_then(|value| value.to_str().ok());
    if named.is_some_and(Version::claims_modern) {
        return reply::refusal(&not_accepted(), Era::Modern);
    }
    let opened =
        streams::session(front, &endpoint, &who.principal, headers)
            .and_then(|session| {
                if session.version() == Version::V2025_03_26 { Ok(session) } else { Err(not_accepted()) }
            })
            .and_then(|session| Ok((session, elements(&text)?)));
    let (session, elements) = match opened {
        Ok(opened) => opened,
        Err(error) => return reply::refusal(&error, Era::Legacy),
    };
    let mut requests = Vec::new();
    for element in elements {
        match sort(element) {
            Element::Request(message, params) => {
                let counted = front.limits.request(&who.principal).map_err(Error::from);
                let refused = |error: Error| Reply::error(message.id().as_ref(), &error, Era::Legacy);
                requests.push(counted.map_err(refused).map(|()| (message, params)));
            }
            Element::Wrong(reply) => requests.push(Err(reply)),
            Element::Notification(message, params) => {
                notification(front, &endpoint, (&message, &params), (&who.principal, &session)).await
            }
            Element::Response(message) => drop(session.answer(message)),
        }
    }
    if requests.is_empty() {
        return reply::status(StatusCode::ACCEPTED);
    }
    let gathering = Gathering::new(Arc::clone(&session), requests.len(), Accepts::read(headers).events);
    for (at, request) in requests.into_iter().enumerate() {
        match request {
            Err(wrong) => gathering.answer(at, wrong.message.clone(), || wrong.message),
            Ok((message, params)) => {
                let exchange = (Arc::clone(front), endpoint.clone(), who.clone(), headers.clone());
                start(exchange, Arc::clone(&session), (message, params), at, Arc::clone(&gathering));
            }
        }
    }
    let gathered = tokio::select! {
        gathered = gathering.gathered() => gathered,
        () = tokio::time::sleep(SILENCE) => {
            gathering.open();
            gathering.gathered().await
        }
    };
    match gathered {
        Gathered::Stream(reader) => reply::events(FrontBody::Call(reader)),
        Gathered::Array(answers) => reply::json(200, array(&answers)),
    }
}

/// After so much silence a stream tells proxies that the connection lives.
const SILENCE: Duration = KEEP_ALIVE_EVERY;

/// One message of a batch.
enum Element {
    Request(Message, Box<Params>),
    Notification(Message, Box<Params>),
    Response(Message),
    /// What cannot be taken, and what is said of it.
    Wrong(Reply),
}

fn sort(text: Bytes) -> Element {
    let wrong = |id: Option<&_>, error: &Error| Element::Wrong(Reply::error(id, error, Era::Legacy));
    let message = match Message::parse(text) {
        Ok(message) => message,
        Err(MessageError::Syntax(reason)) => return wrong(None, &Error::new(ErrorKind::Parse, reason)),
        Err(MessageError::Invalid { reason, id }) => {
            return wrong(id.as_ref(), &Error::new(ErrorKind::InvalidRequest, reason));
        }
    };
    let id = message.id();
    let params = match Params::read(&message) {
        Ok(params) => params,
        Err(error) => return wrong(id.as_ref(), &Error::new(ErrorKind::InvalidParams, error.to_string())),
    };
    if message.method() == method::INITIALIZE {
        let text = "`initialize` must not be part of a batch";
        return wrong(id.as_ref(), &Error::new(ErrorKind::InvalidRequest, text));
    }
    if era_of(&message, &params, &HeaderMap::new()) == Era::Modern {
        return wrong(id.as_ref(), &not_accepted());
    }
    match message.kind() {
        Kind::Request => Element::Request(message, params),
        Kind::Notification => Element::Notification(message, params),
        Kind::Result | Kind::Error => Element::Response(message),
    }
}

/// Takes one request of a batch, in a task of its own: a lost connection does not withdraw it.
fn start(
    (front, endpoint, who, headers): (Arc<Front>, Endpoint, Who, HeaderMap),
    session: Arc<Session>,
    (message, params): (Message, Box<Params>),
    at: usize,
    gathering: Arc<Gathering>,
) {
    let outlet = Outlet::Gathered(gathering, at);
    let tracker = front.calls.clone();
    tracker.spawn(async move {
        let id = message.id();
        let (front, headers) = (&front, &headers);
        let inbound = Inbound { front, endpoint, who, headers, mirrors: true, message, params };
        match take(inbound, &session).await {
            Taken::Ready(reply) => outlet.finish(id.as_ref(), &reply.message),
            Taken::Call(call, ticket) => relay(front, call, Some(ticket), outlet, None).await,
        }
    });
}

fn elements(text: &Bytes) -> Result<Vec<Bytes>, Error> {
    let invalid = |text: String| Error::new(ErrorKind::InvalidRequest, text);
    let json = std::str::from_utf8(text)
        .map_err(|_| Error::new(ErrorKind::Parse, "the message is not valid JSON: it is not UTF-8"))?;
    let mut elements = Vec::new();
    let mut count = 0;
    skim::each_element(json, |span| {
        count += 1;
        if count <= MAX_BATCH {
            elements.push(text.slice(span));
        }
        Ok(())
    })
    .map_err(|error| Error::new(ErrorKind::Parse, format!("the message is not valid JSON: {error}")))?;
    match count {
        0 => Err(invalid("an empty batch is no message".to_owned())),
        1..=MAX_BATCH => Ok(elements),
        _ => Err(invalid(format!("a batch may hold {MAX_BATCH} messages, this one holds {count}"))),
    }
}

fn not_accepted() -> Error {
    Error::new(
        ErrorKind::InvalidRequest,
        "a JSON-RPC batch (an array) is accepted in sessions of version 2025-03-26 only: send each message in a request of its own",
    )
}

fn array(answers: &[Bytes]) -> Bytes {
    let mut out = BytesMut::with_capacity(answers.iter().map(|answer| answer.len() + 1).sum::<usize>() + 1);
    for (at, answer) in answers.iter().enumerate() {
        out.extend_from_slice(if at == 0 { b"[" } else { b"," });
        out.extend_from_slice(answer);
    }
    out.extend_from_slice(b"]");
    out.freeze()
}
