//! `x-mcp-header`: a tool's parameters in `Mcp-Param-*` headers, towards servers and from clients.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::support::stub::{Seen, Stub};
use crate::support::{Backend, Gateway, Legacy, Modern, Pipe, code_of, eventually, over_http, service};

/// A modern server that lists one tool by the rules, one against them, and one without annotations.
async fn server() -> Stub {
    Stub::start(|request| {
        ("200 OK\r\ncontent-type: application/json".to_owned(), answer(request).to_string())
    })
    .await
}

fn answer(request: &Seen) -> Value {
    let Ok(message) = serde_json::from_str::<Value>(&request.body) else { return Value::Null };
    let annotated = |name: &str| json!({ "type": "string", "x-mcp-header": name });
    let tool = |name: &str, properties: Value| json!({ "name": name, "inputSchema": { "type": "object", "properties": properties } });
    let result = match message["method"].as_str().unwrap_or_default() {
        "server/discover" => json!({ "supportedVersions": ["2026-07-28"], "capabilities": { "tools": {} } }),
        "tools/list" => json!({ "ttlMs": 0, "cacheScope": "private", "tools": [
            tool("mirrored", json!({ "region": annotated("Region"), "deep": { "type": "object", "properties": { "n": { "type": "integer", "x-mcp-header": "N" } } } })),
            tool("wrong", json!({ "a": annotated("Two Words") })),
            tool("plain", json!({ "region": { "type": "string" } })),
        ] }),
        _ => json!({ "content": [{ "type": "text", "text": "done" }] }),
    };
    let mut result = result;
    result["resultType"] = json!("complete");
    json!({ "jsonrpc": "2.0", "id": message["id"], "result": result })
}

/// The `Mcp-Param-*` headers of the last call.
fn mirrored(server: &Stub) -> Vec<(String, String)> {
    let seen = server.seen();
    let call = seen.iter().rev().find(|seen| seen.body.contains("tools/call")).expect("a call");
    let mut headers = call.headers.clone();
    headers.retain(|(name, _)| name.starts_with("mcp-param-"));
    headers.sort();
    headers
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn calls(server: &Stub) -> usize {
    server.seen().iter().filter(|seen| seen.body.contains("tools/call")).count()
}

#[tokio::test]
async fn a_legacy_clients_arguments_reach_a_modern_server_as_headers() {
    let server = server().await;
    let gateway = Gateway::start(&over_http("s", &server.url("/mcp"))).await;
    for (path, prefix) in [("/mcp", "s__"), ("/mcp/s", "")] {
        let client = Legacy::open(&gateway, path).await;
        client.text(&format!("{prefix}mirrored"), json!({ "deep": { "n": 7 }, "region": " é" })).await;
        assert_eq!(
            mirrored(&server),
            pairs(&[("mcp-param-n", "7"), ("mcp-param-region", "=?base64?IMOp?=")])
        );
        client.text(&format!("{prefix}mirrored"), json!({ "region": null })).await;
        assert_eq!(mirrored(&server), []);
        client.text(&format!("{prefix}plain"), json!({ "region": "x" })).await;
        assert_eq!(mirrored(&server), []);
        let listed = client.request("tools/list", json!({})).await;
        assert!(listed.text().contains("mirrored") && !listed.text().contains("wrong"), "{}", listed.text());
    }
    eventually("the log says what was left out", || async {
        let log = gateway.log();
        (log.contains("left out the tool 'wrong'") && log.contains("Two Words")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_modern_clients_headers_must_mirror_the_body_and_unknown_ones_go_on() {
    let server = server().await;
    let gateway = Gateway::start(&over_http("s", &server.url("/mcp"))).await;
    let client = Modern::new(&gateway, "/mcp");
    let params = json!({ "name": "s__mirrored", "arguments": { "region": "here" } });
    let body = Modern::body(&json!(1), "tools/call", params).to_string();
    let usual =
        [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/call"), ("mcp-name", "s__mirrored")];
    for wrong in
        [&[][..], &[("mcp-param-region", "there")], &[("mcp-param-region", "here"), ("mcp-param-n", "1")]]
    {
        let refused = client.with_headers(&[&usual[..], wrong].concat(), body.clone()).await.whole().await;
        assert_eq!((refused.status, code_of(&refused.json())), (400, -32020), "{wrong:?}");
    }
    assert_eq!(calls(&server), 0, "what was refused has not been carried out");
    let right = [("mcp-param-region", "=?base64?aGVyZQ==?="), ("mcp-param-other", "x")];
    let done = client.with_headers(&[&usual[..], &right].concat(), body).await.whole().await;
    assert_eq!(done.status, 200, "{}", done.text());
    assert_eq!(mirrored(&server), pairs(&[("mcp-param-other", "x"), ("mcp-param-region", "here")]));
}

#[tokio::test]
async fn a_modern_client_on_a_pipe_need_not_know_of_headers() {
    let server = server().await;
    let config = over_http("s", &server.url("/mcp"));
    let gateway = Gateway::start(&config).await;
    for mut pipe in [Pipe::to(&gateway, &[]), Pipe::own(&config, &[])] {
        let before = calls(&server);
        let mut params = json!({ "name": "s__mirrored", "arguments": { "region": "here" } });
        params["_meta"] = Modern::meta();
        let done = pipe.request(1, "tools/call", params).await;
        assert_eq!(done["result"]["content"][0]["text"], "done", "{done}");
        assert_eq!(mirrored(&server), pairs(&[("mcp-param-region", "here")]));
        assert_eq!(calls(&server), before + 1, "once");
    }
}

#[tokio::test]
async fn a_prompt_that_a_model_has_made_better_is_mirrored_in_its_better_words() {
    let (server, ollama) = (server().await, Backend::ollama(0).await);
    let config = service("o", &ollama.url)
        + "\n[enhance]\nservice = \"o\"\n"
        + &over_http("s", &server.url("/mcp"))
        + "[servers.s.tools.enhance]\nmirrored = \"region\"\n";
    let gateway = Gateway::start(&config).await;
    let client = Legacy::open(&gateway, "/mcp/s").await;
    client.text("mirrored", json!({ "deep": { "n": 7 }, "region": "west" })).await;
    assert_eq!(mirrored(&server), pairs(&[("mcp-param-n", "7"), ("mcp-param-region", "better: west")]));
}

/// A modern server whose tool wants its argument mirrored as `before` says, and since `moved` as `after` says. It checks.
async fn moving(before: Value, after: Value, moved: Arc<AtomicBool>) -> Stub {
    Stub::start(move |request| {
        let answered = answer(request);
        let moved = moved.load(Ordering::Relaxed);
        let wanted = if moved { &after } else { &before };
        let mut answered = answered;
        if request.body.contains("tools/list") {
            let schema = json!({ "type": "object", "properties": { "region": wanted } });
            answered["result"]["tools"] = json!([{ "name": "moves", "inputSchema": schema }]);
            answered["result"]["ttlMs"] = json!(3_600_000);
        }
        let header = wanted["x-mcp-header"].as_str().map(|name| format!("mcp-param-{}", name.to_lowercase()));
        if request.body.contains("tools/call")
            && header.is_some_and(|name| request.header(&name) != Some("here"))
        {
            let error = json!({ "code": -32020, "message": "Header mismatch: a parameter is not mirrored" });
            let refused = json!({ "jsonrpc": "2.0", "id": answered["id"], "error": error });
            return ("400 Bad Request\r\ncontent-type: application/json".to_owned(), refused.to_string());
        }
        ("200 OK\r\ncontent-type: application/json".to_owned(), answered.to_string())
    })
    .await
}

fn lists(server: &Stub) -> usize {
    server.seen().iter().filter(|seen| seen.body.contains("tools/list")).count()
}

#[tokio::test]
async fn a_server_that_refuses_the_headers_is_asked_for_its_tools_and_gets_the_call_once_more() {
    let plain = json!({ "type": "string" });
    let mirrored_as = |name: &str| json!({ "type": "string", "x-mcp-header": name });
    for before in [plain, mirrored_as("Region")] {
        let moved = Arc::new(AtomicBool::new(false));
        let server = moving(before, mirrored_as("Zone"), Arc::clone(&moved)).await;
        let gateway = Gateway::start(&over_http("s", &server.url("/mcp"))).await;
        let client = Legacy::open(&gateway, "/mcp").await;
        assert_eq!(client.text("s__moves", json!({ "region": "here" })).await, "done");
        let (read, called) = (lists(&server), calls(&server));
        moved.store(true, Ordering::Relaxed);
        assert_eq!(client.text("s__moves", json!({ "region": "here" })).await, "done");
        assert_eq!((lists(&server), calls(&server)), (read + 1, called + 2), "once each");
        assert_eq!(mirrored(&server), pairs(&[("mcp-param-zone", "here")]));
        eventually("the catalog has it", || async {
            client.request("tools/list", json!({})).await.text().contains("Zone").then_some(())
        })
        .await;
        assert_eq!(client.text("s__moves", json!({ "region": "here" })).await, "done");
        assert_eq!((lists(&server), calls(&server)), (read + 1, called + 3), "and it is known from then on");
    }
}

#[tokio::test]
async fn a_server_that_refuses_what_its_own_list_asks_for_gets_the_call_once() {
    // It wants `here`, and the client says something else.
    let wanted = json!({ "type": "string", "x-mcp-header": "Zone" });
    let server = moving(wanted.clone(), wanted, Arc::default()).await;
    let gateway = Gateway::start(&over_http("s", &server.url("/mcp"))).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let refused = client.call("s__moves", json!({ "region": "there" })).await;
    assert_eq!(code_of(&refused), -32020, "{refused}");
    assert_eq!(calls(&server), 1);
}
