//! Clients of the oldest HTTP transport (2024-11-05): one stream, and an endpoint beside it.

use serde_json::{Value, json};

use crate::support::{
    Counter, Gateway, Legacy, Open, Reply, code_of, eventually, message_of, scripted, stats, text_of, wire,
};

/// A client and its stream.
struct Oldest<'g> {
    gateway: &'g Gateway,
    stream: Open,
    endpoint: String,
}

impl<'g> Oldest<'g> {
    /// Opens the stream.
    async fn connect(gateway: &'g Gateway, path: &str) -> Oldest<'g> {
        let headers = [("accept", "text/event-stream")];
        let mut stream = wire::request(gateway.address, "GET", path, &headers, "").await;
        assert_eq!((stream.status, stream.header("content-type")), (200, Some("text/event-stream")));
        let endpoint = stream.fields().await.expect("an event").data.expect("an endpoint");
        assert!(endpoint.starts_with("/messages?session_id="), "{endpoint}");
        Oldest { gateway, stream, endpoint }
    }

    /// Opens the stream and introduces itself.
    async fn open(gateway: &'g Gateway, path: &str) -> Oldest<'g> {
        let mut client = Oldest::connect(gateway, path).await;
        let answer = client.request(0, "initialize", hello("2024-11-05")).await;
        assert_eq!(answer["result"]["protocolVersion"], "2024-11-05");
        client.send(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" })).await;
        client
    }

    async fn post(&self, body: &Value) -> Reply {
        wire::post(self.gateway.address, &self.endpoint, &[], body.to_string()).await.whole().await
    }

    async fn send(&self, body: &Value) {
        let reply = self.post(body).await;
        assert_eq!((reply.status, reply.text()), (202, ""));
    }

    async fn request(&mut self, id: u64, method: &str, params: Value) -> Value {
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })).await;
        self.stream.message().await.expect("an answer on the stream")
    }

    async fn text(&mut self, tool: &str, arguments: Value) -> String {
        text_of(&self.request(1, "tools/call", json!({ "name": tool, "arguments": arguments })).await)
    }
}

fn hello(version: &str) -> Value {
    json!({ "protocolVersion": version, "capabilities": {}, "clientInfo": { "name": "it", "version": "1" } })
}

#[tokio::test]
async fn a_client_of_the_oldest_transport_is_served_merged_and_at_one_server() {
    for era in ["legacy", "modern"] {
        let gateway = Gateway::start(&scripted("s", &["--era", era])).await;
        let mut merged = Oldest::open(&gateway, "/sse").await;
        assert_eq!(merged.text("s__echo", json!({ "message": "one" })).await, "one");
        let mut own = Oldest::open(&gateway, "/sse/s").await;
        assert_eq!(own.text("echo", json!({ "message": "two" })).await, "two");
        let listed = own.request(2, "tools/list", json!({})).await;
        assert!(listed["result"]["tools"].as_array().is_some_and(|tools| !tools.is_empty()));
        // Notes and the answer, all on the one stream.
        let params = json!({ "name": "echo", "arguments": { "message": "x" } });
        let noted =
            json!({ "name": "stream", "arguments": { "notes": 2 }, "_meta": { "progressToken": "t" } });
        let call = |id: u64, params: &Value| json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params });
        own.send(&call(3, &noted)).await;
        for step in 1..=2 {
            assert_eq!(own.stream.message().await.expect("a note")["params"]["progress"], step, "{era}");
        }
        assert_eq!(own.stream.message().await.expect("an answer")["id"], 3);
        // Several at once, under one id, as some clients do.
        for _ in 0..10 {
            own.send(&call(7, &params)).await;
        }
        for _ in 0..10 {
            let answer = own.stream.message().await.expect("an answer");
            assert_eq!((&answer["id"], text_of(&answer)), (&json!(7), "x".to_owned()));
        }
    }
}

#[tokio::test]
async fn changes_are_heard_on_the_stream_and_a_call_can_be_cancelled() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    let mut client = Oldest::open(&gateway, "/sse").await;
    let other = Legacy::open(&gateway, "/mcp").await;
    other.text("s__list-changed", json!({})).await;
    let note = client.stream.message().await.expect("a note");
    assert_eq!(note, json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" }));
    let mut counter = Counter::start(&other, "s__stats").await;
    let hang = json!({ "jsonrpc": "2.0", "id": 9, "method": "tools/call", "params": { "name": "s__hang" } });
    client.send(&hang).await;
    counter.reach(1).await;
    let params = json!({ "requestId": 9 });
    client.send(&json!({ "jsonrpc": "2.0", "method": "notifications/cancelled", "params": params })).await;
    let answer = client.stream.message().await.expect("an answer");
    assert_eq!((&answer["id"], code_of(&answer)), (&json!(9), -31499));
}

#[tokio::test]
async fn a_stream_of_the_oldest_transport_that_ends_takes_its_calls_and_its_endpoint_with_it() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    let other = Legacy::open(&gateway, "/mcp").await;
    let mut counter = Counter::start(&other, "s__stats").await;
    let client = Oldest::open(&gateway, "/sse").await;
    client
        .send(&json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "s__hang" } }))
        .await;
    counter.reach(1).await;
    let endpoint = client.endpoint.clone();
    drop(client);
    eventually("the server hears of it", || async {
        (stats(&other, "s__stats").await["cancellations"] == 1).then_some(())
    })
    .await;
    gateway.streams(0).await;
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    assert_eq!(wire::post(gateway.address, &endpoint, &[], ping).await.whole().await.status, 404);
}

#[tokio::test]
async fn what_makes_no_sense_on_the_oldest_transport_is_refused() {
    let config = "[gateway]\nmax_streams = 2\n".to_owned() + &scripted("s", &[]);
    let gateway = Gateway::start(&config).await;
    let mut client = Oldest::connect(&gateway, "/sse").await;
    let early = client.request(1, "tools/list", json!({})).await;
    assert!(message_of(&early).contains("initialize"), "{early}");
    assert_eq!(client.request(2, "initialize", hello("2024-11-05")).await["id"], 2);
    let twice = client.request(3, "initialize", hello("2024-11-05")).await;
    assert_eq!(code_of(&twice), -32600);
    let modern = crate::support::Modern::body(&json!(4), "tools/list", json!({}));
    client.send(&modern).await;
    let refused = client.stream.message().await.expect("an answer");
    assert!(message_of(&refused).contains("/mcp"), "{refused}");
    // Nobody guesses an endpoint, and nothing else is taken there.
    for endpoint in ["/messages", "/messages?session_id=", "/messages?session_id=0000", "/messages?session=1"]
    {
        assert_eq!(
            wire::post(gateway.address, endpoint, &[], "{}").await.whole().await.status,
            404,
            "{endpoint}"
        );
    }
    for (body, status) in [("{", 400), ("[]", 400), ("{\"jsonrpc\":\"2.0\"}", 400)] {
        let refused = wire::post(gateway.address, &client.endpoint, &[], body).await.whole().await;
        assert_eq!(refused.status, status, "{body}");
    }
    let accept = [("accept", "text/event-stream")];
    assert_eq!(gateway.get("/sse/nobody", &accept).await.status, 404);
    assert_eq!(wire::post(gateway.address, "/sse", &[], "{}").await.whole().await.status, 405);
    // A web page of elsewhere is refused here as everywhere.
    let elsewhere = [("accept", "text/event-stream"), ("origin", "https://evil.example")];
    assert_eq!(gateway.get("/sse", &elsewhere).await.status, 403);
    // Streams are counted with all others.
    let _second = Oldest::connect(&gateway, "/sse").await;
    assert_eq!(gateway.get("/sse", &accept).await.status, 503);
}
