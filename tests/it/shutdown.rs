//! The end of the gateway, in every way: it leaves no process behind.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::support::processes::{alive, marked, none_left, unique_name};
use crate::support::{Counter, Gateway, Legacy, code_of, eventually, message_of, scripted, text_of};

/// What is left of a server that has ended.
const NOBODY: [u32; 0] = [];

/// A server with everything that makes a child hard to end.
fn stubborn(name: &str) -> String {
    let entry = scripted(name, &["--ignore-eof", "--ignore-sigterm", "--spawn-grandchild"]);
    marked(&entry, name) + "stop_grace = \"300ms\"\n"
}

#[tokio::test]
async fn sigkill_of_the_gateway_leaves_no_process() {
    let (stubborn_one, plain) = (unique_name(), unique_name());
    let config = stubborn(&stubborn_one) + &marked(&scripted(&plain, &[]), &plain);
    let mut gateway = Gateway::start(&config).await;
    assert_eq!(alive(&stubborn_one).len(), 3, "keeper, server, grandchild");
    assert_eq!(alive(&plain).len(), 2, "keeper, server");
    gateway.signal(Signal::KILL);
    gateway.ended().await;
    none_left(&stubborn_one).await;
    none_left(&plain).await;
}

#[tokio::test]
async fn sigterm_lets_a_call_in_flight_finish_and_ends_with_status_0_and_no_child() {
    let name = unique_name();
    let mut gateway = Gateway::start(&marked(&scripted(&name, &[]), &name)).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let mut counter = Counter::start(&client, &format!("{name}__stats")).await;
    let call = {
        let (client, tool) = (client.clone(), format!("{name}__sleep"));
        tokio::spawn(async move { client.call(&tool, json!({ "ms": 1000 })).await })
    };
    counter.reach(1).await;
    gateway.signal(Signal::TERM);
    assert_eq!(text_of(&call.await.unwrap()), "slept");
    let status = gateway.ended().await;
    assert_eq!(status.code(), Some(0), "{status}");
    assert_eq!(alive(&name), NOBODY, "no child outlives its gateway, not even for a moment");
}

#[tokio::test]
async fn a_call_that_outlasts_the_grace_is_told_so() {
    let name = unique_name();
    let config = format!("[gateway]\nshutdown_grace = \"300ms\"\n{}", marked(&scripted(&name, &[]), &name));
    let mut gateway = Gateway::start(&config).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let mut counter = Counter::start(&client, &format!("{name}__stats")).await;
    let call = {
        let (client, tool) = (client.clone(), format!("{name}__hang"));
        tokio::spawn(async move { client.call(&tool, json!({})).await })
    };
    counter.reach(1).await;
    let asked = Instant::now();
    gateway.signal(Signal::TERM);
    let answer = call.await.unwrap();
    assert_eq!(code_of(&answer), -31503);
    assert!(message_of(&answer).contains("shutting down"), "{answer}");
    assert_eq!(gateway.ended().await.code(), Some(0));
    assert!(asked.elapsed() >= Duration::from_millis(300) && asked.elapsed() < Duration::from_secs(5));
    assert_eq!(alive(&name), NOBODY);
}

#[tokio::test]
async fn a_child_that_ignores_everything_is_gone_after_its_two_graces() {
    let name = unique_name();
    let mut gateway = Gateway::start(&stubborn(&name)).await;
    let asked = Instant::now();
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.ended().await.code(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    assert_eq!(alive(&name), NOBODY, "the grandchild in a session of its own neither");
}

#[tokio::test]
async fn a_second_sigterm_ends_at_once_and_leaves_no_process() {
    let name = unique_name();
    let config = "[gateway]\nshutdown_grace = \"60s\"\n".to_owned()
        + &marked(&scripted(&name, &["--ignore-eof", "--ignore-sigterm", "--spawn-grandchild"]), &name)
        + "stop_grace = \"60s\"\n";
    let mut gateway = Gateway::start(&config).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let mut counter = Counter::start(&client, &format!("{name}__stats")).await;
    let call = {
        let (client, tool) = (client.clone(), format!("{name}__hang"));
        tokio::spawn(async move { client.call(&tool, json!({})).await })
    };
    counter.reach(1).await;
    gateway.signal(Signal::TERM);
    eventually("the first is noted", || async {
        gateway.log().contains("a second signal stops at once").then_some(())
    })
    .await;
    let insisted = Instant::now();
    gateway.signal(Signal::TERM);
    assert_eq!(code_of(&call.await.unwrap()), -31503);
    gateway.ended().await;
    assert!(insisted.elapsed() < Duration::from_secs(3), "{:?}", insisted.elapsed());
    none_left(&name).await;
}

#[tokio::test]
async fn sigint_is_as_good_as_sigterm() {
    let name = unique_name();
    let mut gateway = Gateway::start(&marked(&scripted(&name, &[]), &name)).await;
    gateway.signal(Signal::INT);
    assert_eq!(gateway.ended().await.code(), Some(0));
    assert_eq!(alive(&name), NOBODY);
}

/// The grace is ten seconds; what has no call in flight has no claim to it.
async fn ends_promptly(mut gateway: Gateway) {
    let asked = Instant::now();
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.ended().await.code(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn an_open_stream_is_ended_in_good_order_and_does_not_hold_the_end_up() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    let client = Legacy::open(&gateway, "/mcp").await;
    let mut stream = client.stream().await;
    let ended = tokio::spawn(async move { stream.message().await });
    ends_promptly(gateway).await;
    assert_eq!(ended.await.unwrap(), None);
}

#[tokio::test]
async fn a_connection_that_has_said_nothing_does_not_hold_the_end_up() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    let _silent = TcpStream::connect(gateway.address).await.unwrap();
    // An answer on a later connection says that the one before has been accepted.
    gateway.readiness().await;
    ends_promptly(gateway).await;
}

#[tokio::test]
async fn a_connection_in_the_middle_of_a_head_does_not_hold_the_end_up() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    let mut half = TcpStream::connect(gateway.address).await.unwrap();
    half.write_all(b"POST /mcp HTTP/1.1\r\nhost: local").await.unwrap();
    gateway.readiness().await;
    ends_promptly(gateway).await;
}

#[tokio::test]
async fn a_connection_that_is_kept_alive_does_not_hold_the_end_up() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    let mut kept = TcpStream::connect(gateway.address).await.unwrap();
    kept.write_all(format!("GET /healthz HTTP/1.1\r\nhost: {}\r\n\r\n", gateway.address).as_bytes())
        .await
        .unwrap();
    let mut answer = [0; 1024];
    let read = kept.read(&mut answer).await.unwrap();
    assert!(answer[..read].starts_with(b"HTTP/1.1 200"), "{:?}", String::from_utf8_lossy(&answer[..read]));
    ends_promptly(gateway).await;
}
