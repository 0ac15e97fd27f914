//! Kept results: whose they are, how long they live, how a client passes them by, and what an operator sees and does.

use std::process::Output;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::Instant;

use crate::support::keys::new_key;
use crate::support::wire::{self, Reply};
use crate::support::{
    Backend, Gateway, Legacy, Modern, eventually, scripted, servers, service, stats, text_of, within,
};

/// Whether an answer came from memory.
fn is_kept(answer: &Value) -> bool {
    answer["result"]["_meta"]["dev.trunkline/cache"]["ageMs"].is_u64()
}

fn keeping(name: &str, rules: &str) -> String {
    format!("{}[servers.{name}.tools]\n{rules}\n", scripted(name, &[]))
}

/// Calls a tool of `s` without arguments by the way for callers without MCP.
async fn call(gateway: &Gateway, tool: &str, headers: &[(&str, &str)]) -> Reply {
    let body = json!({ "name": tool, "arguments": {} }).to_string();
    wire::request(gateway.address, "POST", "/mcp/s/tools/call", headers, body).await.whole().await
}

async fn cache(gateway: &Gateway, arguments: &[&str]) -> Output {
    let mut command = Command::new(servers::PROGRAM);
    command.arg("cache").args(arguments).env("TRUNKLINE_URL", format!("http://{}", gateway.address));
    within("a command", command.kill_on_drop(true).output()).await.expect("run")
}

/// What `trunkline cache` says that has gone well.
async fn said(gateway: &Gateway, arguments: &[&str]) -> String {
    let output = cache(gateway, arguments).await;
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    [output.stdout, output.stderr].map(|text| String::from_utf8(text).expect("text")).concat()
}

#[tokio::test]
async fn a_kept_result_is_its_callers_alone_unless_the_operator_calls_it_public() {
    let config = "[auth]\nanonymous = \"never\"\n".to_owned()
        + &keeping("s", "cache = { \"*\" = \"1h\" }\ncache_public = [\"who*\"]\n");
    let gateway = Gateway::start(&config).await;
    let (alice, bob) = (new_key(&gateway, &["alice"]), new_key(&gateway, &["bob"]));
    let [alice, bob] = [alice, bob].map(|key| format!("Bearer {key}"));
    let as_somebody = async |who: &str, tool: &str| {
        let reply = call(&gateway, tool, &[("authorization", who)]).await;
        (reply.status == 200).then(|| reply.json())
    };
    for who in [&alice, &bob] {
        eventually("the key is known", || as_somebody(who, "echo")).await;
    }
    for (tool, shared) in [("stats", false), ("whoami", true)] {
        let first = as_somebody(&alice, tool).await.unwrap();
        let own = as_somebody(&alice, tool).await.unwrap();
        assert_eq!((is_kept(&first), is_kept(&own), text_of(&own)), (false, true, text_of(&first)), "{tool}");
        let others = as_somebody(&bob, tool).await.unwrap();
        assert_eq!((is_kept(&others), text_of(&others) == text_of(&first)), (shared, shared), "{tool}");
    }
    // What each was told stays apart afterwards as well.
    let (hers, his) =
        (as_somebody(&alice, "stats").await.unwrap(), as_somebody(&bob, "stats").await.unwrap());
    assert!(is_kept(&hers) && is_kept(&his) && text_of(&hers) != text_of(&his), "{hers} {his}");
}

#[tokio::test]
async fn a_kept_result_lives_as_long_as_the_operator_says_and_no_longer() {
    const LIFE: Duration = Duration::from_millis(400);
    let gateway = Gateway::start(&keeping("s", "cache = { stats = \"400ms\", whoami = \"1h\" }")).await;
    let client = Legacy::open(&gateway, "/mcp/s").await;
    client.call("whoami", json!({})).await;
    let before = Instant::now();
    let first = client.text("stats", json!({})).await;
    let next = eventually("it is asked for again", || async {
        let answer = client.call("stats", json!({})).await;
        let age = answer["result"]["_meta"]["dev.trunkline/cache"]["ageMs"].as_u64();
        assert!(age.is_none_or(|age| Duration::from_millis(age) < LIFE), "{answer}");
        (!is_kept(&answer)).then(|| text_of(&answer))
    })
    .await;
    assert!(before.elapsed() >= LIFE && next != first, "{first} {next}");
    assert!(is_kept(&client.call("whoami", json!({})).await), "each tool has its own time");
}

#[tokio::test]
async fn a_client_passes_by_what_is_kept_and_what_it_gets_is_kept_instead() {
    let gateway = Gateway::start(&keeping("s", "cache = { stats = \"1h\" }")).await;
    let first = call(&gateway, "stats", &[]).await.json();
    let fresh = call(&gateway, "stats", &[("cache-control", "no-cache")]).await.json();
    let again = call(&gateway, "stats", &[("cache-control", "max-age=60")]).await.json();
    assert!(!is_kept(&fresh) && text_of(&fresh) != text_of(&first), "{first} {fresh}");
    assert!(is_kept(&again) && text_of(&again) == text_of(&fresh), "{fresh} {again}");
    let line = |outcome: &str| format!(r#"trunkline_result_cache_total{{server="s",outcome="{outcome}"}} 1"#);
    let metrics = gateway.get("/metrics", &[]).await;
    for outcome in ["hit", "miss", "bypass"] {
        assert!(metrics.text().contains(&line(outcome)), "{}", metrics.text());
    }
    let rows = eventually("the rows are on file", || async {
        let rows = gateway.get("/api/v1/activity?tool=stats", &[]).await.json();
        let rows = rows["records"].as_array()?.iter().map(|row| row["cache"].clone()).collect::<Vec<_>>();
        (rows.len() == 3).then_some(rows)
    })
    .await;
    assert_eq!(rows, ["hit", "bypass", "miss"]);
}

#[tokio::test]
async fn an_operator_sees_what_is_kept_and_has_it_forgotten_as_far_as_he_says() {
    let ollama = Backend::ollama(0).await;
    let config = service("o", &ollama.url)
        + "\n[enhance]\nservice = \"o\"\n"
        + &keeping("s", "cache = { whoami = \"1h\", meta = \"1h\" }")
        + &keeping("t", "cache = { whoami = \"1h\" }");
    let gateway = Gateway::start(&config).await;
    let client = Modern::new(&gateway, "/mcp");
    let legacy = Legacy::open(&gateway, "/mcp").await;
    let enhanced = async || {
        let headers = [("content-type", "application/json")];
        let body = json!({ "prompt": "a poem" }).to_string();
        wire::request(gateway.address, "POST", "/enhance", &headers, body).await.whole().await.json()
    };
    let kept = async || {
        let mut kept = Vec::new();
        for tool in ["s__whoami", "s__meta", "t__whoami"] {
            kept.push(is_kept(&client.call(tool, json!({})).await));
        }
        kept.push(enhanced().await["cached"] == true);
        kept
    };
    assert_eq!(kept().await, [false; 4]);
    assert_eq!(kept().await, [true; 4]);
    let told = said(&gateway, &[]).await;
    let first = told.lines().nth(1).unwrap_or_default().split_whitespace().collect::<Vec<_>>();
    assert_eq!(first, ["s", "2", "2", "0", "50", "%"], "{told}");
    assert!(
        told.contains("kept: 3 results, ") && told.contains("1 better prompt; 1 hits, 1 misses"),
        "{told}"
    );
    let status = gateway.get("/api/v1/status", &[]).await.json();
    let figures = gateway.get("/api/v1/cache", &[]).await.json();
    assert_eq!((&status["cache"], &figures["hits"]), (&figures, &json!(3)));
    // Each forgets what it names; what is asked for then is kept again.
    let lists = async || stats(&legacy, "s__stats").await["lists"].as_u64().unwrap();
    let before = lists().await;
    for (arguments, left) in [
        (&["clear", "s", "meta"][..], [true, false, true, true]),
        (&["clear", "s"], [false, false, true, true]),
        (&["clear"], [false; 4]),
        (&["warm"], [true; 4]),
    ] {
        said(&gateway, arguments).await;
        assert_eq!(kept().await, left, "{arguments:?}");
    }
    eventually("lists have been read again", || async { (lists().await > before).then_some(()) }).await;
    let refused = cache(&gateway, &["clear", "nobody"]).await;
    assert!(String::from_utf8_lossy(&refused.stderr).contains("there is no server 'nobody'"), "{refused:?}");
    assert_eq!(refused.status.code(), Some(1));
    let path = "/api/v1/cache/clear?tool=whoami";
    let refused =
        wire::request(gateway.address, "POST", path, &[("x-trunkline", "1")], "").await.whole().await;
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert!(gateway.log().contains("results of 'meta' at 's' are forgotten"), "the audit log has it");
}

#[tokio::test]
async fn a_server_that_sleeps_is_woken_by_warming() {
    let config = scripted("s", &[]) + "idle_stop = \"100ms\"\n" + &scripted("t", &[]);
    let gateway = Gateway::start(&config).await;
    gateway.in_state("s", &["dormant"]).await;
    assert!(said(&gateway, &["warm", "t"]).await.contains("lists of 1 servers are read again, 0 servers"));
    let generation =
        async || gateway.get("/api/v1/servers/s", &[]).await.json()["generation"].as_u64().unwrap();
    let before = generation().await;
    assert!(
        said(&gateway, &["warm"]).await.contains("lists of 1 servers are read again, 1 servers are woken")
    );
    eventually("it has been started", || async { (generation().await > before).then_some(()) }).await;
}
