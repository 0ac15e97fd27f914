//! One live connection to one server, whatever it runs over, and one call on it.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;

use crate::base::{ErrorKind, ServerName};
use crate::protocol::{Kind, Message, Patch, Splice};

use super::fault::Fault;
use super::http::{Exchange, HttpLink};
use super::inquiry::{Audience, Inquiry};
use super::mailbox::{Event, Receiver};
use super::outgoing::Outgoing;
use super::party::Party;
use super::signals::Signals;
use super::stdio::StdioLink;

/// A link. Cloning it shares the connection.
#[derive(Clone, Debug)]
pub enum Link {
    /// A child's pipes.
    Stdio(Arc<StdioLink>),
    /// A Streamable HTTP server.
    Http(Arc<HttpLink>),
}

impl Link {
    /// Starts a call. It never waits: what cannot be taken at once is refused.
    pub fn call(&self, outgoing: &Outgoing) -> Result<Call, Fault> {
        match self {
            Link::Stdio(link) => {
                let (number, receiver) = link.request(&outgoing.message, outgoing.party)?;
                Ok(Call(Inner::Stdio {
                    link: Arc::clone(link),
                    number,
                    receiver,
                    party: outgoing.party,
                    open: true,
                    quiet: outgoing.is_quiet(),
                }))
            }
            Link::Http(link) => Ok(Call(Inner::Http(Box::new(link.request(outgoing)?)))),
        }
    }

    /// A request of our own, answered with a result or an error of the server within `deadline`.
    pub async fn ask(
        &self,
        method: &'static str,
        params: &str,
        deadline: Duration,
    ) -> Result<Message, Fault> {
        let mut call = self.call(&own_request(method, params))?;
        let reply = async {
            loop {
                match call.next().await {
                    // Nobody but a client can answer, and a question that is dropped is refused.
                    Event::Note(_) | Event::Question(_) => {}
                    Event::Reply(message) => return Ok(message),
                    Event::Failed(fault) => return Err(fault),
                }
            }
        };
        match tokio::time::timeout(deadline, reply).await {
            Ok(reply) => reply,
            Err(_) => Err(Fault::unknown(
                ErrorKind::Timeout,
                format!("server '{}' did not answer '{method}' within {deadline:?}", self.name()),
            )),
        }
    }

    /// Sends a notification.
    pub async fn notify(&self, message: Bytes) -> Result<(), Fault> {
        match self {
            Link::Stdio(link) => link.notify(&message),
            Link::Http(link) => link.post(message).await,
        }
    }

    /// Whom the link asks, and what `initialize` declares of them.
    pub fn audience(&self) -> Audience {
        match self {
            Link::Stdio(link) => link.audience(),
            Link::Http(link) => link.audience(),
        }
    }

    /// The board for list changes.
    pub fn signals(&self) -> &Arc<Signals> {
        match self {
            Link::Stdio(link) => link.signals(),
            Link::Http(link) => link.signals(),
        }
    }

    /// Requests that wait for a reply in the link's table. Over HTTP each waits on its own exchange.
    pub fn pending(&self) -> usize {
        match self {
            Link::Stdio(link) => link.in_flight(),
            Link::Http(_) => 0,
        }
    }

    /// The server's name.
    pub fn name(&self) -> &ServerName {
        match self {
            Link::Stdio(link) => link.name(),
            Link::Http(link) => link.name(),
        }
    }
}

/// A request that the gateway itself makes; `params` is JSON text.
pub fn own_request(method: &'static str, params: &str) -> Outgoing {
    let head = format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{params},"id":"#);
    let at = head.len();
    let mut message = Splice::new(Bytes::from(head + "0}"));
    message.edit(at..at + 1, Patch::Minted);
    Outgoing {
        message,
        method: Bytes::from_static(method.as_bytes()),
        name: None,
        headers: Vec::new(),
        party: Party::Gateway,
    }
}

/// A call in flight. Dropping it before its last event frees its place and tells the server.
pub struct Call(Inner);

enum Inner {
    Stdio { link: Arc<StdioLink>, number: u64, receiver: Receiver, party: Party, open: bool, quiet: bool },
    Http(Box<Exchange>),
}

impl Call {
    /// The next event. After a reply or a failure there is none.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        match &mut self.0 {
            Inner::Stdio { receiver, open, .. } => {
                let event = receiver.poll_next(cx);
                if matches!(event, Poll::Ready(Event::Reply(_) | Event::Failed(_))) {
                    *open = false;
                }
                event
            }
            Inner::Http(exchange) => exchange.poll_next(cx),
        }
    }

    /// The next event, to be awaited.
    pub async fn next(&mut self) -> Event {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The number under which the server was asked.
    pub fn number(&self) -> u64 {
        match &self.0 {
            Inner::Stdio { number, .. } => *number,
            Inner::Http(exchange) => exchange.number(),
        }
    }

    /// Frees its place and tells the server, unless its last event has come.
    pub fn withdraw(&mut self) {
        match &mut self.0 {
            Inner::Stdio { link, number, open, quiet, .. } => match (std::mem::take(open), *quiet) {
                (true, true) => link.forget(*number),
                (true, false) => link.abandon(*number, "the caller has gone"),
                (false, _) => {}
            },
            Inner::Http(exchange) => exchange.withdraw(),
        }
    }

    /// Whether a question that comes with this call may be another's of the same client: on pipes nothing says for which
    /// call it is.
    pub fn pools_questions(&self) -> bool {
        matches!(&self.0, Inner::Stdio { link, party, .. } if link.pools_questions(*party))
    }

    /// Gives a question that came with this call, which has ended, to another of the same client.
    pub fn pass_on(&self, inquiry: Inquiry) {
        if let Inner::Stdio { link, .. } = &self.0 {
            link.pass_on(inquiry);
        }
    }

    /// Questions that are open to the client of this call, on a child's pipes.
    pub fn open_questions(&self) -> usize {
        match &self.0 {
            Inner::Stdio { link, party, .. } => link.open_questions(*party),
            Inner::Http(_) => 0,
        }
    }

    /// Whether other calls of the same client are in flight on a child's pipes.
    pub fn has_siblings(&self) -> bool {
        match &self.0 {
            Inner::Stdio { link, party, open, .. } => link.in_flight_of(*party) > usize::from(*open),
            Inner::Http(_) => false,
        }
    }

    /// The session that an HTTP server gave with its answer.
    pub fn take_session(&mut self) -> Option<http::HeaderValue> {
        match &mut self.0 {
            Inner::Stdio { .. } => None,
            Inner::Http(exchange) => exchange.take_session(),
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.withdraw();
    }
}

/// The result that a reply holds, or the server's error as a fault.
pub fn result_of<'m>(name: &ServerName, reply: &'m Message) -> Result<&'m str, Fault> {
    match reply.kind() {
        Kind::Result => Ok(reply.payload()),
        _ => Err(Fault::unknown(
            ErrorKind::ServerFailed,
            format!("server '{name}' answered {}", reply.payload()),
        )),
    }
}
