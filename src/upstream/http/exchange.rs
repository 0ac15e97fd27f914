//! One POST and what comes back: a JSON object, or a stream of events that ends with the reply.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use hyper::body::{Body as _, Frame, Incoming};
use tokio::time::{Instant, Sleep};

use crate::base::{Era, Error, ErrorKind};
use crate::protocol::{Kind, Message, Params, header, id, method, params, sse, write};

use super::super::fault::Fault;
use super::super::mailbox::{Event, Receiver};
use super::super::outgoing::Outgoing;
use super::super::signals::ListKind;
use super::link::HttpLink;

type Sending = Pin<Box<dyn Future<Output = Result<Response<Incoming>, Fault>> + Send>>;

/// A request in flight. Dropping it closes its connection's stream, which a modern server takes for a cancellation;
/// a legacy one is told.
pub struct Exchange {
    link: Arc<HttpLink>,
    number: u64,
    /// What the server says to this call outside of its own stream.
    notes: Receiver,
    state: State,
    /// Whether the server is told nothing when the answer is no longer wanted.
    quiet: bool,
    /// The session that the answer to `initialize` brought.
    session: Option<HeaderValue>,
}

enum State {
    Sending(Sending),
    Whole { status: StatusCode, body: Incoming, collected: Collected },
    Events { body: Incoming, decoder: Box<sse::Decoder>, idle: Option<Idle> },
    Ended,
}

impl Exchange {
    pub(super) fn new(link: Arc<HttpLink>, outgoing: &Outgoing, number: u64, notes: Receiver) -> Exchange {
        let message = outgoing.message.to_bytes(number);
        let mut headers = outgoing.headers.clone();
        if link.version().is_none_or(|version| version.era() == Era::Modern) {
            mirror(outgoing, &mut headers);
        }
        let sender = Arc::clone(&link);
        let sending = Box::pin(async move { sender.deliver(message, &headers).await });
        let quiet = outgoing.is_quiet();
        Exchange { link, number, notes, state: State::Sending(sending), quiet, session: None }
    }

    /// The session that the server gave, once the head of the response is here.
    pub fn take_session(&mut self) -> Option<HeaderValue> {
        self.session.take()
    }

    /// The next event.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        if let Poll::Ready(note) = self.notes.poll_next(cx) {
            return Poll::Ready(note);
        }
        loop {
            let event = match &mut self.state {
                State::Sending(sending) => match ready!(sending.as_mut().poll(cx)) {
                    Ok(response) => match self.head(response) {
                        Ok(()) => continue,
                        Err(fault) => Event::Failed(fault),
                    },
                    Err(fault) => Event::Failed(fault),
                },
                State::Whole { status, body, collected } => {
                    let status = *status;
                    match ready!(collected.poll(body, self.link.max_message(), cx)) {
                        Ok(bytes) => self.whole(status, bytes),
                        Err(what) => Event::Failed(self.link.fault(ErrorKind::ServerFailed, &what)),
                    }
                }
                State::Events { body, decoder, idle } => match decoder.next_event() {
                    Ok(Some(event)) => match self.event(event) {
                        Some(event) => event,
                        None => continue,
                    },
                    Ok(None) => match ready!(Idle::poll_frame(idle, body, cx)) {
                        Err(Silent(limit)) => {
                            let what =
                                format!("sent nothing on its stream for {limit:?} (stream_idle_timeout)");
                            Event::Failed(self.link.fault(ErrorKind::Timeout, &what))
                        }
                        Ok(Some(Ok(frame))) => {
                            if let Some(data) = frame.data_ref() {
                                decoder.push(data);
                            }
                            continue;
                        }
                        Ok(Some(Err(error))) => Event::Failed(
                            self.link.fault(ErrorKind::ServerFailed, &format!("broke its stream: {error}")),
                        ),
                        Ok(None) => Event::Failed(
                            self.link.fault(ErrorKind::ServerFailed, "closed its stream before it answered"),
                        ),
                    },
                    Err(error) => {
                        let what = format!("sent too much: {error} (max_message)");
                        Event::Failed(self.link.fault(ErrorKind::ServerFailed, &what))
                    }
                },
                State::Ended => return Poll::Pending,
            };
            if !matches!(event, Event::Note(_)) {
                self.state = State::Ended;
                self.link.forget(self.number);
            }
            return Poll::Ready(event);
        }
    }

    /// Looks at the head of the response and chooses how to read on.
    fn head(&mut self, response: Response<Incoming>) -> Result<(), Fault> {
        let (head, body) = response.into_parts();
        self.session = head.headers.get(header::SESSION_ID).cloned();
        if head.status.is_success() && is_stream(&head.headers) {
            let decoder = Box::new(sse::Decoder::new(self.link.max_message()));
            let idle = self.link.stream_idle_timeout().map(Idle::new);
            self.state = State::Events { body, decoder, idle };
            return Ok(());
        }
        if head.status == StatusCode::ACCEPTED || head.status == StatusCode::NO_CONTENT {
            return Err(self
                .link
                .fault(ErrorKind::ServerFailed, &format!("answered a request with {}", head.status)));
        }
        self.state = State::Whole { status: head.status, body, collected: Collected::default() };
        Ok(())
    }

    /// A body that is one JSON object: the reply, or the reason for a refusal.
    fn whole(&self, status: StatusCode, body: Bytes) -> Event {
        match Message::parse(body) {
            Ok(message) if self.is_reply(&message) => Event::Reply(message),
            Ok(_) if status.is_success() => Event::Failed(
                self.link.fault(ErrorKind::ServerFailed, "answered with a message of another request"),
            ),
            Err(error) if status.is_success() => Event::Failed(
                self.link.fault(ErrorKind::ServerFailed, &format!("answered with no MCP message: {error}")),
            ),
            _ => Event::Failed(self.refused(status)),
        }
    }

    /// A status that is no success, without a JSON-RPC error that would explain it.
    fn refused(&self, status: StatusCode) -> Fault {
        let fault = match status {
            // Never a 401 to our client: it would log in again in vain. It is the server's entry that lacks a login.
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => self.link.fault(
                ErrorKind::Unavailable,
                &format!("refuses the gateway's credentials ({status}); set `headers` in its entry"),
            ),
            StatusCode::TOO_MANY_REQUESTS => self.link.fault(ErrorKind::Overloaded, "answers 429 Too Many Requests"),
            status if status.is_redirection() => self.link.fault(
                ErrorKind::Unavailable,
                &format!("redirects to another origin ({status}), where its credentials must not go; set its final `url`"),
            ),
            status => self.link.fault(ErrorKind::ServerFailed, &format!("answered {status}")),
        };
        Fault { status: Some(status), ..fault }
    }

    /// One event of the stream; `None` if it was nobody's but ours.
    fn event(&self, event: sse::Event) -> Option<Event> {
        if event.data.is_empty() {
            return None;
        }
        let message = match Message::parse(event.data) {
            Ok(message) => message,
            Err(error) => {
                tracing::warn!(server = %self.link.name(), %error, "skipped an event that is no MCP message");
                return None;
            }
        };
        match message.kind() {
            Kind::Result | Kind::Error => self.is_reply(&message).then_some(Event::Reply(message)),
            Kind::Notification => self.note(message),
            Kind::Request => {
                self.question(&message);
                None
            }
        }
    }

    /// A notification on the call's own stream is the call's, but for those that concern everybody.
    fn note(&self, message: Message) -> Option<Event> {
        let listening = Params::read(&message).ok()?.meta.is_some_and(|meta| meta.subscription_id.is_some());
        if !listening && let Some(kind) = ListKind::of_notification(message.method()) {
            self.link.signals().list_changed(kind);
            return None;
        }
        if !listening && message.method() == method::RESOURCE_UPDATED {
            let read = Params::read(&message).ok()?;
            if let Some(uri) = params::string_at(&message, &read.uri) {
                self.link.signals().resource_updated(uri.into_owned());
            }
            return None;
        }
        Some(Event::Note(message))
    }

    fn question(&self, message: &Message) {
        let Some(id) = message.id() else { return };
        self.link.answer(if message.method() == method::PING {
            write::result(&id, b"{}")
        } else {
            let text = format!("the client declared no capability for '{}'", message.method());
            write::error(Some(&id), &Error::new(ErrorKind::MethodNotFound, text), Era::Legacy)
        });
    }

    /// Whether `message` answers this exchange. An error may lack the id that its sender could not read.
    fn is_reply(&self, message: &Message) -> bool {
        match (message.kind(), message.id_bytes()) {
            (Kind::Result | Kind::Error, Some(raw)) if raw != b"null" => id::minted(raw) == Some(self.number),
            (Kind::Error, _) => true,
            _ => false,
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        match self.state {
            State::Ended => {}
            _ if self.quiet => self.link.forget(self.number),
            _ => self.link.cancel(self.number),
        }
    }
}

/// The patience with a stream on which nothing comes; anything does, a comment too.
struct Idle {
    limit: Duration,
    timer: Pin<Box<Sleep>>,
}

/// What hyper says is next on a body; nothing at its end.
type NextFrame = Option<Result<Frame<Bytes>, hyper::Error>>;

/// Nothing came for so long.
struct Silent(Duration);

impl Idle {
    fn new(limit: Duration) -> Idle {
        Idle { limit, timer: Box::pin(tokio::time::sleep(limit)) }
    }

    /// The next frame of the body, unless it lets itself be waited for too long.
    fn poll_frame(
        idle: &mut Option<Idle>,
        body: &mut Incoming,
        cx: &mut Context<'_>,
    ) -> Poll<Result<NextFrame, Silent>> {
        let frame = Pin::new(body).poll_frame(cx);
        let Some(idle) = idle else { return frame.map(Ok) };
        match frame {
            Poll::Ready(frame) => {
                idle.timer.as_mut().reset(Instant::now() + idle.limit);
                Poll::Ready(Ok(frame))
            }
            Poll::Pending => idle.timer.as_mut().poll(cx).map(|()| Err(Silent(idle.limit))),
        }
    }
}

pub(super) fn is_stream(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    value.len() >= STREAM.len() && value[..STREAM.len()].eq_ignore_ascii_case(STREAM)
}

const STREAM: &[u8] = b"text/event-stream";

/// Adds the headers that mirror the body for a modern server.
fn mirror(outgoing: &Outgoing, headers: &mut Vec<(HeaderName, HeaderValue)>) {
    if let Ok(method) = HeaderValue::from_maybe_shared(outgoing.method.clone()) {
        headers.push((header::METHOD, method));
    }
    if let Some(name) = &outgoing.name
        && let Ok(value) = HeaderValue::from_str(&header::encode_value(name))
    {
        headers.push((header::NAME, value));
    }
}

/// A body as it is collected: without a copy if it comes in one piece, which is the common case.
#[derive(Default)]
struct Collected {
    first: Option<Bytes>,
    rest: BytesMut,
}

impl Collected {
    fn poll(&mut self, body: &mut Incoming, cap: usize, cx: &mut Context<'_>) -> Poll<Result<Bytes, String>> {
        loop {
            match ready!(Pin::new(&mut *body).poll_frame(cx)) {
                None => {
                    let first = self.first.take().unwrap_or_default();
                    return Poll::Ready(Ok(if self.rest.is_empty() {
                        first
                    } else {
                        self.rest.split().freeze()
                    }));
                }
                Some(Err(error)) => return Poll::Ready(Err(format!("broke off its answer: {error}"))),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.add(data);
                    }
                    if self.rest.len() > cap {
                        return Poll::Ready(Err(format!(
                            "answered with more than {cap} bytes (max_message)"
                        )));
                    }
                    if self.rest.is_empty() && body.is_end_stream() {
                        return Poll::Ready(Ok(self.first.take().unwrap_or_default()));
                    }
                }
            }
        }
    }

    fn add(&mut self, data: Bytes) {
        match self.first.take() {
            None if self.rest.is_empty() => self.first = Some(data),
            None => self.rest.extend_from_slice(&data),
            Some(first) => {
                self.rest.extend_from_slice(&first);
                self.rest.extend_from_slice(&data);
            }
        }
    }
}
