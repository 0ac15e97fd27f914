//! The demo server's tools, resources and prompt, in rmcp's words.

use std::time::{Duration, SystemTime};

use rmcp::handler::server::tool::InputResponses;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{
    CallToolResponse, CallToolResult, CompleteRequestParams, CompleteResult, ContentBlock, GetPromptResult,
    Implementation, ListResourceTemplatesResult, ListResourcesResult, PaginatedRequestParams,
    ProgressNotificationParam, PromptMessage, ReadResourceRequestParams, ReadResourceResponse, Role,
    ServerCapabilities, ServerConfig,
};
use rmcp::schemars::{self, JsonSchema};
use rmcp::service::{RequestContext, RoleServer, ServerInitializeError};
use rmcp::{ErrorData, ServerHandler, ServiceExt, prompt, prompt_handler, prompt_router};
use rmcp::{tool, tool_handler, tool_router};
use serde::Deserialize;
use tokio::time::sleep;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime as Rfc3339};

use super::{ask, content};

/// The longest that `slow` may be asked to take: a demonstration, not a job queue.
const LONGEST_SLOW_SECONDS: f64 = 600.0;
/// The most progress notes that one `slow` call sends.
const MOST_SLOW_STEPS: u32 = 1000;
/// What `slow` does when it is told nothing.
const DEFAULT_SLOW_SECONDS: f64 = 3.0;
const DEFAULT_SLOW_STEPS: u32 = 3;

const INSTRUCTIONS: &str = "A server for trying things out. `echo`, `add` and `time` answer at once. `slow` reports \
     progress and can be cancelled. `ask` puts a question to the user. Read demo://readme for more.";

/// Serves the demo server on standard input and output until the input ends.
///
/// A client that hangs up before it has said anything is no error.
pub async fn run() -> Result<(), DemoError> {
    match Box::pin(Demo.serve(rmcp::transport::stdio())).await {
        Ok(running) => running.waiting().await.map(drop).map_err(DemoError::Panicked),
        Err(ServerInitializeError::ConnectionClosed(_)) => Ok(()),
        Err(error) => Err(DemoError::Opening(Box::new(error))),
    }
}

/// Why the demo server ended before its input did.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DemoError {
    /// The first message was not one that opens an MCP connection.
    #[error(
        "no MCP connection could be opened on standard input and output: {0}; the demo server is meant to be \
         started by an MCP client, so name `trunkline demo-server` as a server's command"
    )]
    Opening(#[source] Box<ServerInitializeError>),
    /// The task that serves the connection panicked.
    #[error("the demo server broke off: {0}")]
    Panicked(#[source] tokio::task::JoinError),
}

/// The server itself. It holds no state, so that every call can be told from its arguments alone.
#[derive(Clone)]
pub(super) struct Demo;

#[derive(Deserialize, JsonSchema)]
struct EchoArguments {
    /// The text to send back.
    message: String,
}

#[derive(Deserialize, JsonSchema)]
struct AddArguments {
    /// The first number.
    a: f64,
    /// The second number.
    b: f64,
}

#[derive(Deserialize, JsonSchema)]
struct SlowArguments {
    /// How long the call takes in all, in seconds: 0 to 600, by default 3.
    #[schemars(range(min = 0, max = 600))]
    seconds: Option<f64>,
    /// Into how many reported steps the time is cut: 1 to 1000, by default 3.
    #[schemars(range(min = 1, max = 1000))]
    steps: Option<u32>,
}

#[derive(Deserialize, JsonSchema)]
struct AskArguments {
    /// The question to put to the user.
    question: String,
}

#[derive(Deserialize, JsonSchema)]
struct IntroduceArguments {
    /// Who is to be introduced.
    name: String,
}

#[tool_router]
impl Demo {
    /// Sends the message back unchanged.
    #[tool(annotations(read_only_hint = true))]
    async fn echo(&self, Parameters(arguments): Parameters<EchoArguments>) -> String {
        arguments.message
    }

    /// Adds two numbers.
    #[tool(annotations(read_only_hint = true))]
    async fn add(&self, Parameters(AddArguments { a, b }): Parameters<AddArguments>) -> String {
        (a + b).to_string()
    }

    /// Tells the time in UTC, as RFC 3339 writes it.
    #[tool(annotations(read_only_hint = true))]
    async fn time(&self) -> Result<String, ErrorData> {
        let mut text = String::new();
        Rfc3339.format_time(&mut Writer::new(&mut text)).map_err(|_| {
            ErrorData::internal_error(format!("{:?} has no RFC 3339 form", SystemTime::now()), None)
        })?;
        Ok(text)
    }

    /// Takes its time, reports its progress on the way, and stops when it is cancelled.
    #[tool(annotations(read_only_hint = true))]
    async fn slow(
        &self,
        Parameters(arguments): Parameters<SlowArguments>,
        context: RequestContext<RoleServer>,
    ) -> Result<String, ErrorData> {
        let seconds = arguments.seconds.unwrap_or(DEFAULT_SLOW_SECONDS);
        let steps = arguments.steps.unwrap_or(DEFAULT_SLOW_STEPS);
        if !(0.0..=LONGEST_SLOW_SECONDS).contains(&seconds) {
            let wanted = format!("`seconds` is {seconds}; give a number from 0 to {LONGEST_SLOW_SECONDS}");
            return Err(ErrorData::invalid_params(wanted, None));
        }
        if !(1..=MOST_SLOW_STEPS).contains(&steps) {
            let wanted = format!("`steps` is {steps}; give a whole number from 1 to {MOST_SLOW_STEPS}");
            return Err(ErrorData::invalid_params(wanted, None));
        }
        let pause = Duration::from_secs_f64(seconds) / steps;
        for step in 1..=steps {
            tokio::select! {
                () = sleep(pause) => report(&context, step, steps).await,
                () = context.ct.cancelled() => {
                    return Err(ErrorData::internal_error(format!("cancelled before step {step} of {steps}"), None));
                }
            }
        }
        Ok(format!("{steps} steps in {seconds} seconds"))
    }

    /// Asks the user a question and returns the answer.
    #[tool]
    async fn ask(
        &self,
        Parameters(arguments): Parameters<AskArguments>,
        InputResponses(responses): InputResponses,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        ask::ask(arguments.question, responses, &context).await
    }
}

/// Sends one progress note, if the caller gave a token for it. A note that cannot be sent is not worth the call.
async fn report(context: &RequestContext<RoleServer>, step: u32, steps: u32) {
    let Some(token) = context.meta.get_progress_token() else { return };
    let note = ProgressNotificationParam::new(token, f64::from(step))
        .with_total(f64::from(steps))
        .with_message(format!("step {step} of {steps}"));
    let _gone = context.peer.notify_progress(note).await;
}

#[prompt_router]
impl Demo {
    /// Asks the model to introduce somebody.
    #[prompt]
    async fn introduce(&self, Parameters(arguments): Parameters<IntroduceArguments>) -> GetPromptResult {
        let text = format!("Introduce {} to the group in two friendly sentences.", arguments.name);
        GetPromptResult::new(vec![PromptMessage::new_text(Role::User, text)])
            .with_description("An introduction in two sentences")
    }
}

#[tool_handler]
#[prompt_handler]
impl ServerHandler for Demo {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_resources()
            .enable_prompts()
            .enable_completions()
            .build();
        ServerConfig::new(capabilities)
            .with_server_info(Implementation::new("trunkline-demo", env!("CARGO_PKG_VERSION")))
            .with_instructions(INSTRUCTIONS)
    }

    async fn list_resources(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        Ok(ListResourcesResult::with_all_items(content::resources()))
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        Ok(ListResourceTemplatesResult::with_all_items(content::templates()))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        content::read(&request.uri).map(Into::into)
    }

    async fn complete(
        &self,
        request: CompleteRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        content::complete(&request)
    }
}

/// A tool's answer of one text, as failure when `failed`.
pub(super) fn answer(text: impl Into<String>, failed: bool) -> CallToolResponse {
    let content = vec![ContentBlock::text(text)];
    let result = if failed { CallToolResult::error(content) } else { CallToolResult::success(content) };
    result.into()
}
