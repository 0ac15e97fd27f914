//! Servers that close a stream before they have answered, and expect us to come back for the rest.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::stub::{Seen, Stub};
use crate::support::{Backend, Gateway, Legacy, Modern, code_of, message_of, over_http, text_of};

const EVENTS: &str = "200 OK\r\ncontent-type: text/event-stream";
const JSON: &str = "200 OK\r\ncontent-type: application/json";

/// A legacy server whose only tool answers with a stream that ends early. `again` is asked what a GET after an event
/// answers, given the id of that event and the call's own id.
async fn server(
    opening: &'static str,
    again: impl Fn(&str, &Value) -> (String, String) + Send + Sync + 'static,
) -> Stub {
    let call = Mutex::new(Value::Null);
    Stub::start(move |seen: &Seen| {
        if seen.line.starts_with("GET") {
            return match seen.header("last-event-id") {
                Some(id) => again(id, &call.lock().unwrap()),
                None => ("405 Method Not Allowed".into(), String::new()),
            };
        }
        let message: Value = serde_json::from_str(&seen.body).unwrap_or_default();
        let result = |result: Value| {
            (JSON.to_owned(), json!({ "jsonrpc": "2.0", "id": message["id"], "result": result }).to_string())
        };
        match message["method"].as_str() {
            Some("initialize") => result(json!({
                "protocolVersion": "2025-11-25",
                "capabilities": { "tools": {} },
                "serverInfo": { "name": "stub", "version": "1" },
            })),
            Some("tools/list") => {
                result(json!({ "tools": [{ "name": "slow", "inputSchema": { "type": "object" } }] }))
            }
            Some("tools/call") => {
                *call.lock().unwrap() = message["id"].clone();
                (EVENTS.to_owned(), opening.to_owned())
            }
            _ if message.get("id").is_none() => ("202 Accepted".into(), String::new()),
            _ => ("404 Not Found".into(), String::new()),
        }
    })
    .await
}

fn event(id: &str, message: &Value) -> String {
    format!("id: {id}\ndata: {message}\n\n")
}

fn answer(id: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": id, "result": { "content": [{ "type": "text", "text": "at last" }] } })
}

async fn gateway(stub: &Stub) -> Gateway {
    Gateway::start(&(over_http("s", &stub.url("/mcp")) + "protocol = \"legacy\"\n")).await
}

#[tokio::test]
async fn a_server_that_closes_its_stream_is_polled_when_it_wishes_and_for_what_came_after() {
    let seen: Arc<Mutex<Vec<(String, Instant)>>> = Arc::default();
    let record = seen.clone();
    let stub = server("id: first\nretry: 400\ndata: \n\n", move |last, call| {
        record.lock().unwrap().push((last.to_owned(), Instant::now()));
        let note = json!({ "jsonrpc": "2.0", "method": "notifications/message", "params": { "level": "info", "data": 1 } });
        let body = match last {
            "first" => event("second", &note),
            "second" => "id: third\nretry: 100\ndata: \n\n".to_owned(),
            _ => event("last", &answer(call)),
        };
        (EVENTS.to_owned(), body)
    })
    .await;
    let gateway = gateway(&stub).await;
    let client = Legacy::open(&gateway, "/mcp/s").await;
    let started = Instant::now();
    let messages = client.request("tools/call", json!({ "name": "slow" })).await.messages();
    assert_eq!((messages.len(), text_of(&messages[1])), (2, "at last".to_owned()), "{messages:?}");
    assert_eq!(messages[0]["params"]["data"], 1);
    let seen = seen.lock().unwrap();
    let ids: Vec<&str> = seen.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids, ["first", "second", "third"]);
    assert!(seen[0].1 - started >= Duration::from_millis(400), "not before the server wishes");
    assert!(seen[1].1 - seen[0].1 >= Duration::from_millis(400), "its wish stands until it has another");
}

#[tokio::test]
async fn a_stream_that_does_not_come_back_fails_its_call_after_a_few_attempts() {
    let attempts = Arc::new(AtomicUsize::new(0));
    let count = attempts.clone();
    let stub = server("id: first\ndata: \n\n", move |_, _| {
        count.fetch_add(1, Ordering::Relaxed);
        ("503 Service Unavailable".into(), String::new())
    })
    .await;
    let gateway = gateway(&stub).await;
    let failed = Legacy::open(&gateway, "/mcp/s").await.call("slow", json!({})).await;
    assert_eq!(code_of(&failed), -31502);
    assert!(message_of(&failed).contains("closed its stream before it answered"), "{failed}");
    assert_eq!(attempts.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn a_stream_that_cannot_be_resumed_fails_its_call_at_once() {
    for (opening, reason) in [
        // There is nothing to resume by.
        ("data: {\"jsonrpc\":\"2.0\",\"method\":\"x\"}\n\n", "closed its stream before it answered"),
        // The server does not want it.
        ("id: first\nretry: 0\ndata: \n\n", "does not let it be resumed (405"),
    ] {
        let stub = server(opening, |_, _| ("405 Method Not Allowed".into(), String::new())).await;
        let gateway = gateway(&stub).await;
        let started = Instant::now();
        let client = Legacy::open(&gateway, "/mcp/s").await;
        let messages = client.request("tools/call", json!({ "name": "slow" })).await.messages();
        let failed = messages.last().expect("an answer");
        assert!(message_of(failed).contains(reason), "{failed}");
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    }
}

#[tokio::test]
async fn a_real_server_that_breaks_off_is_polled_for_its_answer() {
    let backend = Backend::start("conformance-server", &["--era", "legacy"]).await;
    let gateway = Gateway::start(&over_http("s", &backend.url)).await;
    let expected = "The call outlived its stream, or had none to outlive.";
    let client = Legacy::open(&gateway, "/mcp/s").await;
    assert_eq!(client.text("test_reconnection", json!({})).await, expected);
    let modern = Modern::new(&gateway, "/mcp/s");
    assert_eq!(text_of(&modern.call("test_reconnection", json!({})).await), expected);
}
