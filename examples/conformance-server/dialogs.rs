//! Tools, and one prompt, that ask their client for something. What they ask is the same in both eras; how it reaches
//! the client differs.
#![expect(deprecated, reason = "sampling and roots are what is tested")]

use rmcp::ErrorData;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ClientCapabilities, ContentBlock,
    CreateMessageRequest, CreateMessageRequestParams, ElicitRequest, ElicitRequestParams,
    GetPromptRequestParams, GetPromptResponse, GetPromptResult, InputRequest, InputRequests, InputResponses,
    JsonObject, ListRootsRequest, PromptMessage, Role, SamplingMessage, Tool,
};
use rmcp::service::{RequestContext, RoleServer};
use serde_json::{Value, json};

use crate::converse::{Outcome, Retried, Step, converse};
use crate::tools::{text, tool};

/// The prompt that asks before it answers.
pub(crate) const PROMPT: &str = "test_input_required_result_prompt";
const MOST_TOKENS: u32 = 100;

/// Tools that ask, with the one string argument that they take.
const TOOLS: [(&str, &str, Option<&str>); 13] = [
    ("test_sampling", "Has the client sample a message", Some("prompt")),
    ("test_elicitation", "Asks the user for a name and an address", Some("message")),
    ("test_elicitation_sep1034_defaults", "Asks by a form in which everything has a default", None),
    ("test_elicitation_sep1330_enums", "Asks by a form with every kind of choice", None),
    ("test_streaming_elicitation", "Asks for a value", None),
    ("test_input_required_result_elicitation", "Asks for a name", None),
    ("test_input_required_result_sampling", "Asks for a sampled message", None),
    ("test_input_required_result_list_roots", "Asks for the roots", None),
    ("test_input_required_result_request_state", "Asks, and gets its state back", None),
    ("test_input_required_result_tampered_state", "Asks, and refuses a state that is not its own", None),
    ("test_input_required_result_multiple_inputs", "Asks for three things at once", None),
    ("test_input_required_result_multi_round", "Asks twice, one after the other", None),
    ("test_input_required_result_capabilities", "Asks only for what the client has declared", None),
];

pub(crate) fn is_dialog(name: &str) -> bool {
    TOOLS.iter().any(|(known, ..)| *known == name)
}

pub(crate) fn list() -> impl Iterator<Item = Tool> {
    TOOLS.iter().map(|&(name, description, argument)| {
        let schema = argument.map_or_else(
            || json!({ "type": "object", "properties": {} }),
            |argument| json!({ "type": "object", "properties": { argument: { "type": "string" } }, "required": [argument] }),
        );
        tool(name, description, schema)
    })
}

pub(crate) async fn call(
    request: CallToolRequestParams,
    context: &RequestContext<RoleServer>,
) -> Result<CallToolResponse, ErrorData> {
    let capabilities = context.client_capabilities().unwrap_or_default();
    let arguments = request.arguments.unwrap_or_default();
    let next = |answers: &InputResponses| next_step(&request.name, &arguments, answers, &capabilities);
    let retried = Retried { responses: request.input_responses, state: request.request_state };
    match converse(&request.name, retried, context, next).await? {
        Outcome::Told(told) => Ok(text(told).into()),
        Outcome::Asked(asked) => Ok(asked.into()),
        Outcome::Unanswered(error) => {
            let message = format!("the client did not answer: {error}");
            Ok(CallToolResult::error(vec![ContentBlock::text(message)]).into())
        }
    }
}

pub(crate) async fn prompt(
    request: GetPromptRequestParams,
    context: &RequestContext<RoleServer>,
) -> Result<GetPromptResponse, ErrorData> {
    let next = |answers: &InputResponses| match answers.get("user_context") {
        Some(answer) => Ok(Step::Tell(format!("Prompt with context: {}", answer["content"]["context"]))),
        None => {
            let properties = json!({ "context": { "type": "string" } });
            let question = form("What context should the prompt use?", properties, &["context"])?;
            Ok(Step::ask("user_context", question))
        }
    };
    let retried = Retried { responses: request.input_responses, state: request.request_state };
    match converse(PROMPT, retried, context, next).await? {
        Outcome::Told(told) => {
            Ok(GetPromptResult::new(vec![PromptMessage::new_text(Role::User, told)]).into())
        }
        Outcome::Asked(asked) => Ok(asked.into()),
        Outcome::Unanswered(error) => Err(ErrorData::internal_error(error.to_string(), None)),
    }
}

/// An elicitation by a form.
pub(crate) fn form(message: &str, properties: Value, required: &[&str]) -> Result<InputRequest, ErrorData> {
    let schema = json!({ "type": "object", "properties": properties, "required": required });
    let requested_schema = serde_json::from_value(schema)
        .map_err(|error| ErrorData::internal_error(format!("a form that rmcp cannot say: {error}"), None))?;
    let form = ElicitRequestParams::FormElicitationParams {
        meta: None,
        message: message.to_owned(),
        requested_schema,
    };
    Ok(InputRequest::Elicitation(ElicitRequest::new(form)))
}

fn next_step(
    name: &str,
    arguments: &JsonObject,
    answers: &InputResponses,
    capabilities: &ClientCapabilities,
) -> Result<Step, ErrorData> {
    let argument = |key: &str| arguments.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let string = |key: &str| json!({ key: { "type": "string" } });
    let user_name = || form("What is your name?", string("name"), &["name"]);
    if name == "test_input_required_result_multi_round" {
        return Ok(match (answers.get("step1"), answers.get("step2")) {
            (None, _) => {
                Step::ask("step1", form("Step 1: What is your name?", string("name"), &["name"])?).stateful()
            }
            (_, None) => {
                Step::ask("step2", form("Step 2: What is your favorite color?", string("color"), &["color"])?)
                    .stateful()
            }
            (Some(one), Some(two)) => {
                Step::Tell(format!("{} likes {}", one["content"]["name"], two["content"]["color"]))
            }
        });
    }
    if !answers.is_empty() {
        return Ok(Step::Tell(told(name, answers)));
    }
    Ok(match name {
        "test_sampling" => Step::ask("message", sampling(argument("prompt"))),
        "test_elicitation" => {
            Step::ask("form", form(&argument("message"), response_form(), &["username", "email"])?)
        }
        "test_elicitation_sep1034_defaults" => Step::ask(
            "form",
            form("Please review and update the form fields with defaults", defaults(), &[])?,
        ),
        "test_elicitation_sep1330_enums" => {
            Step::ask("form", form("Please select options from the enum fields", choices(), &[])?)
        }
        "test_streaming_elicitation" => {
            Step::ask("value", form("Which value?", string("value"), &["value"])?)
        }
        "test_input_required_result_elicitation" => Step::ask("user_name", user_name()?),
        "test_input_required_result_sampling" => {
            Step::ask("capital_question", sampling("What is the capital of France?".into()))
        }
        "test_input_required_result_list_roots" => Step::ask("client_roots", roots()),
        "test_input_required_result_multiple_inputs" => {
            let questions = [
                ("user_name".to_owned(), user_name()?),
                ("greeting".to_owned(), sampling("Generate a greeting".into())),
                ("client_roots".to_owned(), roots()),
            ];
            Step::Ask { questions: InputRequests::from(questions), stateful: true }
        }
        "test_input_required_result_capabilities" => {
            let mut questions = InputRequests::new();
            if capabilities.elicitation.is_some() {
                questions.insert("user_name".to_owned(), user_name()?);
            }
            if capabilities.sampling.is_some() {
                questions.insert("greeting".to_owned(), sampling("Generate a greeting".into()));
            }
            if capabilities.roots.is_some() {
                questions.insert("client_roots".to_owned(), roots());
            }
            if questions.is_empty() {
                return Ok(Step::Tell("The client has declared nothing that could be asked for.".into()));
            }
            Step::Ask { questions, stateful: false }
        }
        _ => {
            let properties = json!({ "ok": { "type": "boolean" } });
            Step::ask("confirm", form("Please confirm", properties, &["ok"])?).stateful()
        }
    })
}

/// What is said once everything has been answered.
fn told(name: &str, answers: &InputResponses) -> String {
    let text = |key: &str| {
        let answer = answers.get(key);
        let text =
            answer.and_then(|answer| answer.pointer("/content/text").or(answer.pointer("/content/0/text")));
        text.and_then(Value::as_str).unwrap_or("nothing").to_owned()
    };
    match name {
        "test_sampling" => format!("LLM response: {}", text("message")),
        "test_input_required_result_sampling" => format!("LLM response: {}", text("capital_question")),
        "test_input_required_result_elicitation" => {
            format!(
                "Hello, {}!",
                answers["user_name"]["content"]["name"].as_str().unwrap_or("whoever you are")
            )
        }
        "test_input_required_result_request_state" => "state-ok".to_owned(),
        _ if answers.contains_key("form") => {
            let form = &answers["form"];
            format!(
                "User response: action={}, content={}",
                form["action"].as_str().unwrap_or("none"),
                form["content"]
            )
        }
        _ => format!("Answered: {}", json!(answers)),
    }
}

fn sampling(prompt: String) -> InputRequest {
    let messages = vec![SamplingMessage::user_text(prompt)];
    InputRequest::CreateMessage(CreateMessageRequest::new(CreateMessageRequestParams::new(
        messages,
        MOST_TOKENS,
    )))
}

fn roots() -> InputRequest {
    InputRequest::ListRoots(ListRootsRequest::default())
}

fn response_form() -> Value {
    json!({
        "username": { "type": "string", "description": "User's response" },
        "email": { "type": "string", "description": "User's email address" },
    })
}

fn defaults() -> Value {
    json!({
        "name": { "type": "string", "description": "User name", "default": "John Doe" },
        "age": { "type": "integer", "description": "User age", "default": 30 },
        "score": { "type": "number", "description": "User score", "default": 95.5 },
        "status": { "type": "string", "enum": ["active", "inactive", "pending"], "default": "active" },
        "verified": { "type": "boolean", "description": "Verification status", "default": true },
    })
}

fn choices() -> Value {
    let titled = |word: &str| {
        let titles = ["First", "Second", "Third"].into_iter().zip(1..);
        Value::from_iter(
            titles.map(|(nth, n)| json!({ "const": format!("value{n}"), "title": format!("{nth} {word}") })),
        )
    };
    json!({
        "untitledSingle": { "type": "string", "enum": ["option1", "option2", "option3"] },
        "titledSingle": { "type": "string", "oneOf": titled("Option") },
        "legacyEnum": {
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": {
            "type": "array",
            "minItems": 1,
            "maxItems": 3,
            "items": { "type": "string", "enum": ["option1", "option2", "option3"] },
        },
        "titledMulti": { "type": "array", "minItems": 1, "maxItems": 3, "items": { "anyOf": titled("Choice") } },
    })
}
