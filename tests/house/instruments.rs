//! Dashboards, rules and recipes for Prometheus speak of metrics that there are, by labels that they have.

use std::collections::BTreeSet;

use serde_json::Value;
use trunkline::telemetry::names::{self, Kind, Metric};

use super::tree::{Breach, Tree};

/// Where they are.
const FOLDERS: [&str; 2] = ["docker/grafana/", "docker/prometheus/"];
/// How our metrics begin.
const PREFIXES: [&str; 2] = ["trunkline_", "process_"];
/// The series of a histogram.
const PARTS: [&str; 3] = ["_bucket", "_sum", "_count"];
/// Labels that every series, and every alert, has once Prometheus has it.
const GIVEN: [&str; 3] = ["alertname", "instance", "job"];
/// The label of a histogram's buckets.
const BUCKET: &str = "le";

/// Every metric and label that these files name exists; what is JSON is JSON.
pub fn metrics(tree: &Tree) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for file in tree.files().filter(|file| FOLDERS.iter().any(|folder| file.path.starts_with(folder))) {
        let mut tell = |line: usize, faults: Vec<String>| {
            breaches.extend(faults.into_iter().map(|fault| Breach::new(&file.path, line, fault)));
        };
        if !file.path.ends_with(".json") {
            for (index, line) in file.text.lines().enumerate() {
                tell(index + 1, faults(line));
            }
            continue;
        }
        match serde_json::from_str(&file.text) {
            Ok(value) => texts(&value, &mut |text| {
                let line = file.text.lines().position(|line| line.contains(&Value::from(text).to_string()));
                tell(line.map_or(1, |line| line + 1), faults(text));
            }),
            Err(error) => tell(error.line(), vec![format!("it is no JSON: {error}")]),
        }
    }
    breaches
}

fn texts(value: &Value, see: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => see(text),
        Value::Array(values) => values.iter().for_each(|value| texts(value, see)),
        Value::Object(values) => values.values().for_each(|value| texts(value, see)),
        _ => {}
    }
}

/// What is wrong with the metrics in a text.
fn faults(text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let mut known: BTreeSet<&str> = GIVEN.into();
    let mut near = false;
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut rest = text;
    while let Some(at) = rest.find(word) {
        let from = &rest[at..];
        let end = from.find(|c| !word(c)).unwrap_or(from.len());
        let (name, behind) = from.split_at(end);
        rest = behind;
        if !PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        let Some((metric, bucket)) = find(name) else {
            faults.push(format!("there is no metric {name}: see src/telemetry/names.rs"));
            continue;
        };
        let labels: Vec<&str> =
            metric.labels.iter().copied().chain(GIVEN).chain(bucket.then_some(BUCKET)).collect();
        for label in selected(behind).into_iter().filter(|label| !labels.contains(label)) {
            faults.push(format!("{name} has no label {label}; it has {}", metric.labels.join(", ")));
        }
        known.extend(labels);
        near = true;
    }
    // `by` may stand on another line than the metric in a file that is no JSON: any label of ours will do there.
    let all: BTreeSet<&str> =
        names::ALL.iter().flat_map(|metric| metric.labels).copied().chain([BUCKET]).collect();
    for label in grouped(text) {
        if !known.contains(label) && (near || !all.contains(label)) {
            faults.push(format!("nothing here has a label {label} to group by"));
        }
    }
    faults
}

/// The metric of a series, and whether the series has buckets.
fn find(series: &str) -> Option<(&'static Metric, bool)> {
    let of = |name: &str, histogram: bool| {
        let mut all = names::ALL.iter().copied();
        all.find(|metric| metric.name == name && (metric.kind == Kind::Histogram) == histogram)
    };
    let part = PARTS.into_iter().find_map(|part| Some((series.strip_suffix(part)?, part == PARTS[0])));
    let histogram = part.and_then(|(name, bucket)| Some((of(name, true)?, bucket)));
    histogram.or_else(|| Some((of(series, false)?, false)))
}

/// The labels in the braces at the beginning of a text.
fn selected(text: &str) -> Vec<&str> {
    let Some(inside) = text.strip_prefix('{') else { return Vec::new() };
    let mut labels = Vec::new();
    let mut quoted = false;
    let mut from = 0;
    for (at, c) in inside.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '}' if !quoted => break,
            '=' | '!' if !quoted => {
                let label = inside[from..at].trim_matches([',', ' ', '=', '~']);
                labels.extend((!label.is_empty()).then_some(label));
                from = at + 1;
            }
            ',' if !quoted => from = at + 1,
            _ => {}
        }
    }
    labels
}

/// The labels by which a text groups.
fn grouped(text: &str) -> Vec<&str> {
    let groups = text.split("by (").skip(1).filter_map(|rest| rest.split_once(')'));
    groups.flat_map(|(labels, _)| labels.split(',')).map(str::trim).collect()
}
