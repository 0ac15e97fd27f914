//! The tools of the tasks extension. A client that has declared it gets a task where the tool has one to give.

use std::time::Duration;

use rmcp::ErrorData;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ClientCapabilities, ContentBlock,
    CreateTaskResult, InputRequests, InputRequiredResult, Tool,
};
use rmcp::service::{RequestContext, RoleServer};
use rmcp::task_manager::{TaskContext, TaskExit, TaskFuture, TaskManager, TaskOptions};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::dialogs::form;
use crate::tools::{string, text, tool};

/// What a job takes before it fails, so that it is seen at work.
const BEFORE_FAILING: Duration = Duration::from_secs(1);
const DEFAULT_SECONDS: f64 = 1.0;
/// How long a client should wait between two looks.
const POLL_MS: u64 = 200;

const NAMES: [&str; 7] = [
    "greet",
    "slow_compute",
    "failing_job",
    "protocol_error_job",
    "confirm_delete",
    "multi_input",
    "test_tool_with_task",
];
/// Those that have no answer but a task.
const TASK_ONLY: [&str; 4] = ["failing_job", "confirm_delete", "multi_input", "test_tool_with_task"];

pub(crate) fn is_task_tool(name: &str) -> bool {
    NAMES.contains(&name)
}

pub(crate) fn list() -> Vec<Tool> {
    let schema = |properties: Value| json!({ "type": "object", "properties": properties });
    let slow = json!({ "seconds": { "type": "number" }, "label": { "type": "string" } });
    vec![
        tool("greet", "Greets at once, never by a task", schema(json!({ "name": { "type": "string" } }))),
        tool("slow_compute", "Takes the given seconds", schema(slow)),
        tool("failing_job", "Ends in a tool error, only as a task", schema(json!({}))),
        tool("protocol_error_job", "Ends in a protocol error", schema(json!({}))),
        tool("confirm_delete", "Asks one question", schema(json!({ "filename": { "type": "string" } }))),
        tool("multi_input", "Asks two questions at once", schema(json!({}))),
        tool("test_tool_with_task", "Asks first, then makes a task", schema(json!({}))),
    ]
}

pub(crate) async fn call(
    tasks: &TaskManager,
    request: CallToolRequestParams,
    context: &RequestContext<RoleServer>,
) -> Result<CallToolResponse, ErrorData> {
    let declared = context.client_capabilities().is_some_and(|capabilities| capabilities.supports_tasks());
    let name = request.name.as_ref();
    if TASK_ONLY.contains(&name) && !declared {
        let needed = ClientCapabilities::builder().enable_tasks().build();
        return Err(ErrorData::missing_required_client_capability(needed));
    }
    let arguments = request.arguments.unwrap_or_default();
    match name {
        "greet" => Ok(text(format!("Hello, {}!", string(&arguments, "name")?)).into()),
        "slow_compute" => {
            let seconds = arguments.get("seconds").and_then(Value::as_f64).unwrap_or(DEFAULT_SECONDS);
            let duration = Duration::try_from_secs_f64(seconds).map_err(|error| {
                ErrorData::invalid_params(format!("`seconds` is {seconds}: {error}"), None)
            })?;
            if declared {
                return Ok(start(tasks, move |context| Box::pin(compute(duration, context))));
            }
            sleep(duration).await;
            Ok(text(format!("computed for {seconds} seconds")).into())
        }
        "failing_job" => Ok(start(tasks, |_| Box::pin(fail_as_tool()))),
        "protocol_error_job" if declared => {
            Ok(start(tasks, |_| Box::pin(async { Err(fail_as_protocol().into()) })))
        }
        "protocol_error_job" => Err(fail_as_protocol()),
        "confirm_delete" => Ok(start(tasks, |context| Box::pin(confirm(context)))),
        "multi_input" => Ok(start(tasks, |context| Box::pin(ask_twice(context)))),
        _ => Ok(ask_then_start(tasks, request.input_responses.unwrap_or_default().get("user_name"))?),
    }
}

fn start(tasks: &TaskManager, job: impl FnOnce(TaskContext) -> TaskFuture) -> CallToolResponse {
    CreateTaskResult::new(tasks.spawn(TaskOptions::new().with_poll_interval_ms(POLL_MS), job)).into()
}

async fn compute(duration: Duration, context: TaskContext) -> Result<CallToolResult, TaskExit> {
    tokio::select! {
        () = sleep(duration) => Ok(text(format!("computed for {} seconds", duration.as_secs_f64()))),
        () = context.cancelled() => Err(TaskExit::Cancelled),
    }
}

async fn fail_as_tool() -> Result<CallToolResult, TaskExit> {
    sleep(BEFORE_FAILING).await;
    Ok(CallToolResult::error(vec![ContentBlock::text("This job intentionally fails.")]))
}

fn fail_as_protocol() -> ErrorData {
    ErrorData::internal_error("this job intentionally fails as a request", None)
}

async fn confirm(context: TaskContext) -> Result<CallToolResult, TaskExit> {
    let question = form("Delete the file?", json!({ "confirm": { "type": "boolean" } }), &["confirm"])?;
    let answer = context.request_input("confirm", question).await?;
    let confirmed = answer.pointer("/content/confirm") == Some(&Value::Bool(true));
    Ok(text(if confirmed { "deleted" } else { "kept" }))
}

async fn ask_twice(context: TaskContext) -> Result<CallToolResult, TaskExit> {
    let question = |message| form(message, json!({ "name": { "type": "string" } }), &["name"]);
    let first = context.request_input("first", question("The first name?")?);
    let second = context.request_input("second", question("The second name?")?);
    let (first, second) = tokio::try_join!(first, second)?;
    Ok(text(json!([first, second]).to_string()))
}

fn ask_then_start(tasks: &TaskManager, answer: Option<&Value>) -> Result<CallToolResponse, ErrorData> {
    let Some(name) = answer.and_then(|answer| answer.pointer("/content/name")).and_then(Value::as_str) else {
        let question = form("What is your name?", json!({ "name": { "type": "string" } }), &["name"])?;
        let questions = InputRequests::from([("user_name".to_owned(), question)]);
        return Ok(InputRequiredResult::from_input_requests(questions).into());
    };
    let greeting = format!("Hello, {name}!");
    Ok(start(tasks, move |_| Box::pin(async move { Ok(text(greeting)) })))
}
