//! One client's call: it owns its place, its permit and its deadline; the exchange that brought it only watches.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::base::{Era, Error, ErrorKind, SealKey};
use crate::protocol::method;
use crate::protocol::params::key;
use crate::telemetry::{MethodLabel, Outcome, ToolSeries};
use crate::upstream::{Delivery, Event, Fault, Inquiry};

use super::dialog::{Asking, Dialog, Put};
use super::limit::{InFlight, Recalled, taken_back};
use super::prepare::Round;
use super::question::Question;
use super::record::{ADMINISTRATOR, Asked, At, DISCONNECT, Story, ended_by};
use super::request::{Reply, Request};
use super::resolve::Target;
use super::results::Place;
use super::sending::{Forwarded, Sent, send};
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
    /// The server asks a legacy client in the middle of the call, which goes on meanwhile.
    Question(Box<Asking>),
    /// The server has asked a modern client: [`super::Router::park`] keeps the call and makes the reply that asks.
    Park,
    /// Nothing has happened until the time that the watcher named.
    Silent,
}

/// A call on its way. Dropping it withdraws it at the server.
pub struct ClientCall {
    pub(super) request: Box<Request>,
    pub(super) target: Target,
    pub(super) sent: Sent,
    /// Questions of a legacy server; most calls have none.
    dialog: Option<Box<Dialog>>,
    /// What this round of the request carries.
    pub(super) round: Round,
    pub(super) rounds: usize,
    pub(super) key: SealKey,
    pub(super) tasks: Tasks,
    /// Where the answer may be kept.
    pub(super) keep: Option<Place>,
    /// Where it is counted, if it calls a tool that is counted apart.
    tool: Option<Arc<ToolSeries>>,
    timeout: Duration,
    pub(super) deadline: Instant,
    /// Progress moves the deadline, up to here.
    latest: Instant,
    resent: bool,
    /// Whether it has been sent with the headers that its server wants by now.
    pub(super) mirrored_anew: bool,
    pub(super) story: Story,
    /// None while the call is parked.
    in_flight: Option<InFlight>,
}

/// Rounds of questions in one call. The specification names no number; forms of more than a few pages are tools that
/// have lost their way.
pub(super) const MAX_ROUNDS: usize = 16;

impl ClientCall {
    pub(super) fn new(
        request: Box<Request>,
        Forwarded { target, sent, round, keep, place }: Forwarded,
        (key, tasks): (SealKey, Tasks),
        (story, tool): (Story, Option<Arc<ToolSeries>>),
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
            dialog: None,
            round,
            rounds: 1,
            key,
            tasks,
            keep,
            tool,
            timeout,
            deadline,
            latest,
            resent: false,
            mirrored_anew: false,
            story,
            in_flight: Some(place),
        }
    }

    /// The request that is being answered.
    pub fn request(&self) -> &Request {
        &self.request
    }

    /// The server works on it: the deadline moves, as far as it may.
    pub(super) fn has_progressed(&mut self) {
        self.deadline = (Instant::now() + self.timeout).min(self.latest);
    }

    /// How long the client may take to answer a question.
    pub fn answer_timeout(&self) -> Duration {
        self.target.server.config().links.answer_timeout
    }

    /// The next step; `Silent` if there is none until `patience`.
    pub async fn next(&mut self, patience: Option<Instant>) -> Step {
        let recalled = self.recalled();
        let mut recalled = pin!(recalled.heard());
        let mut until = pin!(tokio::time::sleep_until(self.wake_at(patience)));
        loop {
            let event = std::future::poll_fn(|cx| {
                // First, so that a server that floods cannot put it off.
                if recalled.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Some(Event::Failed(taken_back())));
                }
                match self.sent.call.poll_next(cx) {
                    Poll::Ready(event) => Poll::Ready(Some(event)),
                    Poll::Pending => until.as_mut().poll(cx).map(|()| None),
                }
            })
            .await;
            match event {
                Some(Event::Note(note)) => {
                    if let Some(note) = self.note(&note) {
                        return Step::Note(note);
                    }
                    // A flood of notes that nobody sees moves no deadline, and must not keep the thread to itself.
                    if Instant::now() >= self.deadline && !self.has_rested() {
                        return Step::Done(self.overdue());
                    }
                    tokio::task::consume_budget().await;
                    until.as_mut().reset(self.wake_at(patience));
                }
                Some(Event::Question(inquiry)) => {
                    if let Put::Now(asking) = self.put(inquiry) {
                        return Step::Question(asking);
                    }
                    until.as_mut().reset(self.wake_at(patience));
                }
                Some(Event::Reply(reply)) => {
                    self.sent.admission.succeed();
                    if self.mirror_anew(&reply).await {
                        until.as_mut().reset(self.wake_at(patience));
                        continue;
                    }
                    self.pass_on_questions();
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
                None if self.is_to_be_parked() => return Step::Park,
                None if Instant::now() < self.deadline => return Step::Silent,
                None if self.has_rested() => until.as_mut().reset(self.wake_at(patience)),
                None => return Step::Done(self.overdue()),
            }
        }
    }

    /// Gives questions that have not been asked yet, and may be another call's, to that.
    fn pass_on_questions(&mut self) {
        let Some(dialog) = &mut self.dialog else { return };
        let call = &self.sent.call;
        if call.pools_questions() {
            dialog.unasked().for_each(|inquiry| call.pass_on(inquiry));
        }
    }

    /// Whether a question that this call has carried may be of another that is in flight.
    pub fn may_leave_questions(&self) -> bool {
        self.sent.call.pools_questions() && self.sent.call.has_siblings()
    }

    /// When the call is looked at although nothing has come.
    fn wake_at(&self, patience: Option<Instant>) -> Instant {
        let due = self.dialog.as_ref().and_then(|dialog| dialog.due());
        [patience, due].into_iter().flatten().fold(self.deadline, Instant::min)
    }

    /// What becomes of a question of the server.
    fn put(&mut self, inquiry: Inquiry) -> Put {
        // Whoever asks is well, and the call must not be sent a second time.
        self.sent.admission.succeed();
        self.resent = true;
        self.keep_nothing();
        let limit = self.answer_timeout();
        let dialog = self.dialog.get_or_insert_default();
        let Some(inquiry) = dialog.admit(inquiry, &self.request) else { return Put::Settled };
        match self.request.era {
            Era::Legacy => dialog.put_now(inquiry, limit),
            Era::Modern => dialog.gather(inquiry, &self.request),
        }
    }

    /// Whether a modern client is to be asked now.
    fn is_to_be_parked(&mut self) -> bool {
        let Some(dialog) = &mut self.dialog else { return false };
        dialog.forget_withdrawn();
        dialog.due().is_some_and(|due| Instant::now() >= due)
    }

    /// Moves the deadline if the call has rested on account of a question.
    fn has_rested(&mut self) -> bool {
        let call = &self.sent.call;
        let rested = self.dialog.as_ref().and_then(|dialog| dialog.rested());
        // Where nothing says whose a question is, it may be this call's though another carries it.
        let may_rest = call.pools_questions() && call.open_questions() > 0;
        let Some(since) = rested.or(may_rest.then(Instant::now)) else { return false };
        self.start_clock(since);
        Instant::now() < self.deadline
    }

    pub(super) fn start_clock(&mut self, since: Instant) {
        let longest = self.target.server.config().max_call_time.max(self.timeout);
        (self.deadline, self.latest) = (since + self.timeout, since + longest);
    }

    /// The reply that asks a modern client, with `state` (JSON text) to bring back. Then the call waits without a
    /// place in the gateway, and its row is written: the answers come with another request.
    pub(super) fn ask_for_input(&mut self, state: &str) -> Reply {
        self.in_flight = None;
        self.sent.admission.rest();
        self.record(Outcome::Ok, 0, "");
        let questions = self.dialog.as_ref().map(|dialog| dialog.input_requests()).unwrap_or_default();
        let info = &self.sent.admission.live.peer.server_info;
        let result = format!(
            r#"{{"resultType":"input_required","inputRequests":{questions},"requestState":{state},"_meta":{{"{}":{info}}}}}"#,
            key::SERVER_INFO
        );
        let reply = self.last(Reply::result(&self.request.id, result.as_bytes()));
        self.tell();
        reply
    }

    /// Goes on with the answers that a further request brings, and as that request from now on. False if some are missing.
    pub(super) fn go_on(&mut self, mut request: Box<Request>, place: InFlight, received: Instant) -> bool {
        place.goes_to(&self.target.server);
        if let (Some(span), Some(before)) = (&mut request.span, &self.request.span) {
            span.goes_on_with(before);
        }
        (self.request, self.in_flight) = (request, Some(place));
        self.story.begin_again(received);
        self.sent.at = received;
        self.sent.admission.go_on();
        self.rounds += 1;
        self.start_clock(received);
        let Some(dialog) = &mut self.dialog else { return true };
        dialog.answer(&self.request);
        !dialog.is_waiting()
    }

    /// How often the client has been asked.
    pub(super) fn has_asked_enough(&self) -> bool {
        self.rounds >= MAX_ROUNDS
    }

    /// What the client would have had to declare for a question that was refused.
    pub(super) fn lacking(&self) -> Option<&'static str> {
        self.dialog.as_ref()?.lacking()
    }

    /// Hears whether an operator takes the call back.
    pub fn recalled(&self) -> Recalled {
        self.in_flight.as_ref().map(InFlight::recalled).unwrap_or_default()
    }

    /// Ends the call with an error of ours, because the client or the gateway withdraws it.
    pub fn withdraw(&mut self, error: &Error) -> Reply {
        self.sent.call.withdraw();
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

    pub(super) fn fail(&mut self, error: &Error) -> Reply {
        self.request.fails(error);
        let code = error.kind.wire(self.request.era).0;
        let by = match error.kind {
            ErrorKind::Cancelled if self.recalled().is_back() => ADMINISTRATOR,
            kind => ended_by(kind),
        };
        self.record(Outcome::Failed(error.kind), code, by);
        self.last(Reply::error(Some(&self.request.id), error, self.request.era))
    }

    /// Notes the reply that goes to the client.
    pub(super) fn last(&mut self, reply: Reply) -> Reply {
        self.story.reply(&reply.message);
        reply
    }

    pub(super) fn record(&mut self, outcome: Outcome, code: i64, by: &'static str) {
        let total = self.story.end(outcome, code, by);
        let (endpoint, upstream) = (self.request.endpoint.kind(), self.sent.at.elapsed());
        if let Some(tool) = &self.tool {
            tool.record(outcome == Outcome::Ok, upstream);
        }
        let label = MethodLabel::of(self.request.message.method());
        self.target.server.metrics().record(endpoint, label, outcome, total, Some(upstream));
    }

    /// Writes the row of the request that the call answers by now.
    fn tell(&mut self) {
        let (admission, number) = (&self.sent.admission, self.sent.call.number());
        let at = At {
            target: &self.target,
            generation: admission.live.generation,
            breaker: admission.breaker(),
            asked: Some(Asked { live: &admission.live, number }),
        };
        self.story.tell(&self.request, at);
    }
}

impl Drop for ClientCall {
    fn drop(&mut self) {
        if !self.story.is_over() {
            let kind = ErrorKind::Cancelled;
            self.record(Outcome::Failed(kind), kind.wire(self.request.era).0, DISCONNECT);
        }
        self.tell();
    }
}
