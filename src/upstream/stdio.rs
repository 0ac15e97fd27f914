//! A link over a child's pipes.
//!
//! Three tasks that never wait for each other: one empties the outbox into stdin, one reads stdout and hands every
//! message to its party, one drains stderr. Many calls are in flight at once, told apart by the numbers that the
//! link mints.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use crate::base::{Error, ErrorKind, ServerName};
use crate::protocol::line::LineBuffer;
use crate::protocol::{Kind, Message, Params, Splice, id, method, params, write};

use super::counts::Counts;
use super::fault::Fault;
use super::inquiry::{Answers, Audience, Inquiries, Inquiry, unattributable, uninvited};
use super::mailbox::{self, Receiver, Sender};
use super::outbox::{Outbox, Refused};
use super::party::Party;
use super::pending::Pending;
use super::signals::{ListKind, Signals};
use super::stderr::StderrTail;

/// Read at once from a child's stdout: what a pipe holds by default on Linux (pipe(7)), halved because allocations
/// up to 32 KiB come from the allocator's thread cache.
const READ_BYTES: usize = 32 * 1024;
/// Noise lines quoted in the log for one generation; the rest are only counted.
const QUOTED_NOISE: u64 = 5;
/// `error.data` of a refusal for want of room: a server that reads again does so quickly.
const RETRY_SOON: &str = r#"{"retry_after":1}"#;
/// How much of a noise line is quoted.
const QUOTED_BYTES: usize = 200;

/// The link's shared core.
#[derive(Debug)]
pub struct StdioLink {
    name: ServerName,
    outbox: Outbox,
    pending: Pending,
    signals: Arc<Signals>,
    audience: Audience,
    inquiries: Arc<Inquiries>,
    counts: Counts,
    stderr: Arc<StderrTail>,
    /// Why the streams ended, once they have.
    ended: watch::Sender<Option<String>>,
}

impl StdioLink {
    /// Starts the three tasks on the child's pipes. `max_message` caps one line in bytes.
    pub fn start(
        name: ServerName,
        audience: Audience,
        pipes: (
            impl AsyncWrite + Unpin + Send + 'static,
            impl AsyncRead + Unpin + Send + 'static,
            impl AsyncRead + Unpin + Send + 'static,
        ),
        max_message: usize,
        tasks: &TaskTracker,
    ) -> Arc<StdioLink> {
        let (mut stdin, stdout, stderr) = pipes;
        let link = Arc::new(StdioLink {
            name,
            outbox: Outbox::default(),
            pending: Pending::default(),
            signals: Arc::default(),
            audience,
            inquiries: Arc::default(),
            counts: Counts::default(),
            stderr: Arc::default(),
            ended: watch::Sender::new(None),
        });
        let writer = Arc::clone(&link);
        tasks.spawn(async move {
            if let Err(error) = writer.outbox.drain(&mut stdin).await {
                writer.end(format!("its stdin broke: {error}"));
            }
        });
        let reader = Arc::clone(&link);
        tasks.spawn(async move {
            let reason = reader.read(stdout, max_message).await;
            reader.end(reason);
        });
        let errors = Arc::clone(&link);
        tasks.spawn(async move { errors.stderr.drain(&errors.name, stderr).await });
        link
    }

    /// Sends a request. The reply, and what goes before it, comes through the returned receiver.
    pub fn request(&self, message: &Splice, party: Party) -> Result<(u64, Receiver), Fault> {
        let (sender, receiver) = mailbox::mailbox();
        let asked = (party.is_client() && self.audience.owned).then(|| sender.clone());
        let number = self.pending.enter(sender, party)?;
        match self.outbox.send(message, number) {
            Ok(()) => {
                asked.inspect(|call| self.inquiries.hand_over(call));
                Ok((number, receiver))
            }
            Err(refused) => {
                self.pending.take(number);
                Err(self.refusal(refused))
            }
        }
    }

    /// Sends a notification.
    pub fn notify(&self, message: &[u8]) -> Result<(), Fault> {
        self.outbox.send_text(message).map_err(|refused| self.refusal(refused))
    }

    /// Forgets a call that nobody waits for any more and tells the server so.
    pub fn abandon(&self, number: u64, reason: &str) {
        if self.pending.abandon(number).is_some() {
            let params = format!(r#"{{"requestId":{number},"reason":"{reason}"}}"#);
            // A server that does not read its stdin will not read this either; the call is gone for us all the same.
            let _ = self.outbox.send_text(&write::notification(method::CANCELLED, Some(&params)));
        }
    }

    /// Forgets a call without a word to the server.
    pub fn forget(&self, number: u64) {
        self.pending.take(number);
    }

    /// Closes the child's stdin once everything waiting has been written.
    pub fn close_stdin(&self) {
        self.outbox.close();
    }

    /// Fails every call in flight, and every later one.
    pub fn fail_all(&self, fault: &Fault) {
        self.outbox.close();
        self.pending.close(fault);
        self.inquiries.close();
    }

    /// Waits until the streams have ended and says why.
    pub async fn ended(&self) -> String {
        let mut ended = self.ended.subscribe();
        let reason = ended.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
        reason.unwrap_or_default()
    }

    /// Gives a question that came with another call of the same client, which has ended, to one that is in flight. If
    /// there is none, nobody waits for what the server wants to know it for, and it is refused.
    pub fn pass_on(&self, inquiry: Inquiry) {
        if let Some(call) = self.pending.last_of(self.audience.owned, inquiry.party()) {
            call.ask(inquiry);
        }
    }

    /// Whether a question to `party` may be any of its calls'.
    pub fn pools_questions(&self, party: Party) -> bool {
        self.audience.owned || party.is_one_client_with(party)
    }

    /// Questions that are open to the client of a call.
    pub fn open_questions(&self, party: Party) -> usize {
        if self.audience.owned { self.inquiries.count() } else { self.inquiries.count_of(party) }
    }

    /// Calls in flight of the client of a call.
    pub fn in_flight_of(&self, party: Party) -> usize {
        self.pending.in_flight_of(self.audience.owned, party)
    }

    /// Whom the link asks.
    pub fn audience(&self) -> Audience {
        self.audience
    }

    /// The server's name.
    pub fn name(&self) -> &ServerName {
        &self.name
    }

    /// The board for list changes.
    pub fn signals(&self) -> &Arc<Signals> {
        &self.signals
    }

    /// What was counted so far.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// The last lines of the child's stderr.
    pub fn stderr(&self) -> &Arc<StderrTail> {
        &self.stderr
    }

    /// Calls in flight.
    pub fn in_flight(&self) -> usize {
        self.pending.in_flight()
    }

    fn end(&self, reason: String) {
        self.ended.send_if_modified(|ended| {
            let first = ended.is_none();
            if first {
                *ended = Some(reason);
            }
            first
        });
    }

    fn refusal(&self, refused: Refused) -> Fault {
        match refused {
            Refused::Full(waiting) => {
                let text = format!(
                    "server '{}' does not read its input; {waiting} bytes are waiting for it",
                    self.name
                );
                let mut fault = Fault::not_delivered(ErrorKind::Overloaded, text);
                fault.error.data = Some(RETRY_SOON.to_owned());
                fault
            }
            Refused::Closed => {
                Fault::not_delivered(ErrorKind::Unavailable, format!("server '{}' is stopping", self.name))
            }
        }
    }

    /// Reads until the stream ends; says why it did.
    async fn read(self: &Arc<Self>, mut stdout: impl AsyncRead + Unpin, max_message: usize) -> String {
        let mut lines = LineBuffer::new(max_message);
        loop {
            loop {
                match lines.next_line() {
                    Ok(Some(line)) => self.receive(line),
                    Ok(None) => break,
                    Err(error) => return format!("{error} (max_message)"),
                }
            }
            lines.buffer().reserve(READ_BYTES);
            match stdout.read_buf(lines.buffer()).await {
                Ok(0) => return "it closed its stdout".to_owned(),
                Ok(_) => {}
                Err(error) => return format!("its stdout broke: {error}"),
            }
        }
    }

    /// Hands one line to its party. What it is comes before whose it is: a request of the server may bear the
    /// number of one of ours.
    fn receive(self: &Arc<Self>, line: Bytes) {
        let message = match Message::parse(line.clone()) {
            Ok(message) => message,
            Err(error) => return self.noise(&line, &error.to_string()),
        };
        self.counts.messages.fetch_add(1, Ordering::Relaxed);
        match message.kind() {
            Kind::Result | Kind::Error => self.reply(message),
            Kind::Notification => self.notification(message),
            Kind::Request => self.question(message),
        }
    }

    fn reply(&self, message: Message) {
        let number = message.id_bytes().and_then(id::minted);
        match number.and_then(|number| self.pending.take(number)) {
            Some(sender) => sender.finish(Ok(message)),
            None if number.is_some_and(|number| self.pending.late_reply(number)) => {}
            None => {
                self.counts.unknown_replies.fetch_add(1, Ordering::Relaxed);
                debug!(server = %self.name, id = ?message.id(), "a reply that nobody waits for");
            }
        }
    }

    fn notification(&self, message: Message) {
        let Ok(read) = Params::read(&message) else {
            return self.noise(message.text(), "its params cannot be read");
        };
        let text = message.as_str();
        let number =
            |span: Option<crate::protocol::Span>| span.and_then(|span| id::minted(text[span].as_bytes()));
        let subscription = read.meta.as_ref().and_then(|meta| meta.subscription_id.clone());
        let party = match message.method() {
            _ if subscription.is_some() => number(subscription).and_then(|number| self.pending.get(number)),
            method::PROGRESS => {
                number(read.progress_token.clone()).and_then(|number| self.pending.get(number))
            }
            // A log line names no call. On a shared pipe it belongs to the only client with calls in flight, or to nobody;
            // on a link that one client owns it is that client's in any case.
            method::LOG_MESSAGE => return self.stray(message),
            method::RESOURCE_UPDATED => {
                if let Some(uri) = params::string_at(&message, &read.uri) {
                    self.signals.resource_updated(uri.into_owned());
                }
                return;
            }
            // A task outlives its call; whose it is, its id says.
            method::TASK_STATUS => return self.signals.task(message),
            method::CANCELLED => {
                if let Some(id) = read.request_id {
                    self.inquiries.withdraw(message.slice(id));
                }
                return;
            }
            other => {
                if let Some(kind) = ListKind::of_notification(other) {
                    return self.signals.list_changed(kind);
                }
                // What nobody here knows is treated like a log line: the only client with calls in flight may know it.
                return self.stray(message);
            }
        };
        self.tell(party, message);
    }

    fn tell(&self, party: Option<Sender>, message: Message) {
        let dropped = match party {
            Some(sender) => sender.note(message),
            None => {
                debug!(server = %self.name, method = message.method(), params = message.params(), "a note without a party");
                1
            }
        };
        self.counts.dropped_notes.fetch_add(dropped, Ordering::Relaxed);
    }

    /// A note that names no call. The client that alone is behind the link hears of it, be it on the stream of no call.
    fn stray(&self, message: Message) {
        match self.pending.owner(self.audience.owned) {
            None if self.audience.owned => self.signals.stray(message),
            owner => self.tell(owner.map(|(_, call)| call), message),
        }
    }

    /// A request of the server. Liveness is answered here; a question goes to the call that caused it, if that can be
    /// told.
    fn question(self: &Arc<Self>, message: Message) {
        let Some(id) = message.id() else { return };
        let answer = if message.method() == method::PING {
            write::result(&id, b"{}")
        } else {
            match self.ask(message) {
                Ok(()) => return,
                Err(error) => {
                    self.counts.refused_questions.fetch_add(1, Ordering::Relaxed);
                    write::error(Some(&id), &error, crate::base::Era::Legacy)
                }
            }
        };
        // A full outbox means that the server reads nothing, this answer included.
        let _ = self.outbox.send_text(&answer);
    }

    /// Puts a question to the client that it belongs to. On a link that one client owns that is any call of the client,
    /// now or next; on a shared one a call of the only client that it can belong to.
    fn ask(self: &Arc<Self>, message: Message) -> Result<(), Error> {
        let owner = self.pending.owner(self.audience.owned);
        let invited = self.audience.declared.allow(message.method(), message.params());
        if owner.is_none() && !(self.audience.owned && invited) {
            return Err(if invited { unattributable() } else { uninvited(message.method()) });
        }
        let link: Arc<dyn Answers> = Arc::clone(self) as Arc<dyn Answers>;
        let party = owner.as_ref().map_or(Party::Somebody, |(party, _)| *party);
        let inquiry = self.inquiries.open(message, self.audience, party, link)?;
        match owner {
            // One that was not invited is refused there, and the call remembers it.
            Some((_, call)) => call.ask(inquiry),
            None => self.inquiries.keep(inquiry),
        }
        Ok(())
    }

    fn noise(&self, line: &[u8], why: &str) {
        let seen = self.counts.noise.fetch_add(1, Ordering::Relaxed);
        if seen < QUOTED_NOISE {
            let quoted = String::from_utf8_lossy(&line[..line.len().min(QUOTED_BYTES)]).into_owned();
            warn!(server = %self.name, line = quoted, why, "skipped a line on stdout that is no MCP message");
        }
    }
}

impl Answers for StdioLink {
    fn send(self: Arc<Self>, message: Bytes) {
        // A full outbox means that the server reads nothing, this answer included.
        let _ = self.outbox.send_text(&message);
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream};

    use super::*;
    use crate::upstream::mailbox::Event;

    struct Far {
        stdin: tokio::io::Lines<BufReader<DuplexStream>>,
        stdout: DuplexStream,
        link: Arc<StdioLink>,
    }

    fn connect() -> Far {
        let (near_in, far_in) = tokio::io::duplex(1 << 16);
        let (far_out, near_out) = tokio::io::duplex(1 << 16);
        let (_, stderr) = tokio::io::duplex(64);
        let name = ServerName::new("s").unwrap();
        let link = StdioLink::start(
            name,
            Audience::default(),
            (near_in, near_out, stderr),
            1000,
            &TaskTracker::new(),
        );
        Far { stdin: BufReader::new(far_in).lines(), stdout: far_out, link }
    }

    fn call() -> Splice {
        let text = Bytes::from_static(br#"{"jsonrpc":"2.0","id":0,"method":"tools/call"}"#);
        let mut splice = Splice::new(text);
        splice.edit(22..23, crate::protocol::Patch::Minted);
        splice
    }

    impl Far {
        async fn next(&mut self) -> Message {
            Message::parse(self.stdin.next_line().await.unwrap().unwrap().into()).unwrap()
        }

        async fn say(&mut self, text: &str) {
            self.stdout.write_all(text.as_bytes()).await.unwrap();
            self.stdout.write_all(b"\n").await.unwrap();
        }
    }

    async fn next(receiver: &mut Receiver) -> Event {
        std::future::poll_fn(|cx| receiver.poll_next(cx)).await
    }

    #[tokio::test]
    async fn replies_reach_their_calls_in_any_order_and_noise_harms_none() {
        let mut far = connect();
        let (first, mut one) = far.link.request(&call(), Party::Somebody).unwrap();
        let (second, mut two) = far.link.request(&call(), Party::Somebody).unwrap();
        assert_eq!(far.next().await.id_bytes(), Some(first.to_string().as_bytes()));
        far.say("Server ready!").await;
        far.say(&format!(r#"{{"jsonrpc":"2.0","id":{second},"result":"two"}}"#)).await;
        far.say(r#"{"jsonrpc":"2.0","id":999999999,"result":"stray"}"#).await;
        far.say(&format!(r#"{{"jsonrpc":"2.0","id":"{first}","result":"one"}}"#)).await;
        let (Event::Reply(a), Event::Reply(b)) = (next(&mut one).await, next(&mut two).await) else {
            panic!()
        };
        assert_eq!((a.payload(), b.payload()), ("\"one\"", "\"two\""));
        assert_eq!(far.link.counts().noise.load(Ordering::Relaxed), 1);
        assert_eq!(far.link.counts().unknown_replies.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_question_with_the_number_of_a_call_does_not_answer_it() {
        let mut far = connect();
        let (number, mut receiver) = far.link.request(&call(), Party::Somebody).unwrap();
        far.next().await;
        far.say(&format!(r#"{{"jsonrpc":"2.0","id":{number},"method":"sampling/createMessage"}}"#)).await;
        // It is told as what it is, and refused when nobody answers it.
        assert!(matches!(next(&mut receiver).await, Event::Question(_)));
        assert_eq!(far.next().await.kind(), Kind::Error);
        let waiting = std::future::poll_fn(|cx| Poll::Ready(receiver.poll_next(cx).is_pending())).await;
        assert!(waiting, "the call must still wait for its own reply");
    }

    #[tokio::test]
    async fn a_ping_is_answered_with_its_own_id() {
        let mut far = connect();
        far.say(r#"{"jsonrpc":"2.0","id":"p-1","method":"ping"}"#).await;
        assert_eq!(far.next().await.text(), r#"{"jsonrpc":"2.0","id":"p-1","result":{}}"#);
    }

    #[tokio::test]
    async fn progress_finds_its_call_by_token_and_a_log_line_only_when_one_call_is_in_flight() {
        let mut far = connect();
        let (_, mut one) = far.link.request(&call(), Party::Somebody).unwrap();
        let log = r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":1}}"#;
        far.say(log).await;
        assert!(matches!(next(&mut one).await, Event::Note(note) if note.method() == method::LOG_MESSAGE));
        let (second, mut two) = far.link.request(&call(), Party::Somebody).unwrap();
        far.say(log).await;
        far.say(&format!(
            r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{second},"progress":1}}}}"#
        ))
        .await;
        assert!(matches!(next(&mut two).await, Event::Note(note) if note.method() == method::PROGRESS));
        assert_eq!(far.link.counts().dropped_notes.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn an_abandoned_call_is_cancelled_at_the_server() {
        let mut far = connect();
        let (number, _receiver) = far.link.request(&call(), Party::Somebody).unwrap();
        far.next().await;
        far.link.abandon(number, "test");
        let cancelled = far.next().await;
        assert_eq!(cancelled.method(), method::CANCELLED);
        assert!(cancelled.params().contains(&format!("\"requestId\":{number}")));
        assert_eq!(far.link.in_flight(), 0);
    }

    #[tokio::test]
    async fn a_line_over_the_cap_ends_the_link_with_a_reason() {
        let mut far = connect();
        far.say(&"x".repeat(2000)).await;
        assert!(far.link.ended().await.contains("longer than 1000 bytes"));
    }
}
