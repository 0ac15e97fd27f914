//! What is full says so: nothing waits for ever, and a refusal names the limit that was reached.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::support::{
    Gateway, Legacy, Modern, code_of, eventually, message_of, scripted, text_of, wire, within,
};

#[tokio::test]
async fn beyond_the_gateways_own_limit_a_request_is_refused_at_once_and_let_in_again_later() {
    let gateway = Gateway::start(&("[gateway]\nmax_in_flight = 2\n".to_owned() + &scripted("s", &[]))).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let mut hanging = JoinSet::new();
    for id in ["a", "b"] {
        let client = client.clone();
        let body =
            json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": { "name": "s__hang" } });
        hanging.spawn(async move { client.raw(body.to_string()).await.json() });
    }
    gateway.in_flight(2).await;
    let refused = client.call("s__echo", json!({ "message": "x" })).await;
    assert_eq!(code_of(&refused), -31429);
    assert!(message_of(&refused).contains("max_in_flight"), "{refused}");
    let listed = client.request("tools/list", json!({})).await.json();
    assert!(listed["result"].is_object(), "what needs no server is answered all the same");
    client.notify("notifications/cancelled", json!({ "requestId": "a" })).await;
    let answer = hanging.join_next().await.unwrap().unwrap();
    assert_eq!((&answer["id"], code_of(&answer)), (&json!("a"), -31499));
    gateway.in_flight(1).await;
    assert_eq!(client.text("s__echo", json!({ "message": "in" })).await, "in");
}

#[tokio::test]
async fn beyond_a_servers_limit_calls_wait_their_turn_for_a_while() {
    let config = scripted("s", &[]) + "max_in_flight = 2\n" + &scripted("other", &[]);
    let gateway = Gateway::start(&config).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let started = Instant::now();
    let mut calls = JoinSet::new();
    for _ in 0..4 {
        let client = client.clone();
        calls.spawn(async move { client.call("s__sleep", json!({ "ms": 300 })).await });
    }
    assert_eq!(client.text("other__echo", json!({ "message": "free" })).await, "free");
    assert!(started.elapsed() < Duration::from_millis(500), "another server's callers do not wait along");
    while let Some(answer) = calls.join_next().await {
        assert_eq!(text_of(&answer.unwrap()), "slept");
    }
    assert!(started.elapsed() >= Duration::from_millis(600), "two at a time: {:?}", started.elapsed());
    // And not for ever.
    let mut hanging = JoinSet::new();
    for id in 0..2 {
        let client = client.clone();
        let body =
            json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": { "name": "s__hang" } });
        hanging.spawn(async move { client.raw(body.to_string()).await });
    }
    let refused = eventually("a call is refused", || async {
        let answer = client.call("s__echo", json!({ "message": "x" })).await;
        answer.get("error").is_some().then_some(answer)
    })
    .await;
    assert_eq!(code_of(&refused), -31429);
    assert!(
        message_of(&refused).contains("'s'") && message_of(&refused).contains("max_in_flight"),
        "{refused}"
    );
}

#[tokio::test]
async fn beyond_the_limit_of_streams_another_is_refused_until_one_ends() {
    let gateway = Gateway::start(&("[gateway]\nmax_streams = 2\n".to_owned() + &scripted("s", &[]))).await;
    let clients = [
        Legacy::open(&gateway, "/mcp").await,
        Legacy::open(&gateway, "/mcp").await,
        Legacy::open(&gateway, "/mcp").await,
    ];
    let (first, second) = (clients[0].stream().await, clients[1].stream().await);
    assert_eq!((first.status, second.status), (200, 200));
    let refused = clients[2].stream().await.whole().await;
    // With 200, a client would take it for its stream.
    assert_eq!((refused.status, code_of(&refused.json())), (503, -31429));
    assert!(message_of(&refused.json()).contains("max_streams"), "{}", refused.text());
    let params = json!({ "notifications": { "toolsListChanged": true } });
    let refused = Modern::new(&gateway, "/mcp").request("subscriptions/listen", params).await.json();
    assert_eq!(code_of(&refused), -31429, "{refused}");
    drop(first);
    eventually("a place is free", || async {
        let open = clients[2].stream().await;
        (open.header("content-type") == Some("text/event-stream")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_body_without_a_length_is_capped_too() {
    let gateway =
        Gateway::start(&("[gateway]\nmax_body = \"2KiB\"\n".to_owned() + &scripted("s", &[]))).await;
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    let head = format!(
        "POST /mcp HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n",
        gateway.address
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("{:x}\r\n{}\r\n", 1024, "x".repeat(1024));
    for _ in 0..4 {
        // The gateway may have answered and hung up already.
        if stream.write_all(chunk.as_bytes()).await.is_err() {
            break;
        }
    }
    let mut answer = vec![0; 4096];
    let read = within("an answer", stream.read(&mut answer)).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

/// HTTP/2 without TLS, as reverse proxies speak it: one connection for everything.
#[tokio::test]
async fn many_calls_share_one_http2_connection() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut calls = JoinSet::new();
    for number in 0..50 {
        let (mut sender, session) = (sender.clone(), client.session.clone());
        let params = json!({ "name": "s__stream", "arguments": { "notes": number % 3, "ms": 5 }, "_meta": { "progressToken": number } });
        let body =
            json!({ "jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params }).to_string();
        let request = Request::post(format!("http://{}/mcp", gateway.address))
            .header("mcp-session-id", session)
            .header("content-type", wire::MCP_HEADERS[0].1)
            .header("accept", wire::MCP_HEADERS[1].1)
            .body(Full::new(Bytes::from(body)))
            .unwrap();
        calls.spawn(async move {
            let response = within("a response", sender.send_request(request)).await.unwrap();
            assert_eq!(response.status(), 200);
            let body = within("its body", response.into_body().collect()).await.unwrap().to_bytes();
            let text = String::from_utf8_lossy(&body).into_owned();
            let last = text.trim_end().lines().last().unwrap_or_default();
            let answer: Value = serde_json::from_str(last.trim_start_matches("data: ")).unwrap();
            assert_eq!((&answer["id"], text_of(&answer)), (&json!(number), format!("{} notes", number % 3)));
            assert_eq!(text.matches("notifications/progress").count(), number % 3, "{text}");
        });
    }
    while let Some(call) = calls.join_next().await {
        call.unwrap();
    }
}
