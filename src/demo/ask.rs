//! A question to the user, in the way of the caller's era: the legacy era lets the server send a request of its own,
//! the modern one has the call answered with `input_required` and made again with the answer.

use std::time::Duration;

use rmcp::ErrorData;
use rmcp::model::{
    CallToolResponse, ElicitRequest, ElicitRequestParams, ElicitResult, ElicitationAction, ElicitationSchema,
    InputRequest, InputRequests, InputRequiredResult, InputResponses, ProtocolVersion,
};
use rmcp::service::{RequestContext, RoleServer};

use super::server::answer;

/// The name of the question in an `input_required` result, and of the one field in its form.
const KEY: &str = "answer";
/// How long a legacy client has to answer. A person has to be able to come back from lunch to it.
const PATIENCE: Duration = Duration::from_secs(60 * 60);

const NO_ELICITATION: &str = "this client has not declared the `elicitation` capability in form mode, so the user \
     cannot be asked; use a client that can show questions";

/// Asks, or, where the answer is already there, tells it.
pub(super) async fn ask(
    question: String,
    responses: Option<InputResponses>,
    context: &RequestContext<RoleServer>,
) -> Result<CallToolResponse, ErrorData> {
    if let Some(response) = responses.and_then(|mut all| all.remove(KEY)) {
        let result: ElicitResult = serde_json::from_value(response).map_err(|error| {
            ErrorData::invalid_params(
                format!("`inputResponses.{KEY}` is no elicitation result: {error}"),
                None,
            )
        })?;
        return Ok(tell(&result));
    }
    if !can_be_asked(context) {
        return Ok(answer(NO_ELICITATION, true));
    }
    let form = form(question)?;
    if context.protocol_version().is_some_and(|version| version >= ProtocolVersion::V_2026_07_28) {
        let request = InputRequest::Elicitation(ElicitRequest::new(form));
        let requests = InputRequests::from([(KEY.to_owned(), request)]);
        return Ok(InputRequiredResult::from_input_requests(requests).into());
    }
    tokio::select! {
        reply = context.peer.create_elicitation_with_timeout(form, Some(PATIENCE)) => Ok(match reply {
            Ok(result) => tell(&result),
            Err(error) => answer(format!("the question could not be put to the user: {error}"), true),
        }),
        () = context.ct.cancelled() => Err(ErrorData::internal_error("cancelled before the user answered", None)),
    }
}

/// An empty `elicitation` capability means form mode, which was the only one when it was first specified.
fn can_be_asked(context: &RequestContext<RoleServer>) -> bool {
    let declared = context.client_capabilities().and_then(|capabilities| capabilities.elicitation);
    declared.is_some_and(|elicitation| elicitation.form.is_some() || elicitation.url.is_none())
}

fn form(question: String) -> Result<ElicitRequestParams, ErrorData> {
    let requested_schema = ElicitationSchema::builder()
        .required_string(KEY)
        .build()
        .map_err(|error| ErrorData::internal_error(error, None))?;
    Ok(ElicitRequestParams::FormElicitationParams { meta: None, message: question, requested_schema })
}

fn tell(result: &ElicitResult) -> CallToolResponse {
    let text = result.content.as_ref().and_then(|content| content.get(KEY)).and_then(|value| value.as_str());
    match (&result.action, text) {
        (ElicitationAction::Accept, Some(text)) => answer(format!("The user answered: {text}"), false),
        (ElicitationAction::Accept, None) => {
            answer(format!("the user accepted, but the client sent no text in `{KEY}`"), true)
        }
        (ElicitationAction::Decline, _) => answer("The user declined to answer.", false),
        _ => answer("The user closed the question without an answer.", false),
    }
}
