//! Results of tools that are kept where the operator says so: what is asked once, what each time, and for how long.

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{
    Backend, Gateway, Legacy, Modern, eventually, over_http, scripted, stats, text_of, wire,
};

/// How old a kept result says that it is; nothing for one that comes from the server.
fn age(answer: &Value) -> Option<u64> {
    answer["result"]["_meta"]["dev.trunkline/cache"]["ageMs"].as_u64()
}

fn keeping(args: &[&str], rules: &str) -> String {
    format!("{}[servers.s.tools]\n{rules}\n", scripted("s", args))
}

/// Calls that have reached the server, without those by which it is asked.
async fn calls(client: &Legacy) -> u64 {
    stats(client, "stats").await["calls"].as_u64().unwrap() - 1
}

#[tokio::test]
async fn a_tool_that_the_operator_names_is_called_once_and_any_other_each_time() {
    for era in ["legacy", "modern"] {
        let config = keeping(&["--era", era], "cache = { \"me*\" = \"1h\", \"echo\" = \"1h\" }");
        let gateway = Gateway::start(&config).await;
        let (old, new) = (Legacy::open(&gateway, "/mcp/s").await, Modern::new(&gateway, "/mcp"));
        let first = old.call("meta", json!({ "a": 1, "b": [1, 2] })).await;
        assert_eq!(age(&first), None, "{era}: {first}");
        let again = old.request(
            "tools/call",
            // The same in other words, by somebody who wants to hear of progress and is traced.
            json!({ "arguments": { "b": [1, 2], "a": 1 }, "name": "meta", "_meta": { "progressToken": 7 } }),
        );
        let again = again.await.json();
        assert!(age(&again).is_some(), "{era}: {again}");
        assert_eq!(again["result"]["content"], first["result"]["content"]);
        let before = calls(&old).await;
        // To a server that is told with each request what the client can do, a client of another era is another.
        let other = new.call("s__meta", json!({ "a": 1, "b": [1, 2] })).await;
        assert_eq!(age(&other).is_some(), era == "legacy", "{era}: {other}");
        assert_eq!(other["result"]["resultType"], "complete");
        assert!(age(&new.call("s__meta", json!({ "a": 1, "b": [1, 2] })).await).is_some());
        // Whatever else is asked is asked.
        for arguments in [json!({ "a": 1 }), json!({ "a": 1, "b": [2, 1] }), json!({ "a": 1.0, "b": [1, 2] })]
        {
            assert_eq!(age(&old.call("meta", arguments.clone()).await), None, "{arguments}");
        }
        let named = json!({ "name": "meta", "arguments": { "a": 1, "b": [1, 2] }, "_meta": { "own": 1 } });
        assert_eq!(age(&old.request("tools/call", named).await.json()), None);
        for _ in 0..2 {
            assert_eq!(age(&old.call("whoami", json!({})).await), None, "no pattern names it");
        }
        let asked = calls(&old).await - before - 1;
        assert_eq!(asked, if era == "legacy" { 6 } else { 7 }, "{era}");
        let metrics = gateway.get("/metrics", &[]).await;
        for (outcome, count) in [("hit", if era == "legacy" { 3 } else { 2 }), ("miss", asked - 1)] {
            let line = format!(r#"trunkline_result_cache_total{{server="s",outcome="{outcome}"}} {count}"#);
            assert!(metrics.text().contains(&line), "{era}: {line} is not in\n{}", metrics.text());
        }
    }
}

#[tokio::test]
async fn fifty_equal_calls_at_once_are_one() {
    let gateway = Gateway::start(&keeping(&[], "cache = { sleep = \"1h\" }")).await;
    let client = Legacy::open(&gateway, "/mcp/s").await;
    let all: Vec<_> = (0..50)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.call("sleep", json!({ "ms": 700 })).await })
        })
        .collect();
    for one in all {
        assert_eq!(text_of(&one.await.unwrap()), "slept");
    }
    assert_eq!(calls(&client).await, 1);
}

#[tokio::test]
async fn what_failed_or_came_with_more_than_its_result_is_not_kept() {
    let gateway = Gateway::start(&keeping(&[], "cache = { \"*\" = \"1h\", stats = \"none\" }")).await;
    let client = Legacy::open(&gateway, "/mcp/s").await;
    let refused = json!({ "code": -32000 });
    let log = json!({ "level": "error", "text": "a line that somebody is to read" });
    for (tool, arguments) in [("fail", json!({})), ("refuse", refused), ("log", log)] {
        let before = calls(&client).await;
        for _ in 0..2 {
            assert_eq!(age(&last(&client, tool, &arguments).await), None, "{tool}");
        }
        assert_eq!(calls(&client).await, before + 3, "{tool}");
    }
    // Progress says nothing that the result does not.
    let notes = json!({ "notes": 2 });
    assert_eq!(age(&last(&client, "stream", &notes).await), None);
    assert!(age(&last(&client, "stream", &notes).await).is_some());
}

/// The answer to a call, whatever goes before it.
async fn last(client: &Legacy, tool: &str, arguments: &Value) -> Value {
    let params = json!({ "name": tool, "arguments": arguments, "_meta": { "progressToken": 1 } });
    client.request("tools/call", params).await.messages().pop().unwrap()
}

#[tokio::test]
async fn a_new_start_or_another_entry_forgets_what_the_one_before_said() {
    let config = keeping(&[], "cache = { whoami = \"1h\" }");
    let gateway = Gateway::start(&config).await;
    let client = Legacy::open(&gateway, "/mcp/s").await;
    let first = client.text("whoami", json!({})).await;
    assert_eq!(client.text("whoami", json!({})).await, first);
    client.call("kill9", json!({})).await;
    let second = eventually("it is another process", || async {
        let answer = client.call("whoami", json!({})).await;
        let text = answer["result"]["content"][0]["text"].as_str()?.to_owned();
        (text != first).then_some(text)
    })
    .await;
    assert_eq!(client.text("whoami", json!({})).await, second);
    // A server that goes and comes back counts its starts anew.
    let write = |text: &str| std::fs::write(gateway.folder().join("gateway.toml"), text).unwrap();
    write(&scripted("other", &[]));
    gateway.signal(Signal::HUP);
    gateway.in_state("other", &["ready"]).await;
    write(&config);
    gateway.signal(Signal::HUP);
    gateway.in_state("s", &["ready"]).await;
    let client = Legacy::open(&gateway, "/mcp/s").await;
    let third = client.text("whoami", json!({})).await;
    assert!(third != first && third != second, "{third}");
}

#[tokio::test]
async fn what_a_process_of_ones_own_says_is_kept_for_nobody() {
    for isolation in ["session", "principal"] {
        let keys = format!("isolation = {isolation:?}\n[servers.s.tools]\n");
        let config = keeping(&[], "cache = { whoami = \"1h\" }\ncache_public = [\"*\"]");
        let gateway = Gateway::start(&config.replace("[servers.s.tools]\n", &keys)).await;
        for _ in 0..2 {
            let client = Legacy::open(&gateway, "/mcp/s").await;
            for _ in 0..2 {
                assert_eq!(age(&client.call("whoami", json!({})).await), None, "{isolation}");
            }
        }
    }
}

#[tokio::test]
async fn a_tool_that_says_so_is_kept_by_one_key_and_the_operators_pattern_goes_before() {
    let server = Backend::start("scripted-server", &[]).await;
    let config = over_http("s", &server.url)
        + "[servers.s.tools]\ncache_hinted = \"1h\"\n"
        + &over_http("t", &server.url)
        + "[servers.t.tools]\ncache_hinted = \"1h\"\ncache = { \"*\" = \"none\" }\n";
    let gateway = Gateway::start(&config).await;
    for (path, kept) in [("/mcp/s", true), ("/mcp/t", false)] {
        let client = Modern::new(&gateway, path);
        for tool in ["meta", "whoami"] {
            client.call(tool, json!({})).await;
            let again = client.call(tool, json!({})).await;
            assert_eq!(age(&again).is_some(), kept && tool == "meta", "{path} {tool}");
        }
    }
}

#[tokio::test]
async fn memory_is_bounded_and_a_bound_of_nothing_keeps_nothing() {
    for (size, kept) in [("0", 0), ("\"4KiB\"", 2)] {
        let config =
            format!("[gateway]\nresult_cache = {size}\n") + &keeping(&[], "cache = { big = \"1h\" }");
        let gateway = Gateway::start(&config).await;
        let client = Legacy::open(&gateway, "/mcp/s").await;
        for bytes in [1000, 1001, 1002, 1003] {
            client.call("big", json!({ "bytes": bytes })).await;
        }
        assert_eq!(gateway.metric("trunkline_result_cache_entries").await, Some(f64::from(kept)), "{size}");
        assert_eq!(age(&client.call("big", json!({ "bytes": 1003 })).await).is_some(), kept > 0);
        assert_eq!(age(&client.call("big", json!({ "bytes": 1000 })).await), None);
    }
}

#[tokio::test]
async fn what_an_earlier_start_has_said_is_forgotten_when_the_next_one_answers_though_nobody_asks() {
    let other = format!("{}[servers.t.tools]\ncache = {{ echo = \"1h\" }}\n", scripted("t", &[]));
    let config = keeping(&[], "cache = { echo = \"1h\" }") + &other;
    let gateway = Gateway::start(&config).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    for tool in ["s__echo", "t__echo"] {
        client.text(tool, json!({ "message": "x" })).await;
    }
    let kept = async || gateway.get("/api/v1/cache", &[]).await.json()["entries"].as_u64().unwrap();
    assert_eq!(kept().await, 2);
    let order = async |path: &str| {
        let headers = [("x-trunkline", "1")];
        let path = format!("/api/v1{path}");
        wire::request(gateway.address, "POST", &path, &headers, "").await.whole().await.status
    };
    assert_eq!(order("/servers/s/stop").await, 202);
    gateway.in_state("s", &["stopped"]).await;
    assert_eq!(kept().await, 2, "what has stopped may come back as it was");
    assert_eq!(order("/servers/s/start").await, 202);
    eventually("its results are forgotten", || async { (kept().await == 1).then_some(()) }).await;
    assert!(age(&client.call("t__echo", json!({ "message": "x" })).await).is_some(), "the other's are not");
    // What has left the configuration says nothing more.
    let file = gateway.folder().join("gateway.toml");
    std::fs::write(&file, keeping(&[], "cache = { echo = \"1h\" }")).unwrap();
    assert_eq!(order("/reload").await, 200);
    eventually("nothing is kept", || async { (kept().await == 0).then_some(()) }).await;
}
