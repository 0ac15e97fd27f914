//! Streams that are not a call's: a legacy client's GET, a modern client's `subscriptions/listen`; and DELETE.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use http::header::ACCEPT;
use http::{HeaderMap, StatusCode};

use crate::base::{Era, Error, ErrorKind, Principal, ServerName};
use crate::protocol::{Message, Params, RawId, header, skim};
use crate::router::{Endpoint, Reply};
use crate::session::{Session, Wants, Watched};

use super::body::FrontBody;
use super::front::Front;
use super::reply::{self, FrontResponse};

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

/// `GET`: the stream on which a legacy client hears of changes.
pub fn open(front: &Front, endpoint: &Endpoint, principal: &Principal, headers: &HeaderMap) -> FrontResponse {
    let accepts = headers.get(ACCEPT).map_or(&b""[..], http::HeaderValue::as_bytes);
    if memchr::memmem::find(accepts, b"text/event-stream").is_none() {
        return reply::status(StatusCode::NOT_ACCEPTABLE);
    }
    let opened = session(front, endpoint, principal, headers).and_then(|session| {
        Ok((front.hub.listen(server_of(endpoint), Wants::ALL, Arc::clone(session.watched()), None)?, session))
    });
    match opened {
        Ok((listening, session)) => {
            let (hold, writer) = (session.hold_stream(), listening.writer.clone());
            session.set_stream(writer);
            reply::events(FrontBody::Changes { listening, _hold: Some(hold) })
        }
        Err(error) => reply::refusal(&error, Era::Legacy),
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
            front.sessions.delete(&session);
            reply::status(StatusCode::NO_CONTENT)
        }
        Err(error) => reply::refusal(&error, Era::Legacy),
    }
}

/// `subscriptions/listen`: the stream on which a modern client hears of the changes that it names.
pub async fn listen(
    front: &Front,
    endpoint: &Endpoint,
    message: &Message,
    params: &Params,
    id: RawId,
) -> FrontResponse {
    let filter =
        params.notifications.clone().map(|span| &message.as_str()[span]).filter(|raw| raw.starts_with('{'));
    let Some(filter) = filter else {
        let error = Error::new(ErrorKind::InvalidParams, "params.notifications must be an object");
        return reply::reply(Reply::error(Some(&id), &error, Era::Modern));
    };
    let wants = |field: &str| skim::field_text(filter, field) == Some("true");
    let wants = Wants {
        tools: wants("toolsListChanged"),
        prompts: wants("promptsListChanged"),
        resources: wants("resourcesListChanged"),
    };
    let watched = Arc::new(Watched::default());
    let mut uris = BTreeSet::new();
    if let Some(asked) = skim::field_text(filter, "resourceSubscriptions") {
        // What is no list of strings subscribes to nothing, and the acknowledgement says so.
        let _ = skim::each_element(asked, |span| {
            uris.extend(skim::string(&asked[span]).map(Cow::into_owned));
            Ok(())
        });
    }
    for uri in uris {
        // What cannot be subscribed to is missing in the acknowledgement.
        if let Ok(subscription) = front.router.subscribe_to(endpoint, &uri)
            && let Err(error) = watched.add(subscription)
        {
            return reply::reply(Reply::error(Some(&id), &error, Era::Modern));
        }
    }
    watched.settled().await;
    match front.hub.listen(server_of(endpoint), wants, watched, Some(id.clone())) {
        Ok(listening) => reply::events(FrontBody::Changes { listening, _hold: None }),
        Err(error) => reply::reply(Reply::error(Some(&id), &error, Era::Modern)),
    }
}

fn server_of(endpoint: &Endpoint) -> Option<ServerName> {
    match endpoint {
        Endpoint::Merged => None,
        Endpoint::Server(server) => Some(server.name().clone()),
    }
}
