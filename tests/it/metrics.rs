//! What Prometheus is told, and whether its own tools agree.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::support::{Gateway, Modern, eventually, scripted};

async fn value(gateway: &Gateway, series: &str) -> Option<f64> {
    gateway.metric(series).await
}

#[tokio::test]
async fn tools_are_counted_apart_up_to_the_cap_and_nothing_that_a_client_invents() {
    let config = "[metrics]\ntools = 1\n".to_owned() + &scripted("s", &[]);
    let gateway = Gateway::start(&config).await;
    let client = Modern::new(&gateway, "/mcp/s");
    client.call("no-such-tool", json!({})).await;
    for _ in 0..3 {
        client.call("echo", json!({ "message": "x" })).await;
    }
    client.call("refuse", json!({})).await;
    for (series, count) in [
        ("trunkline_tool_calls_total{server=\"s\",tool=\"echo\",outcome=\"ok\"}", 3.0),
        ("trunkline_tool_calls_total{server=\"s\",tool=\"other\",outcome=\"error\"}", 2.0),
    ] {
        assert_eq!(value(&gateway, series).await, Some(count), "{series}");
    }
    let metrics = gateway.get("/metrics", &[]).await;
    assert!(!metrics.text().contains("no-such-tool"), "{}", metrics.text());
}

#[tokio::test]
async fn the_runtime_and_the_queue_are_told() {
    let gateway = Gateway::start(&scripted("s", &[])).await;
    for series in [
        "trunkline_tasks",
        "trunkline_runtime_workers",
        "trunkline_runtime_worker_busy_seconds{worker=\"0\"}",
        "trunkline_runtime_queue_depth",
        "trunkline_server_waiting{server=\"s\"}",
    ] {
        assert!(value(&gateway, series).await.is_some(), "{series}");
    }
    eventually("the lag is looked at", || async {
        value(&gateway, "trunkline_runtime_lag_seconds_count").await.filter(|count| *count > 5.0)
    })
    .await;
}

/// The rules are held to their examples by Prometheus' own tool, where that is installed.
#[test]
fn the_alert_rules_fire_when_they_should() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docker/prometheus");
    for arguments in [["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"]] {
        match Command::new("promtool").args(arguments).current_dir(&folder).output() {
            Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                println!("promtool is not installed: {arguments:?} was not run");
            }
            Err(error) => panic!("{error}"),
        }
    }
}
