//! One client's call: it owns its place, its permit and its deadline; the exchange that brought it only watches.

use std::future::Future;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::base::{Era, Error, ErrorKind, Level, SealKey};
use crate::protocol::{Kind, Message, Params, Splice, method, params, skim, translate};
use crate::telemetry::{MethodLabel, Outcome};
use crate::upstream::{Delivery, Event, Fault};

use super::limit::InFlight;
use super::prepare::{self, Round};
use super::question::{InputRequired, Question, url_visits};
use super::reads::Place;
use super::request::{Reply, Request};
use super::resolve::Target;
use super::sending::{Forwarded, Sent, send};
use super::state;
use super::task::Tasks;

/// What the watcher of a call sees next.
#[derive(Debug)]
pub enum Step {
    /// A notification that goes before the reply: a whole JSON-RPC message.
    Note(Bytes),
    /// The reply. The last step.
    Done(Reply),
    /// The server wants to know something first; [`ClientCall::resume`] goes on with the answers. Until then the
    /// deadline rests.
    Ask(Vec<Question>),
    /// Nothing has happened until the time that the watcher named.
    Silent,
}

/// A call on its way. Dropping it withdraws it at the server.
pub struct ClientCall {
    request: Request,
    target: Target,
    sent: Sent,
    /// What this round of the request carries.
    round: Round,
    rounds: usize,
    key: SealKey,
    tasks: Tasks,
    read: Option<Place>,
    received: Instant,
    timeout: Duration,
    deadline: Instant,
    /// Progress moves the deadline, up to here.
    latest: Instant,
    resent: bool,
    recorded: bool,
    _in_flight: InFlight,
}

/// Rounds of questions in one call. The specification names no number; forms of more than a few pages are tools that
/// have lost their way.
const MAX_ROUNDS: usize = 16;

impl ClientCall {
    pub(super) fn new(
        request: Request,
        Forwarded { target, sent, round, read, place }: Forwarded,
        (key, tasks): (SealKey, Tasks),
        received: Instant,
    ) -> ClientCall {
        let config = target.server.config();
        let timeout = match &target.name {
            Some(tool) if request.message.method() == method::TOOLS_CALL => config.tool_timeout(tool),
            _ => config.call_timeout,
        };
        let (deadline, latest) = (sent.at + timeout, sent.at + config.max_call_time.max(timeout));
        ClientCall {
            request,
            target,
            sent,
            round,
            rounds: 1,
            key,
            tasks,
            read,
            received,
            timeout,
            deadline,
            latest,
            resent: false,
            recorded: false,
            _in_flight: place,
        }
    }

    /// The request that is being answered.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// The next step; `Silent` if there is none until `patience`.
    pub async fn next(&mut self, patience: Option<Instant>) -> Step {
        let mut until =
            pin!(tokio::time::sleep_until(patience.map_or(self.deadline, |p| p.min(self.deadline))));
        loop {
            let event = std::future::poll_fn(|cx| match self.sent.call.poll_next(cx) {
                Poll::Ready(event) => Poll::Ready(Some(event)),
                Poll::Pending => until.as_mut().poll(cx).map(|()| None),
            })
            .await;
            match event {
                Some(Event::Note(note)) => {
                    if let Some(note) = self.note(&note) {
                        return Step::Note(note);
                    }
                    // A server that floods with notes that nobody sees has its deadline all the same, and must not
                    // keep the thread to itself.
                    if Instant::now() >= self.deadline {
                        return Step::Done(self.overdue());
                    }
                    tokio::task::consume_budget().await;
                    until.as_mut().reset(patience.map_or(self.deadline, |p| p.min(self.deadline)));
                }
                Some(Event::Reply(reply)) => {
                    self.sent.admission.succeed();
                    return match self.asks(&reply) {
                        None => Step::Done(self.reply(&reply)),
                        Some(Ok(questions)) => Step::Ask(questions),
                        Some(Err(error)) => Step::Done(self.fail(&error)),
                    };
                }
                Some(Event::Failed(fault)) => match self.send_again(fault).await {
                    Ok(()) => {}
                    Err(error) => return Step::Done(self.fail(&error)),
                },
                None if Instant::now() < self.deadline => return Step::Silent,
                None => return Step::Done(self.overdue()),
            }
        }
    }

    /// Ends the call with an error of ours, because the client or the gateway withdraws it.
    pub fn withdraw(&mut self, error: &Error) -> Reply {
        self.fail(error)
    }

    /// A request that cannot have been executed is sent once more, to the server as it is by now.
    async fn send_again(&mut self, fault: Fault) -> Result<(), Error> {
        self.sent.admission.fail(&fault);
        if self.resent || fault.delivery == Delivery::Unknown {
            return Err(fault.error);
        }
        self.resent = true;
        // The place of the first attempt is given back before another is asked for.
        self.sent.admission.release();
        let failed = self.sent.admission.live.generation;
        self.sent =
            tokio::time::timeout_at(self.deadline, send(&self.request, &self.target, &self.round, failed))
                .await
                .unwrap_or(Err(fault.error))?;
        Ok(())
    }

    /// Goes on with the answers to the questions that were asked last, as raw JSON results by key. The deadline
    /// starts anew.
    pub async fn resume(&mut self, answers: Vec<(String, Bytes)>) -> Result<(), Error> {
        self.round.answers = answers;
        self.sent = send(&self.request, &self.target, &self.round, 0).await?;
        self.rounds += 1;
        let longest = self.target.server.config().max_call_time.max(self.timeout);
        (self.deadline, self.latest) = (self.sent.at + self.timeout, self.sent.at + longest);
        Ok(())
    }

    /// The questions of a modern server for a legacy client. A modern client gets the asking result itself.
    fn asks(&mut self, reply: &Message) -> Option<Result<Vec<Question>, Error>> {
        if self.request.era == Era::Modern
            || self.sent.admission.live.peer.era() == Era::Legacy
            || reply.kind() == Kind::Error
        {
            return None;
        }
        let asked = InputRequired::read(reply.payload())?;
        if self.rounds >= MAX_ROUNDS {
            let text =
                format!("server '{}' asked questions {MAX_ROUNDS} times over", self.target.server.name());
            return Some(Err(Error::new(ErrorKind::ServerFailed, text)));
        }
        if let Err(error) = asked.check(self.request.capabilities) {
            return Some(Err(error));
        }
        self.round = Round { state: asked.state, answers: Vec::new() };
        // While its client thinks, the call keeps no place at the server.
        self.sent.admission.release();
        Some(Ok(asked.questions))
    }

    fn overdue(&mut self) -> Reply {
        self.sent.admission.time_out();
        let waited = self.sent.at.elapsed();
        self.fail(&Error::new(
            ErrorKind::Timeout,
            format!(
                "server '{}' did not answer within {waited:.1?} ({}); the call has been withdrawn",
                self.target.server.name(),
                if self.deadline < self.latest { "call_timeout" } else { "max_call_time" },
            ),
        ))
    }

    fn fail(&mut self, error: &Error) -> Reply {
        self.record(Outcome::Failed(error.kind));
        Reply::error(Some(&self.request.id), error, self.request.era)
    }

    fn record(&mut self, outcome: Outcome) {
        self.recorded = true;
        let now = Instant::now();
        let whole = now.duration_since(self.received);
        let upstream = Some(now.duration_since(self.sent.at));
        let label = MethodLabel::of(self.request.message.method());
        self.target.server.metrics().record(self.request.endpoint.kind(), label, outcome, whole, upstream);
    }

    /// The reply as the client must see it: its own id, and the fields of its era.
    fn reply(&mut self, reply: &Message) -> Reply {
        if let Some(read) = self.read.take() {
            read.fill(reply, self.sent.admission.live.generation);
        }
        let mut splice = Splice::new(reply.text().clone());
        let id = self.request.id.as_bytes().clone();
        match reply.id_span() {
            Some(span) => splice.replace(span, id),
            // An error whose sender could not read our id still answers this call.
            None => splice.insert(1, Bytes::from([b"\"id\":", &id[..], b","].concat())),
        }
        let mut status = 200;
        let text = reply.as_str();
        let payload = reply.payload_span().unwrap_or(0..0);
        if reply.kind() == Kind::Error
            && let Some(visits) = self.url_visits(reply)
        {
            return visits;
        }
        if reply.kind() == Kind::Error {
            self.record(Outcome::UpstreamError);
            status = self.error_status(&mut splice, text, payload);
        } else {
            self.record(Outcome::Ok);
            match (self.request.era, self.sent.admission.live.peer.era()) {
                (Era::Modern, Era::Legacy) => {
                    let info = &self.sent.admission.live.peer.server_info;
                    let cacheable = self.request.message.method() == method::RESOURCES_READ;
                    translate::result_to_modern(&mut splice, text, payload, info, cacheable);
                }
                (Era::Legacy, Era::Modern) => translate::result_to_legacy(&mut splice, text, payload),
                (Era::Modern, Era::Modern) => self.seal_state(&mut splice, text, payload),
                _ => {}
            }
            let (peer, more) = (&self.sent.admission.live.peer, self.target.more.as_ref());
            self.tasks.seal_result(
                &mut splice,
                &self.request,
                (self.target.server.name(), peer, more),
                reply,
            );
        }
        Reply { message: splice.to_bytes(0), status }
    }

    /// A legacy server's demand that the user visit a URL first, in the way of the modern era.
    fn url_visits(&mut self, reply: &Message) -> Option<Reply> {
        use crate::base::error::code;
        let error = reply.payload();
        let demands = skim::field_text(error, "code")?.parse() == Ok(code::URL_ELICITATION_REQUIRED);
        if self.request.era == Era::Legacy || !demands {
            return None;
        }
        if !self.request.capabilities.visits_urls() {
            let needed = r#"{"requiredCapabilities":{"elicitation":{"url":{}}}}"#;
            let text = "the server sends the user to a URL, for which the client declared no capability";
            return Some(
                self.fail(&Error::new(ErrorKind::MissingCapability, text).with_data(needed.to_owned())),
            );
        }
        let result = url_visits(skim::field_text(error, "data").unwrap_or("{}"))?;
        self.record(Outcome::Ok);
        Some(Reply::result(&self.request.id, result.as_bytes()))
    }

    /// The state of a server that asks goes to the client under our own seal.
    fn seal_state(&self, splice: &mut Splice, text: &str, payload: skim::Span) {
        let result = &text[payload.clone()];
        let Some(state) = InputRequired::read(result).and_then(|asked| asked.state) else { return };
        if let Some(at) = skim::field(result, "requestState") {
            let sealed = state::seal(&self.key, &self.request, self.target.server.name(), &state);
            splice.replace(payload.start + at.start..payload.start + at.end, sealed);
        }
    }

    /// The HTTP status of a server's error, and the code in the client's era: `-32002` has become `-32602`.
    fn error_status(&self, splice: &mut Splice, text: &str, payload: skim::Span) -> u16 {
        use crate::base::error::code;
        if self.request.era == Era::Legacy {
            return 200;
        }
        let Some(at) = skim::field(&text[payload.clone()], "code") else { return 200 };
        let span = payload.start + at.start..payload.start + at.end;
        match text[span.clone()].parse::<i64>() {
            Ok(code::RESOURCE_NOT_FOUND) => {
                splice.replace(span, Bytes::from(code::INVALID_PARAMS.to_string()));
                200
            }
            // What names no URL to visit is a refusal like any other.
            Ok(code::URL_ELICITATION_REQUIRED) => {
                splice.replace(span, Bytes::from(code::INVALID_PARAMS.to_string()));
                200
            }
            Ok(code::METHOD_NOT_FOUND) => 404,
            Ok(code::HEADER_MISMATCH | code::MISSING_CAPABILITY | code::UNSUPPORTED_VERSION) => 400,
            _ => 200,
        }
    }

    /// A notification as the client must see it, if it is to see it at all.
    fn note(&mut self, note: &Message) -> Option<Bytes> {
        let read = Params::read(note).ok()?;
        let mut splice = Splice::new(note.text().clone());
        match note.method() {
            method::PROGRESS => {
                self.deadline = (Instant::now() + self.timeout).min(self.latest);
                // A server that reports progress nobody asked for is not relayed: the client could not place it.
                let token = prepare::progress_token(&self.request)?;
                splice.replace(read.progress_token?, self.request.message.slice(token));
            }
            method::LOG_MESSAGE => {
                let level = params::string_at(note, &read.level).and_then(|name| Level::parse(&name));
                let wanted = match (self.request.era, self.request.log_level) {
                    (Era::Modern, None) => return None,
                    (_, wanted) => wanted,
                };
                if wanted.zip(level).is_some_and(|(wanted, level)| level < wanted) {
                    return None;
                }
            }
            _ => {}
        }
        let from = (self.target.server.name(), &*self.sent.admission.live.peer);
        self.tasks.seal_note(&mut splice, note, &self.request.principal, from);
        Some(splice.to_bytes(0))
    }
}

impl Drop for ClientCall {
    fn drop(&mut self) {
        if !self.recorded {
            self.record(Outcome::Failed(ErrorKind::Cancelled));
        }
    }
}

impl std::fmt::Debug for ClientCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ClientCall({:?} at {})", self.request.id, self.target.server.name())
    }
}
