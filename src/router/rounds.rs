//! A modern client's rounds with a legacy server: the call is parked while the client finds answers, and goes on with
//! the request that brings them. And a legacy client's with a modern server: the call is sent again with the answers.

use bytes::Bytes;
use tokio::time::Instant;

use crate::base::{Era, Error, ErrorKind};
use crate::protocol::{Kind, Message};

use super::answer::Answer;
use super::call::{ClientCall, MAX_ROUNDS};
use super::dispatch::Router;
use super::limit::InFlight;
use super::prepare::Round;
use super::question::{InputRequired, Question};
use super::request::{Reply, Request};
use super::resolve::{self, Target};
use super::sending::send;
use super::state;

impl Router {
    /// Keeps a call whose server has asked its modern client ([`super::Step::Park`]), and makes the reply that asks.
    pub fn park(&self, mut call: Box<ClientCall>) -> Reply {
        if call.has_asked_enough() {
            let text = format!("server '{}' asks and asks", call.target.server.name());
            return call.fail(&Error::new(ErrorKind::ServerFailed, text));
        }
        let limit = call.answer_timeout();
        let key = self.0.key.clone();
        let ticket = match self.0.parked.reserve(&call.request().principal) {
            Ok(ticket) => ticket,
            Err(error) => return call.fail(&error),
        };
        let sealed = state::seal_ticket(&key, call.request(), call.target.server.name(), &ticket, limit);
        let reply = call.ask_for_input(&sealed);
        self.0.parked.park(ticket, call, limit);
        reply
    }

    /// The parked call that a request goes on with; `None` if its state is not of such a call. Whom it is for stands in
    /// `found`.
    pub(super) async fn parked_call(
        &self,
        request: &Request,
        found: &mut Option<Target>,
    ) -> Result<Option<Box<ClientCall>>, Error> {
        let Some(span) = request.params.request_state.clone() else { return Ok(None) };
        let target =
            found.insert(resolve::resolve(request, self.catalog(), self.fleet(), &self.0.tasks).await?);
        let sealed = &request.message.as_str()[span];
        let Some(ticket) = state::open_ticket(&self.0.key, request, target.server.name(), sealed) else {
            return Ok(None);
        };
        let ticket = ticket?;
        // The tool may have done half its work: it is never run a second time unasked.
        self.0.parked.take(&ticket).map(Some).ok_or_else(state::refused)
    }

    /// Goes on with a parked call, or asks again for what is missing.
    pub(super) fn go_on(
        &self,
        mut call: Box<ClientCall>,
        request: Box<Request>,
        place: InFlight,
        received: Instant,
    ) -> Answer {
        match call.go_on(request, place, received) {
            true => Answer::Call(call),
            false => Answer::Ready(self.park(call)),
        }
    }

    /// Calls that wait for their client's answers.
    pub fn parked(&self) -> usize {
        self.0.parked.count()
    }
}

impl ClientCall {
    /// Goes on with the answers to the questions that were asked last, as raw JSON results by key. The deadline
    /// starts anew.
    pub async fn resume(&mut self, answers: Vec<(String, Bytes)>) -> Result<(), Error> {
        self.round.answers = answers;
        self.sent = send(&self.request, &self.target, &self.round, 0).await?;
        self.rounds += 1;
        self.start_clock(self.sent.at);
        Ok(())
    }

    /// The questions of a modern server for a legacy client. A modern client gets the asking result itself.
    pub(super) fn asks(&mut self, reply: &Message) -> Option<Result<Vec<Question>, Error>> {
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
        self.keep_nothing();
        self.round = Round { state: asked.state, answers: Vec::new() };
        // While its client thinks, the call keeps no place at the server.
        self.sent.admission.release();
        Some(Ok(asked.questions))
    }
}
