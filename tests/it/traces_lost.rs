//! A collector of traces that is away, busy, picky or slow costs spans, which are counted, and no request.

use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use prost::Message as _;
use rustix::process::Signal;
use serde_json::json;
use tokio::time::Instant;

use crate::support::{Collector, Gateway, Modern, eventually, scripted, text_of};

/// A call that is served whatever becomes of its spans.
async fn served(gateway: &Gateway) {
    let answer = Modern::new(gateway, "/mcp").call("s__echo", json!({ "message": "here" })).await;
    assert_eq!(text_of(&answer), "here");
}

/// Waits until at least so many spans have had this outcome.
async fn counted(gateway: &Gateway, outcome: &str, least: f64) -> f64 {
    let name = format!("trunkline_trace_spans_total{{outcome=\"{outcome}\"}}");
    eventually(&name, || async { gateway.metric(&name).await.filter(|count| *count >= least) }).await
}

async fn logged(gateway: &Gateway, words: &str) {
    eventually(words, || async { gateway.log().contains(words).then_some(()) }).await;
}

#[tokio::test]
async fn a_collector_that_is_away_is_told_once_and_gets_what_waited_when_it_is_back() {
    let collector = Collector::start().await;
    let (section, port) = (collector.section(), collector.address.port());
    drop(collector);
    let gateway = Gateway::start(&(scripted("s", &[]) + &section)).await;
    served(&gateway).await;
    logged(&gateway, "spans are not taken").await;
    served(&gateway).await;
    let collector = Collector::start_at(port).await;
    counted(&gateway, "sent", 4.0).await;
    assert_eq!(collector.spans().len(), 4, "two calls of two spans, each once");
    logged(&gateway, "spans are taken again").await;
    assert_eq!(gateway.log().matches("spans are not taken").count(), 1, "{}", gateway.log());
}

#[tokio::test]
async fn what_a_collector_asks_for_is_heeded() {
    let collector = Collector::start().await;
    let gateway = Gateway::start(&(scripted("s", &[]) + &collector.section())).await;
    // Busy: once more, and not before it wants it.
    collector.answer("503 Service Unavailable\r\nretry-after: 1", Vec::new());
    let began = Instant::now();
    served(&gateway).await;
    counted(&gateway, "sent", 2.0).await;
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(collector.asked(), 2);
    // Not wanted: never again.
    collector.answer("401 Unauthorized", Vec::new());
    served(&gateway).await;
    assert_eq!(counted(&gateway, "refused", 2.0).await, 2.0);
    assert_eq!(collector.asked(), 3);
    // Taken in part.
    let partial = ExportTracePartialSuccess { rejected_spans: 1, error_message: "too\nold".to_owned() };
    let answer = ExportTraceServiceResponse { partial_success: Some(partial) };
    collector.answer("200 OK", answer.encode_to_vec());
    served(&gateway).await;
    assert_eq!(counted(&gateway, "rejected", 1.0).await, 1.0);
    logged(&gateway, "in part: too old").await;
    assert_eq!(counted(&gateway, "sent", 3.0).await, 3.0);
}

#[tokio::test]
async fn a_collector_that_hangs_fills_the_queue_and_keeps_no_request() {
    let collector = Collector::start().await;
    collector.hang();
    let section = collector.section() + "queue = 512\ntimeout = \"60s\"\n";
    let gateway = Gateway::start(&(scripted("s", &[]) + &section)).await;
    served(&gateway).await;
    eventually("an export hangs", || async { (collector.asked() == 1).then_some(()) }).await;
    // What is answered here is one span each.
    let client = Modern::new(&gateway, "/mcp");
    for _ in 0..520 {
        assert_eq!(client.request("tools/list", json!({})).await.status, 200);
    }
    assert_eq!(counted(&gateway, "queue_full", 8.0).await, 8.0);
}

#[tokio::test]
async fn at_the_end_what_is_queued_is_sent() {
    let collector = Collector::start().await;
    let section = collector.section().replace("10ms", "60s");
    let mut gateway = Gateway::start(&(scripted("s", &[]) + &section)).await;
    served(&gateway).await;
    assert_eq!(collector.asked(), 0, "it waits for more");
    gateway.signal(Signal::TERM);
    assert!(gateway.ended().await.success());
    assert_eq!(collector.spans().len(), 2);
}

#[tokio::test]
async fn what_waits_when_a_reload_ends_the_spans_is_sent_then_and_not_after_its_delay() {
    let collector = Collector::start().await;
    let entry = scripted("s", &[]);
    let slow = collector.section().replace("10ms", "1m");
    let gateway = Gateway::start(&(entry.clone() + &slow)).await;
    served(&gateway).await;
    assert_eq!(collector.asked(), 0, "they wait for more");
    std::fs::write(gateway.folder().join("gateway.toml"), entry).unwrap();
    gateway.signal(Signal::HUP);
    eventually("what was queued is sent", || async { (collector.spans().len() == 2).then_some(()) }).await;
}

#[tokio::test]
async fn the_end_waits_no_longer_for_a_collector_than_configured() {
    let collector = Collector::start().await;
    collector.hang();
    let section = collector.section().replace("10ms", "60s") + "timeout = \"300ms\"\n";
    let mut gateway = Gateway::start(&(scripted("s", &[]) + &section)).await;
    served(&gateway).await;
    gateway.signal(Signal::TERM);
    assert!(gateway.ended().await.success());
    assert!(gateway.log().contains("300ms"), "{}", gateway.log());
}

#[tokio::test]
async fn what_a_collector_is_sent_in_headers_shows_nowhere_else() {
    let collector = Collector::start().await;
    let secret = "canary-3d8f1b";
    collector.answer("403 Forbidden", Vec::new());
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), secret).unwrap();
    let key = format!("headers = {{ X-Key = \"${{file:{}}}\" }}\n", file.path().display());
    let config = scripted("s", &[]) + "capture = \"all\"\n" + &collector.section() + &key;
    let gateway = Gateway::start(&config).await;
    served(&gateway).await;
    logged(&gateway, "see traces.headers").await;
    served(&gateway).await;
    counted(&gateway, "sent", 2.0).await;
    let export = collector.exports().remove(0);
    assert!(export.headers.contains(&("x-key".to_owned(), secret.to_owned())), "{export:?}");
    // A call that has it in its arguments is kept without it.
    let client = Modern::new(&gateway, "/mcp");
    client.call("s__echo", json!({ "message": secret })).await;
    let config = gateway.get("/api/v1/config", &[("x-trunkline", "1")]).await;
    assert!(config.text().contains("traces.headers") && !config.text().contains(secret), "{}", config.text());
    assert!(!gateway.log().contains(secret), "{}", gateway.log());
    let kept = eventually("the row", || async {
        let rows = crate::activity::activity(&gateway, &[]);
        (rows.len() >= 3).then(|| serde_json::Value::Array(rows).to_string())
    });
    assert!(!kept.await.contains(secret));
}

#[tokio::test]
async fn without_good_authorities_requests_are_served_untraced_and_it_is_said() {
    let config = scripted("s", &[])
        + "\n[traces]\nendpoint = \"https://127.0.0.1:1\"\nca_file = \"/nowhere/ca.pem\"\n";
    let gateway = Gateway::start(&config).await;
    served(&gateway).await;
    let log = gateway.log();
    assert!(log.contains("not traced as configured") && log.contains("/nowhere/ca.pem"), "{log}");
}
