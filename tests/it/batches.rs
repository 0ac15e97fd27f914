//! Several messages in one POST: version 2025-03-26 has them, and no other.

use serde_json::{Value, json};

use crate::support::{
    Counter, Gateway, Legacy, Modern, code_of, eventually, message_of, scripted, stats, text_of, wire,
};

const VERSION: &str = "2025-03-26";

fn call(id: Value, tool: &str, arguments: Value) -> Value {
    let params = json!({ "name": tool, "arguments": arguments, "_meta": { "progressToken": id } });
    json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params })
}

fn echo(id: Value, text: &str) -> Value {
    call(id, "s__echo", json!({ "message": text }))
}

async fn start() -> (Gateway, Legacy) {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    let client = Legacy::open_as(&gateway, "/mcp", VERSION).await;
    (gateway, client)
}

#[tokio::test]
async fn a_batch_is_answered_by_one_array_in_the_order_of_its_requests() {
    let (_gateway, client) = start().await;
    let batch = json!([
        call(json!("slow"), "s__sleep", json!({ "ms": 300 })),
        { "jsonrpc": "2.0", "method": "notifications/unheard-of" },
        echo(json!(1), "one"),
        echo(json!("1"), "the same id, spelt otherwise"),
        { "jsonrpc": "2.0", "id": 2, "method": "ping" },
        echo(json!(1), "the same id again"),
    ]);
    let reply = client.raw(batch.to_string()).await;
    assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")));
    let answers: Value = reply.json();
    let ids: Vec<&Value> = answers.as_array().expect("an array").iter().map(|answer| &answer["id"]).collect();
    assert_eq!(ids, [&json!("slow"), &json!(1), &json!("1"), &json!(2), &json!(1)]);
    assert_eq!(text_of(&answers[0]), "slept");
    assert_eq!(text_of(&answers[2]), "the same id, spelt otherwise");
    assert_eq!(answers[3]["result"], json!({}));
    assert_eq!(text_of(&answers[4]), "the same id again");
}

#[tokio::test]
async fn what_precedes_the_answers_makes_a_stream_of_them_which_can_be_resumed() {
    let (_gateway, client) = start().await;
    let batch = json!([
        echo(json!("first"), "there already"),
        call(json!("noted"), "s__stream", json!({ "notes": 3, "ms": 200 })),
        call(json!("late"), "s__sleep", json!({ "ms": 1500 })),
    ]);
    let mut open = client.post(batch.to_string()).await;
    assert_eq!(open.header("content-type"), Some("text/event-stream"));
    let mut messages = Vec::new();
    let mut last = String::new();
    // Until the first progress note; then the connection breaks.
    while !messages.iter().any(|message: &Value| message["method"] == "notifications/progress") {
        let fields = open.fields().await.expect("the stream goes on");
        last = fields.id.expect("an id");
        messages.push(serde_json::from_str(&fields.data.expect("data")).expect("JSON"));
    }
    drop(open);
    let mut resumed = client.resume(&last).await;
    while let Some(message) = resumed.message().await {
        messages.push(message);
    }
    let mut ids: Vec<&str> = messages.iter().filter_map(|message| message["id"].as_str()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["first", "late", "noted"], "each is answered once: {messages:?}");
    let steps: Vec<u64> =
        messages.iter().filter_map(|message| message["params"]["progress"].as_u64()).collect();
    assert_eq!(steps, [1, 2, 3]);
    // Who cannot read a stream gets an array, and no notes.
    let batch = json!([call(json!(1), "s__stream", json!({ "notes": 3 })), echo(json!(2), "x")]);
    let headers = [("mcp-session-id", client.session.as_str()), ("accept", "application/json")];
    let reply = wire::post(_gateway.address, "/mcp", &headers, batch.to_string()).await.whole().await;
    assert_eq!(
        (reply.header("content-type"), reply.json().as_array().map(Vec::len)),
        (Some("application/json"), Some(2))
    );
}

#[tokio::test]
async fn what_is_wrong_with_one_message_of_a_batch_is_the_answer_to_that_one() {
    let (_gateway, client) = start().await;
    let initialize = json!({ "protocolVersion": VERSION, "capabilities": {}, "clientInfo": { "name": "it", "version": "1" } });
    let batch = json!([
        { "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": initialize },
        Modern::body(&json!(2), "tools/list", json!({})),
        7,
        { "jsonrpc": "2.0", "id": 4 },
        call(json!(5), "s__nobodys", json!({})),
        echo(json!(6), "well"),
    ]);
    let answers = client.raw(batch.to_string()).await.json();
    let codes: Vec<Option<i64>> =
        answers.as_array().expect("an array").iter().map(|answer| answer["error"]["code"].as_i64()).collect();
    assert_eq!(
        codes,
        [Some(-32600), Some(-32600), Some(-32600), Some(-32600), Some(-32602), None],
        "{answers}"
    );
    assert!(message_of(&answers[0]).contains("initialize"));
    assert!(message_of(&answers[1]).contains("2025-03-26"));
    assert_eq!(text_of(&answers[5]), "well");
}

#[tokio::test]
async fn notifications_and_answers_alone_are_accepted_and_each_takes_effect() {
    let (gateway, client) = start().await;
    let other = Legacy::open(&gateway, "/mcp").await;
    let mut counter = Counter::start(&other, "s__stats").await;
    let hanging = {
        let client = client.clone();
        tokio::spawn(async move { client.raw(call(json!(9), "s__hang", json!({})).to_string()).await.json() })
    };
    counter.reach(1).await;
    let batch = json!([
        { "jsonrpc": "2.0", "method": "notifications/cancelled", "params": { "requestId": 9 } },
        { "jsonrpc": "2.0", "id": 77, "result": {} },
    ]);
    let reply = client.raw(batch.to_string()).await;
    assert_eq!((reply.status, reply.text()), (202, ""));
    assert_eq!(code_of(&hanging.await.unwrap()), -31499);
}

#[tokio::test]
async fn a_batch_is_refused_where_the_version_knows_none_and_when_it_is_none() {
    let (gateway, client) = start().await;
    let good = json!([echo(json!(1), "x")]).to_string();
    for version in ["2024-11-05", "2025-06-18", "2025-11-25"] {
        let client = Legacy::open_as(&gateway, "/mcp", version).await;
        let refused = client.raw(good.clone()).await;
        assert_eq!((refused.status, code_of(&refused.json())), (400, -32600), "{version}");
        assert!(message_of(&refused.json()).contains("2025-03-26"), "{}", refused.text());
    }
    let modern = [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/call")];
    let refused = wire::post(gateway.address, "/mcp", &modern, good.clone()).await.whole().await;
    assert_eq!((refused.status, code_of(&refused.json())), (400, -32600));
    assert_eq!(wire::post(gateway.address, "/mcp", &[], good).await.whole().await.status, 400, "no session");
    let many: Vec<Value> =
        (0..65).map(|id| json!({ "jsonrpc": "2.0", "id": id, "method": "ping" })).collect();
    for (body, code) in [("[]", -32600), (&json!(many).to_string(), -32600), ("[{]", -32700), ("[1", -32700)]
    {
        let refused = client.raw(body.to_owned()).await;
        assert_eq!((refused.status, code_of(&refused.json())), (400, code), "{body}");
    }
    assert_eq!(client.raw(json!(many[..64]).to_string()).await.json().as_array().map(Vec::len), Some(64));
}

#[tokio::test]
async fn each_message_of_a_batch_has_its_own_place_and_a_lost_connection_withdraws_none() {
    let config = "[gateway]\nmax_in_flight = 2\n".to_owned() + &scripted("s", &[]);
    let gateway = Gateway::start(&config).await;
    let client = Legacy::open_as(&gateway, "/mcp", VERSION).await;
    let sleeps: Vec<Value> = (0..4).map(|id| call(json!(id), "s__sleep", json!({ "ms": 400 }))).collect();
    let answers = client.raw(json!(sleeps).to_string()).await.json();
    let refused =
        answers.as_array().expect("an array").iter().filter(|answer| answer["error"]["code"] == -31429);
    assert_eq!(refused.count(), 2, "{answers}");
    let going = {
        let (client, body) = (client.clone(), json!(sleeps[..2]).to_string());
        tokio::spawn(async move { client.raw(body).await })
    };
    gateway.in_flight(2).await;
    going.abort();
    gateway.in_flight(0).await;
    eventually("nothing was cancelled", || async {
        (stats(&client, "s__stats").await["cancellations"] == 0).then_some(())
    })
    .await;
}
