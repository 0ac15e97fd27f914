//! Watching a call: JSON when the reply comes first, a stream the moment something precedes it.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use crate::base::{Era, Error, ErrorKind};
use crate::protocol::sse;
use crate::router::{ClientCall, Reply, Step};
use crate::session::{KEEP_ALIVE_EVERY, Ticket, Writer, queue};

use super::body::FrontBody;
use super::front::Front;
use super::post::Accepts;
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
                return if accepts.json { reply::reply(done) } else { single(done) };
            }
            // A client that cannot read a stream gets the reply and nothing before it.
            Step::Note(_) if !accepts.events => {}
            Step::Note(note) => return watched.into_stream(Some(sse::event(None, &[&note]))),
            Step::Silent => return watched.into_stream(Some(sse::KEEP_ALIVE)),
        }
    }
}

/// A finished answer as a stream of one event, for a client that accepts nothing else.
pub fn single(done: Reply) -> FrontResponse {
    reply::events(FrontBody::whole(sse::event(None, &[&done.message])))
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

    fn into_stream(mut self, first: Option<Bytes>) -> FrontResponse {
        let (writer, reader) = queue();
        if let Some((call, ticket)) = self.call.take() {
            if let Some(first) = first {
                // The reader is in our hands, so the queue cannot be gone.
                let _ = writer.push(first);
            }
            let front = Arc::clone(self.front);
            self.front.calls.spawn(async move { relay(&front, call, ticket, writer).await });
        }
        reply::events(FrontBody::Call(reader))
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        let Some((call, ticket)) = self.call.take() else { return };
        if call.request().era == Era::Legacy {
            let front = Arc::clone(self.front);
            let (writer, _) = queue();
            self.front.calls.spawn(async move { relay(&front, call, ticket, writer).await });
        }
    }
}

/// Passes what a call brings to its stream, until it is done or nobody is left who wants it.
async fn relay(front: &Front, mut call: Box<ClientCall>, ticket: Option<Ticket>, writer: Writer) {
    let modern = call.request().era == Era::Modern;
    loop {
        let step = tokio::select! {
            step = next(front, &mut call, ticket.as_ref(), Some(Instant::now() + KEEP_ALIVE_EVERY)) => step,
            // Closing the stream is how a modern client cancels; dropping the call tells the server.
            () = writer.abandoned(), if modern => return,
        };
        // A reader that has gone, or was cut off, does not end a legacy call.
        let _ = match step {
            Step::Note(note) => writer.push(sse::event(None, &[&note])),
            Step::Silent => writer.push_if_idle(sse::KEEP_ALIVE),
            Step::Done(done) => {
                let _ = writer.push(sse::event(None, &[&done.message]));
                return writer.end();
            }
        };
    }
}

/// The next step of a call, or its end because the client or the gateway withdraws it.
async fn next(front: &Front, call: &mut Box<ClientCall>, ticket: Option<&Ticket>, patience: Option<Instant>) -> Step {
    let withdrawn = async {
        match ticket {
            Some(ticket) => ticket.cancelled().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        step = call.next(patience) => step,
        () = withdrawn => {
            Step::Done(call.withdraw(&Error::new(ErrorKind::Cancelled, "the call was cancelled by its client")))
        }
        () = front.abort.cancelled() => {
            Step::Done(call.withdraw(&Error::new(ErrorKind::ShuttingDown, "the gateway is shutting down")))
        }
    }
}
