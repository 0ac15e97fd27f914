//! One POST and what comes back: a JSON object, or a stream of events that ends with the reply. A legacy server may close
//! that stream before it has answered; it is then taken up again by GET, where it stopped.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use hyper::body::Incoming;
use tokio::time::Sleep;

use crate::base::{Era, Error, ErrorKind};
use crate::protocol::{Kind, Message, Params, header, id, method, params, sse, write};

use super::super::fault::{Delivery, Fault};
use super::super::mailbox::{Event, Receiver};
use super::super::outgoing::Outgoing;
use super::super::party::Party;
use super::super::signals::{ListKind, Lost};
use super::body::{Collected, Idle, Silent, is_stream};
use super::link::HttpLink;
use super::resume::Resume;

type Sending = Pin<Box<dyn Future<Output = Result<Response<Incoming>, Fault>> + Send>>;

/// A request in flight. Dropping it closes its connection's stream, which a modern server takes for a cancellation;
/// a legacy one is told.
pub struct Exchange {
    link: Arc<HttpLink>,
    number: u64,
    /// What the server says to this call outside of its own stream.
    notes: Receiver,
    state: State,
    /// Who waits for it.
    party: Party,
    /// Whether the server is told nothing when the answer is no longer wanted.
    quiet: bool,
    /// The session that the answer to `initialize` brought.
    session: Option<HeaderValue>,
    /// How far the stream has come.
    resume: Resume,
}

enum State {
    Sending(Sending),
    Whole {
        status: StatusCode,
        body: Incoming,
        collected: Collected,
    },
    Events {
        body: Incoming,
        decoder: Box<sse::Decoder>,
        idle: Option<Idle>,
    },
    /// The stream has ended too early; it is taken up again when the time has come.
    Waiting {
        timer: Pin<Box<Sleep>>,
        why: Fault,
    },
    Reopening {
        opening: Sending,
        why: Fault,
    },
    /// The server has taken the request and answers on its one stream (2024-11-05).
    Beside,
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
        let (state, resume) = (State::Sending(sending), Resume::default());
        let party = outgoing.party;
        Exchange { link, number, notes, state, party, quiet, session: None, resume }
    }

    /// The number under which the server is asked.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The session that the server gave, once the head of the response is here.
    pub fn take_session(&mut self) -> Option<HeaderValue> {
        self.session.take()
    }

    /// Closes its stream, and tells a legacy server, unless its last event has come.
    pub fn withdraw(&mut self) {
        match self.state {
            State::Ended => {}
            _ if self.quiet => self.link.forget(self.number),
            _ => self.link.cancel(self.number),
        }
        self.state = State::Ended;
    }

    /// The next event.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        if let Poll::Ready(event) = self.notes.poll_next(cx) {
            if !matches!(event, Event::Note(_) | Event::Question(_)) {
                self.answered_beside();
            }
            return Poll::Ready(event);
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
                    Ok(Some(event)) => {
                        self.resume.note(&event);
                        match self.event(event) {
                            Some(event) => event,
                            None => continue,
                        }
                    }
                    Ok(None) => {
                        let why = match ready!(Idle::poll_frame(idle, body, cx)) {
                            Err(Silent(limit)) => {
                                let what =
                                    format!("sent nothing on its stream for {limit:?} (stream_idle_timeout)");
                                self.link.fault(ErrorKind::Timeout, &what)
                            }
                            Ok(Some(Ok(frame))) => {
                                if let Some(data) = frame.data_ref() {
                                    decoder.push(data);
                                }
                                continue;
                            }
                            Ok(Some(Err(error))) => self
                                .link
                                .fault(ErrorKind::ServerFailed, &format!("broke its stream: {error}")),
                            Ok(None) => self
                                .link
                                .fault(ErrorKind::ServerFailed, "closed its stream before it answered"),
                        };
                        match self.broken(why) {
                            Some(event) => event,
                            None => continue,
                        }
                    }
                    Err(error) => {
                        let what = format!("sent too much: {error} (max_message)");
                        Event::Failed(self.link.fault(ErrorKind::ServerFailed, &what))
                    }
                },
                State::Waiting { timer, .. } => {
                    ready!(timer.as_mut().poll(cx));
                    self.reopen();
                    continue;
                }
                State::Reopening { opening, why } => {
                    let opened = ready!(opening.as_mut().poll(cx));
                    let why = why.clone();
                    match self.reopened(opened, why) {
                        Some(event) => event,
                        None => continue,
                    }
                }
                // The mailbox wakes us.
                State::Beside | State::Ended => return Poll::Pending,
            };
            if !matches!(event, Event::Note(_) | Event::Question(_)) {
                self.state = State::Ended;
                self.link.forget(self.number);
            }
            return Poll::Ready(event);
        }
    }

    /// The reply came on the server's one stream, perhaps before the POST was answered: that goes on by itself for a while,
    /// because servers take a connection that closes early for a fault.
    fn answered_beside(&mut self) {
        if let State::Sending(sending) = std::mem::replace(&mut self.state, State::Ended) {
            tokio::spawn(tokio::time::timeout(self.link.housekeeping_timeout(), sending));
        }
    }

    /// Looks at the head of the response and chooses how to read on.
    fn head(&mut self, response: Response<Incoming>) -> Result<(), Fault> {
        if self.link.is_oldest() && response.status().is_success() {
            self.state = State::Beside;
            return Ok(());
        }
        if self.link.is_oldest() && response.status() == StatusCode::NOT_FOUND {
            self.link.signals().lost(Lost::Session);
            let fault = self.link.fault(ErrorKind::Unavailable, "has forgotten our session");
            return Err(Fault { delivery: Delivery::NotDelivered, ..fault });
        }
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

    /// What becomes of a call whose stream has ended too early, for the reason `why`: it goes on where it stopped, if the
    /// server has given the stream ids and the attempts have not all been in vain.
    fn broken(&mut self, why: Fault) -> Option<Event> {
        let legacy = self.link.version().is_some_and(|version| version.era() == Era::Legacy);
        if !legacy || self.resume.last_id().is_none() || self.resume.failures() >= MAX_ATTEMPTS {
            return Some(Event::Failed(why));
        }
        let timer = Box::pin(tokio::time::sleep(self.resume.wait()));
        self.state = State::Waiting { timer, why };
        None
    }

    fn reopen(&mut self) {
        let State::Waiting { why, .. } = std::mem::replace(&mut self.state, State::Ended) else { return };
        self.resume.attempt();
        let link = Arc::clone(&self.link);
        let last_id = self.resume.last_id().map(str::to_owned);
        let opening = Box::pin(async move { link.open_events(last_id.as_deref()).await });
        self.state = State::Reopening { opening, why };
    }

    fn reopened(&mut self, opened: Result<Response<Incoming>, Fault>, why: Fault) -> Option<Event> {
        match opened {
            Ok(response) if response.status().is_success() && is_stream(response.headers()) => {
                let decoder = Box::new(sse::Decoder::new(self.link.max_message()));
                let idle = self.link.stream_idle_timeout().map(Idle::new);
                self.state = State::Events { body: response.into_body(), decoder, idle };
                None
            }
            Ok(response) if response.status().is_server_error() => self.broken(why),
            Ok(response) => {
                let status = response.status();
                if let Some(session) = self.link.session().filter(|_| status == StatusCode::NOT_FOUND) {
                    self.link.session_lost(&session);
                }
                let what = format!("{}, and does not let it be resumed ({status})", why.error.message);
                Some(Event::Failed(Fault::unknown(why.error.kind, what)))
            }
            Err(_) => self.broken(why),
        }
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
            Kind::Request => self.question(message),
        }
    }

    /// A notification on the call's own stream is the call's, but for those that concern everybody.
    fn note(&self, message: Message) -> Option<Event> {
        let read = Params::read(&message).ok()?;
        if message.method() == method::CANCELLED {
            self.link.withdraw_inquiry(message.slice(read.request_id?));
            return None;
        }
        let listening = read.meta.as_ref().is_some_and(|meta| meta.subscription_id.is_some());
        if !listening && let Some(kind) = ListKind::of_notification(message.method()) {
            self.link.signals().list_changed(kind);
            return None;
        }
        if !listening && message.method() == method::RESOURCE_UPDATED {
            if let Some(uri) = params::string_at(&message, &read.uri) {
                self.link.signals().resource_updated(uri.into_owned());
            }
            return None;
        }
        Some(Event::Note(message))
    }

    /// A request of the server on the call's own stream is the call's question.
    fn question(&self, message: Message) -> Option<Event> {
        let id = message.id()?;
        let answer = if message.method() == method::PING {
            write::result(&id, b"{}")
        } else {
            match self.party.is_client().then(|| self.link.inquire(message, self.party)) {
                Some(Ok(inquiry)) => return Some(Event::Question(inquiry)),
                Some(Err(error)) => write::error(Some(&id), &error, Era::Legacy),
                None => {
                    let text = "no client has asked for what this stream answers";
                    write::error(Some(&id), &Error::new(ErrorKind::MethodNotFound, text), Era::Legacy)
                }
            }
        };
        self.link.answer(answer);
        None
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
        self.withdraw();
    }
}

/// Attempts in a row to take up a stream from which nothing came, after which its call fails. With the waits between them
/// they take about as long as a server needs to come back.
const MAX_ATTEMPTS: u32 = 4;

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
