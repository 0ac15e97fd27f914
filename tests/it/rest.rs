//! `POST /mcp/<server>/<method…>`, for callers that speak no MCP.

use serde_json::json;

use crate::support::{Gateway, Legacy, Reply, scripted, shell, wire};

async fn post(gateway: &Gateway, path: &str, body: &str) -> Reply {
    wire::request(gateway.address, "POST", path, &[], body.to_owned()).await.whole().await
}

#[tokio::test]
async fn a_request_is_answered_under_its_callers_own_id_and_bare_params_take_the_method_of_the_path() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    let params = json!({ "name": "echo", "arguments": { "message": "hello" } });
    let bare = post(&gateway, "/mcp/s/tools/call", &params.to_string()).await;
    assert_eq!(bare.status, 200, "{}", bare.text());
    let dotted = post(&gateway, "/mcp/s/tools.call", &params.to_string()).await;
    assert_eq!(dotted.json()["result"], bare.json()["result"]);
    for id in [r#""abc""#, r#""1""#, "1", "-12"] {
        let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{params}}}"#);
        let reply = post(&gateway, "/mcp/s/tools/call", &body).await;
        assert!(reply.text().contains(&format!(r#""id":{id},"#)), "{} has not the id {id}", reply.text());
        assert_eq!(reply.json()["result"], bare.json()["result"]);
    }
    let listed = post(&gateway, "/mcp/s/tools/list", "").await.json();
    assert!(listed["result"]["tools"].as_array().unwrap().len() > 1, "{listed}");
    let notification = post(&gateway, "/mcp/s/notifications/initialized", "{}").await;
    assert_eq!((notification.status, notification.text()), (202, ""));
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_told_by_a_status_too() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    for (path, body, status, code) in [
        ("/mcp/nobody/tools/call", "{}", 404, -32600),
        ("/mcp/s/tools/call", "{", 400, -32700),
        ("/mcp/s/tools/call", r#"{},"method":"x""#, 400, -32700),
        ("/mcp/s/tools/call", "[]", 400, -32600),
        ("/mcp/s/tools/call", r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#, 400, -32600),
    ] {
        let reply = post(&gateway, path, body).await;
        assert_eq!(
            (reply.status, reply.json()["error"]["code"].as_i64()),
            (status, Some(code)),
            "{path} {body}"
        );
    }
    let get = gateway.get("/mcp/s/tools/call", &[]).await;
    assert_eq!((get.status, get.header("allow")), (405, Some("POST")));
}

#[tokio::test]
async fn a_deadline_is_504_and_an_open_breaker_503_with_the_time_of_the_next_try() {
    let config = scripted("s", &[]) + "call_timeout = \"200ms\"\nbreaker = { failures = 1, open = \"1h\" }\n";
    let gateway = Gateway::start(&config).await;
    let body =
        json!({ "jsonrpc": "2.0", "id": "a", "params": { "name": "hang", "arguments": {} } }).to_string();
    let late = post(&gateway, "/mcp/s/tools/call", &body).await;
    assert_eq!((late.status, late.json()["id"].as_str()), (504, Some("a")), "{}", late.text());
    let refused = post(&gateway, "/mcp/s/tools/call", &body).await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("3600")), "{}", refused.text());
    let refused = refused.json();
    assert_eq!(json!([refused["id"], refused["error"]["data"]["retry_after"]]), json!(["a", 3600]));
}

#[tokio::test]
async fn a_method_behind_a_server_never_shadows_the_endpoint_of_the_server() {
    // Its own tool list and `x` are what a path could be taken for.
    let gateway = Gateway::start(&shell("s", r#""tools":{}"#, "")).await;
    for path in ["/mcp/s", "/mcp/s/"] {
        let client = Legacy::open(&gateway, path).await;
        assert_eq!(client.welcome["serverInfo"]["name"], "shell");
        let tools = client.request("tools/list", json!({})).await.json();
        assert_eq!(tools["result"]["tools"][0]["name"], "odd", "{tools}");
    }
    let initialized = post(&gateway, "/mcp/s/initialize", "{}").await;
    assert_eq!(initialized.json()["result"]["serverInfo"]["name"], "shell");
    assert_eq!(initialized.header("mcp-session-id"), None, "there is no session to be kept");
    let unknown = post(&gateway, "/mcp/s/x/y", r#"{"jsonrpc":"2.0","id":7}"#).await.json();
    assert_eq!(json!([unknown["id"], unknown["error"]["code"]]), json!([7, -32601]));
}

#[tokio::test]
async fn a_full_server_is_429_with_the_time_of_the_next_try() {
    let gateway = Gateway::start(&(scripted("s", &[]) + "max_in_flight = 1\n")).await;
    let hold = |ms: u64| {
        let (address, params) = (gateway.address, json!({ "name": "sleep", "arguments": { "ms": ms } }));
        let body = json!({ "jsonrpc": "2.0", "id": "held", "params": params }).to_string();
        tokio::spawn(async move {
            wire::request(address, "POST", "/mcp/s/tools/call", &[], body).await.whole().await
        })
    };
    // One is served, one may wait for its place, and whoever comes then is told.
    let _held = [hold(20_000), hold(20_000)];
    gateway.in_flight(2).await;
    let refused = hold(0).await.unwrap();
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("5")), "{}", refused.text());
    assert_eq!(refused.json()["id"], "held");
}
