//! What the configuration holds back is not there, whichever way one looks.

use serde_json::{Value, json};

use crate::support::{
    Gateway, Legacy, Modern, code_of, conformance, demo, message_of, scripted, section, text_of, wire,
};

const FILTER: &str = "tools = { allow = [\"e*\", \"sleep\", \"whoami\"], deny = [\"echo\", \"who*\"] }\n";

async fn names(gateway: &Gateway, path: &str) -> Vec<String> {
    let list = Modern::new(gateway, path).request("tools/list", json!({})).await.json();
    let old = Legacy::open(gateway, path).await.request("tools/list", json!({})).await.json();
    let read = |list: &Value| -> Vec<String> {
        let tools = list["result"]["tools"].as_array().expect("tools");
        tools.iter().map(|tool| tool["name"].as_str().expect("a name").to_owned()).collect()
    };
    assert_eq!(read(&list), read(&old), "both eras see the same");
    read(&list)
}

#[tokio::test]
async fn a_list_shows_what_is_allowed_less_what_is_denied() {
    let gateway = Gateway::start(&(scripted("s", &[]) + FILTER)).await;
    assert_eq!(names(&gateway, "/mcp").await, ["s__sleep", "s__endless"]);
    assert_eq!(names(&gateway, "/mcp/s").await, ["sleep", "endless"]);
    let denied = Gateway::start(&(scripted("s", &[]) + "tools = { deny = [\"*\"] }\n")).await;
    assert!(names(&denied, "/mcp").await.is_empty());
}

#[tokio::test]
async fn a_tool_that_is_held_back_cannot_be_told_from_one_that_does_not_exist() {
    let gateway = Gateway::start(&(scripted("s", &[]) + FILTER)).await;
    for (path, prefix) in [("/mcp", "s__"), ("/mcp/s", "")] {
        let (legacy, modern) = (Legacy::open(&gateway, path).await, Modern::new(&gateway, path));
        let allowed = legacy.call(&format!("{prefix}sleep"), json!({})).await;
        assert_eq!(text_of(&allowed), "slept");
        // `fail` is not allowed, `echo` and `whoami` are allowed and denied, the last does not exist.
        let mut refusals = Vec::new();
        for tool in ["fail", "echo", "whoami", "nothing"] {
            for answer in [
                legacy.call(&format!("{prefix}{tool}"), json!({ "message": "x" })).await,
                modern.call(&format!("{prefix}{tool}"), json!({ "message": "x" })).await,
            ] {
                assert_eq!(code_of(&answer), -32602);
                refusals.push(answer["error"].to_string().replace(tool, "TOOL"));
            }
        }
        refusals.dedup();
        assert_eq!(refusals.len(), 1, "{path}: {refusals:?}");
    }
}

/// The server's own words for an unknown tool differ from the gateway's: that must not give the filter away.
#[tokio::test]
async fn at_a_servers_own_endpoint_neither() {
    let gateway = Gateway::start(&(demo("demo") + "tools = { deny = [\"echo\"] }\n")).await;
    for path in ["/mcp", "/mcp/demo"] {
        let prefix = if path == "/mcp" { "demo__" } else { "" };
        let client = Legacy::open(&gateway, path).await;
        let held_back = client.call(&format!("{prefix}echo"), json!({ "message": "x" })).await;
        let unknown = client.call(&format!("{prefix}nothing"), json!({ "message": "x" })).await;
        let blurred = |answer: &Value, tool: &str| answer["error"].to_string().replace(tool, "TOOL");
        assert_eq!(blurred(&held_back, "echo"), blurred(&unknown, "nothing"), "{path}");
    }
}

#[tokio::test]
async fn a_disabled_server_is_not_there_and_does_not_run() {
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("started");
    let config =
        section("off", "touch", &[trace.to_str().unwrap()]) + "enabled = false\n" + &scripted("on", &[]);
    let gateway = Gateway::start(&config).await;
    assert_eq!(gateway.readiness().await["servers"], json!({ "on": "ready" }));
    assert!(names(&gateway, "/mcp").await.iter().all(|name| name.starts_with("on__")));
    let client = Legacy::open(&gateway, "/mcp").await;
    let refused = client.call("off__echo", json!({})).await;
    assert_eq!((code_of(&refused), message_of(&refused)), (-32602, "Unknown tool: off__echo"));
    let refused = wire::post(gateway.address, "/mcp/off", &[], "{}").await.whole().await;
    assert_eq!(refused.status, 404);
    assert!(!trace.exists(), "its command was not run");
}

#[tokio::test]
async fn a_name_that_is_too_long_or_unfit_is_shown_shortened_and_works() {
    let limit = "[gateway]\nname_limit = 40\n";
    let name = "a-server-of-24-letters-x";
    let gateway = Gateway::start(&(limit.to_owned() + &conformance(name, &[]))).await;
    let listed = names(&gateway, "/mcp").await;
    assert!(listed.iter().all(|name| name.len() <= 40), "{listed:?}");
    let own = names(&gateway, &format!("/mcp/{name}")).await;
    assert!(own.iter().any(|name| name == "test_simple_text"), "its own endpoint keeps its own names");
    let position = own.iter().position(|name| name == "test_multiple_content_types").unwrap();
    let answer = Modern::new(&gateway, "/mcp").call(&listed[position], json!({})).await;
    assert_eq!(text_of(&answer), "Multiple content types test:");
}
