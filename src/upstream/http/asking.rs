//! A server's questions over HTTP, on a call's stream or beside all calls, and the way back for the answers.

use std::sync::Arc;

use bytes::Bytes;
use tracing::debug;

use crate::base::{Era, Error};
use crate::protocol::{Message, write};

use super::super::inquiry::{Answers, Inquiry, unattributable, uninvited};
use super::super::mailbox::Sender;
use super::super::party::Party;
use super::link::HttpLink;

impl HttpLink {
    /// Opens a question that came on the stream of a client's call, which is therefore that call's.
    pub(super) fn inquire(self: &Arc<Self>, message: Message, party: Party) -> Result<Inquiry, Error> {
        let link: Arc<dyn Answers> = Arc::clone(self) as Arc<dyn Answers>;
        self.inquiries.open(message, self.options.audience, party, link)
    }

    /// The server takes a question back.
    pub(super) fn withdraw_inquiry(&self, id: Bytes) {
        self.inquiries.withdraw(id);
    }

    /// A question that came on no call's stream. On a link that one client owns it is for that client's call, now or
    /// next; on any other nobody can tell whose it is.
    pub(super) fn inquire_beside(self: &Arc<Self>, message: Message) {
        self.inquire_of(message, None);
    }

    /// A question on the one stream of the oldest transport, which is like a pipe: on a shared link it is for the only
    /// client that has calls in flight, provided that no other has given one up unanswered.
    pub(super) fn inquire_in_common(self: &Arc<Self>, message: Message) {
        self.inquire_of(message, self.pending.owner(false));
    }

    fn inquire_of(self: &Arc<Self>, message: Message, sole: Option<(Party, Sender)>) {
        let Some(id) = message.id() else { return };
        let audience = self.options.audience;
        let invited = audience.declared.allow(message.method(), message.params());
        let owner = if audience.owned { self.pending.owner(true) } else { sole };
        let asked = match owner {
            Some((party, call)) => self.inquire(message, party).map(|inquiry| call.ask(inquiry)),
            None if !invited => Err(uninvited(message.method())),
            None if audience.owned => {
                self.inquire(message, Party::Somebody).map(|inquiry| self.inquiries.keep(inquiry))
            }
            None => Err(unattributable()),
        };
        if let Err(error) = asked {
            self.answer(write::error(Some(&id), &error, Era::Legacy));
        }
    }
}

impl Answers for HttpLink {
    /// A client's answer waits for its place, which a refusal does not: it was asked for, and there are only so many
    /// open questions.
    fn send(self: Arc<Self>, message: Bytes) {
        tokio::spawn(async move {
            let _place = self.answers.acquire().await;
            if let Err(fault) = self.post(message).await {
                debug!(server = %self.options.name, "did not take an answer: {}", fault.error.message);
            }
        });
    }
}
