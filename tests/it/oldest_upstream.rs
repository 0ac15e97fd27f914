//! Servers of the oldest HTTP transport (2024-11-05): one stream, and an endpoint beside it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::support::stub::{Seen, Stub};
use crate::support::{
    Backend, Counter, Gateway, Legacy, Modern, code_of, eventually, message_of, over_http, scripted, stats,
    text_of,
};

async fn server(more: &[&str]) -> Backend {
    Backend::start("scripted-server", &[&["--era", "legacy", "--oldest"], more].concat()).await
}

async fn behind(backend: &Backend, more: &str) -> Gateway {
    Gateway::start(&(over_http("s", &backend.url) + more)).await
}

#[tokio::test]
async fn a_server_of_the_oldest_transport_is_found_out_or_named_and_serves_both_eras() {
    let backend = server(&[]).await;
    for transport in ["auto", "sse"] {
        let gateway = behind(&backend, &format!("transport = \"{transport}\"\n")).await;
        let (legacy, modern) = (Legacy::open(&gateway, "/mcp").await, Modern::new(&gateway, "/mcp"));
        assert_eq!(legacy.text("s__echo", json!({ "message": "one" })).await, "one");
        assert_eq!(text_of(&modern.call("s__echo", json!({ "message": "two" })).await), "two");
        let params = json!({ "name": "s__stream", "arguments": { "notes": 3, "ms": 5 }, "_meta": { "progressToken": "t" } });
        let messages = legacy.request("tools/call", params).await.messages();
        let steps: Vec<&Value> = messages[..3].iter().map(|note| &note["params"]["progress"]).collect();
        assert_eq!(
            (steps, text_of(&messages[3])),
            (vec![&json!(1), &json!(2), &json!(3)], "3 notes".to_owned())
        );
        assert_eq!(legacy.text("s__big", json!({ "bytes": 3_000_000 })).await.len(), 3_000_000);
        let refused = legacy.call("s__refuse", json!({ "code": 4711 })).await;
        assert_eq!((code_of(&refused), message_of(&refused)), (4711, "refused"));
        assert!(gateway.log().contains("2024-11-05"), "{}", gateway.log());
    }
}

#[tokio::test]
async fn many_calls_at_once_on_the_one_stream_never_cross() {
    let backend = server(&[]).await;
    let gateway = behind(&backend, "").await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let calls: Vec<_> = (0..200)
        .map(|number| {
            let client = client.clone();
            tokio::spawn(async move {
                let text = format!("text {number}");
                assert_eq!(client.text("s__echo", json!({ "message": text })).await, text);
            })
        })
        .collect();
    for call in calls {
        call.await.unwrap();
    }
}

#[tokio::test]
async fn changes_and_cancellations_pass_in_their_directions() {
    let backend = server(&[]).await;
    let gateway = behind(&backend, "").await;
    let (client, other) = (Legacy::open(&gateway, "/mcp").await, Legacy::open(&gateway, "/mcp").await);
    let mut stream = other.stream().await;
    client.text("s__list-changed", json!({})).await;
    assert_eq!(stream.message().await.expect("a note")["method"], "notifications/tools/list_changed");
    eventually("the new tool is listed", || async {
        client.request("tools/list", json!({})).await.text().contains("s__extra").then_some(())
    })
    .await;
    let mut counter = Counter::start(&other, "s__stats").await;
    let hanging = {
        let client = client.clone();
        tokio::spawn(async move { client.call("s__hang", json!({})).await })
    };
    counter.reach(1).await;
    client.notify("notifications/cancelled", json!({ "requestId": 1 })).await;
    assert_eq!(code_of(&hanging.await.unwrap()), -31499);
    eventually("the server hears of it", || async {
        (stats(&other, "s__stats").await["cancellations"] == 1).then_some(())
    })
    .await;
    // A question on a link that is shared and has declared nothing is answered at once.
    let asked = client.text("s__ask", json!({ "method": "ping" })).await;
    assert!(asked.contains("\"result\":{}"), "{asked}");
    assert!(client.text("s__ask", json!({})).await.contains("-32601"));
}

#[tokio::test]
async fn a_stream_that_ends_fails_its_calls_at_once_and_another_is_opened() {
    let backend = server(&[]).await;
    let gateway = behind(&backend, "").await;
    let client = Legacy::open(&gateway, "/mcp").await;
    for _ in 0..2 {
        let mut counter = Counter::start(&client, "s__stats").await;
        let hanging = {
            let client = client.clone();
            tokio::spawn(async move { client.call("s__sleep", json!({ "ms": 3000 })).await })
        };
        counter.reach(1).await;
        let started = Instant::now();
        // The sleeping call holds the stream for as long as it sleeps; the one that cuts it gets no answer either.
        let cut = client.call("s__cut", json!({})).await;
        assert!(message_of(&cut).contains("closed its stream"), "{cut}");
        let slept = hanging.await.unwrap();
        assert!(slept["result"].is_object() || message_of(&slept).contains("closed its stream"), "{slept}");
        assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
        eventually("it serves again", || async {
            let answer = client.call("s__echo", json!({ "message": "again" })).await;
            (answer["result"]["content"][0]["text"] == "again").then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_refused_message_fails_its_call_only() {
    let backend = server(&[]).await;
    let gateway = behind(&backend, "").await;
    let client = Legacy::open(&gateway, "/mcp").await;
    for (code, names) in [(500, "500"), (429, "429"), (403, "credentials")] {
        let failed = client.call("s__status", json!({ "code": code })).await;
        assert!(message_of(&failed).contains(names), "{failed}");
        assert_eq!(client.text("s__echo", json!({ "message": "well" })).await, "well");
    }
}

#[tokio::test]
async fn an_endpoint_elsewhere_is_refused_and_nothing_is_sent_there() {
    let elsewhere = Stub::start(|_: &Seen| ("202 Accepted".into(), String::new())).await;
    let backend = server(&["--endpoint", &elsewhere.url("/messages?session=")]).await;
    let config = over_http("s", &backend.url) + "transport = \"sse\"\n" + &scripted("t", &[]);
    let gateway = Gateway::launch(&config).await;
    gateway.in_state("s", &["backoff", "failed"]).await;
    gateway.in_state("t", &["ready"]).await;
    assert!(gateway.log().contains("on its own origin"), "{}", gateway.log());
    assert!(elsewhere.seen().is_empty(), "{:?}", elsewhere.seen());
}

#[tokio::test]
async fn only_the_transport_that_is_named_is_tried() {
    let backend = server(&[]).await;
    let config = over_http("s", &backend.url) + "transport = \"streamable-http\"\n";
    let gateway = Gateway::launch(&config).await;
    gateway.in_state("s", &["backoff", "failed"]).await;
    assert!(gateway.log().contains("405"), "{}", gateway.log());
    // And a server of the newer transport has no such stream.
    let newer = Backend::start("scripted-server", &["--era", "legacy"]).await;
    let gateway = Gateway::launch(&(over_http("s", &newer.url) + "transport = \"sse\"\n")).await;
    gateway.in_state("s", &["backoff", "failed"]).await;
    assert!(gateway.log().contains("offers no event stream"), "{}", gateway.log());
}

/// A server that says everything on its stream, and never answers a POST that asks for something; with the number of
/// those that are open.
async fn never_done() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let url = format!("http://{}/sse", listener.local_addr().expect("address"));
    let (open, (say, said)) = (Arc::new(AtomicUsize::new(0)), mpsc::unbounded_channel());
    let (counted, said) = (open.clone(), Arc::new(tokio::sync::Mutex::new(said)));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(attend(BufReader::new(stream), say.clone(), said.clone(), counted.clone()));
        }
    });
    (url, open)
}

async fn attend(
    mut stream: BufReader<TcpStream>,
    say: mpsc::UnboundedSender<String>,
    said: Arc<tokio::sync::Mutex<mpsc::UnboundedReceiver<String>>>,
    open: Arc<AtomicUsize>,
) {
    let (mut line, mut length, mut head) = (String::new(), 0, String::new());
    while stream.read_line(&mut line).await.is_ok_and(|read| read > 2) {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
        head.push_str(&line);
        line.clear();
    }
    if head.starts_with("GET ") {
        let begin = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\nevent: endpoint\ndata: /m\n\n";
        stream.write_all(begin.as_bytes()).await.expect("written");
        while let Some(event) = said.lock().await.recv().await {
            stream.write_all(format!("data: {event}\n\n").as_bytes()).await.expect("written");
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.expect("a body");
    let asked: Value = serde_json::from_slice(&body).expect("JSON");
    let result = match asked["method"].as_str().unwrap_or_default() {
        "initialize" => json!({ "protocolVersion": "2024-11-05", "capabilities": { "tools": {} },
            "serverInfo": { "name": "never done", "version": "1" } }),
        "tools/list" => json!({ "tools": [{ "name": "t", "inputSchema": { "type": "object" } }] }),
        _ => json!({ "content": [{ "type": "text", "text": "done" }] }),
    };
    if asked.get("id").is_none() {
        let _ = stream
            .write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            .await;
        return;
    }
    open.fetch_add(1, Ordering::Relaxed);
    say.send(json!({ "jsonrpc": "2.0", "id": asked["id"], "result": result }).to_string()).expect("said");
    let _ = stream.read(&mut [0]).await;
    open.fetch_sub(1, Ordering::Relaxed);
}

#[tokio::test]
async fn a_post_that_is_never_answered_is_given_up_though_the_reply_has_come() {
    let (url, open) = never_done().await;
    let entry = over_http("s", &url) + "transport = \"sse\"\nconnect_timeout = \"1s\"\n";
    let gateway = Gateway::start(&entry).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    for _ in 0..5 {
        assert_eq!(client.text("s__t", json!({})).await, "done");
    }
    assert!(open.load(Ordering::Relaxed) >= 5);
    eventually("nothing of the calls is left", || async {
        (open.load(Ordering::Relaxed) == 0).then_some(())
    })
    .await;
}
