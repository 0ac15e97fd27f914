//! The questions of a legacy server in the middle of a call: whether they may be put to the client, how they gather
//! for a modern one, and how the call's deadline rests meanwhile.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::base::{Error, ErrorKind};
use crate::protocol::{ClientCapabilities, method, skim};
use crate::upstream::Inquiry;

use super::request::Request;

/// How long a call waits for further questions after the first, before a modern client is given them: servers that
/// ask several things at once write them one behind the other, and a person who is asked does not notice the wait.
const GATHER: Duration = Duration::from_millis(25);

/// A question on its way to a legacy client. While it lives, the deadline of its call rests.
#[derive(Debug)]
pub struct Asking {
    /// The question.
    pub inquiry: Inquiry,
    /// How long the client may take.
    pub limit: Duration,
    _resting: Resting,
}

/// What a call and its server have to say to each other, beyond request and reply.
#[derive(Debug, Default)]
pub(super) struct Dialog {
    /// Questions for a modern client, by the keys under which it is asked.
    gathered: Vec<(String, Inquiry)>,
    gather_until: Option<Instant>,
    /// Answers that the client sent along unasked, by key.
    brought: Vec<(String, Bytes)>,
    /// Questions asked so far, which number those without a name of their own.
    asked: usize,
    /// What the client would have had to declare for a question that was refused, JSON text.
    lacking: Option<&'static str>,
    rest: Arc<Rest>,
}

/// How many questions are open, and when the last was answered.
#[derive(Debug, Default)]
struct Rest {
    open: AtomicUsize,
    ended: Mutex<Option<Instant>>,
}

#[derive(Debug)]
struct Resting(Arc<Rest>);

impl Drop for Resting {
    fn drop(&mut self) {
        *self.0.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        self.0.open.fetch_sub(1, Ordering::Release);
    }
}

/// What becomes of a question.
pub(super) enum Put {
    /// It was answered or refused here.
    Settled,
    /// It waits for others to be asked with it.
    Gathered,
    /// It is put to a legacy client at once.
    Now(Box<Asking>),
}

impl Dialog {
    /// Looks whether a question may be put to the client of `request` at all.
    pub fn admit(&mut self, inquiry: Inquiry, request: &Request) -> Option<Inquiry> {
        let (method, params) = (inquiry.method(), inquiry.params());
        if inquiry.invited() && request.capabilities.allow(method, params) {
            return Some(inquiry);
        }
        if !request.capabilities.allow(method, params) {
            self.lacking = Some(ClientCapabilities::required(method, params));
        }
        let text = format!("the client declared no capability for '{method}' on this connection");
        inquiry.refuse(&Error::new(ErrorKind::MethodNotFound, text));
        None
    }

    /// Puts a question to a legacy client.
    pub fn put_now(&mut self, inquiry: Inquiry, limit: Duration) -> Put {
        self.rest.open.fetch_add(1, Ordering::Acquire);
        Put::Now(Box::new(Asking { inquiry, limit, _resting: Resting(Arc::clone(&self.rest)) }))
    }

    /// Keeps a question for a modern client, unless the answer is here already.
    pub fn gather(&mut self, inquiry: Inquiry, request: &Request) -> Put {
        let asks = [method::TOOLS_CALL, method::PROMPTS_GET, method::RESOURCES_READ];
        if !asks.contains(&request.message.method()) {
            let text = format!("the answer to '{}' must not ask", request.message.method());
            inquiry.refuse(&Error::new(ErrorKind::InvalidRequest, text));
            return Put::Settled;
        }
        if self.asked == 0 {
            self.brought = answers(request);
        }
        self.asked += 1;
        // Only the server's own names mean the same in every call. Ours are numbers, and what a client sends along
        // under one of them may be meant for another question.
        let own = inquiry.key();
        let brought = |key: &String| self.brought.iter().position(|(other, _)| other == key);
        if let Some(at) = own.as_ref().and_then(brought) {
            inquiry.answer(&self.brought.swap_remove(at).1);
            return Put::Settled;
        }
        let taken = |key: &String| self.gathered.iter().any(|(other, _)| other == key);
        let key = own.filter(|key| !taken(key)).unwrap_or_else(|| format!("question-{}", self.asked));
        self.gathered.push((key, inquiry));
        self.gather_until.get_or_insert(Instant::now() + GATHER);
        Put::Gathered
    }

    /// When the questions that have gathered are to be asked.
    pub fn due(&self) -> Option<Instant> {
        self.gather_until
    }

    /// Takes the client's answers. What is left unanswered stays open.
    pub fn answer(&mut self, request: &Request) {
        self.gather_until = None;
        let mut answers = answers(request);
        for (key, inquiry) in std::mem::take(&mut self.gathered) {
            match answers.iter().position(|(other, _)| *other == key) {
                Some(at) => inquiry.answer(&answers.swap_remove(at).1),
                None if inquiry.is_withdrawn() => {}
                None => self.gathered.push((key, inquiry)),
            }
        }
    }

    /// Takes the questions that have not been asked.
    pub fn unasked(&mut self) -> impl Iterator<Item = Inquiry> + use<> {
        self.gather_until = None;
        std::mem::take(&mut self.gathered).into_iter().map(|(_, inquiry)| inquiry)
    }

    /// Whether questions wait for the client.
    pub fn is_waiting(&self) -> bool {
        !self.gathered.is_empty()
    }

    /// Forgets what the server does not want to know any more.
    pub fn forget_withdrawn(&mut self) {
        self.gathered.retain(|(_, inquiry)| !inquiry.is_withdrawn());
        if self.gathered.is_empty() {
            self.gather_until = None;
        }
    }

    /// `inputRequests`, JSON text.
    pub fn input_requests(&self) -> String {
        let request = |(key, inquiry): &(String, Inquiry)| {
            let (key, method) = (skim::quote(key), skim::quote(inquiry.method()));
            format!(r#"{key}:{{"method":{method},"params":{}}}"#, inquiry.params())
        };
        let requests: Vec<String> = self.gathered.iter().map(request).collect();
        format!("{{{}}}", requests.join(","))
    }

    /// What the client would have had to declare, if a question was refused for that.
    pub fn lacking(&self) -> Option<&'static str> {
        self.lacking
    }

    /// From when the call's time counts, if it has rested since it was asked last; `None` if it has not.
    pub fn rested(&self) -> Option<Instant> {
        let ended = self.rest.ended.lock().unwrap_or_else(PoisonError::into_inner).take();
        if self.rest.open.load(Ordering::Acquire) > 0 { Some(Instant::now()) } else { ended }
    }
}

/// `inputResponses` of a request, by key: the objects among them, for nothing else is a result.
fn answers(request: &Request) -> Vec<(String, Bytes)> {
    let mut answers = Vec::new();
    let Some(span) = request.params.input_responses.clone() else { return answers };
    let text = &request.message.as_str()[span.clone()];
    let walked = skim::each_field(text, |key, at| {
        if text[at.clone()].starts_with('{') {
            answers.push((key.to_owned(), request.message.slice(span.start + at.start..span.start + at.end)));
        }
        Ok(())
    });
    if walked.is_err() {
        answers.clear();
    }
    answers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Era, Principal};
    use crate::guard::Access;
    use crate::protocol::{Message, Params};
    use crate::router::Endpoint;

    fn request() -> Request {
        let text = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t"}}"#;
        let message = Message::parse(Bytes::from_static(text.as_bytes())).unwrap();
        Request {
            params: Params::read(&message).unwrap(),
            id: message.id().unwrap(),
            message,
            endpoint: Endpoint::Merged,
            principal: Principal::anonymous(),
            session: None,
            client: None,
            access: Access::full(),
            era: Era::Modern,
            log_level: None,
            capabilities: ClientCapabilities::default(),
            headers: None,
            wishes: None,
            trace: None,
            span: None,
        }
    }

    fn ask(dialog: &mut Dialog, text: &'static str) {
        assert!(matches!(dialog.gather(Inquiry::lone(text), &request()), Put::Gathered));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_asked_soon_after_the_first_question_is_asked_with_it_and_the_first_does_not_wait_for_more()
     {
        let mut dialog = Dialog::default();
        assert_eq!(dialog.due(), None);
        let first = Instant::now();
        ask(&mut dialog, r#"{"jsonrpc":"2.0","id":"a","method":"roots/list"}"#);
        tokio::time::advance(GATHER - Duration::from_millis(1)).await;
        ask(&mut dialog, r#"{"jsonrpc":"2.0","id":"b","method":"sampling/createMessage","params":{"x":1}}"#);
        assert_eq!(dialog.due(), Some(first + GATHER), "a server that asks on and on does not put it off");
        let requests = concat!(
            r#"{"question-1":{"method":"roots/list","params":{}},"#,
            r#""question-2":{"method":"sampling/createMessage","params":{"x":1}}}"#
        );
        assert_eq!(dialog.input_requests(), requests);
        // Once the client has been asked, the next question has a wait of its own.
        dialog.answer(&request());
        assert_eq!(dialog.due(), None);
        tokio::time::advance(GATHER).await;
        ask(&mut dialog, r#"{"jsonrpc":"2.0","id":"c","method":"roots/list"}"#);
        assert_eq!(dialog.due(), Some(Instant::now() + GATHER));
    }
}
