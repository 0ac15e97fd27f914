//! The activity log of a real gateway: what has a row, and that each field of it is true.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use trunkline::base::utc;

use crate::activity::activity;
use crate::caching;
use crate::support::{
    Backend, Gateway, Legacy, Modern, eventually, over_http, processes, scripted, service, wire,
};

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

async fn stopped(gateway: &mut Gateway) {
    gateway.signal(Signal::TERM);
    gateway.ended().await;
}

fn columns(rows: &[Value], names: &[&str]) -> Vec<Value> {
    rows.iter().map(|row| names.iter().map(|name| row[*name].clone()).collect()).collect()
}

#[tokio::test]
async fn whatever_reaches_the_gateway_has_a_row_whether_or_not_it_is_a_call() {
    let ollama = Backend::ollama(0).await;
    let config = service("o", &ollama.url) + "\n[enhance]\nservice = \"o\"\n" + &scripted("s", &[]);
    let mut gateway = Gateway::start(&config).await;
    let address = gateway.address;
    let ask = |verb: &'static str,
               path: &'static str,
               headers: Vec<(&'static str, &'static str)>,
               body: &'static str| async move {
        wire::request(address, verb, path, &headers, body).await.whole().await
    };
    let json_type = vec![("content-type", "application/json")];
    let client = Legacy::open(&gateway, "/mcp").await;
    let stream = client.stream().await;
    client.request("resources/subscribe", json!({ "uri": "none://a" })).await;
    client.request("resources/unsubscribe", json!({ "uri": "none://a" })).await;
    drop(stream);
    client.delete().await;
    let modern = Modern::new(&gateway, "/mcp");
    let listen = Modern::body(&json!(7), "subscriptions/listen", json!({ "notifications": {} }));
    drop(modern.post(&listen).await);
    client.request("ping", json!({})).await;
    ask("POST", "/mcp", json_type.clone(), "{nonsense").await;
    ask("POST", "/mcp", vec![("content-type", "text/plain")], "{}").await;
    ask("POST", "/mcp/nowhere", json_type.clone(), "{}").await;
    ask("GET", "/mcp", vec![("origin", "https://evil.example")], "").await;
    ask("POST", "/mcp/s/tools/call", json_type.clone(), r#"{"name":"echo","arguments":{"message":"x"}}"#)
        .await;
    ask("POST", "/mcp/s/initialize", json_type.clone(), "{}").await;
    ask("PUT", "/services/o/some/where?q=secret", vec![("traceparent", PARENT)], "a body").await;
    ask("GET", "/services/nobody/x", vec![], "").await;
    let named = vec![("content-type", "application/json"), ("x-client-name", "editor")];
    ask("POST", "/enhance", named, r#"{"prompt":"a secret poem"}"#).await;
    ask("POST", "/enhance", json_type, "{}").await;
    stopped(&mut gateway).await;

    let rows = activity(&gateway, &[]);
    let found = columns(&rows, &["method", "name", "server", "outcome", "code"]);
    let expected = json!([
        ["initialize", null, null, "ok", null],
        ["GET", "/mcp", null, "ok", null],
        ["resources/subscribe", "none://a", null, "resource_not_found", -32002],
        ["resources/unsubscribe", "none://a", null, "ok", null],
        ["DELETE", "/mcp", null, "ok", null],
        ["subscriptions/listen", null, null, "ok", null],
        ["ping", null, null, "session_not_found", -32001],
        ["POST", "/mcp", null, "parse", -32700],
        ["POST", "/mcp", null, "invalid_request", 415],
        ["POST", "/mcp/nowhere", null, "invalid_request", -32600],
        ["GET", "/mcp", null, "invalid_request", 403],
        ["tools/call", "echo", "s", "ok", null],
        ["POST", "/mcp/s/initialize", null, "ok", null],
        ["PUT", "/services/o/some/where", "o", "ok", null],
        ["GET", "/services/nobody/x", null, "invalid_request", 404],
        ["POST", "/enhance", null, "ok", null],
        ["POST", "/enhance", null, "invalid_request", 400],
    ]);
    assert_eq!(json!(found), expected, "{found:#?}");
    let of_session = &rows[0]["session"];
    assert!(of_session.is_string());
    for at in [1, 2, 3, 4] {
        assert_eq!(&rows[at]["session"], of_session, "{}", rows[at]);
    }
    assert_eq!(rows[10]["principal"], "", "who is refused for an origin is not known");
    assert!(rows.iter().enumerate().all(|(at, row)| at == 10 || row["principal"] == "anonymous"), "{rows:?}");
    assert_eq!((&rows[13]["trace"], &rows[13]["bytes_in"]), (&json!(&PARENT[3..35]), &json!(6)));
    assert_eq!(rows[15]["client"], "editor");
    assert_eq!((&rows[0]["client"], &rows[5]["client"]), (&json!("it"), &json!("it")));
    let text = json!(rows).to_string();
    assert!(!text.contains("poem") && !text.contains("q=secret"), "{text}");
}

#[tokio::test]
async fn ids_sizes_times_and_progress_of_a_row_are_those_of_the_call() {
    let config = scripted("s", &[]) + "max_in_flight = 1\n";
    let mut gateway = Gateway::start(&config).await;
    let client = Modern::new(&gateway, "/mcp/s");
    let name = |tool: &str, arguments: Value| json!({ "name": tool, "arguments": arguments });
    let mut params = name("echo", json!({ "message": "x" }));
    params["_meta"] = json!({ "traceparent": PARENT });
    let body = Modern::body(&json!("an \"id\""), "tools/call", params);
    let reply = client.post(&body).await.whole().await;
    let sizes = (body.to_string().len(), reply.text().len());

    let first = Modern::body(&json!(1), "tools/call", name("sleep", json!({ "ms": 400 })));
    let second = Modern::body(&json!(2), "tools/call", name("echo", json!({ "message": "x" })));
    let started = Instant::now();
    let sleeper = tokio::spawn({
        let client = client.clone();
        async move { client.post(&first).await.whole().await }
    });
    gateway.in_flight(1).await;
    client.post(&second).await.whole().await;
    let whole = started.elapsed();
    sleeper.await.unwrap();

    let mut params = name("stream", json!({ "notes": 3, "ms": 10 }));
    params["_meta"] = json!({ "progressToken": 5 });
    let body = Modern::body(&json!(3), "tools/call", params);
    let heard = client.post(&body).await.whole().await.messages();
    let victim = client.call("whoami", json!({})).await;
    let victim: Value = serde_json::from_str(&crate::support::text_of(&victim)).expect("JSON");
    processes::kill(victim["pid"].as_u64().expect("a pid"));
    gateway.in_state("s", &["ready"]).await;
    eventually("the next generation answers", || async {
        client.call("echo", json!({ "message": "x" })).await.get("result").map(|_| ())
    })
    .await;
    stopped(&mut gateway).await;

    let rows = activity(&gateway, &[]);
    let told = &rows[0];
    assert_eq!((&told["request"], &told["trace"]), (&json!(r#""an \"id\"""#), &json!(&PARENT[3..35])));
    assert_eq!((&told["bytes_in"], &told["bytes_out"]), (&json!(sizes.0), &json!(sizes.1)));
    let of = |name: &str| rows.iter().find(|row| row["name"] == name).unwrap();
    let slept = of("sleep");
    assert!(slept["upstream_us"].as_u64() >= Some(400_000), "{slept}");
    let waited = rows.iter().find(|row| row["request"] == "2").unwrap();
    let micros = |key: &str| waited[key].as_u64().unwrap();
    assert!(micros("total_us") <= whole.as_micros() as u64, "{waited}");
    // Its place was free when the first had ended; the two clocks agree to a millisecond.
    let came = utc::parse_rfc3339(waited["time"].as_str().unwrap()).unwrap();
    let free_after = slept["id"].as_i64().unwrap() - came;
    assert!(micros("queue_us").cast_signed() >= free_after - 1_000, "{slept} {waited}");
    let rest = micros("total_us") - micros("queue_us");
    assert!(micros("upstream_us") <= rest + 1, "waiting for a place is no time of the server: {waited}");
    let reports = heard.iter().filter(|message| message["method"] == "notifications/progress").count();
    assert_eq!(reports, 3, "{heard:?}");
    assert_eq!(of("stream")["progress"], json!(reports));
    assert_eq!((&told["generation"], &rows.last().unwrap()["generation"]), (&json!(1), &json!(2)));
    for row in rows.iter().filter(|row| row["upstream_us"].is_u64()) {
        let part = |key: &str| row[key].as_u64().unwrap();
        assert!(part("queue_us") + part("upstream_us") <= part("total_us") + 1, "{row}");
    }
}

#[tokio::test]
async fn a_row_says_what_the_breaker_did_and_whether_the_answer_was_kept() {
    let stub = caching::server().await;
    let config = scripted("s", &[])
        + "call_timeout = \"100ms\"\nbreaker = { open = \"300ms\" }\n"
        + &over_http("keeps", &stub.url("/mcp"));
    let mut gateway = Gateway::start(&config).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    for _ in 0..3 {
        client.call("s__hang", json!({})).await;
    }
    client.call("s__echo", json!({ "message": "x" })).await;
    sleep(Duration::from_millis(350)).await;
    client.call("s__echo", json!({ "message": "x" })).await;
    client.call("s__echo", json!({ "message": "x" })).await;
    let modern = Modern::new(&gateway, "/mcp/keeps");
    for _ in 0..2 {
        modern.request("resources/read", json!({ "uri": "keep://a/60000" })).await;
    }
    stopped(&mut gateway).await;
    let rows = activity(&gateway, &["--server", "s"]);
    let found = columns(&rows, &["name", "outcome", "breaker", "cancelled_by"]);
    let expected = json!([
        ["hang", "timeout", "closed", "deadline"],
        ["hang", "timeout", "closed", "deadline"],
        ["hang", "timeout", "closed", "deadline"],
        ["echo", "unavailable", "open", null],
        ["echo", "ok", "half_open", null],
        ["echo", "ok", "closed", null],
    ]);
    assert_eq!(json!(found), expected);
    assert_eq!((&rows[3]["upstream_us"], &rows[3]["generation"]), (&Value::Null, &Value::Null));
    let kept = activity(&gateway, &["--server", "keeps"]);
    assert_eq!(
        json!(columns(&kept, &["cache", "outcome", "name"])),
        json!([["miss", "ok", "keep://a/60000"], ["hit", "ok", "keep://a/60000"]])
    );
    assert!(kept[0]["upstream_us"].is_u64() && kept[1]["upstream_us"].is_null(), "{kept:?}");
}

#[tokio::test]
async fn a_row_says_who_ended_a_call_before_it_was_sent_on() {
    // A server whose places are taken keeps calls waiting.
    let config =
        "[gateway]\nshutdown_grace = \"100ms\"\n".to_owned() + &scripted("s", &[]) + "max_in_flight = 2\n";
    let mut gateway = Gateway::start(&config).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let call = |id: u64, tool: &str| {
        let params = json!({ "name": format!("s__{tool}"), "arguments": { "message": "x" } });
        let body =
            json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params }).to_string();
        let client = client.clone();
        tokio::spawn(async move { client.raw(body).await })
    };
    let held = (call(0, "hang"), call(1, "hang"));
    gateway.in_flight(2).await;
    let cancelled = call(2, "echo");
    gateway.in_flight(3).await;
    client.notify("notifications/cancelled", json!({ "requestId": 2 })).await;
    cancelled.await.unwrap();
    let waiting = call(3, "echo");
    gateway.in_flight(3).await;
    let gone = {
        let modern = Modern::new(&gateway, "/mcp");
        let body = Modern::body(&json!(9), "tools/call", json!({ "name": "s__echo", "arguments": {} }));
        tokio::spawn(async move { modern.post(&body).await.whole().await })
    };
    gateway.in_flight(4).await;
    gone.abort();
    gateway.in_flight(3).await;
    stopped(&mut gateway).await;
    let _ = (held.0.await, held.1.await, waiting.await);
    let rows = activity(&gateway, &["--server", "s"]);
    let mut found = columns(&rows, &["name", "cancelled_by"]);
    found.sort_by_key(ToString::to_string);
    let expected = json!([
        ["echo", "client"],
        ["echo", "disconnect"],
        ["echo", "gateway"],
        ["hang", "gateway"],
        ["hang", "gateway"],
    ]);
    assert_eq!(json!(found), expected, "{rows:#?}");
    for by in ["client", "disconnect"] {
        let row = rows.iter().find(|row| row["cancelled_by"] == by).unwrap();
        assert!(row["upstream_us"].is_null(), "it never reached the server: {row}");
    }
}
