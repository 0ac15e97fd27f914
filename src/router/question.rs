//! What a server wants to know from a client before it goes on.

use bytes::Bytes;

use crate::base::{Error, ErrorKind};
use crate::protocol::{ClientCapabilities, method, skim};

/// One question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Under which the answer is expected.
    pub key: String,
    /// `sampling/createMessage`, `elicitation/create` or `roots/list`.
    pub method: String,
    /// Raw JSON.
    pub params: Bytes,
}

/// The result with which a modern server asks (2026-07-28, `InputRequiredResult`).
#[derive(Debug)]
pub(super) struct InputRequired {
    pub questions: Vec<Question>,
    /// `requestState`, raw JSON.
    pub state: Option<String>,
}

/// Questions in one round. A server that has more to ask can ask again.
const MAX_QUESTIONS: usize = 64;

impl InputRequired {
    /// Reads a result; `None` if it asks nothing.
    pub fn read(result: &str) -> Option<InputRequired> {
        // Nearly every result asks nothing; this look costs far less than a walk.
        memchr::memmem::find(result.as_bytes(), b"\"input_required\"")?;
        if skim::field_text(result, "resultType")? != "\"input_required\"" {
            return None;
        }
        let mut questions = Vec::new();
        if let Some(asked) = skim::field_text(result, "inputRequests") {
            let walked = skim::each_field(asked, |key, span| {
                let request = &asked[span];
                questions.push(Question {
                    key: key.to_owned(),
                    method: skim::string_field(request, "method").unwrap_or_default().into_owned(),
                    params: Bytes::copy_from_slice(
                        skim::field_text(request, "params").unwrap_or("{}").as_bytes(),
                    ),
                });
                Ok(())
            });
            walked.ok()?;
        }
        let state = skim::field_text(result, "requestState").map(str::to_owned);
        Some(InputRequired { questions, state })
    }

    /// Refuses what a client did not declare, or what is too much.
    pub fn check(&self, client: ClientCapabilities) -> Result<(), Error> {
        if self.questions.len() > MAX_QUESTIONS {
            return Err(Error::new(
                ErrorKind::ServerFailed,
                format!("the server asked {} questions at once", self.questions.len()),
            ));
        }
        let params = |question: &Question| String::from_utf8_lossy(&question.params).into_owned();
        match self.questions.iter().find(|question| !client.allow(&question.method, &params(question))) {
            None => Ok(()),
            Some(question) => Err(Error::new(
                ErrorKind::MissingCapability,
                format!("the server asks '{}', for which the client declared no capability", question.method),
            )),
        }
    }
}

/// The result by which a modern client is sent to the URLs that a legacy server's `-32042` names; `None` if the error
/// names none. `data` is the error's, raw JSON. The client repeats its call when the user is back, and the server,
/// which keeps the state of such a visit itself, goes on.
pub(super) fn url_visits(data: &str) -> Option<String> {
    let visits = skim::field_text(data, "elicitations")?;
    let mut requests = Vec::new();
    skim::each_element(visits, |span| {
        let key = format!("url-{}", requests.len() + 1);
        requests.push(format!(r#""{key}":{{"method":"{}","params":{}}}"#, method::ELICIT, &visits[span]));
        Ok(())
    })
    .ok()?;
    let asked = requests.join(",");
    (!requests.is_empty())
        .then(|| format!(r#"{{"resultType":"input_required","inputRequests":{{{asked}}}}}"#))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_legacy_servers_urls_become_questions() {
        let data = r#"{"elicitations":[{"mode":"url","elicitationId":"e","url":"https://x","message":"m"}]}"#;
        let asking = InputRequired::read(&url_visits(data).unwrap()).unwrap();
        assert_eq!(asking.questions.len(), 1);
        assert!(asking.check(ClientCapabilities::read(r#"{"elicitation":{"url":{}}}"#)).is_ok());
        assert!(asking.check(ClientCapabilities::read(r#"{"elicitation":{}}"#)).is_err());
        assert_eq!(url_visits("{}"), None);
    }

    #[test]
    fn a_result_that_asks_is_read_and_any_other_is_not() {
        let asking = r#"{"resultType":"input_required","inputRequests":{"a":{"method":"elicitation/create","params":{"message":"?"}},"b":{"method":"roots/list"}},"requestState":"s"}"#;
        let read = InputRequired::read(asking).unwrap();
        assert_eq!(read.questions.len(), 2);
        assert_eq!(
            (read.questions[1].method.as_str(), &read.questions[1].params[..]),
            ("roots/list", &b"{}"[..])
        );
        assert_eq!(read.state.as_deref(), Some("\"s\""));
        assert!(
            InputRequired::read(r#"{"content":[{"type":"text","text":"\"input_required\""}]}"#).is_none()
        );
        assert!(InputRequired::read(r#"{"content":[]}"#).is_none());
    }

    #[test]
    fn what_was_not_declared_is_not_asked() {
        let asking = r#"{"resultType":"input_required","inputRequests":{"a":{"method":"sampling/createMessage","params":{}}}}"#;
        let read = InputRequired::read(asking).unwrap();
        assert!(read.check(ClientCapabilities::read(r#"{"sampling":{}}"#)).is_ok());
        assert_eq!(read.check(ClientCapabilities::NONE).unwrap_err().kind, ErrorKind::MissingCapability);
    }
}
