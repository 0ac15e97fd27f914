//! Prompts in calls of tools, made better on their way: where, by whose word, and that no call fails for it.

use serde_json::{Value, json};

use crate::support::{Backend, Gateway, Legacy, Modern, scripted, service, text_of, wire};

const MARK: &str = "dev.trunkline/enhanced";

async fn started(server: &str, more: &str) -> (Backend, Gateway) {
    let ollama = Backend::ollama(0).await;
    let config = service("o", &ollama.url)
        + "\n[enhance]\nservice = \"o\"\ntimeout = \"2s\"\n[enhance.clients.private]\nprivacy = \"none\"\n"
        + server
        + "[servers.s.tools.enhance]\n"
        + more;
    (ollama, Gateway::start(&config).await)
}

/// Calls `echo` by the way for callers without MCP, with these headers.
async fn echo(gateway: &Gateway, headers: &[(&str, &str)], message: &str) -> Value {
    let params = json!({ "name": "echo", "arguments": { "message": message } }).to_string();
    let reply = wire::request(gateway.address, "POST", "/mcp/s/tools/call", headers, params).await;
    let reply = reply.whole().await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

#[tokio::test]
async fn the_argument_that_the_operator_names_reaches_the_tool_in_better_words_and_nothing_else_changes() {
    let more = "echo = \"auto\"\nmeta = \"question\"\n";
    for server in [scripted("s", &["--era", "legacy"]), scripted("s", &["--era", "modern"])] {
        let (ollama, gateway) = started(&server, more).await;
        let (old, new) = (Legacy::open(&gateway, "/mcp").await, Modern::new(&gateway, "/mcp/s"));
        let answer = old.call("s__echo", json!({ "message": "hello" })).await;
        assert_eq!(text_of(&answer), "better: hello");
        let mark = json!({
            "argument": "message", "enhanced": true, "prompt": "better: hello", "model": "llama3.2:3b", "cached": false,
        });
        assert_eq!(answer["result"]["_meta"][MARK], mark);
        let again = new.call("echo", json!({ "message": "hello" })).await;
        assert_eq!(
            (text_of(&again), &again["result"]["_meta"][MARK]["cached"]),
            ("better: hello".into(), &json!(true))
        );
        assert_eq!(ollama.seen().await["generated"], 1);
        // The named argument, and no other, wherever it stands.
        let arguments = json!({ "a": "prompt", "prompt": "stays", "question": "why\n\"so\"?", "z": [1.0] });
        let seen: Value = serde_json::from_str(&text_of(&old.call("s__meta", arguments).await)).unwrap();
        let expected =
            json!({ "a": "prompt", "prompt": "stays", "question": "better: why\n\"so\"?", "z": [1.0] });
        assert_eq!((&seen["arguments"], &seen["name"]), (&expected, &json!("meta")));
        // What is no prompt is left alone, and so are tools that nobody named.
        for (tool, arguments) in [
            ("s__meta", json!({ "question": 1 })),
            ("s__meta", json!({})),
            ("s__sleep", json!({ "message": "x" })),
        ] {
            let answer = old.call(tool, arguments).await;
            assert_eq!(answer["result"]["_meta"][MARK], Value::Null, "{tool}: {answer}");
        }
        assert_eq!(ollama.seen().await["generated"], 2);
    }
}

#[tokio::test]
async fn a_header_asks_for_it_or_forbids_it_and_the_operators_no_stands() {
    let (ollama, gateway) = started(&scripted("s", &[]), "echo = \"none\"\n").await;
    let refused = echo(&gateway, &[("x-enhance", "true")], "hello").await;
    assert_eq!((text_of(&refused), &refused["result"]["_meta"][MARK]), ("hello".to_owned(), &Value::Null));
    assert_eq!(ollama.seen().await["generated"], 0);
    drop(gateway);
    let (_ollama, gateway) = started(&scripted("s", &[]), "meta = \"auto\"\n").await;
    for (headers, expected) in [
        (&[][..], "hello"),
        (&[("x-enhance", "true")], "better: hello"),
        (&[("x-enhance", "message")], "better: hello"),
        (&[("x-enhance", "other")], "hello"),
        (&[("x-enhance", "off")], "hello"),
    ] {
        assert_eq!(text_of(&echo(&gateway, headers, "hello").await), expected, "{headers:?}");
    }
    // Whose rule says that no model may see it, and who asks for that, is obeyed and told.
    for headers in [
        &[("x-enhance", "on"), ("x-client-name", "private")][..],
        &[("x-enhance", "on"), ("x-privacy-level", "none")],
        &[("x-enhance", "on"), ("x-privacy-level", "misspelt")],
    ] {
        let answer = echo(&gateway, headers, "secret").await;
        assert_eq!(text_of(&answer), "secret", "{headers:?}");
        let mark = &answer["result"]["_meta"][MARK];
        assert_eq!(mark["enhanced"], false);
        assert!(mark["reason"].as_str().unwrap().contains("privacy"), "{mark}");
    }
    let client = Modern::new(&gateway, "/mcp/s");
    let body =
        Modern::body(&json!(1), "tools/call", json!({ "name": "echo", "arguments": { "message": "m" } }));
    let headers = [
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", "echo"),
        ("x-enhance", "yes"),
    ];
    let reply = client.with_headers(&headers, body.to_string()).await.whole().await.json();
    assert_eq!(text_of(&reply), "better: m");
}

#[tokio::test]
async fn a_model_that_is_down_or_slow_costs_a_call_nothing_but_the_better_words() {
    let (ollama, gateway) = started(&scripted("s", &[]), "echo = \"auto\"\n").await;
    ollama.behave(json!({ "slow": 600_000 })).await;
    let slow = echo(&gateway, &[], "slow").await;
    assert_eq!(text_of(&slow), "slow");
    assert!(slow["result"]["_meta"][MARK]["reason"].as_str().unwrap().contains("enhance.timeout"), "{slow}");
    drop(ollama);
    for number in 0..4 {
        let answer = echo(&gateway, &[], &format!("down {number}")).await;
        assert_eq!(text_of(&answer), format!("down {number}"));
        assert_eq!(answer["result"]["_meta"][MARK]["enhanced"], false, "{answer}");
    }
    let stats = gateway.get("/enhance/stats", &[]).await.json();
    assert_eq!(stats["breaker"], "open", "{stats}");
}
