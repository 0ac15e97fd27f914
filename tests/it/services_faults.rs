//! Plain HTTP services in trouble: what their callers are told, how soon, and how they come back.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use crate::commands::printed;
use crate::support::{Backend, Gateway, eventually, service, wire};

/// So that one open breaker outlasts a test.
const LONG_OPEN: &str = "breaker = { failures = 3, open = \"1h\" }\n";

#[tokio::test]
async fn a_service_that_is_down_is_told_at_once_and_serves_again_as_soon_as_it_is_back() {
    let ollama = Backend::ollama(0).await;
    let (url, port) = (ollama.url.clone(), ollama.port());
    let config = service("o", &url) + LONG_OPEN + "health = \"/api/version\"\nhealth_interval = \"50ms\"\n";
    let gateway = Gateway::start(&config).await;
    drop(ollama);
    let readiness = eventually("the service counts as failed", || async {
        let readiness = gateway.readiness().await;
        (readiness["services"]["o"] == "failed").then_some(readiness)
    })
    .await;
    assert_eq!(readiness["status"], "degraded");
    assert!(readiness["degraded"]["o"].as_str().unwrap().contains("cannot be reached"), "{readiness}");
    for _ in 0..3 {
        let reply = gateway.get("/services/o/x", &[]).await;
        assert_eq!((reply.status, reply.json()["error"].as_str()), (503, Some("unavailable")));
        assert_eq!(reply.header("retry-after"), None, "{}", reply.text());
    }
    let reply = gateway.get("/services/o/x", &[]).await;
    assert_eq!(reply.status, 503);
    assert_eq!(reply.header("retry-after"), Some("3600"), "its breaker is open: {}", reply.text());
    assert_eq!(reply.json()["retry_after"], 3600);
    let metrics = gateway.get("/metrics", &[]).await;
    for line in [
        "trunkline_breaker_state{server=\"o\",state=\"open\"} 1",
        "trunkline_server_state{server=\"o\",state=\"failed\"} 1",
        "trunkline_requests_total{endpoint_kind=\"service\",method=\"http\",server=\"o\",outcome=\"unavailable\"} 4",
    ] {
        assert!(metrics.text().lines().any(|found| found == line), "{line} is not in\n{}", metrics.text());
    }
    let _again = Backend::ollama(port).await;
    gateway.ready().await;
    assert_eq!(gateway.get("/services/o/x", &[]).await.status, 200, "coming back closes the breaker");
}

#[tokio::test]
async fn a_service_without_an_answer_is_given_up_in_time_and_one_that_falls_silent_is_cut_off() {
    let ollama = Backend::ollama(0).await;
    let config = service("o", &ollama.url) + "request_timeout = \"300ms\"\nidle_timeout = \"3s\"\n";
    let gateway = Gateway::start(&config).await;
    let reply = gateway.get("/services/o/hang", &[]).await;
    assert_eq!((reply.status, reply.json()["error"].as_str()), (504, Some("timeout")));
    for path in ["/services/o/stall", "/services/o/break"] {
        ollama.behave(json!({ "hold": true })).await;
        let mut answer = wire::request(gateway.address, "GET", path, &[], "").await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.piece().await.unwrap().unwrap(), "data: begun\n\n");
        ollama.behave(json!({ "hold": false })).await;
        let end = answer.piece().await;
        assert!(matches!(end, Some(Err(_))), "a client does not take a broken answer for the whole: {end:?}");
    }
    eventually("the service is rid of all", || async { (ollama.seen().await["running"] == 0).then_some(()) })
        .await;
}

#[tokio::test]
async fn answers_of_5xx_open_the_breaker_and_those_below_do_not() {
    let ollama = Backend::ollama(0).await;
    let gateway = Gateway::start(&(service("o", &ollama.url) + LONG_OPEN)).await;
    let ask = |model: &'static str| {
        let body = json!({ "model": model, "prompt": "p", "stream": false }).to_string();
        let address = gateway.address;
        async move { wire::request(address, "POST", "/services/o/api/generate", &[], body).await.whole().await }
    };
    for _ in 0..5 {
        assert_eq!(ask("missing").await.status, 404);
    }
    assert_eq!(ask("m").await.status, 200);
    ollama.behave(json!({ "fail": 500 })).await;
    for _ in 0..3 {
        assert_eq!(ask("m").await.status, 500, "the answer goes through as it is");
    }
    let before = ollama.seen().await["generated"].clone();
    assert_eq!(ask("m").await.status, 503);
    assert_eq!(ollama.seen().await["generated"], before, "an open breaker lets nothing through");
}

#[tokio::test]
async fn no_more_connections_are_opened_than_may_be_and_who_finds_none_is_told_when_to_try_again() {
    let ollama = Backend::ollama(0).await;
    let config = "[gateway]\nmax_service_connections = 3\n".to_owned()
        + &service("o", &ollama.url)
        + "max_connections = 2\nconnect_timeout = \"500ms\"\n"
        + &service("p", &ollama.url)
        + "connect_timeout = \"500ms\"\n";
    let gateway = Gateway::start(&config).await;
    let hold = |name: &str| {
        let (address, path) = (gateway.address, format!("/services/{name}/stall"));
        async move { wire::request(address, "GET", &path, &[], "").await }
    };
    let first = hold("o").await;
    let (_second, _third) = (hold("o").await, hold("p").await);
    for name in ["o", "p"] {
        let since = Instant::now();
        let reply = hold(name).await.whole().await;
        assert_eq!((reply.status, reply.header("retry-after")), (429, Some("1")), "{}", reply.text());
        assert!(since.elapsed() >= Duration::from_millis(500), "it waited for one that may become free");
    }
    drop(first);
    // The connection that is free again serves whoever waits for it.
    eventually("there is a place again", || async { (hold("o").await.status == 200).then_some(()) }).await;
}

#[tokio::test]
async fn an_operator_sees_a_service_and_closes_its_breaker() {
    let ollama = Backend::ollama(0).await;
    let (url, port) = (ollama.url.clone(), ollama.port());
    let config = service("o", &url) + LONG_OPEN + "rate = \"1000/s\"\n";
    let gateway = Gateway::start(&config).await;
    let well = printed(&gateway, &["services", "o"]).await;
    for told in ["ready for", "in service         yes", &url, "/services/o", "0 of", "1000/s"] {
        assert!(well.contains(told), "{told}: {well}");
    }
    drop(ollama);
    for _ in 0..3 {
        assert_eq!(gateway.get("/services/o/x", &[]).await.status, 503);
    }
    let listed = printed(&gateway, &["services"]).await;
    assert!(listed.contains("breaker open") && listed.contains("next try in"), "{listed}");
    let _again = Backend::ollama(port).await;
    assert_eq!(gateway.get("/services/o/x", &[]).await.status, 503, "the breaker is still open");
    let done = printed(&gateway, &["service", "reset", "o"]).await;
    assert!(done.contains("the breaker of 'o' is closed"), "{done}");
    assert_eq!(gateway.get("/services/o/x", &[]).await.status, 200);
    assert!(gateway.log().contains("the breaker of 'o' is closed"), "the audit log has it");
}

#[tokio::test]
async fn a_service_out_of_service_is_passed_nothing_is_missed_by_nobody_and_stays_so_over_a_reload() {
    let ollama = Backend::ollama(0).await;
    let config = service("o", &ollama.url);
    let gateway = Gateway::start(&config).await;
    ollama.behave(json!({ "hold": true })).await;
    let mut under_way = wire::request(gateway.address, "GET", "/services/o/stall", &[], "").await;
    assert_eq!(under_way.piece().await.unwrap().unwrap(), "data: begun\n\n");
    printed(&gateway, &["service", "disable", "o"]).await;
    let refused = gateway.get("/services/o/x", &[]).await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(refused.text().contains("out of service"), "{}", refused.text());
    let busy = gateway.get("/api/v1/services/o", &[]).await.json();
    assert_eq!((&busy["enabled"], &busy["in_flight"]), (&json!(false), &json!(1)), "{busy}");
    let status = gateway.get("/api/v1/status", &[]).await.json();
    assert_eq!((&status["status"], &status["services"]), (&json!("healthy"), &json!({ "disabled": 1 })));
    assert_eq!(gateway.readiness().await["status"], "ready");
    // Another entry is another service, and still out of service.
    let file = gateway.folder().join("gateway.toml");
    std::fs::write(&file, config + "max_in_flight = 3\n").unwrap();
    printed(&gateway, &["reload"]).await;
    let next = gateway.get("/api/v1/services/o", &[]).await.json();
    assert_eq!((&next["enabled"], &next["max_in_flight"]), (&json!(false), &json!(3)), "{next}");
    assert_eq!(gateway.get("/services/o/x", &[]).await.status, 503);
    let mut events = wire::request(gateway.address, "GET", "/api/v1/events", &[], "").await;
    let first = events.message().await.expect("the state of now");
    assert_eq!((&first["server"], &first["state"]), (&json!("o"), &json!("stopped")), "{first}");
    printed(&gateway, &["service", "enable", "o"]).await;
    let told = events.message().await.expect("an event");
    assert_eq!((&told["kind"], &told["state"]), (&json!("service"), &json!("enabled")), "{told}");
    gateway.ready().await;
    assert_eq!(gateway.get("/services/o/x", &[]).await.status, 200);
    ollama.behave(json!({ "hold": false })).await;
}
