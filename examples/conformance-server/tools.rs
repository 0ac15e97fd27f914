//! The list of tools, and those of them that answer without asking anything back.
#![expect(deprecated, reason = "log notifications and sampling are what is tested")]

use std::sync::atomic::Ordering;
use std::time::Duration;

use rmcp::ErrorData;
use rmcp::model::{
    CallToolRequestParams, CallToolResult, ClientCapabilities, ContentBlock, JsonObject, LoggingLevel,
    LoggingMessageNotificationParam, ProgressNotificationParam, ResourceContents, Tool,
};
use rmcp::service::{RequestContext, RoleServer};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::server::{Change, Fixture, Shared};
use crate::{dialogs, tasks};

/// A red pixel.
pub(crate) const IMAGE: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==";
/// A WAV file without a sample.
const AUDIO: &str = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA=";
/// Between two notes of one call: long enough to be seen as separate.
const PAUSE: Duration = Duration::from_millis(50);
/// How long the call takes whose stream breaks off.
const OUTLIVES: Duration = Duration::from_millis(1500);

/// Tools without arguments that are called here.
const PLAIN: [(&str, &str); 16] = [
    ("test_simple_text", "Answers with a text"),
    ("test_image_content", "Answers with an image"),
    ("test_audio_content", "Answers with a sound"),
    ("test_embedded_resource", "Answers with an embedded resource"),
    ("test_multiple_content_types", "Answers with text, image and resource"),
    ("test_tool_with_logging", "Logs three notes on its way"),
    ("test_tool_with_progress", "Reports its progress three times"),
    ("test_error_handling", "Answers with a tool error"),
    ("test_reconnection", "Takes a little while"),
    ("test_trigger_tool_change", "Changes the list of tools and announces it"),
    ("test_trigger_prompt_change", "Changes the list of prompts and announces it"),
    ("test_trigger_resource_update", "Announces that test://watched-resource has changed"),
    ("test_missing_capability", "Refuses clients that have not declared sampling"),
    ("test_logging_tool", "Logs one note"),
    ("test_slow", "Takes half a minute, with progress, unless it is cancelled"),
    ("test_cancelled", "Says how many calls of test_slow were cancelled"),
];

/// Longer than any client waits who is going to cancel.
const SLOW: Duration = Duration::from_secs(30);

/// All tools, sorted by where they are handled.
pub(crate) fn list(shared: &Shared) -> Vec<Tool> {
    let no_arguments = || json!({ "type": "object", "properties": {} });
    let mut tools: Vec<Tool> =
        PLAIN.iter().map(|&(name, description)| tool(name, description, no_arguments())).collect();
    tools.push(tool("json_schema_2020_12_tool", "Has the whole vocabulary in its schema", full_schema()));
    let value = json!({ "type": "string", "x-mcp-header": "Value" });
    let mirrored = json!({ "type": "object", "properties": { "value": value }, "required": ["value"] });
    tools.push(tool("test_custom_header", "Has an argument that is mirrored in a header", mirrored));
    tools.extend(dialogs::list());
    tools.extend(tasks::list());
    if shared.tool_changes.load(Ordering::Relaxed) % 2 == 1 {
        tools.push(tool("test_dynamic_tool", "Comes and goes with test_trigger_tool_change", no_arguments()));
    }
    tools
}

pub(crate) fn tool(name: &'static str, description: &'static str, schema: Value) -> Tool {
    let schema = if let Value::Object(schema) = schema { schema } else { JsonObject::new() };
    Tool::new(name, description, schema)
}

pub(crate) fn text(text: impl Into<String>) -> CallToolResult {
    CallToolResult::success(vec![ContentBlock::text(text)])
}

pub(crate) async fn call(
    fixture: &Fixture,
    request: CallToolRequestParams,
    context: &RequestContext<RoleServer>,
) -> Result<CallToolResult, ErrorData> {
    let shared = &fixture.shared;
    let arguments = request.arguments.unwrap_or_default();
    Ok(match request.name.as_ref() {
        "test_simple_text" => text("This is a simple text response for testing."),
        "test_image_content" => CallToolResult::success(vec![image()]),
        "test_audio_content" => CallToolResult::success(vec![ContentBlock::audio(AUDIO, "audio/wav")]),
        "test_embedded_resource" => CallToolResult::success(vec![embedded(
            "test://embedded-resource",
            "text/plain",
            "This is an embedded resource content.",
        )]),
        "test_multiple_content_types" => CallToolResult::success(vec![
            ContentBlock::text("Multiple content types test:"),
            image(),
            embedded("test://mixed-content-resource", "application/json", r#"{"test":"data","value":123}"#),
        ]),
        "test_tool_with_logging" => {
            for note in ["Tool execution started", "Tool processing data", "Tool execution completed"] {
                log(fixture, context, note).await;
                sleep(PAUSE).await;
            }
            text("Three notes were logged, as far as they were wanted.")
        }
        "test_logging_tool" => {
            log(fixture, context, "a note for those who want it").await;
            text("One note was logged, as far as it was wanted.")
        }
        "test_tool_with_progress" => progress(context).await,
        "test_slow" => slow(shared, context).await,
        "test_cancelled" => text(shared.cancelled.load(Ordering::Relaxed).to_string()),
        "test_error_handling" => {
            let message = "This tool intentionally returns an error for testing";
            CallToolResult::error(vec![ContentBlock::text(message)])
        }
        "test_reconnection" => {
            // Longer than the client waits before it comes back: rmcp keeps no reply that came in between.
            sleep(OUTLIVES).await;
            text("The call outlived its stream, or had none to outlive.")
        }
        "test_trigger_tool_change" => {
            shared.tool_changes.fetch_add(1, Ordering::Relaxed);
            shared.announce(Change::Tools).await;
            text("The list of tools has changed.")
        }
        "test_trigger_prompt_change" => {
            shared.prompt_changes.fetch_add(1, Ordering::Relaxed);
            shared.announce(Change::Prompts).await;
            text("The list of prompts has changed.")
        }
        "test_trigger_resource_update" => {
            shared.announce(Change::Resource("test://watched-resource")).await;
            text("The resource has changed.")
        }
        "test_dynamic_tool" => text("I am here for now."),
        "test_missing_capability" => {
            if context.client_capabilities().is_none_or(|capabilities| capabilities.sampling.is_none()) {
                let needed = ClientCapabilities::builder().enable_sampling().build();
                return Err(ErrorData::missing_required_client_capability(needed));
            }
            text("The client has declared sampling.")
        }
        "test_custom_header" => text(string(&arguments, "value")?),
        "json_schema_2020_12_tool" => text(format!("Called with {}", Value::Object(arguments))),
        unknown => return Err(ErrorData::invalid_params(format!("there is no tool `{unknown}`"), None)),
    })
}

pub(crate) fn string<'a>(arguments: &'a JsonObject, name: &str) -> Result<&'a str, ErrorData> {
    let value = arguments.get(name).and_then(Value::as_str);
    value.ok_or_else(|| ErrorData::invalid_params(format!("argument `{name}` must be a string"), None))
}

fn image() -> ContentBlock {
    ContentBlock::image(IMAGE, "image/png")
}

fn embedded(uri: &str, mime: &str, text: &str) -> ContentBlock {
    ContentBlock::resource(ResourceContents::text(text, uri).with_mime_type(mime))
}

async fn log(fixture: &Fixture, context: &RequestContext<RoleServer>, note: &str) {
    use LoggingLevel::{Debug, Info};
    if matches!(fixture.log_level(context), Some(Debug | Info)) {
        let note = LoggingMessageNotificationParam::new(Info, json!(note)).with_logger("conformance-fixture");
        let _gone = context.peer.notify_logging_message(note).await;
    }
}

async fn progress(context: &RequestContext<RoleServer>) -> CallToolResult {
    for percent in [0_u32, 50, 100] {
        if let Some(token) = context.meta.get_progress_token() {
            let note = ProgressNotificationParam::new(token, f64::from(percent))
                .with_total(100.0)
                .with_message(format!("Completed step {percent} of 100"));
            let _gone = context.peer.notify_progress(note).await;
        }
        sleep(PAUSE).await;
    }
    text("The progress was reported to whoever gave a token.")
}

async fn slow(shared: &Shared, context: &RequestContext<RoleServer>) -> CallToolResult {
    // In the modern era over HTTP a lost stream drops the handler without a word: it counts on its way out.
    let mut counted = CountUnlessDone { shared, done: false };
    if let Some(token) = context.meta.get_progress_token() {
        let _gone = context.peer.notify_progress(ProgressNotificationParam::new(token, 1.0)).await;
    }
    tokio::select! {
        () = sleep(SLOW) => counted.done = true,
        () = context.ct.cancelled() => {}
    }
    text("It took its time.")
}

/// Counts a call of `test_slow` that did not come to its end.
struct CountUnlessDone<'a> {
    shared: &'a Shared,
    done: bool,
}

impl Drop for CountUnlessDone<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.shared.cancelled.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn full_schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": { "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": { "street": { "type": "string" }, "city": { "type": "string" } },
        } },
        "properties": {
            "name": { "type": "string" },
            "address": { "$ref": "#/$defs/address" },
            "contactMethod": { "type": "string", "enum": ["phone", "email"] },
            "phone": { "type": "string" },
            "email": { "type": "string" },
        },
        "allOf": [{ "anyOf": [{ "required": ["phone"] }, { "required": ["email"] }] }],
        "if": { "properties": { "contactMethod": { "const": "phone" } }, "required": ["contactMethod"] },
        "then": { "required": ["phone"] },
        "else": { "required": ["email"] },
        "additionalProperties": false,
    })
}
