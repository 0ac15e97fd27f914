//! JSON until something streams: the common call is one JSON object, and a stream begins when there is a reason for one.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{Event, Gateway, Legacy, Modern, Open, scripted, text_of, wire};

const JSON: Option<&str> = Some("application/json");
const EVENTS: Option<&str> = Some("text/event-stream");

fn call(tool: &str, arguments: Value, token: Option<Value>) -> Value {
    let mut params = json!({ "name": tool, "arguments": arguments });
    if let Some(token) = token {
        params["_meta"] = json!({ "progressToken": token });
    }
    json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params })
}

/// A call in each era.
async fn both(gateway: &Gateway, body: &Value) -> [Open; 2] {
    let legacy = Legacy::open(gateway, "/mcp").await;
    let modern = Modern::body(&body["id"], "tools/call", body["params"].clone());
    [legacy.post(body.to_string()).await, Modern::new(gateway, "/mcp").post(&modern).await]
}

#[tokio::test]
async fn a_plain_answer_is_one_json_object_of_a_known_length() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    for body in [
        call("s__echo", json!({ "message": "x" }), None),
        // That a token was given is no reason yet.
        call("s__echo", json!({ "message": "x" }), Some(json!(1))),
        // Progress that nobody asked for is nobody's.
        call("s__stream", json!({ "notes": 3 }), None),
    ] {
        for open in both(&gateway, &body).await {
            assert_eq!((open.status, open.header("content-type")), (200, JSON));
            let reply = open.whole().await;
            assert_eq!(reply.header("content-length"), Some(reply.body.len().to_string().as_str()));
            assert_eq!(reply.json()["id"], 1);
        }
    }
}

#[tokio::test]
async fn progress_makes_a_stream_that_proxies_must_not_hold_back() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    for token in [json!("tök — \"1\""), json!(0)] {
        let body = call("s__stream", json!({ "notes": 3, "ms": 10 }), Some(token.clone()));
        for mut open in both(&gateway, &body).await {
            assert_eq!((open.status, open.header("content-type")), (200, EVENTS));
            assert_eq!(open.header("x-accel-buffering"), Some("no"));
            assert_eq!(open.header("cache-control"), Some("no-cache"));
            for step in 1..=3 {
                let note = open.message().await.expect("a note");
                assert_eq!(note["params"], json!({ "progressToken": token, "progress": step, "total": 3 }));
            }
            let answer = open.message().await.expect("an answer");
            assert_eq!((&answer["id"], text_of(&answer)), (&json!(1), "3 notes".to_owned()));
            assert_eq!(open.event().await, None);
        }
    }
}

#[tokio::test]
async fn the_first_note_is_sent_when_it_comes_and_not_with_the_answer() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    let body = call("s__stream", json!({ "notes": 2, "ms": 1500 }), Some(json!(1)));
    let client = Legacy::open(&gateway, "/mcp").await;
    let started = Instant::now();
    let mut open = client.post(body.to_string()).await;
    assert!(open.message().await.is_some());
    assert!(started.elapsed() < Duration::from_millis(1400), "{:?}", started.elapsed());
    while open.message().await.is_some() {}
    assert!(started.elapsed() >= Duration::from_secs(3));
}

#[tokio::test]
async fn a_client_gets_the_one_type_that_it_accepts() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let plain = call("s__echo", json!({ "message": "x" }), None);
    let noted = call("s__stream", json!({ "notes": 3 }), Some(json!(1)));
    let listed = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" });
    for (accept, kind, messages) in
        [(Some("application/json"), JSON, 1), (Some("text/event-stream"), EVENTS, 4), (None, JSON, 1)]
    {
        for (body, expected) in [(&plain, 1), (&listed, 1), (&noted, messages)] {
            let mut headers =
                vec![("content-type", "application/json"), ("mcp-session-id", client.session.as_str())];
            headers.extend(accept.map(|accept| ("accept", accept)));
            let reply = wire::request(gateway.address, "POST", "/mcp", &headers, body.to_string())
                .await
                .whole()
                .await;
            assert_eq!((reply.status, reply.header("content-type")), (200, kind), "{accept:?} {body}");
            let all = reply.messages();
            assert_eq!(all.len(), expected, "{accept:?} {body}: {all:?}");
            assert!(all.last().unwrap()["result"].is_object());
        }
    }
}

#[tokio::test]
async fn a_flood_of_notes_loses_notes_at_most_and_never_the_answer() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    let body = call("s__flood", json!({ "notes": 20_000 }), Some(json!("t")));
    for mut open in both(&gateway, &body).await {
        let mut before = 0;
        let answer = loop {
            let message = open.message().await.expect("an answer comes in the end");
            if message.get("id").is_some() {
                break message;
            }
            assert_eq!(message["params"]["progressToken"], "t");
            let step = message["params"]["progress"].as_u64().expect("a step");
            assert!(step > before, "{step} after {before}");
            before = step;
        };
        assert_eq!(text_of(&answer), "20000 notes");
        assert_eq!(before, 20_000, "the newest are kept");
    }
}

#[tokio::test]
async fn log_notes_reach_the_only_caller_at_the_level_that_it_wants() {
    for era in ["legacy", "modern"] {
        let gateway = Gateway::start(&scripted("s", &["--era", era])).await;
        let client = Legacy::open(&gateway, "/mcp").await;
        let log = async |level: &str| {
            let body = call("s__log", json!({ "level": level, "text": "hello" }), None);
            let messages = client.raw(body.to_string()).await.messages();
            assert_eq!(text_of(messages.last().unwrap()), "logged");
            messages.len() - 1
        };
        assert_eq!((log("info").await, log("error").await), (1, 1), "{era}");
        assert_eq!(
            client.request("logging/setLevel", json!({ "level": "warning" })).await.json()["result"],
            json!({})
        );
        assert_eq!((log("info").await, log("warning").await, log("emergency").await), (0, 1, 1), "{era}");
        let refused = client.request("logging/setLevel", json!({ "level": "loud" })).await.json();
        assert_eq!(refused["error"]["code"], -32602);
        // A modern client names its level with each request, or gets none.
        let modern = async |meta: Value| {
            let params =
                json!({ "name": "s__log", "arguments": { "level": "info", "text": "hello" }, "_meta": meta });
            Modern::new(&gateway, "/mcp").request("tools/call", params).await.messages().len() - 1
        };
        assert_eq!(modern(json!({})).await, 0, "{era}");
        assert_eq!(modern(json!({ "io.modelcontextprotocol/logLevel": "info" })).await, 1, "{era}");
        assert_eq!(modern(json!({ "io.modelcontextprotocol/logLevel": "error" })).await, 0, "{era}");
    }
}

/// The one test that waits for real time: proxies close connections that are silent for too long.
#[tokio::test]
async fn whoever_waits_in_silence_is_told_that_the_connection_lives() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let modern = Modern::new(&gateway, "/mcp");
    let started = Instant::now();
    let silent = call("s__sleep", json!({ "ms": 16_500 }), None);
    let modern_body = Modern::body(&json!(1), "tools/call", silent["params"].clone());
    let listen = json!({ "notifications": { "toolsListChanged": true } });
    let listen = Modern::body(&json!(2), "subscriptions/listen", listen);
    let headers = [("accept", "application/json"), ("mcp-session-id", client.session.as_str())];
    let (legacy, modern_call, stream, subscription, json_only) = tokio::join!(
        client.post(silent.to_string()),
        modern.post(&modern_body),
        client.stream(),
        modern.post(&listen),
        wire::post(gateway.address, "/mcp", &headers, silent.to_string()),
    );
    for mut open in [legacy, modern_call] {
        assert_eq!(open.header("content-type"), EVENTS);
        assert_eq!(open.event().await, Some(Event::Comment));
        // A client of 2025-11-25 has had an event to come back by, and perhaps a comment since.
        assert_eq!(open.message().await.map(|answer| text_of(&answer)), Some("slept".to_owned()));
    }
    assert!(started.elapsed() >= Duration::from_millis(16_500), "the comment came before the answer");
    let reply = json_only.whole().await;
    assert_eq!((reply.header("content-type"), text_of(&reply.json())), (JSON, "slept".to_owned()));
    for mut open in [stream, subscription] {
        let mut comments = 0;
        while comments == 0 {
            match open.event().await.expect("the stream goes on") {
                Event::Comment => comments += 1,
                Event::Data(data) => assert!(data.contains("acknowledged"), "{data}"),
            }
        }
    }
}
