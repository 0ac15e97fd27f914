//! `ttlMs` and `cacheScope`: what a modern server allows, and what is passed on of it.

use serde_json::{Value, json};

use crate::support::stub::{Seen, Stub};
use crate::support::{Gateway, Legacy, Modern, demo, eventually, over_http, scripted};

/// A modern server whose lists may be kept for a minute by everybody, and whose resources for as long as their URI says.
pub async fn server() -> Stub {
    Stub::start(|request| {
        ("200 OK\r\ncontent-type: application/json".to_owned(), answer(request).to_string())
    })
    .await
}

fn answer(request: &Seen) -> Value {
    let Ok(message) = serde_json::from_str::<Value>(&request.body) else { return Value::Null };
    let uri = message["params"]["uri"].as_str().unwrap_or_default();
    let minute = json!({ "ttlMs": 60_000, "cacheScope": "public", "tools": [], "resources": [{ "uri": "keep://a", "name": "a" }], "resourceTemplates": [] });
    let mut result = match message["method"].as_str().unwrap_or_default() {
        "server/discover" => {
            json!({ "supportedVersions": ["2026-07-28"], "capabilities": { "tools": {}, "resources": {} } })
        }
        "resources/read" => {
            let ttl: u64 = uri.rsplit('/').next().and_then(|last| last.parse().ok()).unwrap_or(0);
            json!({ "ttlMs": ttl, "cacheScope": "private", "contents": [{ "uri": uri, "text": "t" }] })
        }
        _ => minute,
    };
    result["resultType"] = json!("complete");
    json!({ "jsonrpc": "2.0", "id": message["id"], "result": result })
}

fn reads(server: &Stub) -> usize {
    server.seen().iter().filter(|seen| seen.body.contains("resources/read")).count()
}

async fn read(client: &Modern, uri: &str) -> Value {
    let answer = client.request("resources/read", json!({ "uri": uri })).await.json();
    assert_eq!(answer["result"]["contents"][0]["uri"], uri, "{answer}");
    answer["result"].clone()
}

#[tokio::test]
async fn a_resource_is_read_once_for_as_long_as_its_server_allows() {
    let server = server().await;
    let gateway = Gateway::start(&over_http("s", &server.url("/mcp"))).await;
    let client = Modern::new(&gateway, "/mcp");
    let first = read(&client, "keep://a/60000").await;
    assert_eq!(first["ttlMs"], 60_000);
    let again = read(&client, "keep://a/60000").await;
    let left = again["ttlMs"].as_u64().unwrap();
    assert!((1..60_000).contains(&left), "what is left of its time: {left}");
    assert_eq!((&again["cacheScope"], reads(&server)), (&json!("private"), 1));

    // A client of the older era is served from it too, in its own words.
    let old = Legacy::open(&gateway, "/mcp/s").await;
    let shown = old.request("resources/read", json!({ "uri": "keep://a/60000" })).await.json();
    assert_eq!(shown["result"], json!({ "contents": [{ "uri": "keep://a/60000", "text": "t" }] }));
    assert_eq!(reads(&server), 1);
    let metrics = gateway.get("/metrics", &[]).await;
    for (outcome, count) in [("hit", 2), ("miss", 1)] {
        let line = format!(r#"trunkline_result_cache_total{{server="s",outcome="{outcome}"}} {count}"#);
        assert!(metrics.text().contains(&line), "{line}");
    }

    // What may not be kept is asked for each time, and so is what answers questions.
    for _ in 0..2 {
        read(&client, "keep://a/0").await;
        let answers = json!({ "uri": "keep://a/60000", "inputResponses": {} });
        client.request("resources/read", answers).await;
    }
    assert_eq!(reads(&server), 5);

    // Time is up.
    eventually("it is read again", || async {
        read(&client, "keep://a/50").await;
        (reads(&server) >= 7).then_some(())
    })
    .await;
}

#[tokio::test]
async fn lists_say_what_is_left_of_their_time_and_the_most_careful_part_rules() {
    let server = server().await;
    let kind = over_http("s", &server.url("/mcp"));
    let gateway = Gateway::start(&kind).await;
    for path in ["/mcp", "/mcp/s"] {
        for method in ["tools/list", "resources/list", "server/discover"] {
            let result =
                Modern::new(&gateway, path).request(method, json!({})).await.json()["result"].clone();
            let ttl = result["ttlMs"].as_u64().unwrap();
            assert!((1..=60_000).contains(&ttl), "{method} {ttl}");
            assert_eq!(result["cacheScope"], "public", "{method}");
        }
    }
    for careful in [scripted("old", &["--era", "legacy"]), demo("demo")] {
        let gateway = Gateway::start(&(kind.clone() + &careful)).await;
        let result =
            Modern::new(&gateway, "/mcp").request("tools/list", json!({})).await.json()["result"].clone();
        assert_eq!((&result["ttlMs"], &result["cacheScope"]), (&json!(0), &json!("private")), "{careful}");
    }
}
