//! The link itself: where the server is, which session it gave us, and the headers of every request.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::sync::Semaphore;
use tracing::debug;

use crate::base::{Era, ErrorKind, ServerName, Version};
use crate::protocol::{Message, header, id, write};

use super::super::fault::Fault;
use super::super::inquiry::{Audience, Inquiries};
use super::super::mailbox::mailbox;
use super::super::outgoing::Outgoing;
use super::super::pending::Pending;
use super::super::signals::{Lost, Signals};
use super::authorize::{Authorize, Pass};
use super::client::HttpClient;
use super::exchange::Exchange;

/// What every POST accepts (specification, `basic/transports/streamable-http`).
const ACCEPTED: HeaderValue = HeaderValue::from_static("application/json, text/event-stream");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// What the GET stream accepts.
const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");

/// Answers under way to one server at once. One that asks more than this before it has taken them gets no more; its
/// requests time out at its own end.
const MAX_ANSWERS: usize = 8;

/// Where a server is and how to talk to it.
#[derive(Debug)]
pub struct HttpOptions {
    /// The server's name, for messages.
    pub name: ServerName,
    /// Its MCP endpoint.
    pub url: Uri,
    /// Headers of every request, credentials among them.
    pub headers: HeaderMap,
    /// Where its token comes from, if it may need one.
    pub authorize: Option<Arc<dyn Authorize>>,
    /// Whom the link asks.
    pub audience: Audience,
    /// Cap of one message in bytes.
    pub max_message: usize,
    /// How long the server may take to answer our own housekeeping requests.
    pub housekeeping_timeout: Duration,
    /// How long an event stream may be silent before it counts as broken.
    pub stream_idle_timeout: Option<Duration>,
}

/// The link's shared core.
#[derive(Debug)]
pub struct HttpLink {
    pub(super) options: HttpOptions,
    pub(super) client: HttpClient,
    /// The calls in flight, by their numbers. Replies come with their own exchange; what is said beside it finds its
    /// call here.
    pub(super) pending: Pending,
    /// Places for answers to the server's own requests that are under way.
    pub(super) answers: Arc<Semaphore>,
    /// The version of the handshake; none before it.
    version: ArcSwapOption<Version>,
    session: ArcSwapOption<HeaderValue>,
    /// Headers of every POST, rebuilt when version or session change.
    prepared: ArcSwap<HeaderMap>,
    /// Where a server of the oldest transport takes messages.
    pub(super) endpoint: ArcSwapOption<Uri>,
    signals: Arc<Signals>,
    pub(super) inquiries: Arc<Inquiries>,
}

impl HttpLink {
    /// A link that has not spoken yet.
    pub fn new(options: HttpOptions, client: HttpClient) -> Arc<HttpLink> {
        let prepared = ArcSwap::from_pointee(prepare(&options.headers, None, None));
        Arc::new(HttpLink {
            options,
            client,
            pending: Pending::default(),
            answers: Arc::new(Semaphore::new(MAX_ANSWERS)),
            version: ArcSwapOption::empty(),
            session: ArcSwapOption::empty(),
            prepared,
            endpoint: ArcSwapOption::empty(),
            signals: Arc::default(),
            inquiries: Arc::default(),
        })
    }

    /// Starts a request; the exchange sends when it is first polled.
    pub fn request(self: &Arc<Self>, outgoing: &Outgoing) -> Result<Exchange, Fault> {
        let (sender, notes) = mailbox();
        if outgoing.party.is_client() && self.options.audience.owned {
            self.inquiries.hand_over(&sender);
        }
        let number = self.pending.enter(sender, outgoing.party)?;
        Ok(Exchange::new(Arc::clone(self), outgoing, number, notes))
    }

    /// A notification that names no call and came on no call's stream: it belongs to the only client with a call in flight,
    /// or to nobody; on a link that one client owns, to that client's last call.
    pub(super) fn stray(&self, note: Message) {
        match self.pending.owner(self.options.audience.owned) {
            Some((_, call)) => {
                call.note(note);
            }
            None if self.options.audience.owned => self.signals.stray(note),
            None => debug!(server = %self.options.name, method = note.method(), "a note without a party"),
        }
    }

    /// A progress notification that came on no call's stream, for the call that its token names.
    pub(super) fn progress(&self, token: &str, note: Message) {
        if let Some(call) = id::minted(token.as_bytes()).and_then(|number| self.pending.get(number)) {
            call.note(note);
        }
    }

    /// Ends what the link keeps for later. Its calls end by themselves.
    pub fn close_questions(&self) {
        self.inquiries.close();
    }

    /// Whom the link asks.
    pub fn audience(&self) -> Audience {
        self.options.audience
    }

    /// Sends a notification or a response of ours; the server owes no more than 202.
    pub async fn post(&self, message: Bytes) -> Result<(), Fault> {
        let response = tokio::time::timeout(self.options.housekeeping_timeout, self.deliver(message, &[]))
            .await
            .map_err(|_| self.fault(ErrorKind::Timeout, "did not take a notification in time"))??;
        match response.status() {
            status if status.is_success() => Ok(()),
            status => {
                Err(self.fault(ErrorKind::ServerFailed, &format!("answered a notification with {status}")))
            }
        }
    }

    /// Opens the GET stream of a legacy server.
    pub async fn open_events(&self, last_event_id: Option<&str>) -> Result<http::Response<Incoming>, Fault> {
        let opened = self.authorized(|pass| {
            let mut request = self.base_request(Method::GET, Full::default(), pass);
            request.headers_mut().insert(ACCEPT, EVENTS);
            request.headers_mut().remove(CONTENT_TYPE);
            if let Some(id) = last_event_id.and_then(|id| HeaderValue::from_str(id).ok()) {
                request.headers_mut().insert(header::LAST_EVENT_ID, id);
            }
            request
        });
        match tokio::time::timeout(self.options.housekeeping_timeout, opened).await {
            Ok(opened) => opened,
            Err(_) => Err(self.fault(ErrorKind::Timeout, "did not answer a request for its event stream")),
        }
    }

    /// Ends the server's session, as a client should that needs it no more (2025-11-25, `basic/transports`).
    pub async fn end_session(&self) {
        if self.session.load().is_none() {
            return;
        }
        let ended = self.authorized(|pass| self.base_request(Method::DELETE, Full::default(), pass));
        // 405 means that the server ends sessions by itself; a server that is gone has ended it too.
        let _ = tokio::time::timeout(self.options.housekeeping_timeout, ended).await;
        self.set_session(None);
    }

    /// The version agreed on, once there is one.
    pub fn version(&self) -> Option<Version> {
        self.version.load().as_deref().copied()
    }

    /// Settles the version of every later request.
    pub fn set_version(&self, version: Option<Version>) {
        self.version.store(version.map(Arc::new));
        self.rebuild();
    }

    /// The server's session, as of now.
    pub fn session(&self) -> Option<Arc<HeaderValue>> {
        self.session.load_full()
    }

    /// Takes the session that the server gave with its answer to `initialize`.
    pub fn set_session(&self, session: Option<HeaderValue>) {
        self.session.store(session.map(Arc::new));
        self.rebuild();
    }

    /// Notes that the server does not know the session `which` any more, unless there is a newer one already.
    pub(super) fn session_lost(&self, which: &HeaderValue) {
        if self.session.load().as_deref() == Some(which) {
            self.signals.lost(Lost::Session);
        }
    }

    /// Whether everything that the server says comes on its one stream (2024-11-05).
    pub fn is_oldest(&self) -> bool {
        self.endpoint.load().is_some()
    }

    /// Settles where a server of the oldest transport takes messages.
    pub(super) fn set_endpoint(&self, endpoint: Uri) {
        self.endpoint.store(Some(Arc::new(endpoint)));
    }

    /// The configured URL.
    pub(super) fn url(&self) -> &Uri {
        &self.options.url
    }

    /// How long the server may take to answer our own housekeeping requests.
    pub(super) fn housekeeping_timeout(&self) -> Duration {
        self.options.housekeeping_timeout
    }

    /// Takes a call out whose reply has come on a stream of everybody's.
    pub(super) fn take(&self, number: u64) -> Option<super::super::mailbox::Sender> {
        self.pending.take(number)
    }

    /// Fails every call that waits on the link, and every later one.
    pub(super) fn close(&self, fault: &Fault) {
        self.pending.close(fault);
    }

    /// The board for list changes.
    pub fn signals(&self) -> &Arc<Signals> {
        &self.signals
    }

    /// The server's name.
    pub fn name(&self) -> &ServerName {
        &self.options.name
    }

    /// Cap of one message in bytes.
    pub fn max_message(&self) -> usize {
        self.options.max_message
    }

    /// How long an event stream may be silent.
    pub(super) fn stream_idle_timeout(&self) -> Option<Duration> {
        self.options.stream_idle_timeout
    }

    /// Withdraws a legacy request whose caller has gone. A modern server sees its stream close instead.
    pub(super) fn cancel(self: &Arc<Self>, number: u64) {
        self.pending.abandon(number);
        if self.version().map(Version::era) != Some(Era::Legacy) {
            return;
        }
        let link = Arc::clone(self);
        let params = format!(r#"{{"requestId":{number},"reason":"the caller has gone"}}"#);
        let message = write::notification(crate::protocol::method::CANCELLED, Some(&params));
        tokio::spawn(async move { link.post(message).await });
    }

    /// Forgets a call that has its reply.
    pub(super) fn forget(&self, number: u64) {
        self.pending.take(number);
    }

    /// Answers a request that the server sent on a stream.
    pub(super) fn answer(self: &Arc<Self>, message: Bytes) {
        let Ok(place) = Arc::clone(&self.answers).try_acquire_owned() else {
            debug!(server = %self.options.name, "asks faster than it takes answers");
            return;
        };
        let link = Arc::clone(self);
        tokio::spawn(async move {
            let _place = place;
            link.post(message).await
        });
    }

    pub(super) fn base_request(
        &self,
        method: Method,
        body: Full<Bytes>,
        pass: Option<&Pass>,
    ) -> Request<Full<Bytes>> {
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = self.options.url.clone();
        *request.headers_mut() = HeaderMap::clone(&self.prepared.load());
        if let Some(pass) = pass {
            request.headers_mut().insert(AUTHORIZATION, pass.value.clone());
        }
        request
    }

    /// The fault of a call that `what` happened to.
    pub(super) fn fault(&self, kind: ErrorKind, what: &str) -> Fault {
        Fault::unknown(kind, format!("server '{}' {what}", self.options.name))
    }

    /// The fault of a request that could not be sent, or whose connection broke.
    pub(super) fn unreachable(&self, error: &hyper_util::client::legacy::Error) -> Fault {
        let cause = root_cause(error);
        if error.is_connect() {
            self.signals.lost(Lost::Unreachable(cause.clone()));
            Fault::not_delivered(
                ErrorKind::Unavailable,
                format!(
                    "server '{}' cannot be reached at {}: {cause}",
                    self.options.name,
                    authority(&self.options.url)
                ),
            )
        } else {
            self.fault(ErrorKind::ServerFailed, &format!("broke the connection: {cause}"))
        }
    }

    fn rebuild(&self) {
        let version = self.version();
        let session = self.session.load();
        self.prepared.store(Arc::new(prepare(&self.options.headers, version, session.as_deref())));
    }
}

/// The headers of every POST: the configured ones first, so that ours cannot be replaced by them.
fn prepare(configured: &HeaderMap, version: Option<Version>, session: Option<&HeaderValue>) -> HeaderMap {
    let mut headers = configured.clone();
    headers.insert(ACCEPT, ACCEPTED);
    headers.insert(CONTENT_TYPE, JSON);
    // The header exists since 2025-06-18.
    if let Some(version) = version.filter(|version| *version >= Version::V2025_06_18) {
        headers.insert(header::PROTOCOL_VERSION, HeaderValue::from_static(version.as_str()));
    }
    if let Some(session) = session {
        headers.insert(header::SESSION_ID, session.clone());
    }
    headers
}

fn authority(url: &Uri) -> String {
    format!("{}://{}", url.scheme_str().unwrap_or("http"), url.authority().map_or("", |a| a.as_str()))
}

/// The innermost reason, which is the one that helps.
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
