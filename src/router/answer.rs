//! What comes back from a server, as the client must see it: its own id, the fields of its era.

use bytes::Bytes;

use crate::base::error::code;
use crate::base::{Era, Error, ErrorKind};
use crate::protocol::{Kind, Message, Params, Splice, method, params, skim, translate};
use crate::supervisor::TaskNote;
use crate::telemetry::Outcome;

use super::call::ClientCall;
use super::mark;
use super::prepare;
use super::question::{InputRequired, url_visits};
use super::request::Reply;
use super::state;
use super::taskbook::Source;

/// What becomes of a request.
pub enum Answer {
    /// Answered here.
    Ready(Reply),
    /// On its way to a server.
    Call(Box<ClientCall>),
}

impl ClientCall {
    /// The reply.
    pub(super) fn reply(&mut self, reply: &Message) -> Reply {
        if let Some(place) = self.keep.take() {
            place.fill(reply, self.sent.admission.live.generation, &self.sent.admission.live.peer);
        }
        let mut splice = Splice::new(reply.text().clone());
        let id = self.request.id.as_bytes().clone();
        match reply.id_span() {
            Some(span) => splice.replace(span, id),
            // An error whose sender could not read our id still answers this call.
            None => splice.insert(1, Bytes::from([b"\"id\":", &id[..], b","].concat())),
        }
        let mut status = 200;
        let text = reply.as_str();
        let payload = reply.payload_span().unwrap_or(0..0);
        if let Some(needed) = self.lacking()
            && self.request.era == Era::Modern
            && has_failed(reply)
        {
            let text = "the server had to ask the client, which declared no capability for that";
            let data = format!(r#"{{"requiredCapabilities":{needed}}}"#);
            return self.fail(&Error::new(ErrorKind::MissingCapability, text).with_data(data));
        }
        if reply.kind() == Kind::Error
            && let Some(visits) = self.url_visits(reply)
        {
            return visits;
        }
        if reply.kind() == Kind::Error {
            let code = skim::field_text(reply.payload(), "code").and_then(|code| code.parse().ok());
            self.record(Outcome::UpstreamError, code.unwrap_or_default(), "");
            status = self.error_status(&mut splice, text, payload);
        } else {
            if let Some(span) = self.request.span.as_deref().filter(|_| has_failed(reply)) {
                span.tool_failed();
            }
            self.record(Outcome::Ok, 0, "");
            match (self.request.era, self.sent.admission.live.peer.era()) {
                (Era::Modern, Era::Legacy) => {
                    let info = &self.sent.admission.live.peer.server_info;
                    let cacheable = self.request.message.method() == method::RESOURCES_READ;
                    translate::result_to_modern(&mut splice, text, payload, info, cacheable);
                }
                (Era::Legacy, Era::Modern) => translate::result_to_legacy(&mut splice, text, payload),
                (Era::Modern, Era::Modern) => self.seal_state(&mut splice, text, payload),
                _ => {}
            }
            let (peer, more) = (&self.sent.admission.live.peer, self.target.more.as_ref());
            self.tasks.seal_result(
                &mut splice,
                &self.request,
                (Source::of(&self.target.server), peer, more),
                reply,
            );
        }
        let message = splice.to_bytes(0);
        let message = match &self.target.mark {
            Some(field) => mark::message(message, field),
            None => message,
        };
        self.last(Reply { message, status, retry_after: None })
    }

    /// The answer is not the whole of what the client gets: others would miss the rest.
    pub(super) fn keep_nothing(&mut self) {
        if let Some(place) = self.keep.take() {
            place.leave();
        }
    }

    /// A legacy server's demand that the user visit a URL first, in the way of the modern era.
    fn url_visits(&mut self, reply: &Message) -> Option<Reply> {
        let error = reply.payload();
        let demands = skim::field_text(error, "code")?.parse() == Ok(code::URL_ELICITATION_REQUIRED);
        if self.request.era == Era::Legacy || !demands {
            return None;
        }
        if !self.request.capabilities.visits_urls() {
            let needed = r#"{"requiredCapabilities":{"elicitation":{"url":{}}}}"#;
            let text = "the server sends the user to a URL, for which the client declared no capability";
            return Some(
                self.fail(&Error::new(ErrorKind::MissingCapability, text).with_data(needed.to_owned())),
            );
        }
        let result = url_visits(skim::field_text(error, "data").unwrap_or("{}"))?;
        self.record(Outcome::Ok, 0, "");
        let reply = Reply::result(&self.request.id, result.as_bytes());
        Some(self.last(reply))
    }

    /// The state of a server that asks goes to the client under our own seal.
    fn seal_state(&self, splice: &mut Splice, text: &str, payload: skim::Span) {
        let result = &text[payload.clone()];
        let Some(state) = InputRequired::read(result).and_then(|asked| asked.state) else { return };
        if let Some(at) = skim::field(result, "requestState") {
            let sealed = state::seal(&self.key, &self.request, self.target.server.name(), &state);
            splice.replace(payload.start + at.start..payload.start + at.end, sealed);
        }
    }

    /// The HTTP status of a server's error, and the code in the client's era: `-32002` has become `-32602`.
    fn error_status(&self, splice: &mut Splice, text: &str, payload: skim::Span) -> u16 {
        if self.request.era == Era::Legacy {
            return 200;
        }
        let Some(at) = skim::field(&text[payload.clone()], "code") else { return 200 };
        let span = payload.start + at.start..payload.start + at.end;
        match text[span.clone()].parse::<i64>() {
            Ok(code::RESOURCE_NOT_FOUND) => {
                splice.replace(span, Bytes::from(code::INVALID_PARAMS.to_string()));
                200
            }
            // What names no URL to visit is a refusal like any other.
            Ok(code::URL_ELICITATION_REQUIRED) => {
                splice.replace(span, Bytes::from(code::INVALID_PARAMS.to_string()));
                200
            }
            Ok(code::METHOD_NOT_FOUND) => 404,
            Ok(code::HEADER_MISMATCH | code::MISSING_CAPABILITY | code::UNSUPPORTED_VERSION) => 400,
            _ => 200,
        }
    }

    /// A notification as the client must see it, if it is to see it at all.
    pub(super) fn note(&mut self, note: &Message) -> Option<Bytes> {
        let read = Params::read(note).ok()?;
        let mut splice = Splice::new(note.text().clone());
        // Progress says nothing that the answer does not; anything else would be lost on who is told the answer later.
        if note.method() != method::PROGRESS {
            self.keep_nothing();
        }
        match note.method() {
            method::PROGRESS => {
                self.has_progressed();
                self.story.progress();
                // A server that reports progress nobody asked for is not relayed: the client could not place it.
                let token = prepare::progress_token(&self.request)?;
                splice.replace(read.progress_token?, self.request.message.slice(token));
            }
            method::LOG_MESSAGE => {
                let level = params::level(note, &read);
                let wanted = match (self.request.era, self.request.log_level) {
                    (Era::Modern, None) => return None,
                    (_, wanted) => wanted,
                };
                if wanted.zip(level).is_some_and(|(wanted, level)| level < wanted) {
                    return None;
                }
            }
            method::TASK_STATUS | method::TASK_CHANGED => {
                let from = Source::of(&self.target.server);
                if !self.tasks.is_own(&self.request, from, note) {
                    let (server, scope) = (from.server.clone(), from.scope);
                    self.tasks.tell(TaskNote { server, scope, note: note.clone() });
                    return None;
                }
            }
            _ => {}
        }
        let from = (self.target.server.name(), &*self.sent.admission.live.peer);
        self.tasks.seal_note(&mut splice, note, &self.request.principal, from);
        let note = splice.to_bytes(0);
        self.story.sent(note.len());
        Some(note)
    }
}

/// Whether a call did not do what it was to do: by an error, or by a result that says so itself.
fn has_failed(reply: &Message) -> bool {
    reply.kind() == Kind::Error || skim::field_text(reply.payload(), "isError") == Some("true")
}

impl std::fmt::Debug for ClientCall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ClientCall({:?} at {})", self.request.id, self.target.server.name())
    }
}
