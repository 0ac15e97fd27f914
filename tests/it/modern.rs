//! The modern era, revision 2026-07-28, to the letter: what every request must bring, and what a client may expect.

use http::HeaderMap;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::clients::MODERN;
use crate::support::{
    Counter, Event, Gateway, Legacy, Modern, Open, Reply, code_of, conformance, eventually, message_of,
    scripted, shell, stats, text_of,
};

const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

/// Sends a body with exactly these headers beside those of HTTP.
async fn send(client: &Modern, headers: &[(&str, &str)], body: &Value) -> Reply {
    client.with_headers(headers, body.to_string()).await.whole().await
}

fn list() -> Value {
    Modern::body(&json!(1), "tools/list", json!({}))
}

fn echo() -> Value {
    Modern::body(&json!(1), "tools/call", json!({ "name": "s__echo", "arguments": { "message": "x" } }))
}

fn assert_refused(reply: &Reply, status: u16, code: i64) -> Value {
    let answer = reply.json();
    assert_eq!((reply.status, code_of(&answer)), (status, code), "{answer}");
    assert_eq!(answer["id"], 1, "{answer}");
    assert_no_session(&reply.headers);
    answer
}

fn assert_no_session(headers: &HeaderMap) {
    assert!(!headers.contains_key("mcp-session-id"), "there are no sessions in this era");
}

#[tokio::test]
async fn a_request_without_the_fields_of_its_era_is_refused_by_32602() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    let client = Modern::new(&gateway, "/mcp");
    let headers = [("mcp-protocol-version", MODERN), ("mcp-method", "tools/list")];
    let missing = |field: &str| {
        let mut body = list();
        body["params"]["_meta"].as_object_mut().unwrap().remove(field);
        body
    };
    let mut bodies = vec![
        json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" }),
        json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {} }),
        json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": { "_meta": {} } }),
        missing("io.modelcontextprotocol/protocolVersion"),
        missing("io.modelcontextprotocol/clientCapabilities"),
    ];
    for (field, wrong) in [("protocolVersion", json!(5)), ("clientCapabilities", json!("none"))] {
        let mut body = list();
        body["params"]["_meta"][format!("io.modelcontextprotocol/{field}")] = wrong;
        bodies.push(body);
    }
    for body in bodies {
        let refused = assert_refused(&send(&client, &headers, &body).await, 400, -32602);
        assert!(message_of(&refused).contains("io.modelcontextprotocol/"), "{refused}");
    }
    // Who the client is, is optional.
    let reply = send(&client, &headers, &missing("io.modelcontextprotocol/clientInfo")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}

#[tokio::test]
async fn a_header_that_does_not_mirror_the_body_is_refused_by_32020() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    let client = Modern::new(&gateway, "/mcp");
    let version = ("mcp-protocol-version", MODERN);
    let method = ("mcp-method", "tools/call");
    let name = ("mcp-name", "s__echo");
    let wrong: [&[(&str, &str)]; 11] = [
        &[method, name],
        &[version, name],
        &[version, method],
        &[("mcp-protocol-version", "2025-11-25"), method, name],
        &[version, ("mcp-method", "tools/list"), name],
        &[version, ("mcp-method", "TOOLS/CALL"), name],
        &[version, method, ("mcp-name", "s__sleep")],
        &[version, method, ("mcp-name", "S__ECHO")],
        &[version, method, ("mcp-name", "=?base64?!!!?=")],
        &[version, method, ("mcp-name", "=?base64?c19fc2xlZXA=?=")],
        &[version, method, name, name],
    ];
    for headers in wrong {
        let refused = assert_refused(&send(&client, headers, &echo()).await, 400, -32020);
        assert!(message_of(&refused).to_lowercase().contains("mcp-"), "the header is named: {refused}");
    }
    let right: [&[(&str, &str)]; 3] = [
        &[version, method, name],
        &[version, method, ("mcp-name", "=?base64?c19fZWNobw==?=")],
        &[("MCP-Protocol-Version", MODERN), ("Mcp-Method", "tools/call"), ("Mcp-Name", "s__echo")],
    ];
    for headers in right {
        let reply = send(&client, headers, &echo()).await;
        assert_eq!(text_of(&reply.json()), "x");
        assert_no_session(&reply.headers);
    }
}

#[tokio::test]
async fn the_name_is_mirrored_for_prompts_and_resources_too() {
    let gateway = Gateway::start(&conformance("c", &[])).await;
    let client = Modern::new(&gateway, "/mcp");
    for (method, params) in [
        ("prompts/get", json!({ "name": "c__test_simple_prompt" })),
        ("resources/read", json!({ "uri": "test://static-text" })),
    ] {
        let body = Modern::body(&json!(1), method, params.clone());
        let headers = [("mcp-protocol-version", MODERN), ("mcp-method", method)];
        assert_refused(&send(&client, &headers, &body).await, 400, -32020);
        let reply = client.request(method, params).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(reply.json()["result"]["resultType"], "complete");
    }
}

#[tokio::test]
async fn a_version_that_is_not_spoken_is_refused_by_32022_with_those_that_are() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    let client = Modern::new(&gateway, "/mcp");
    for version in ["2031-01-01", "v999", "2026-07-27"] {
        let mut body = list();
        body["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!(version);
        let headers = [("mcp-protocol-version", version), ("mcp-method", "tools/list")];
        let refused = assert_refused(&send(&client, &headers, &body).await, 400, -32022);
        assert_eq!(refused["error"]["data"], json!({ "supported": [MODERN], "requested": version }));
    }
}

#[tokio::test]
async fn what_the_era_has_removed_or_nobody_knows_is_refused_by_32601_and_404() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    for path in ["/mcp", "/mcp/s"] {
        let client = Modern::new(&gateway, path);
        for (method, params) in [
            ("initialize", json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {} })),
            ("ping", json!({})),
            ("logging/setLevel", json!({ "level": "info" })),
            ("resources/subscribe", json!({ "uri": "x://y" })),
            ("resources/unsubscribe", json!({ "uri": "x://y" })),
            ("no/such/method", json!({})),
        ] {
            let headers = [("mcp-protocol-version", MODERN), ("mcp-method", method)];
            let body = Modern::body(&json!(1), method, params);
            assert_refused(&send(&client, &headers, &body).await, 404, -32601);
        }
    }
}

#[tokio::test]
async fn discovery_tells_versions_capabilities_and_identity() {
    let config = conformance("c", &["--era", "legacy"]) + &scripted("s", &["--era", "modern"]);
    let gateway = Gateway::start(&config).await;
    let discover = async |path: &str| {
        let reply = Modern::new(&gateway, path).request("server/discover", json!({})).await;
        assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")));
        reply.json()["result"].clone()
    };
    let merged = discover("/mcp").await;
    assert_eq!(merged["resultType"], "complete");
    assert_eq!(merged["supportedVersions"], json!([MODERN]));
    for list in ["tools", "resources", "prompts"] {
        assert_eq!(merged["capabilities"][list]["listChanged"], true, "{merged}");
    }
    assert_eq!(merged["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "trunkline");
    assert!(
        merged["ttlMs"].is_u64() && ["public", "private"].contains(&merged["cacheScope"].as_str().unwrap())
    );
    let own = discover("/mcp/s").await;
    assert_eq!(
        own["_meta"]["io.modelcontextprotocol/serverInfo"],
        json!({ "name": "scripted", "version": "1" })
    );
    assert_eq!(own["capabilities"], json!({ "tools": { "listChanged": true }, "logging": {} }));
    let old = discover("/mcp/c").await;
    assert_eq!(old["supportedVersions"], json!([MODERN]), "whatever era the server itself speaks");
}

#[tokio::test]
async fn every_list_says_what_the_era_asks_of_it() {
    let gateway = Gateway::start(&conformance("c", &["--era", "legacy"])).await;
    for path in ["/mcp", "/mcp/c"] {
        let client = Modern::new(&gateway, path);
        for (method, field) in [
            ("tools/list", "tools"),
            ("prompts/list", "prompts"),
            ("resources/list", "resources"),
            ("resources/templates/list", "resourceTemplates"),
        ] {
            let reply = client.request(method, json!({})).await;
            let result = &reply.json()["result"];
            assert_eq!(result["resultType"], "complete");
            assert!(!result[field].as_array().unwrap().is_empty(), "{method}");
            assert_eq!(
                (&result["ttlMs"], &result["cacheScope"]),
                (&json!(0), &json!("private")),
                "a legacy server"
            );
            assert!(result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"].is_string());
        }
    }
}

#[tokio::test]
async fn codes_that_the_era_has_retired_do_not_reach_its_clients() {
    let case = r#"*'"resources/read"'*) printf '%s\n' '{"jsonrpc":"2.0","id":'"$id"',"error":{"code":-32002,"message":"no such resource","data":{"uri":"x://y"}}}' ;;"#;
    let gateway = Gateway::start(&shell("sh", r#""tools":{},"resources":{}"#, case)).await;
    let (legacy, modern) = (Legacy::open(&gateway, "/mcp/sh").await, Modern::new(&gateway, "/mcp/sh"));
    let old = legacy.request("resources/read", json!({ "uri": "x://y" })).await.json();
    assert_eq!(code_of(&old), -32002);
    let new = modern.request("resources/read", json!({ "uri": "x://y" })).await;
    assert_eq!((new.status, code_of(&new.json())), (200, -32602));
    assert_eq!(new.json()["error"]["data"], json!({ "uri": "x://y" }), "everything else is kept");
}

#[tokio::test]
async fn a_servers_own_errors_get_the_status_that_goes_with_their_code() {
    let config = conformance("c", &["--era", "modern"]) + &scripted("s", &["--era", "modern"]);
    let gateway = Gateway::start(&config).await;
    let client = Modern::new(&gateway, "/mcp");
    let refused = client.request("tools/call", json!({ "name": "c__test_missing_capability" })).await;
    let answer = refused.json();
    assert_eq!((refused.status, code_of(&answer)), (400, -32021), "{answer}");
    assert!(answer["error"]["data"]["requiredCapabilities"]["sampling"].is_object(), "{answer}");
    for (code, status) in [(-32601, 404), (-32602, 200), (-32603, 200), (12345, 200)] {
        let refused =
            client.request("tools/call", json!({ "name": "s__refuse", "arguments": { "code": code } })).await;
        assert_eq!((refused.status, code_of(&refused.json())), (status, code));
        assert_eq!(message_of(&refused.json()), "refused");
    }
}

#[tokio::test]
async fn a_notification_is_taken_and_a_response_is_not() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    let client = Modern::new(&gateway, "/mcp");
    let body =
        json!({ "jsonrpc": "2.0", "method": "notifications/x", "params": { "_meta": Modern::meta() } });
    let reply = client.post(&body).await.whole().await;
    assert_eq!((reply.status, reply.text()), (202, ""));
    let headers = [("mcp-protocol-version", MODERN)];
    let reply = send(&client, &headers, &json!({ "jsonrpc": "2.0", "id": 1, "result": {} })).await;
    assert_eq!((reply.status, code_of(&reply.json())), (400, -32600));
}

async fn listen(client: &Modern, id: Value, wanted: Value) -> Open {
    let open =
        client.post(&Modern::body(&id, "subscriptions/listen", json!({ "notifications": wanted }))).await;
    assert_eq!((open.status, open.header("content-type")), (200, Some("text/event-stream")));
    open
}

/// The first message on a stream of changes, which must be the acknowledgement.
async fn acknowledged(open: &mut Open, id: &Value) -> Value {
    let first = open.message().await.expect("an acknowledgement");
    assert_eq!(first["method"], "notifications/subscriptions/acknowledged");
    assert_eq!(&first["params"]["_meta"][SUBSCRIPTION], id);
    assert_eq!(first.get("id"), None);
    first["params"]["notifications"].clone()
}

#[tokio::test]
async fn a_subscription_is_acknowledged_first_hears_of_changes_and_ends_in_good_order() {
    for era in ["legacy", "modern"] {
        let config = scripted("s", &["--era", era]) + &scripted("other", &["--era", era]);
        let mut gateway = Gateway::start(&config).await;
        let (id, number) = (json!("sub — \"1\""), json!(42));
        let tools = json!({ "toolsListChanged": true });
        let mut merged = listen(&Modern::new(&gateway, "/mcp"), id.clone(), tools.clone()).await;
        let mut own = listen(&Modern::new(&gateway, "/mcp/s"), number.clone(), tools.clone()).await;
        let mut foreign = listen(&Modern::new(&gateway, "/mcp/other"), id.clone(), tools.clone()).await;
        let prompts = json!({ "promptsListChanged": true, "resourcesListChanged": false, "unheardOf": true });
        let mut unconcerned = listen(&Modern::new(&gateway, "/mcp"), number.clone(), prompts).await;
        assert_eq!(acknowledged(&mut merged, &id).await, tools);
        assert_eq!(acknowledged(&mut own, &number).await, tools);
        assert_eq!(acknowledged(&mut foreign, &id).await, tools);
        assert_eq!(acknowledged(&mut unconcerned, &number).await, json!({ "promptsListChanged": true }));

        let answer = Modern::new(&gateway, "/mcp").call("s__list-changed", json!({})).await;
        assert_eq!(text_of(&answer), "added `extra`");
        for (open, id) in [(&mut merged, &id), (&mut own, &number)] {
            let note = open.message().await.expect("a change");
            assert_eq!(note["method"], "notifications/tools/list_changed", "{era}");
            assert_eq!(&note["params"]["_meta"][SUBSCRIPTION], id);
        }
        let listed = Modern::new(&gateway, "/mcp").request("tools/list", json!({})).await.text().to_owned();
        assert!(
            listed.contains("s__extra") && !listed.contains("other__extra"),
            "whoever hears of it finds it"
        );
        assert_eq!(text_of(&Modern::new(&gateway, "/mcp").call("s__extra", json!({})).await), "extra");

        gateway.signal(Signal::TERM);
        for (mut open, id) in [(merged, &id), (own, &number), (foreign, &id), (unconcerned, &number)] {
            let end = open.message().await.expect("an end");
            assert_eq!(
                (&end["id"], &end["result"]["resultType"]),
                (id, &json!("complete")),
                "nothing else came before"
            );
            assert_eq!(&end["result"]["_meta"][SUBSCRIPTION], id);
            assert_eq!(open.event().await, None, "the stream ends");
        }
        assert_eq!(gateway.ended().await.code(), Some(0));
    }
}

#[tokio::test]
async fn a_subscription_to_nothing_in_particular_is_refused() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    let client = Modern::new(&gateway, "/mcp");
    for params in [json!({}), json!({ "notifications": true }), json!({ "notifications": [] })] {
        let reply = client.request("subscriptions/listen", params).await;
        assert_refused(&reply, 200, -32602);
    }
}

#[tokio::test]
async fn closing_the_connection_withdraws_the_call_at_the_server() {
    for era in ["legacy", "modern"] {
        let gateway = Gateway::start(&scripted("s", &["--era", era])).await;
        let legacy = Legacy::open(&gateway, "/mcp").await;
        let mut counter = Counter::start(&legacy, "s__stats").await;
        // One call without a word so far, and one whose stream has begun.
        let client = Modern::new(&gateway, "/mcp");
        let silent = tokio::spawn(async move { client.call("s__hang", json!({})).await });
        counter.reach(1).await;
        let params = json!({ "name": "s__stream", "arguments": { "notes": 100_000, "ms": 20 }, "_meta": { "progressToken": 1 } });
        let body = Modern::body(&json!(1), "tools/call", params);
        let mut streaming = Modern::new(&gateway, "/mcp").post(&body).await;
        assert!(matches!(streaming.event().await, Some(Event::Data(_))));
        assert_eq!(stats(&legacy, "s__stats").await["cancellations"], 0);
        silent.abort();
        for wanted in [1, 2] {
            eventually("the server hears of it", || async {
                (stats(&legacy, "s__stats").await["cancellations"] == wanted).then_some(())
            })
            .await;
            if wanted == 1 {
                streaming = Modern::new(&gateway, "/mcp").post(&list()).await;
            }
        }
        drop(streaming);
    }
}
