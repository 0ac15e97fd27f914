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

/// One line of the text format, taken apart: the series' name, its labels and its value.
fn series(line: &str) -> (String, Vec<(String, String)>, f64) {
    let (name, rest) = match line.find(['{', ' ']) {
        Some(at) => line.split_at(at),
        None => panic!("no value: {line}"),
    };
    let mut labels = Vec::new();
    let mut rest = rest;
    if let Some(mut inside) = rest.strip_prefix('{') {
        while !inside.starts_with('}') {
            let (label, value) = inside.split_once("=\"").unwrap_or_else(|| panic!("a label: {line}"));
            let mut end = 0;
            let bytes = value.as_bytes();
            while bytes[end] != b'"' {
                end += if bytes[end] == b'\\' { 2 } else { 1 };
            }
            labels.push((label.to_owned(), value[..end].to_owned()));
            inside = value[end + 1..].trim_start_matches(',');
        }
        rest = &inside[1..];
    }
    (name.to_owned(), labels, rest.trim().parse().unwrap_or_else(|_| panic!("a number: {line}")))
}

/// What is wrong with a scrape by the rules of the text format: `# HELP` and `# TYPE` once for each metric and before its
/// series, which stand together; no series twice; buckets that grow and end at the count.
fn faults(text: &str) -> Vec<String> {
    use std::collections::{BTreeMap, BTreeSet};
    let mut faults = Vec::new();
    let (mut types, mut helps) = (BTreeMap::new(), BTreeSet::new());
    let (mut seen, mut families) = (BTreeSet::new(), Vec::<String>::new());
    let mut buckets: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let name = help.split(' ').next().unwrap_or_default().to_owned();
            if !helps.insert(name) {
                faults.push(format!("told twice: {line}"));
            }
            continue;
        }
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            types.insert(name.to_owned(), kind.to_owned());
            continue;
        }
        let (name, labels, value) = series(line);
        let of = |part: &str| {
            name.strip_suffix(part).filter(|base| types.get(*base).is_some_and(|kind| kind == "histogram"))
        };
        let family =
            ["_bucket", "_sum", "_count"].iter().find_map(|part| of(part)).unwrap_or(&name).to_owned();
        if !types.contains_key(&family) || !helps.contains(&family) {
            faults.push(format!("without a type or a help: {line}"));
        }
        if families.last() != Some(&family) {
            if families.contains(&family) {
                faults.push(format!("apart from the rest of its metric: {line}"));
            }
            families.push(family.clone());
        }
        if !seen.insert((name.clone(), labels.clone())) {
            faults.push(format!("twice: {line}"));
        }
        if name.ends_with("_bucket") && family != name {
            let (le, others): (Vec<_>, Vec<_>) = labels.into_iter().partition(|(label, _)| label == "le");
            let bound = if le[0].1 == "+Inf" { f64::INFINITY } else { le[0].1.parse().expect("a bound") };
            buckets.entry(format!("{family} {others:?}")).or_default().push((bound, value));
        }
    }
    for (of, bounds) in buckets {
        if !bounds.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1)
            || bounds.last().is_none_or(|last| last.0.is_finite())
        {
            faults.push(format!("buckets that do not grow to +Inf: {of}"));
        }
    }
    faults
}

#[tokio::test]
async fn a_scrape_is_well_formed_and_has_the_metrics_of_the_page_with_their_labels_and_no_others() {
    let config = scripted("s", &[]) + "\n[services.o]\nurl = \"http://127.0.0.1:1\"\n";
    let gateway = Gateway::launch(&config).await;
    gateway.in_state("s", &["ready"]).await;
    let client = Modern::new(&gateway, "/mcp/s");
    client.call("echo", json!({ "message": "x" })).await;
    let text = gateway.get("/metrics", &[]).await.text().to_owned();
    assert!(faults(&text).is_empty(), "{:#?}", faults(&text));
    // The test notices what it is there for.
    assert!(!faults("# TYPE a gauge\na 1\n").is_empty());
    assert!(!faults(&format!("{text}trunkline_tasks 1\n")).is_empty());

    let page = include_str!("../../docs/metrics.md");
    let mut scraped = std::collections::BTreeSet::new();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (name, labels, _) = series(line);
        let base =
            ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part)).unwrap_or(&name);
        let row = |name: &str| page.lines().find(|row| row.starts_with(&format!("| `{name}` |")));
        let row = row(&name).or_else(|| row(base)).unwrap_or_else(|| panic!("{name} is not on the page"));
        for (label, _) in labels.iter().filter(|(label, _)| label != "le") {
            assert!(
                row.contains(&format!("`{label}`")),
                "{name} has a label {label} that the page does not name"
            );
        }
        scraped.insert(row.split('`').nth(1).unwrap().to_owned());
    }
    // What only some happenings bring is not there after one call.
    assert!(scraped.len() > 20, "{scraped:?}");
    for always in [
        "trunkline_requests_total",
        "trunkline_server_state",
        "trunkline_breaker_state",
        "trunkline_queue_wait_seconds",
        "trunkline_build_info",
        "trunkline_runtime_lag_seconds",
        "trunkline_activity_dropped_rows_total",
    ] {
        assert!(scraped.contains(always), "{always} is not there: {scraped:?}");
    }
}
