//! Sessions of the legacy era: who has one, what ends it, and what does not.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::clients::LEGACY;
use crate::support::{
    Counter, Gateway, Legacy, Reply, code_of, eventually, message_of, scripted, stats, text_of, wire,
};

const PING: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;

async fn ping_with(gateway: &Gateway, path: &str, session: Option<&str>) -> Reply {
    let headers: Vec<_> = session.map(|session| ("mcp-session-id", session)).into_iter().collect();
    wire::post(gateway.address, path, &headers, PING).await.whole().await
}

fn assert_unknown(reply: &Reply) {
    assert_eq!((reply.status, code_of(&reply.json())), (404, -32001), "{}", reply.text());
    assert!(message_of(&reply.json()).contains("initialize"), "the cure is named: {}", reply.text());
}

async fn initialize(gateway: &Gateway, version: &str) -> Reply {
    let params = json!({ "protocolVersion": version, "capabilities": {}, "clientInfo": { "name": "it", "version": "1" } });
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params }).to_string();
    wire::post(gateway.address, "/mcp", &[], body).await.whole().await
}

/// Stops a gateway in good order.
async fn stop(gateway: &mut Gateway) {
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.ended().await.code(), Some(0));
}

#[tokio::test]
async fn every_legacy_version_is_agreed_to_and_an_unknown_one_gets_the_newest() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    for version in ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"] {
        assert_eq!(initialize(&gateway, version).await.json()["result"]["protocolVersion"], version);
    }
    for version in ["1999-01-01", "2031-01-01", "2026-07-28", ""] {
        assert_eq!(
            initialize(&gateway, version).await.json()["result"]["protocolVersion"],
            LEGACY,
            "{version}"
        );
    }
}

#[tokio::test]
async fn a_welcome_names_the_gateway_and_what_it_offers() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    let merged = Legacy::open(&gateway, "/mcp").await.welcome;
    assert_eq!(merged["serverInfo"]["name"], "trunkline");
    for list in ["tools", "resources", "prompts"] {
        assert_eq!(merged["capabilities"][list]["listChanged"], true);
    }
    let own = Legacy::open(&gateway, "/mcp/s").await.welcome;
    assert_eq!(own["serverInfo"], json!({ "name": "scripted", "version": "1" }));
    assert_eq!(own["capabilities"], json!({ "tools": { "listChanged": true }, "logging": {} }));
}

#[tokio::test]
async fn a_missing_session_is_400_and_an_unknown_one_404() {
    let gateway = Gateway::start(&(scripted("s", &[]) + &scripted("t", &[]))).await;
    let missing = ping_with(&gateway, "/mcp", None).await;
    assert_eq!((missing.status, code_of(&missing.json())), (400, -32600));
    assert!(message_of(&missing.json()).contains("Mcp-Session-Id"), "{}", missing.text());

    let client = Legacy::open(&gateway, "/mcp").await;
    assert_eq!(client.raw(PING).await.json(), json!({ "jsonrpc": "2.0", "id": 1, "result": {} }));
    let mut turned: Vec<u8> = client.session.clone().into_bytes();
    let middle = turned.len() / 2;
    turned[middle] = if turned[middle] == b'A' { b'B' } else { b'A' };
    let forged = String::from_utf8(turned).unwrap();
    for session in ["", "x", "00000000-0000-0000-0000-000000000000", &forged, &(client.session.clone() + "A")]
    {
        assert_unknown(&ping_with(&gateway, "/mcp", Some(session)).await);
    }
    // A session is good at its own endpoint only.
    for path in ["/mcp/s", "/mcp/t"] {
        assert_unknown(&ping_with(&gateway, path, Some(&client.session)).await);
    }
    let own = Legacy::open(&gateway, "/mcp/s").await;
    assert_eq!(ping_with(&gateway, "/mcp/s", Some(&own.session)).await.status, 200);
    for path in ["/mcp", "/mcp/t"] {
        assert_unknown(&ping_with(&gateway, path, Some(&own.session)).await);
    }
}

#[tokio::test]
async fn a_version_header_of_no_known_version_is_refused() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    for (version, status) in [("2025-06-18", 200), ("2024-11-05", 200), ("2025-01-01", 400)] {
        let headers = [("mcp-session-id", client.session.as_str()), ("mcp-protocol-version", version)];
        let reply = wire::post(gateway.address, "/mcp", &headers, PING).await.whole().await;
        assert_eq!(reply.status, status, "{version}: {}", reply.text());
    }
}

#[tokio::test]
async fn a_deleted_session_is_gone_with_its_stream_and_its_calls() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    let (client, other) = (Legacy::open(&gateway, "/mcp").await, Legacy::open(&gateway, "/mcp").await);
    let mut stream = client.stream().await;
    let mut counter = Counter::start(&other, "s__stats").await;
    let hanging = {
        let client = client.clone();
        tokio::spawn(async move { client.call("s__hang", json!({})).await })
    };
    counter.reach(1).await;
    assert_eq!(client.delete().await.status, 204);
    assert_eq!(stream.message().await, None, "its stream ends");
    assert_eq!(code_of(&hanging.await.unwrap()), -31499, "its call is withdrawn");
    eventually("the server hears of it", || async {
        (stats(&other, "s__stats").await["cancellations"] == 1).then_some(())
    })
    .await;
    assert_unknown(&client.raw(PING).await);
    assert_eq!(client.stream().await.status, 404);
    assert_unknown(&client.delete().await);
    assert_eq!(other.raw(PING).await.status, 200, "other sessions live on");
}

#[tokio::test]
async fn a_session_survives_a_restart_of_the_gateway_and_a_deletion_too() {
    let config = scripted("s", &[]);
    let mut gateway = Gateway::start(&config).await;
    let (kept, gone) = (Legacy::open(&gateway, "/mcp").await, Legacy::open(&gateway, "/mcp").await);
    let own = Legacy::open(&gateway, "/mcp/s").await;
    assert_eq!(gone.delete().await.status, 204);
    stop(&mut gateway).await;
    for _ in 0..3 {
        let mut again = Gateway::launch_again(&gateway, &config, 0).await;
        // The very first requests that the new process sees.
        assert_unknown(&gone.at(&again).raw(PING).await);
        assert_eq!(kept.at(&again).text("s__echo", json!({ "message": "still here" })).await, "still here");
        assert_eq!(own.at(&again).text("echo", json!({ "message": "here too" })).await, "here too");
        again.signal(Signal::KILL);
        again.ended().await;
    }
    // Another installation does not know it.
    let stranger = Gateway::start(&config).await;
    assert_unknown(&kept.at(&stranger).raw(PING).await);
}

#[tokio::test]
async fn the_sessions_stream_tells_of_changes_and_of_several_the_newest_does() {
    for era in ["legacy", "modern"] {
        let gateway =
            Gateway::start(&(scripted("s", &["--era", era]) + &scripted("t", &["--era", era]))).await;
        let (client, own, foreign) = (
            Legacy::open(&gateway, "/mcp").await,
            Legacy::open(&gateway, "/mcp/s").await,
            Legacy::open(&gateway, "/mcp/t").await,
        );
        let first = client.stream().await;
        assert_eq!((first.status, first.header("content-type")), (200, Some("text/event-stream")));
        let mut second = client.stream().await;
        let (mut at_server, mut elsewhere) = (own.stream().await, foreign.stream().await);
        assert_eq!(client.text("s__list-changed", json!({})).await, "added `extra`");
        let changed = json!({ "jsonrpc": "2.0", "method": "notifications/tools/list_changed" });
        for stream in [&mut second, &mut at_server] {
            assert_eq!(stream.message().await, Some(changed.clone()), "{era}");
        }
        let tools = client.request("tools/list", json!({})).await;
        assert!(tools.text().contains("s__extra"), "whoever hears of it finds it");
        assert_eq!(foreign.delete().await.status, 204);
        assert_eq!(elsewhere.message().await, None, "nothing has changed there");
    }
}

#[tokio::test]
async fn a_stream_is_opened_for_those_only_who_ask_for_one_and_have_a_session() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let open = async |headers: &[(&str, &str)]| gateway.get("/mcp", headers).await.status;
    assert_eq!(open(&[("accept", "text/event-stream")]).await, 400);
    assert_eq!(open(&[("accept", "text/event-stream"), ("mcp-session-id", "x")]).await, 404);
    assert_eq!(open(&[("accept", "application/json"), ("mcp-session-id", &client.session)]).await, 406);
}

#[tokio::test]
async fn a_lost_connection_does_not_withdraw_the_call() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let mut counter = Counter::start(&client, "s__stats").await;
    let started = Instant::now();
    let call = {
        let client = client.clone();
        tokio::spawn(async move { client.call("s__sleep", json!({ "ms": 800 })).await })
    };
    counter.reach(1).await;
    call.abort();
    gateway.in_flight(0).await;
    assert!(started.elapsed() >= Duration::from_millis(800), "it ended by itself: {:?}", started.elapsed());
    assert_eq!(stats(&client, "s__stats").await["cancellations"], 0);
}

#[tokio::test]
async fn a_cancellation_withdraws_the_call_that_it_names() {
    for era in ["legacy", "modern"] {
        let gateway = Gateway::start(&scripted("s", &["--era", era])).await;
        let (client, other) = (Legacy::open(&gateway, "/mcp").await, Legacy::open(&gateway, "/mcp").await);
        let mut counter = Counter::start(&client, "s__stats").await;
        let hang = |client: &Legacy, id: Value| {
            let (client, params) = (client.clone(), json!({ "name": "s__hang" }));
            let body = json!({ "jsonrpc": "2.0", "id": id, "method": "tools/call", "params": params });
            tokio::spawn(async move { client.raw(body.to_string()).await.json() })
        };
        // The same id as a number, as a text, and in another session.
        let (number, text, foreign) =
            (hang(&client, json!(7)), hang(&client, json!("7")), hang(&other, json!("7")));
        counter.reach(3).await;
        client.notify("notifications/cancelled", json!({ "requestId": "7", "reason": "tired" })).await;
        let answer = text.await.unwrap();
        assert_eq!((&answer["id"], code_of(&answer)), (&json!("7"), -31499));
        eventually("the server hears of it", || async {
            (stats(&client, "s__stats").await["cancellations"] == 1).then_some(())
        })
        .await;
        assert!(!number.is_finished() && !foreign.is_finished(), "nobody else's call was withdrawn");
        client.notify("notifications/cancelled", json!({ "requestId": 7 })).await;
        assert_eq!(number.await.unwrap()["id"], 7);
        other.notify("notifications/cancelled", json!({ "requestId": "7" })).await;
        assert_eq!(code_of(&foreign.await.unwrap()), -31499);
        // What names nothing harms nothing.
        for params in [json!({}), json!({ "requestId": null }), json!({ "requestId": "never" })] {
            client.notify("notifications/cancelled", params).await;
        }
        assert_eq!(client.text("s__echo", json!({ "message": "after" })).await, "after");
    }
}

#[tokio::test]
async fn a_cancellation_of_an_id_that_is_in_flight_twice_is_ignored() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let mut counter = Counter::start(&client, "s__stats").await;
    let body = json!({ "jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": { "name": "s__sleep", "arguments": { "ms": 700 } } });
    let sleep = || {
        let (client, body) = (client.clone(), body.to_string());
        tokio::spawn(async move { client.raw(body).await.json() })
    };
    let (one, two) = (sleep(), sleep());
    counter.reach(2).await;
    client.notify("notifications/cancelled", json!({ "requestId": 5 })).await;
    for call in [one, two] {
        assert_eq!(text_of(&call.await.unwrap()), "slept");
    }
    assert_eq!(stats(&client, "s__stats").await["cancellations"], 0);
}
