//! rmcp, which knows nothing of us, as the server behind a gateway: each era, each transport, for clients of each era.

use rmcp::ClientLifecycleMode;
use rmcp::model::{
    ArgumentInfo, CompleteRequestParams, GetPromptRequestParams, ReadResourceRequestParams, Reference,
};
use rmcp::model::{ContentBlock, ResourceContents};
use serde_json::json;

use crate::rmcp_client::{call, connect, legacy, modern, text};
use crate::support::{Backend, Gateway, conformance, over_http};

/// What a client may expect of the conformance server, whatever lies between.
async fn serves(gateway: &Gateway, lifecycle: ClientLifecycleMode) {
    let client = connect(gateway, "/mcp", lifecycle).await;
    let tools = client.list_all_tools().await.unwrap();
    for name in ["c__test_simple_text", "c__test_image_content", "c__json_schema_2020_12_tool"] {
        assert!(tools.iter().any(|tool| tool.name == name), "{name} is missing");
    }
    let schema = tools.iter().find(|tool| tool.name == "c__json_schema_2020_12_tool").unwrap();
    assert_eq!(schema.input_schema["$defs"]["address"]["$anchor"], "addressDef", "schemas arrive whole");

    let simple = client.call_tool(call("c__test_simple_text", json!({}))).await.unwrap();
    assert_eq!(text(&simple), "This is a simple text response for testing.");
    let mixed = client.call_tool(call("c__test_multiple_content_types", json!({}))).await.unwrap();
    assert_eq!(mixed.content.len(), 3);
    assert!(matches!(&mixed.content[1], ContentBlock::Image(image) if image.mime_type == "image/png"));
    let failed = client.call_tool(call("c__test_error_handling", json!({}))).await.unwrap();
    assert_eq!(failed.is_error, Some(true), "a tool's own error is a result");
    assert_eq!(text(&failed), "This tool intentionally returns an error for testing");
    let progress = client.call_tool(call("c__test_tool_with_progress", json!({}))).await.unwrap();
    assert_eq!(text(&progress), "The progress was reported to whoever gave a token.");

    let read = client.read_resource(ReadResourceRequestParams::new("test://static-text")).await.unwrap();
    let ResourceContents::TextResourceContents { text: content, .. } = &read.contents[0] else {
        panic!("text")
    };
    assert_eq!(content, "This is the content of the static text resource.");
    let read = client.read_resource(ReadResourceRequestParams::new("test://template/7/data")).await.unwrap();
    let ResourceContents::TextResourceContents { text: content, .. } = &read.contents[0] else {
        panic!("text")
    };
    assert!(content.contains("Data for ID: 7"), "{content}");

    let arguments = serde_json::from_value(json!({ "arg1": "one", "arg2": "two" })).unwrap();
    let prompt = GetPromptRequestParams::new("c__test_prompt_with_arguments").with_arguments(arguments);
    let prompt = client.get_prompt(prompt).await.unwrap();
    let said = serde_json::to_string(&prompt.messages).unwrap();
    assert!(said.contains("arg1='one', arg2='two'"), "{said}");
    let argument = ArgumentInfo::new("arg1", "par");
    let reference = Reference::for_prompt("c__test_prompt_with_arguments");
    let completed = client.complete(CompleteRequestParams::new(reference, argument)).await.unwrap();
    assert_eq!(completed.completion.values, ["paris", "park"]);
    client.cancel().await.unwrap();
}

async fn on_pipes(era: &str) {
    let gateway = Gateway::start(&conformance("c", &["--era", era])).await;
    serves(&gateway, legacy()).await;
    serves(&gateway, modern()).await;
    assert_speaks(&gateway, era);
}

async fn over_sockets(era: &str) {
    let backend = Backend::start("conformance-server", &["--era", era]).await;
    let gateway = Gateway::start(&over_http("c", &backend.url)).await;
    serves(&gateway, legacy()).await;
    serves(&gateway, modern()).await;
    assert_speaks(&gateway, era);
}

/// The gateway must have spoken to the server in the newest era that it offers.
fn assert_speaks(gateway: &Gateway, era: &str) {
    let log = gateway.log();
    let line = log.lines().find(|line| line.contains("handshake done")).expect("a handshake in the log");
    let version = if era == "legacy" { "2025-11-25" } else { "2026-07-28" };
    assert!(line.contains(version), "{line}");
}

#[tokio::test]
async fn a_legacy_server_on_pipes_serves_clients_of_both_eras() {
    on_pipes("legacy").await;
}

#[tokio::test]
async fn a_modern_server_on_pipes_serves_clients_of_both_eras() {
    on_pipes("modern").await;
}

#[tokio::test]
async fn a_server_of_both_eras_on_pipes_is_spoken_to_in_the_modern_one() {
    on_pipes("both").await;
}

#[tokio::test]
async fn a_legacy_server_over_http_serves_clients_of_both_eras() {
    over_sockets("legacy").await;
}

#[tokio::test]
async fn a_modern_server_over_http_serves_clients_of_both_eras() {
    over_sockets("modern").await;
}

#[tokio::test]
async fn a_server_of_both_eras_over_http_is_spoken_to_in_the_modern_one() {
    over_sockets("both").await;
}
