//! Watching a call: JSON when the reply comes first, a stream the moment something precedes it.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::base::{Era, Error, ErrorKind};
use crate::protocol::{Kind, write};
use crate::router::{ClientCall, Question, Step};
use crate::session::{Ticket, queue};

use super::accepts::Accepts;
use super::ask;
use super::body::FrontBody;
use super::front::Front;
use super::outlet::Outlet;
use super::reply::{self, FrontResponse};

/// Waits for the first thing that a call brings. A reply is answered as JSON; a note, or a long silence, makes a
/// stream of the answer.
pub async fn watch(
    front: &Arc<Front>,
    call: Box<ClientCall>,
    ticket: Option<Ticket>,
    accepts: Accepts,
    silence: Option<Instant>,
) -> FrontResponse {
    let mut watched = Watched { front, call: Some((call, ticket)) };
    loop {
        let step = watched.step(silence).await;
        match step {
            Step::Done(done) => {
                watched.call = None;
                return if accepts.json { reply::reply(done) } else { reply::single(done) };
            }
            Step::Park => {
                return match watched.call.take() {
                    Some((call, _)) => {
                        let asking = front.router.park(call);
                        if accepts.json { reply::reply(asking) } else { reply::single(asking) }
                    }
                    None => reply::status(StatusCode::INTERNAL_SERVER_ERROR),
                };
            }
            // Dropped, it is refused.
            Step::Question(_) if !accepts.events => {}
            // A client that cannot read a stream gets the reply and nothing before it.
            Step::Note(_) if !accepts.events => {}
            // Nor can it be asked anything.
            Step::Ask(_) if !accepts.events => {
                let error = Error::new(
                    ErrorKind::MissingCapability,
                    "the server asks the client something, but the client's Accept header does not allow a stream",
                );
                return watched.withdraw(&error);
            }
            step => return watched.into_stream(step),
        }
    }
}

/// A call and the exchange that watches it. When the exchange is dropped because its client has gone, a modern call
/// is withdrawn, and a legacy one goes on: "disconnection SHOULD NOT be interpreted as the client cancelling"
/// (2025-11-25, `basic/transports`).
struct Watched<'x> {
    front: &'x Arc<Front>,
    call: Option<(Box<ClientCall>, Option<Ticket>)>,
}

impl Watched<'_> {
    async fn step(&mut self, patience: Option<Instant>) -> Step {
        match &mut self.call {
            Some((call, ticket)) => next(self.front, call, ticket.as_ref(), patience).await,
            None => std::future::pending().await,
        }
    }

    fn into_stream(mut self, first: Step) -> FrontResponse {
        let Some((call, ticket)) = self.call.take() else { return reply::events(FrontBody::empty()) };
        let (outlet, reader) = match &ticket {
            Some(ticket) => {
                let stream = ticket.session().streams().open(Some(&call.request().id));
                let Ok(reader) = stream.connect(None) else { return reply::events(FrontBody::empty()) };
                (Outlet::Lasting(stream), reader)
            }
            None => {
                let (writer, reader) = queue();
                (Outlet::Once(writer), reader)
            }
        };
        let front = Arc::clone(self.front);
        self.front.calls.spawn(async move { relay(&front, call, ticket, outlet, Some(first)).await });
        reply::events(FrontBody::Call(reader))
    }

    fn withdraw(mut self, error: &Error) -> FrontResponse {
        match self.call.take() {
            Some((mut call, _)) => reply::reply(call.withdraw(error)),
            None => reply::refusal(error, Era::Legacy),
        }
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        let Some((call, ticket)) = self.call.take() else { return };
        if call.request().era == Era::Legacy {
            let front = Arc::clone(self.front);
            self.front.calls.spawn(async move { relay(&front, call, ticket, Outlet::Nobody, None).await });
        }
    }
}

/// Passes what a call brings to its stream, until it is done or nobody is left who wants it.
pub(super) async fn relay(
    front: &Front,
    mut call: Box<ClientCall>,
    ticket: Option<Ticket>,
    outlet: Outlet,
    mut first: Option<Step>,
) {
    let mut asked = JoinSet::new();
    loop {
        let step = match first.take() {
            Some(step) => step,
            None => tokio::select! {
                step = next(front, &mut call, ticket.as_ref(), Some(Instant::now() + outlet.patience())) => step,
                // Closing the stream is how a modern client cancels; dropping the call tells the server.
                () = outlet.abandoned() => return,
            },
        };
        // A reader that has gone, or was cut off, does not end a legacy call.
        match step {
            Step::Note(note) => outlet.say(&note),
            Step::Silent => outlet.tend(),
            Step::Ask(questions) => {
                if let Err(error) = ask(front, &mut call, ticket.as_ref(), &outlet, questions).await {
                    let answer = call.withdraw(&error).message;
                    return outlet.finish(Some(&call.request().id), &answer);
                }
            }
            Step::Question(asking) => {
                // Those that have been answered, so that only open ones take room.
                while asked.try_join_next().is_some() {}
                // Without a session it is dropped, and so refused.
                if let Some(ticket) = &ticket {
                    asked.spawn(ask::put(asking, ticket.session(), outlet.clone()));
                }
            }
            Step::Park => {
                let id = call.request().id.clone();
                return outlet.finish(Some(&id), &front.router.park(call).message);
            }
            Step::Done(done) => {
                // What nobody waits for any more is taken back before the reply.
                match call.may_leave_questions() {
                    true => asked.detach_all(),
                    false => asked.shutdown().await,
                }
                return outlet.finish(Some(&call.request().id), &done.message);
            }
        }
    }
}

/// Puts a server's questions to a legacy client, on the stream of the call that caused them, and goes on with the
/// answers.
async fn ask(
    front: &Front,
    call: &mut ClientCall,
    ticket: Option<&Ticket>,
    outlet: &Outlet,
    questions: Vec<Question>,
) -> Result<(), Error> {
    let gone = |what: &str| {
        Error::new(ErrorKind::Cancelled, format!("the server's question was not answered: {what}"))
    };
    let Some(ticket) = ticket else { return Err(gone("the client has no session")) };
    let limit = call.answer_timeout();
    let mut asked = Vec::new();
    for question in questions {
        let waiting = ticket.session().ask();
        let request =
            write::request(waiting.number(), &question.method, &String::from_utf8_lossy(&question.params));
        outlet.ask(&request).map_err(|_| gone("its client has gone"))?;
        asked.push((question.key, waiting));
    }
    let recalled = call.recalled();
    let answers = async {
        let mut answers = Vec::new();
        for (key, waiting) in &mut asked {
            let message = waiting.answer().await.ok_or_else(|| gone("its session has ended"))?;
            match message.kind() {
                Kind::Result => {
                    answers.push((key.clone(), Bytes::copy_from_slice(message.payload().as_bytes())))
                }
                _ => return Err(gone(&format!("the client answered {}", message.payload()))),
            }
        }
        Ok(answers)
    };
    let resumed = async {
        let answers = tokio::time::timeout(limit, answers).await;
        let late = |_| Err(gone(&format!("the client took more than {limit:?} (answer_timeout)")));
        call.resume(answers.unwrap_or_else(late)?).await
    };
    tokio::pin!(resumed);
    loop {
        tokio::select! {
            resumed = &mut resumed => return resumed,
            () = ticket.cancelled() => return Err(gone("the client has cancelled the call")),
            () = front.abort.cancelled() => return Err(gone("the gateway is shutting down")),
            () = recalled.heard() => return Err(gone("an administrator has cancelled the call")),
            // While a person thinks, proxies must not take the stream for dead.
            () = tokio::time::sleep(outlet.patience()) => {
                outlet.tend();
                if outlet.is_forsaken() {
                    return Err(gone("its client has gone"));
                }
            }
        }
    }
}

/// The next step of a call, or its end because the client or the gateway withdraws it.
async fn next(
    front: &Front,
    call: &mut Box<ClientCall>,
    ticket: Option<&Ticket>,
    patience: Option<Instant>,
) -> Step {
    let withdrawn = async {
        match ticket {
            Some(ticket) => ticket.cancelled().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        // The withdrawal first: a server that floods must not be able to put it off.
        () = withdrawn => {
            Step::Done(call.withdraw(&Error::new(ErrorKind::Cancelled, "the call was cancelled by its client")))
        }
        () = front.abort.cancelled() => {
            Step::Done(call.withdraw(&Error::new(ErrorKind::ShuttingDown, "the gateway is shutting down")))
        }
        step = call.next(patience) => step,
    }
}
