//! How a dialog's questions reach the client, and how far its answers carry it.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rmcp::ErrorData;
use rmcp::model::{
    InputRequest, InputRequests, InputRequiredResult, InputResponses, MetaObject, RequestMetaObject,
    ServerRequest,
};
use rmcp::service::{PeerRequestOptions, RequestContext, RequestHandle, RoleServer, ServiceError};
use serde_json::{Value, json};

use crate::server::is_modern;

/// Signs `requestState`. Everybody may know it: it keeps test data whole, and a server started anew must still know it.
const STATE_KEY: &[u8] = b"the conformance fixture's request state";

/// What a dialog does next, told from the answers that it has.
pub(crate) enum Step {
    /// With `stateful`, a modern client gets the answers so far as `requestState` to bring back.
    Ask {
        questions: InputRequests,
        stateful: bool,
    },
    Tell(String),
}

impl Step {
    pub(crate) fn ask(key: &str, question: InputRequest) -> Self {
        Self::Ask { questions: InputRequests::from([(key.to_owned(), question)]), stateful: false }
    }

    pub(crate) fn stateful(self) -> Self {
        match self {
            Self::Ask { questions, .. } => Self::Ask { questions, stateful: true },
            told => told,
        }
    }
}

/// What a modern client brings with the repeated call.
pub(crate) struct Retried {
    pub(crate) responses: Option<InputResponses>,
    pub(crate) state: Option<String>,
}

pub(crate) enum Outcome {
    Told(String),
    Asked(InputRequiredResult),
    Unanswered(ServiceError),
}

/// Goes through a dialog as far as the answers reach.
pub(crate) async fn converse(
    name: &str,
    retried: Retried,
    context: &RequestContext<RoleServer>,
    next: impl Fn(&InputResponses) -> Result<Step, ErrorData>,
) -> Result<Outcome, ErrorData> {
    let mut answers =
        retried.state.as_deref().map(|state| opened(name, state)).transpose()?.unwrap_or_default();
    let mut brought = retried.responses.unwrap_or_default();
    loop {
        let (questions, stateful) = match next(&answers)? {
            Step::Tell(told) => return Ok(Outcome::Told(told)),
            Step::Ask { questions, stateful } => (questions, stateful),
        };
        if is_modern(context) {
            let recognised = !stateful || retried.state.is_some();
            let answered = |key: &String| brought.get(key).is_some_and(Value::is_object);
            if !recognised || !questions.keys().all(answered) {
                let state = stateful.then(|| sealed(name, &answers));
                return Ok(Outcome::Asked(InputRequiredResult::new(Some(questions), state)));
            }
            answers.extend(questions.keys().filter_map(|key| brought.remove_entry(key)));
            continue;
        }
        // All at once: a gateway between gives a modern client all of them in one result.
        let mut open = Vec::new();
        for (key, question) in questions {
            match ask(&key, question, context).await {
                Ok(handle) => open.push((key, handle)),
                Err(error) => return Ok(Outcome::Unanswered(error)),
            }
        }
        for (key, handle) in open {
            match handle.await_response().await {
                Ok(answer) => answers.insert(key, json!(answer)),
                Err(error) => return Ok(Outcome::Unanswered(error)),
            };
        }
    }
}

/// In a question's `_meta`, the name under which a gateway asks a modern client.
const INPUT_KEY: &str = "dev.trunkline/inputKey";

/// Asks a legacy client by a request of our own.
async fn ask(
    key: &str,
    question: InputRequest,
    context: &RequestContext<RoleServer>,
) -> Result<RequestHandle<RoleServer>, ServiceError> {
    let request = match question {
        InputRequest::CreateMessage(request) => ServerRequest::CreateMessageRequest(request),
        InputRequest::Elicitation(request) => ServerRequest::ElicitRequest(request),
        InputRequest::ListRoots(request) => ServerRequest::ListRootsRequest(request),
        _ => return Err(ServiceError::UnexpectedResponse),
    };
    let mut meta = MetaObject::default();
    meta.0.insert(INPUT_KEY.to_owned(), json!(key));
    let mut options = PeerRequestOptions::no_options();
    options.meta = Some(RequestMetaObject(meta));
    context.peer.send_request_with_option(request, options).await
}

/// The dialog's name and answers with a signature over them.
fn sealed(name: &str, answers: &InputResponses) -> String {
    let content = json!([name, answers]).to_string();
    let signature = hmac::sign(&state_key(), content.as_bytes());
    format!("{}.{}", URL_SAFE_NO_PAD.encode(content), URL_SAFE_NO_PAD.encode(signature))
}

fn opened(name: &str, state: &str) -> Result<InputResponses, ErrorData> {
    let open = || {
        let (content, signature) = state.split_once('.')?;
        let content = URL_SAFE_NO_PAD.decode(content).ok()?;
        hmac::verify(&state_key(), &content, &URL_SAFE_NO_PAD.decode(signature).ok()?).ok()?;
        let (signed_for, answers) = serde_json::from_slice::<(String, InputResponses)>(&content).ok()?;
        (signed_for == name).then_some(answers)
    };
    open().ok_or_else(|| ErrorData::invalid_params("`requestState` is not what this server gave out", None))
}

fn state_key() -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, STATE_KEY)
}
