//! Servers behind a URL: their sessions, their streams, their absences and their refusals.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::stub::{Seen, Stub};
use crate::support::tls;
use crate::support::{
    Backend, Gateway, Legacy, Modern, code_of, eventually, message_of, over_http, scripted, stats, text_of,
};

async fn behind(backend: &Backend, more: &str) -> Gateway {
    Gateway::start(&(over_http("s", &backend.url) + more)).await
}

#[tokio::test]
async fn answers_and_streams_of_either_era_reach_clients_of_either_era() {
    for era in ["legacy", "modern"] {
        let backend = Backend::start("scripted-server", &["--era", era]).await;
        let gateway = behind(&backend, "").await;
        let (legacy, modern) = (Legacy::open(&gateway, "/mcp").await, Modern::new(&gateway, "/mcp"));
        assert_eq!(legacy.text("s__echo", json!({ "message": "one" })).await, "one");
        assert_eq!(text_of(&modern.call("s__echo", json!({ "message": "two" })).await), "two");
        let params = json!({ "name": "s__stream", "arguments": { "notes": 3, "ms": 5 }, "_meta": { "progressToken": "t" } });
        for reply in
            [legacy.request("tools/call", params.clone()).await, modern.request("tools/call", params).await]
        {
            let messages = reply.messages();
            let steps: Vec<&Value> = messages[..3].iter().map(|note| &note["params"]).collect();
            let expected =
                [1, 2, 3].map(|step| json!({ "progressToken": "t", "progress": step, "total": 3 }));
            assert_eq!(steps, expected.iter().collect::<Vec<_>>(), "{era}");
            assert_eq!(text_of(&messages[3]), "3 notes");
        }
        let big = legacy.text("s__big", json!({ "bytes": 3_000_000 })).await;
        assert_eq!(big.len(), 3_000_000);
        let fails = legacy.call("s__fail", json!({})).await;
        assert_eq!(fails["result"]["isError"], true);
        let refused = legacy.call("s__refuse", json!({ "code": 4711 })).await;
        assert_eq!((code_of(&refused), message_of(&refused)), (4711, "refused"));
        // Nobody offers the stream of a GET here: that is healthy.
        assert_eq!(gateway.readiness().await["status"], "ready");
    }
}

#[tokio::test]
async fn a_server_gets_the_headers_of_its_era_and_those_of_its_entry() {
    for era in ["legacy", "modern"] {
        let backend = Backend::start("scripted-server", &["--era", era]).await;
        let gateway = behind(&backend, "headers = { X-Own = \"secret-value\" }\n").await;
        let (legacy, modern) = (Legacy::open(&gateway, "/mcp").await, Modern::new(&gateway, "/mcp"));
        let seen = [legacy.call("s__headers", json!({})).await, modern.call("s__headers", json!({})).await];
        for answer in seen {
            let headers: Value = serde_json::from_str(&text_of(&answer)).unwrap();
            assert_eq!(headers["x-own"], "secret-value");
            assert_eq!(headers["accept"], "application/json, text/event-stream");
            assert_eq!(headers["content-type"], "application/json");
            if era == "modern" {
                assert_eq!(headers["mcp-protocol-version"], "2026-07-28");
                assert_eq!(
                    (&headers["mcp-method"], &headers["mcp-name"]),
                    (&json!("tools/call"), &json!("headers"))
                );
                assert_eq!(headers.get("mcp-session-id"), None);
            } else {
                assert_eq!(headers["mcp-protocol-version"], "2025-11-25");
                assert!(headers["mcp-session-id"].as_str().unwrap().starts_with("scripted-"));
                assert_ne!(
                    headers["mcp-session-id"].as_str(),
                    Some(legacy.session.as_str()),
                    "not the client's own"
                );
            }
        }
        assert!(!gateway.log().contains("secret-value"), "credentials are never printed");
    }
}

#[tokio::test]
async fn a_forgotten_session_is_opened_again_and_no_client_notices() {
    let backend = Backend::start("scripted-server", &["--era", "legacy"]).await;
    let gateway = behind(&backend, "").await;
    let client = Legacy::open(&gateway, "/mcp").await;
    for round in 1..=3_u64 {
        assert_eq!(client.text("s__forget-session", json!({})).await, "done");
        let message = round.to_string();
        assert_eq!(client.text("s__echo", json!({ "message": message })).await, message, "round {round}");
        assert_eq!(stats(&client, "s__stats").await["initializes"], round + 1);
    }
}

#[tokio::test]
async fn a_change_is_heard_on_the_stream_that_the_server_offers() {
    for (era, flags) in [("legacy", ["--get-stream"].as_slice()), ("modern", &[])] {
        let args = [&["--era", era], flags].concat();
        let backend = Backend::start("scripted-server", &args).await;
        let gateway = behind(&backend, "").await;
        let client = Legacy::open(&gateway, "/mcp").await;
        let mut stream = client.stream().await;
        // The gateway's own stream at the server is opened beside the first calls.
        let heard = tokio::spawn(async move { stream.message().await });
        eventually("the change is heard", || async {
            client.text("s__list-changed", json!({})).await;
            heard.is_finished().then_some(())
        })
        .await;
        let note = heard.await.unwrap().expect("a change");
        assert_eq!(note["method"], "notifications/tools/list_changed", "{era}");
        assert!(client.request("tools/list", json!({})).await.text().contains("s__extra"));
    }
}

#[tokio::test]
async fn a_server_that_is_down_at_the_start_is_named_and_taken_up_when_it_comes() {
    let port = Backend::start("scripted-server", &[]).await.port();
    let config = over_http("s", &format!("http://127.0.0.1:{port}/mcp")) + &scripted("fine", &[]);
    let gateway = Gateway::launch(&config).await;
    gateway.in_state("fine", &["ready"]).await;
    let readiness = gateway.in_state("s", &["backoff"]).await;
    assert_eq!(readiness["status"], "degraded");
    let told = readiness["degraded"]["s"].as_str().expect("a reason").to_owned();
    assert!(told.contains(&format!("127.0.0.1:{port}")), "{told}");
    let client = Legacy::open(&gateway, "/mcp").await;
    assert_eq!(client.text("fine__echo", json!({ "message": "up" })).await, "up");
    let _backend = Backend::start("scripted-server", &["--port", &port.to_string()]).await;
    gateway.in_state("s", &["ready"]).await;
    assert_eq!(client.text("s__echo", json!({ "message": "at last" })).await, "at last");
}

#[tokio::test]
async fn a_server_that_goes_away_fails_its_calls_by_name_and_is_taken_up_again() {
    for era in ["legacy", "modern"] {
        let backend = Backend::start("scripted-server", &["--era", era]).await;
        let port = backend.port().to_string();
        let gateway = behind(&backend, "start_timeout = \"1s\"\n").await;
        let client = Legacy::open(&gateway, "/mcp").await;
        assert_eq!(client.text("s__echo", json!({ "message": "before" })).await, "before");
        let broken = client.call("s__crash", json!({})).await;
        assert_eq!(code_of(&broken), -31502, "{broken}");
        assert!(message_of(&broken).contains("'s'"), "{broken}");
        drop(backend);
        let gone = client.call("s__echo", json!({ "message": "x" })).await;
        assert_eq!(code_of(&gone), -31503, "{gone}");
        assert!(message_of(&gone).contains("'s'"), "{gone}");
        let _again = Backend::start("scripted-server", &["--era", era, "--port", &port]).await;
        eventually("it is taken up again", || async {
            let answer = client.call("s__echo", json!({ "message": "after" })).await;
            answer.get("error").is_none().then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_stream_that_ends_without_an_answer_is_a_named_error() {
    for era in ["legacy", "modern"] {
        let backend = Backend::start("scripted-server", &["--era", era]).await;
        let gateway = behind(&backend, "").await;
        let client = Legacy::open(&gateway, "/mcp").await;
        let cut = client.call("s__cut", json!({})).await;
        assert_eq!(code_of(&cut), -31502, "{cut}");
        assert!(message_of(&cut).contains("'s'") && message_of(&cut).contains("stream"), "{cut}");
        assert_eq!(client.text("s__echo", json!({ "message": "after" })).await, "after");
    }
}

#[tokio::test]
async fn a_call_past_its_timeout_is_withdrawn_at_the_server() {
    for era in ["legacy", "modern"] {
        let backend = Backend::start("scripted-server", &["--era", era]).await;
        let gateway = behind(&backend, "call_timeout = \"300ms\"\n").await;
        let client = Legacy::open(&gateway, "/mcp").await;
        let late = client.call("s__hang", json!({})).await;
        assert_eq!(code_of(&late), -31504, "{late}");
        eventually("the server hears of it", || async {
            (stats(&client, "s__stats").await["cancellations"] == 1).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_status_of_the_server_is_never_a_status_for_the_client() {
    for era in ["legacy", "modern"] {
        let backend = Backend::start("scripted-server", &["--era", era]).await;
        // Every one of them has to arrive, however many before it failed.
        let gateway = behind(&backend, "breaker = { failures = 1000 }\n").await;
        let (legacy, modern) = (Legacy::open(&gateway, "/mcp").await, Modern::new(&gateway, "/mcp"));
        for (status, code) in
            [(401, -31503), (403, -31503), (429, -31429), (500, -31502), (503, -31502), (302, -31503)]
        {
            let params = json!({ "name": "s__status", "arguments": { "code": status } });
            for reply in [
                legacy.request("tools/call", params.clone()).await,
                modern.request("tools/call", params.clone()).await,
            ] {
                let answer = reply.json();
                assert_eq!(reply.status, 200, "{era} {status}: {answer}");
                assert!(!reply.headers.contains_key("www-authenticate"));
                assert!(message_of(&answer).contains("'s'"), "{era} {status}: {answer}");
                assert_eq!(code_of(&answer), code, "{era} {status}: {answer}");
                // One tool that wants a login does not take those away that want none.
                assert_eq!(message_of(&answer).contains("trunkline login s"), status == 401, "{answer}");
                // A success in between, so that no breaker opens.
                assert_eq!(legacy.text("s__echo", json!({ "message": "after" })).await, "after");
            }
        }
        // At a legacy server's 404 the session is opened again; what then comes is final.
        let lost =
            legacy.request("tools/call", json!({ "name": "s__status", "arguments": { "code": 404 } })).await;
        assert_eq!(lost.status, 200);
        assert!([-31502, -31503].contains(&code_of(&lost.json())), "{}", lost.text());
    }
}

#[tokio::test]
async fn a_refused_credential_is_the_servers_trouble_and_the_cure_is_named() {
    let backend = Backend::start("scripted-server", &["--bearer", "it-secret"]).await;
    let entry = over_http("s", &backend.url);
    let gateway =
        Gateway::launch(&(entry.clone() + "headers = { Authorization = \"Bearer it-wrong\" }\n")).await;
    let readiness = gateway.in_state("s", &["backoff", "failed"]).await;
    let told = readiness["degraded"]["s"].as_str().expect("a reason").to_owned();
    assert!(told.contains("401") && told.contains("headers"), "{told}");
    assert!(!gateway.log().contains("it-wrong"), "credentials are never printed");
    let gateway = Gateway::start(&(entry + "headers = { Authorization = \"Bearer it-secret\" }\n")).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    assert_eq!(client.text("s__echo", json!({ "message": "in" })).await, "in");
}

/// The handshake and the list of a legacy server that has nothing but one tool.
fn legacy_server(seen: &Seen) -> (String, String) {
    let message: Value = serde_json::from_str(&seen.body).unwrap_or_default();
    let result = match message["method"].as_str() {
        Some("initialize") => json!({
            "protocolVersion": "2025-11-25", "capabilities": { "tools": {} },
            "serverInfo": { "name": "stub", "version": "1" },
        }),
        Some("tools/list") => json!({ "tools": [{ "name": "odd", "inputSchema": { "type": "object" } }] }),
        Some("tools/call") => json!({ "content": [{ "type": "text", "text": "called" }] }),
        Some("server/discover") => return ("400 Bad Request".into(), String::new()),
        Some(_) => return ("202 Accepted".into(), String::new()),
        None => return ("405 Method Not Allowed".into(), String::new()),
    };
    let answer = json!({ "jsonrpc": "2.0", "id": message["id"], "result": result });
    ("200 OK\r\ncontent-type: application/json".into(), answer.to_string())
}

#[tokio::test]
async fn a_redirect_on_the_same_origin_is_followed_and_one_to_another_is_not() {
    let foreign = Stub::start(legacy_server).await;
    let elsewhere = foreign.url("/mcp");
    let server = Stub::start(move |seen| {
        let calls_away = seen.body.contains("away");
        match seen.line.split(' ').nth(1) {
            _ if calls_away => (format!("307 Temporary Redirect\r\nlocation: {elsewhere}"), String::new()),
            Some("/old") => ("308 Permanent Redirect\r\nlocation: /new".into(), String::new()),
            Some("/circle") => ("307 Temporary Redirect\r\nlocation: /circle".into(), String::new()),
            _ => legacy_server(seen),
        }
    })
    .await;
    let entry = over_http("s", &server.url("/old")) + "headers = { Authorization = \"Bearer it-secret\" }\n";
    let config = entry + &over_http("round", &server.url("/circle"));
    let gateway = Gateway::launch(&config).await;
    gateway.in_state("s", &["ready"]).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    assert_eq!(client.text("s__odd", json!({})).await, "called");
    let refused = client.call("s__odd", json!({ "to": "away" })).await;
    assert_eq!(code_of(&refused), -31503, "{refused}");
    assert!(message_of(&refused).contains("another origin"), "{refused}");
    let leaked = foreign.seen();
    assert!(leaked.is_empty(), "nothing may reach the other origin: {leaked:?}");
    let readiness = gateway.in_state("round", &["backoff", "failed"]).await;
    assert!(readiness["degraded"]["round"].as_str().unwrap().contains("circle"), "{readiness}");
    let authorized = server
        .seen()
        .iter()
        .filter(|seen| seen.line.contains("/new"))
        .all(|seen| seen.header("authorization") == Some("Bearer it-secret"));
    assert!(authorized, "the credential goes along on the server's own origin");
}

#[tokio::test]
async fn a_server_that_never_answers_costs_the_start_timeout_and_nobody_else() {
    // A listener that accepts by its queue only, and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/mcp", silent.local_addr().unwrap());
    let config = over_http("s", &url) + "start_timeout = \"500ms\"\n" + &scripted("fine", &[]);
    let gateway = Gateway::launch(&config).await;
    gateway.in_state("fine", &["ready"]).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let started = Instant::now();
    assert_eq!(client.text("fine__echo", json!({ "message": "up" })).await, "up");
    assert!(started.elapsed() < Duration::from_secs(1));
    let readiness = gateway.in_state("s", &["backoff", "failed"]).await;
    assert!(readiness["degraded"]["s"].as_str().unwrap().contains("start_timeout"), "{readiness}");
}

#[tokio::test]
async fn a_certificate_counts_by_the_authority_of_the_entry_and_not_without_it() {
    let url = format!("https://{}/mcp", tls::serve(legacy_server));
    let config = over_http("s", &url)
        + &format!("ca_file = {:?}\n", tls::authority().to_str().unwrap())
        + &over_http("stranger", &url);
    let gateway = Gateway::launch(&config).await;
    gateway.in_state("s", &["ready"]).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    assert_eq!(client.text("s__odd", json!({})).await, "called");
    let readiness = gateway.in_state("stranger", &["backoff", "failed"]).await;
    let told = readiness["degraded"]["stranger"].as_str().expect("a reason").to_lowercase();
    assert!(told.contains("certificate"), "{told}");
}
