//! A server's question to a client: a request of a legacy server that waits for its answer.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use crate::base::{Era, Error, ErrorKind};
use crate::protocol::{ClientCapabilities, Message, RawId, skim, write};

use super::mailbox::Sender;
use super::party::Party;

/// Questions of one link that may be open at once. A server that asks more does not wait for answers.
const MAX_OPEN: usize = 256;
/// Questions that wait on one client's own link until it calls again. Servers ask for roots as soon as they are up,
/// and for little else.
const MAX_EARLY: usize = 16;

/// Whom a link asks, and what it has told its server of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Audience {
    /// What `initialize` declared.
    pub declared: ClientCapabilities,
    /// Whether everybody behind the link is one client, so that every question is for that one.
    pub owned: bool,
}

/// A link's way back to its server.
pub(super) trait Answers: Send + Sync + fmt::Debug {
    /// Sends a response, or a notification that belongs to a question. What cannot be sent is lost with its link.
    fn send(self: Arc<Self>, message: Bytes);
}

/// The questions of one link that are open.
#[derive(Debug, Default)]
pub(super) struct Inquiries(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    open: HashMap<RawId, (Party, CancellationToken)>,
    /// Those of an owned link that came while no call was in flight.
    early: VecDeque<Inquiry>,
    closed: bool,
}

/// One open question. Dropping it tells the server that nobody will answer.
pub struct Inquiry {
    message: Message,
    id: RawId,
    party: Party,
    link: Arc<dyn Answers>,
    book: Arc<Inquiries>,
    withdrawn: CancellationToken,
    invited: bool,
    answered: bool,
}

impl Inquiries {
    /// Opens a question, unless there are too many or one with its id is open.
    pub fn open(
        self: &Arc<Self>,
        message: Message,
        audience: Audience,
        party: Party,
        link: Arc<dyn Answers>,
    ) -> Result<Inquiry, Error> {
        let refused = |text: &'static str| Err(Error::new(ErrorKind::InvalidRequest, text));
        let Some(id) = message.id() else { return refused("a question needs an id") };
        let withdrawn = CancellationToken::new();
        let mut table = self.lock();
        if table.closed || table.open.len() >= MAX_OPEN {
            return refused("too many questions are open on this connection");
        }
        if table.open.contains_key(&id) {
            return refused("a question with this id is open already");
        }
        table.open.insert(id.clone(), (party, withdrawn.clone()));
        drop(table);
        let invited = audience.declared.allow(message.method(), message.params());
        let book = Arc::clone(self);
        Ok(Inquiry { message, id, party, link, book, withdrawn, invited, answered: false })
    }

    /// The server takes its question back (`notifications/cancelled`); false if none with this id is open.
    pub fn withdraw(&self, id: Bytes) -> bool {
        let open = RawId::new(id).and_then(|id| self.lock().open.remove(&id));
        open.inspect(|(_, withdrawn)| withdrawn.cancel()).is_some()
    }

    /// Keeps a question for the client's next call. One that is too many is dropped, and so refused.
    pub fn keep(&self, inquiry: Inquiry) {
        let mut table = self.lock();
        let refused = if table.closed || table.early.len() >= MAX_EARLY {
            Some(inquiry)
        } else {
            table.early.push_back(inquiry);
            None
        };
        // Its last words take the lock as well.
        drop(table);
        drop(refused);
    }

    /// Hands the questions that were kept to a call.
    pub fn hand_over(&self, call: &Sender) {
        let early = std::mem::take(&mut self.lock().early);
        early.into_iter().for_each(|inquiry| call.ask(inquiry));
    }

    /// How many are open.
    pub fn count(&self) -> usize {
        self.lock().open.len()
    }

    /// How many are open to one client.
    pub fn count_of(&self, party: Party) -> usize {
        self.lock().open.values().filter(|(other, _)| party.is_one_client_with(*other)).count()
    }

    /// Ends it with its link: nothing is kept any more.
    pub fn close(&self) {
        let mut table = self.lock();
        table.closed = true;
        let early = std::mem::take(&mut table.early);
        drop(table);
        drop(early);
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Nothing under the lock can panic half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// In `_meta` of a question, the name under which a modern client is asked (`inputRequests`). A legacy question has
/// no such name of its own; without one the gateway makes one up.
const INPUT_KEY: &str = "dev.trunkline/inputKey";

impl Inquiry {
    /// `sampling/createMessage`, `elicitation/create` or `roots/list`, or what else the server wants.
    pub fn method(&self) -> &str {
        self.message.method()
    }

    /// The parameters, raw JSON.
    pub fn params(&self) -> &str {
        match self.message.params() {
            "" => "{}",
            params => params,
        }
    }

    /// Whose it is.
    pub(super) fn party(&self) -> Party {
        self.party
    }

    /// Whether the link's `initialize` declared what is asked for.
    pub fn invited(&self) -> bool {
        self.invited
    }

    /// The name that the server itself gives the question.
    pub fn key(&self) -> Option<String> {
        let meta = skim::field_text(self.params(), "_meta")?;
        skim::string_field(meta, INPUT_KEY).map(|key| key.into_owned()).filter(|key| !key.is_empty())
    }

    /// Answers with a result, raw JSON.
    pub fn answer(self, result: &[u8]) {
        let message = write::result(&self.id, result);
        self.end(message);
    }

    /// Answers with the client's own error, raw JSON.
    pub fn fail(self, error: &str) {
        let id = String::from_utf8_lossy(self.id.as_bytes()).into_owned();
        self.end(Bytes::from(format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#)));
    }

    /// Answers with an error of ours.
    pub fn refuse(self, error: &Error) {
        let message = write::error(Some(&self.id), error, Era::Legacy);
        self.end(message);
    }

    /// Passes on what the client says of its progress: a whole notification, under the server's own token.
    pub fn note(&self, notification: Bytes) {
        Arc::clone(&self.link).send(notification);
    }

    /// Resolves when the server does not want the answer any more.
    pub async fn withdrawn(&self) {
        self.withdrawn.cancelled().await;
    }

    /// Whether the server does not want the answer any more.
    pub fn is_withdrawn(&self) -> bool {
        self.withdrawn.is_cancelled()
    }

    fn end(mut self, message: Bytes) {
        self.answered = true;
        self.say(message);
    }

    fn say(&self, message: Bytes) {
        // Of two who end it, the one who finds it open speaks.
        if self.book.lock().open.remove(&self.id).is_some() {
            Arc::clone(&self.link).send(message);
        }
    }
}

#[cfg(test)]
impl Inquiry {
    /// A question of a server of whom nothing else is there.
    pub(crate) fn lone(text: &'static str) -> Inquiry {
        #[derive(Debug)]
        struct Nowhere;
        impl Answers for Nowhere {
            fn send(self: Arc<Self>, _message: Bytes) {}
        }
        let message = Message::parse(Bytes::from_static(text.as_bytes())).unwrap();
        let (audience, party) = (Audience::default(), Party::Somebody);
        Arc::new(Inquiries::default()).open(message, audience, party, Arc::new(Nowhere)).unwrap()
    }
}

impl Drop for Inquiry {
    fn drop(&mut self) {
        if !self.answered {
            let error = Error::new(ErrorKind::Cancelled, "nobody is left to answer the question");
            self.say(write::error(Some(&self.id), &error, Era::Legacy));
        }
    }
}

impl fmt::Debug for Inquiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inquiry").field("id", &self.id).field("method", &self.method()).finish()
    }
}

/// The refusal of a question that nothing connects to one client.
pub(super) fn unattributable() -> Error {
    Error::new(
        ErrorKind::InvalidRequest,
        "nobody can tell whose question this is, because several clients share this connection and it may belong to a call \
         of more than one of them, or of none; set isolation = \"session\" for this server",
    )
}

/// The refusal of a question that was not invited.
pub(super) fn uninvited(method: &str) -> Error {
    Error::new(
        ErrorKind::MethodNotFound,
        format!("the client declared no capability for '{method}' on this connection"),
    )
}
