//! What the demo server offers to be read and completed.

use rmcp::ErrorData;
use rmcp::model::{
    CompleteRequestParams, CompleteResult, CompletionInfo, ReadResourceResult, Reference, Resource,
    ResourceContents, ResourceTemplate,
};

const README_URI: &str = "demo://readme";
const GREETING_PREFIX: &str = "demo://greeting/";
const GREETING_TEMPLATE: &str = "demo://greeting/{name}";
/// The prompt's name as the macro derives it from the method.
const PROMPT: &str = "introduce";
/// The one argument that prompt and template have.
const ARGUMENT: &str = "name";

const README: &str = "This is the demo server.\n\n\
     Tools: echo, add, time, slow (progress, cancellation), ask (a question to the user).\n\
     Resources: demo://readme, demo://greeting/{name}.\n\
     Prompt: introduce, with completion for its argument.\n";

/// People to be completed to: pioneers of the telephone exchange and of computing.
const NAMES: [&str; 6] = ["Ada", "Almon", "Alan", "Emma", "Erna", "Grace"];

pub(super) fn resources() -> Vec<Resource> {
    let readme = Resource::new(README_URI, "readme")
        .with_title("Read me")
        .with_description("What this server offers")
        .with_mime_type("text/plain");
    vec![readme]
}

pub(super) fn templates() -> Vec<ResourceTemplate> {
    let greeting = ResourceTemplate::new(GREETING_TEMPLATE, "greeting")
        .with_title("Greeting")
        .with_description("A greeting for whoever is named")
        .with_mime_type("text/plain");
    vec![greeting]
}

pub(super) fn read(uri: &str) -> Result<ReadResourceResult, ErrorData> {
    let text = if uri == README_URI {
        README.to_owned()
    } else {
        let name = uri.strip_prefix(GREETING_PREFIX).and_then(decoded).filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| unknown(uri))?;
        format!("Hello, {name}!")
    };
    Ok(ReadResourceResult::new(vec![ResourceContents::text(text, uri)]))
}

pub(super) fn complete(request: &CompleteRequestParams) -> Result<CompleteResult, ErrorData> {
    let known = match &request.r#ref {
        Reference::Prompt(prompt) => prompt.name == PROMPT,
        Reference::Resource(resource) => resource.uri == GREETING_TEMPLATE,
        _ => false,
    };
    if !known || request.argument.name != ARGUMENT {
        let message = format!(
            "only the argument `{ARGUMENT}` of prompt `{PROMPT}` and of {GREETING_TEMPLATE} completes"
        );
        return Err(ErrorData::invalid_params(message, None));
    }
    let typed = request.argument.value.to_lowercase();
    let names =
        NAMES.iter().filter(|name| name.to_lowercase().starts_with(&typed)).map(|&name| name.to_owned());
    let completion = CompletionInfo::with_all_values(names.collect());
    completion.map(CompleteResult::new).map_err(|error| ErrorData::internal_error(error, None))
}

fn unknown(uri: &str) -> ErrorData {
    let message = format!("there is no resource {uri}; there are {README_URI} and {GREETING_TEMPLATE}");
    ErrorData::resource_not_found(message, Some(serde_json::json!({ "uri": uri })))
}

/// Undoes the percent-encoding of a template's expanded variable. `None` when the encoding is broken.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => u8::try_from(16 * hex(rest.next()?)? + hex(rest.next()?)?).ok()?,
            plain => plain,
        });
    }
    String::from_utf8(bytes).ok()
}

fn hex(digit: u8) -> Option<u32> {
    char::from(digit).to_digit(16)
}
