//! One request of the client on its way: a POST, and everything that comes back for it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::base::backoff::Backoff;
use crate::base::error::code;
use crate::base::{Era, Error, ErrorKind, Version, random};
use crate::protocol::{Kind, Message, Params, RawId, Splice, header, method, params, skim, write};

use super::bridge::Bridge;
use super::gateway::Body;
use super::session::Open;
use super::stream::{self, Events, Place};

/// A request that waits for its answer.
#[derive(Debug)]
pub(super) struct Call {
    pub message: Message,
    pub params: Box<Params>,
    pub id: RawId,
    pub era: Era,
    /// The client does not want the answer any more.
    pub withdrawn: CancellationToken,
}

/// How often the answer of one call is looked for again without a word of it.
const MAX_RESUMES: u32 = 8;
/// Pauses before that, unless the gateway names its own.
const PAUSES: Backoff = Backoff { base: Duration::from_millis(200), cap: Duration::from_secs(5) };
/// The longest pause that the gateway may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Sees a call through. It ends with exactly one answer, or with none if the client has withdrawn it.
pub(super) async fn run(bridge: Arc<Bridge>, call: Arc<Call>) {
    let outcome = tokio::select! {
        biased;
        // Dropping the exchange is how a modern call is withdrawn at the gateway; a legacy one is withdrawn by word.
        () = call.withdrawn.cancelled(), if call.era == Era::Modern => return,
        () = bridge.over.cancelled() => Err(Error::new(ErrorKind::ShuttingDown, "the input has ended")),
        outcome = answer(&bridge, &call) => outcome,
    };
    if let Err(error) = outcome
        && !call.withdrawn.is_cancelled()
    {
        debug!(method = call.message.method(), %error, "a request has failed");
        bridge.output.send(write::error(Some(&call.id), &error, call.era)).await;
    }
}

async fn answer(bridge: &Bridge, call: &Call) -> Result<(), Error> {
    let legacy = call.era == Era::Legacy && call.message.method() != method::INITIALIZE;
    let mut session = bridge.session.current().filter(|_| legacy);
    if session.is_none() && legacy && call.message.method() == method::PING {
        // Before `initialize` there is nobody but us to be alive.
        bridge.output.send(write::result(&call.id, b"{}")).await;
        return Ok(());
    }
    let mut response =
        bridge.gateway.post(call.message.text(), &headers(bridge, call, session.as_ref())).await?;
    if let Some(lost) = session.as_ref().filter(|_| response.status() == StatusCode::NOT_FOUND) {
        // The gateway does not know the session and so has done nothing.
        bridge.session.reopen(&bridge.gateway, lost).await?;
        session = bridge.session.current();
        response = bridge.gateway.post(call.message.text(), &headers(bridge, call, session.as_ref())).await?;
    }
    let calls = call.era == Era::Modern && call.message.method() == method::TOOLS_CALL;
    if calls && response.status() == StatusCode::BAD_REQUEST && !stream::is_stream(&response) {
        let reply = stream::reply(&bridge.gateway, response).await?;
        if !is_mismatch(&reply) || !learn(bridge, call).await? {
            finish(bridge, call, None, &reply).await;
            return Ok(());
        }
        response = bridge.gateway.post(call.message.text(), &headers(bridge, call, None)).await?;
    }
    relay(bridge, call, session, response).await
}

/// The headers of a call: those of its session, or those that mirror a modern request.
fn headers(bridge: &Bridge, call: &Call, session: Option<&Open>) -> Vec<(HeaderName, HeaderValue)> {
    match call.era {
        Era::Legacy => session.map(Open::headers).unwrap_or_default(),
        Era::Modern => {
            let mut headers = mirrored(&call.message, &call.params);
            if call.message.method() == method::TOOLS_CALL {
                headers.extend(bridge.mirrors.headers(&call.message, &call.params));
            }
            headers
        }
    }
}

/// Whether a call was refused, before anything was done, for headers that its client could not have sent.
fn is_mismatch(reply: &Message) -> bool {
    let code = skim::field_text(reply.payload(), "code").and_then(|code| code.parse().ok());
    reply.kind() == Kind::Error && code == Some(code::HEADER_MISMATCH)
}

/// Looks up which parameters are to be mirrored (2026-07-28, `basic/transports/streamable-http`, "Client Behavior");
/// says whether that changes anything.
async fn learn(bridge: &Bridge, call: &Call) -> Result<bool, Error> {
    let before = bridge.mirrors.headers(&call.message, &call.params);
    let meta = call.params.meta.as_ref().map_or("{}", |meta| &call.message.as_str()[meta.span.clone()]);
    let asked = write::request(0, method::TOOLS_LIST, &format!(r#"{{"_meta":{meta}}}"#));
    let Ok(asked) = Message::parse(asked) else { return Ok(false) };
    let read = Params::read(&asked).unwrap_or_default();
    let response = bridge.gateway.post(asked.text(), &mirrored(&asked, &read)).await?;
    let reply = stream::reply(&bridge.gateway, response).await?;
    bridge.mirrors.learn(reply.payload());
    Ok(bridge.mirrors.headers(&call.message, &call.params) != before)
}

/// The headers that mirror a modern message (2026-07-28, `basic/transports/streamable-http`).
pub(super) fn mirrored(message: &Message, params: &Params) -> Vec<(HeaderName, HeaderValue)> {
    let version = params.meta.as_ref().and_then(|meta| params::string_at(message, &meta.protocol_version));
    let version = version.as_deref().unwrap_or(Version::LATEST_MODERN.as_str());
    let name = params::mirrored_name(message, params);
    let values = [
        (header::PROTOCOL_VERSION, Some(version)),
        (header::METHOD, Some(message.method())),
        (header::NAME, name.as_deref()),
    ];
    let encode = |value: &str| HeaderValue::from_str(&header::encode_value(value)).ok();
    values.into_iter().filter_map(|(name, value)| Some((name, encode(value?)?))).collect()
}

/// Passes on everything that the gateway says to a call, until the answer.
async fn relay(
    bridge: &Bridge,
    call: &Call,
    session: Option<Open>,
    mut response: Response<Body>,
) -> Result<(), Error> {
    let opened = response.headers().get(header::SESSION_ID).cloned();
    let mut place = Place::default();
    let mut acknowledged = false;
    let mut silent = 0;
    loop {
        if !stream::is_stream(&response) {
            let status = response.status();
            let body = stream::whole(&bridge.gateway, response).await?;
            let reply = Message::parse(body).ok().filter(|message| message.method().is_empty());
            let reply = reply.ok_or_else(|| bridge.gateway.refused(status))?;
            finish(bridge, call, opened, &reply).await;
            return Ok(());
        }
        let mut events = Events::new(response.into_body(), place);
        while let Some(data) = events.next().await {
            silent = 0;
            let Ok(message) = Message::parse(data) else { continue };
            if matches!(message.kind(), Kind::Result | Kind::Error) {
                finish(bridge, call, opened, &message).await;
                return Ok(());
            }
            let again =
                message.method() == method::ACKNOWLEDGED && std::mem::replace(&mut acknowledged, true);
            if !again && !call.withdrawn.is_cancelled() {
                bridge.output.send(message.text().clone()).await;
            }
        }
        place = events.into_place();
        let listens = call.message.method() == method::LISTEN;
        if silent == MAX_RESUMES || !(listens || place.last.is_some()) {
            return Err(bridge.gateway.broken("its stream ended before the answer"));
        }
        let pause = place.retry.map(|retry| retry.min(LONGEST_PAUSE));
        tokio::time::sleep(pause.unwrap_or_else(|| PAUSES.delay(silent, random::next_u64()))).await;
        silent += 1;
        // A legacy stream is taken up where it was left; listening is no act and can begin anew.
        response = match &place.last {
            Some(last) if !listens => {
                bridge.gateway.events(Some(last), &headers(bridge, call, session.as_ref())).await?
            }
            _ => bridge.gateway.post(call.message.text(), &headers(bridge, call, None)).await?,
        };
    }
}

/// The answer: what it means for the session, and then to the client.
async fn finish(bridge: &Bridge, call: &Call, opened: Option<HeaderValue>, reply: &Message) {
    if reply.kind() == Kind::Result && call.era == Era::Legacy {
        if call.message.method() == method::INITIALIZE {
            bridge.session.opened(call.message.text().clone(), opened, reply);
        }
        bridge.session.note(&call.message, &call.params);
    }
    if call.message.method() == method::TOOLS_LIST && call.era == Era::Modern {
        bridge.mirrors.learn(reply.payload());
    }
    if !call.withdrawn.is_cancelled() {
        bridge.output.send(under(reply, &call.id)).await;
    }
}

/// The reply under the id of its call: an error of who could not read the request may lack it.
fn under(reply: &Message, id: &RawId) -> Bytes {
    if reply.id_bytes() == Some(&id.as_bytes()[..]) {
        return reply.text().clone();
    }
    let mut splice = Splice::new(reply.text().clone());
    match reply.id_span() {
        Some(span) => splice.replace(span, id.as_bytes().clone()),
        None => {
            let brace = memchr::memchr(b'{', reply.text()).unwrap_or(0);
            splice.insert(brace + 1, Bytes::from([b"\"id\":", &id.as_bytes()[..], b","].concat()));
        }
    }
    splice.to_bytes(0)
}
