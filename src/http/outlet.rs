//! Where what a call brings goes: a modern client's stream, a legacy client's, a batch, or nowhere.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::base::Era;
use crate::protocol::{RawId, sse, write};
use crate::session::{Gone, KEEP_ALIVE_EVERY, Stream, Writer};

use super::gathering::Gathering;
use super::reply;

/// Where what a call brings goes.
#[derive(Clone)]
pub enum Outlet {
    /// The stream of a modern client, whose end is the end of the call.
    Once(Writer),
    /// The stream of a legacy client, who may come back to it.
    Lasting(Arc<Stream>),
    /// The one stream of a client of the oldest transport, on which everything comes.
    Shared(Writer),
    /// The other answers of its batch, and the place among them.
    Gathered(Arc<Gathering>, usize),
    /// A legacy client went before there was a stream: it has no id by which it could come back.
    Nobody,
}

impl Outlet {
    /// Says something before the answer.
    pub fn say(&self, message: &[u8]) {
        match self {
            Outlet::Once(writer) | Outlet::Shared(writer) => {
                let _ = writer.push(sse::event(None, &[message]));
            }
            Outlet::Lasting(stream) => stream.push(message),
            // A client that cannot read a stream gets the answers and nothing before them.
            Outlet::Gathered(gathering, _) => drop(gathering.say(message)),
            Outlet::Nobody => {}
        }
    }

    /// Puts a question, if there can be somebody who reads it.
    pub fn ask(&self, question: &[u8]) -> Result<(), Gone> {
        match self {
            Outlet::Once(writer) | Outlet::Shared(writer) => writer.push(sse::event(None, &[question])),
            Outlet::Lasting(stream) => {
                stream.push(question);
                Ok(())
            }
            Outlet::Gathered(gathering, _) => gathering.say(question),
            Outlet::Nobody => Err(Gone),
        }
    }

    /// Says the answer to the request of this id.
    pub fn finish(&self, id: Option<&RawId>, answer: &Bytes) {
        let instead = || write::error(id, &reply::not_held(), Era::Legacy);
        match self {
            Outlet::Once(writer) => {
                let _ = writer.push(sse::event(None, &[answer]));
                writer.end();
            }
            Outlet::Shared(writer) => {
                let _ = writer.push(sse::event(None, &[answer]));
            }
            Outlet::Lasting(stream) => {
                stream.answer(answer, instead);
                stream.end();
            }
            Outlet::Gathered(gathering, at) => gathering.answer(*at, answer.clone(), instead),
            Outlet::Nobody => {}
        }
    }

    /// What is due when nothing has happened for a while: a word that keeps the connection open, or its end, if the
    /// client polls.
    pub fn tend(&self) {
        match self {
            Outlet::Once(writer) => drop(writer.push_if_idle(sse::KEEP_ALIVE)),
            // Whoever follows the changes keeps it open.
            Outlet::Shared(_) => {}
            Outlet::Lasting(stream) => {
                stream.keep_alive();
                stream.hang_up();
            }
            Outlet::Gathered(gathering, _) => {
                gathering.stream().iter().for_each(|stream| stream.keep_alive())
            }
            Outlet::Nobody => {}
        }
    }

    /// After how much silence there is something to tend to.
    pub fn patience(&self) -> Duration {
        match self {
            Outlet::Lasting(stream) => {
                stream.poll_after().map_or(KEEP_ALIVE_EVERY, |after| after.min(KEEP_ALIVE_EVERY))
            }
            _ => KEEP_ALIVE_EVERY,
        }
    }

    /// Whether the client has gone for good: a modern one with its stream, a legacy one when it has not come back.
    pub fn is_forsaken(&self) -> bool {
        match self {
            Outlet::Once(writer) | Outlet::Shared(writer) => writer.is_gone(),
            Outlet::Lasting(stream) => is_forsaken(stream),
            Outlet::Gathered(gathering, _) => gathering.stream().is_some_and(|stream| is_forsaken(&stream)),
            Outlet::Nobody => true,
        }
    }

    /// Waits until a modern client has gone.
    pub async fn abandoned(&self) {
        match self {
            Outlet::Once(writer) => writer.abandoned().await,
            _ => std::future::pending().await,
        }
    }
}

/// Whether the client of a legacy stream has not come back for as long as it may take.
fn is_forsaken(stream: &Stream) -> bool {
    stream.is_over() || stream.alone_for() >= stream.age()
}
