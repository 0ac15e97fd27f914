//! Resources, prompts and completions.

use rmcp::ErrorData;
use rmcp::model::{
    CompleteRequestParams, CompleteResult, CompletionInfo, ContentBlock, GetPromptRequestParams,
    GetPromptResult, Prompt, PromptArgument, PromptMessage, ReadResourceResult, Reference, Resource,
    ResourceContents, ResourceTemplate, Role,
};
use serde_json::json;

use crate::dialogs;
use crate::tools::{IMAGE, string};

pub(crate) fn resources() -> Vec<Resource> {
    let resource = |uri: &str, name: &str, mime: &str| {
        Resource::new(uri, name).with_description(format!("{name} for testing")).with_mime_type(mime)
    };
    vec![
        resource("test://static-text", "Static text", "text/plain"),
        resource("test://static-binary", "Static image", "image/png"),
        resource("test://watched-resource", "Watched text", "text/plain"),
    ]
}

pub(crate) fn templates() -> Vec<ResourceTemplate> {
    let template = ResourceTemplate::new("test://template/{id}/data", "Template")
        .with_description("Data for an id, for testing")
        .with_mime_type("application/json");
    vec![template]
}

pub(crate) fn read(uri: &str) -> Result<ReadResourceResult, ErrorData> {
    let id = uri.strip_prefix("test://template/").and_then(|rest| rest.strip_suffix("/data"));
    let contents = match (uri, id) {
        ("test://static-text", _) => {
            ResourceContents::text("This is the content of the static text resource.", uri)
        }
        ("test://static-binary", _) => ResourceContents::blob(IMAGE, uri).with_mime_type("image/png"),
        ("test://watched-resource", _) => ResourceContents::text("Watched resource content", uri),
        (_, Some(id)) => {
            let data = json!({ "id": id, "templateTest": true, "data": format!("Data for ID: {id}") });
            ResourceContents::text(data.to_string(), uri).with_mime_type("application/json")
        }
        _ => {
            return Err(ErrorData::resource_not_found(
                format!("there is no resource {uri}"),
                Some(json!({ "uri": uri })),
            ));
        }
    };
    Ok(ReadResourceResult::new(vec![contents]))
}

pub(crate) fn prompts(changed: bool) -> Vec<Prompt> {
    let argument = |name: &str| PromptArgument::new(name).with_description("An argument").with_required(true);
    let prompt = |name: &str, arguments: &[&str]| {
        let arguments =
            (!arguments.is_empty()).then(|| arguments.iter().map(|name| argument(name)).collect());
        Prompt::new(name, Some("A prompt for testing"), arguments)
    };
    let mut prompts = vec![
        prompt("test_simple_prompt", &[]),
        prompt("test_prompt_with_arguments", &["arg1", "arg2"]),
        prompt("test_prompt_with_embedded_resource", &["resourceUri"]),
        prompt("test_prompt_with_image", &[]),
        prompt(dialogs::PROMPT, &[]),
    ];
    if changed {
        prompts.push(prompt("test_dynamic_prompt", &[]));
    }
    prompts
}

pub(crate) fn prompt(request: &GetPromptRequestParams) -> Result<GetPromptResult, ErrorData> {
    let arguments = request.arguments.clone().unwrap_or_default();
    let says = |text: String| PromptMessage::new_text(Role::User, text);
    let messages = match request.name.as_str() {
        "test_simple_prompt" => vec![says("This is a simple prompt for testing.".into())],
        "test_prompt_with_arguments" => {
            let (first, second) = (string(&arguments, "arg1")?, string(&arguments, "arg2")?);
            vec![says(format!("Prompt with arguments: arg1='{first}', arg2='{second}'"))]
        }
        "test_prompt_with_embedded_resource" => {
            let uri = string(&arguments, "resourceUri")?;
            let resource = ResourceContents::text("Embedded resource content for testing.", uri);
            vec![
                PromptMessage::new(Role::User, ContentBlock::resource(resource)),
                says("Please process the embedded resource above.".into()),
            ]
        }
        "test_prompt_with_image" => vec![
            PromptMessage::new(Role::User, ContentBlock::image(IMAGE, "image/png")),
            says("Please analyze the image above.".into()),
        ],
        "test_dynamic_prompt" => vec![says("I am here for now.".into())],
        unknown => return Err(ErrorData::invalid_params(format!("there is no prompt `{unknown}`"), None)),
    };
    Ok(GetPromptResult::new(messages))
}

pub(crate) fn complete(request: &CompleteRequestParams) -> Result<CompleteResult, ErrorData> {
    let known: &[&str] = match &request.r#ref {
        Reference::Prompt(prompt) if prompt.name == "test_prompt_with_arguments" => {
            &["testing", "paris", "park"]
        }
        Reference::Resource(_) => &["1", "2", "3"],
        _ => &[],
    };
    let values = known.iter().filter(|value| value.starts_with(&request.argument.value));
    let completion = CompletionInfo::with_all_values(values.map(|&value| value.to_owned()).collect());
    completion.map(CompleteResult::new).map_err(|error| ErrorData::internal_error(error, None))
}
