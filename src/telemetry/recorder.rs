//! The process's metrics: counters and gauges by the Prometheus exporter's recorder, histograms by [`Buckets`].

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, SharedString, Unit};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use super::buckets::Buckets;
use super::names;

/// Takes in what the gateway records.
pub struct Recorder {
    plain: PrometheusRecorder,
    histograms: Arc<Mutex<Histograms>>,
}

/// Reads what was recorded. Clones share it.
#[derive(Clone)]
pub struct MetricsHandle {
    plain: PrometheusHandle,
    histograms: Arc<Mutex<Histograms>>,
}

/// The metrics could not be installed.
#[derive(Debug, thiserror::Error)]
#[error("a metrics recorder is already installed in this process")]
pub struct InstallError;

/// Locked to register a series and to list them, never to record.
type Histograms = BTreeMap<String, Family>;

#[derive(Default)]
struct Family {
    help: Option<SharedString>,
    /// By their rendered labels.
    series: BTreeMap<String, Arc<Buckets>>,
}

impl Recorder {
    /// Installs the recorder for the whole process, describes all metrics and sets those that never change.
    ///
    /// # Errors
    /// If there is one already.
    pub fn install() -> Result<MetricsHandle, InstallError> {
        let (recorder, handle) = Recorder::new();
        metrics::set_global_recorder(recorder).map_err(|_| InstallError)?;
        announce();
        Ok(handle)
    }

    /// A recorder that is not installed: for tests, with [`metrics::with_local_recorder`].
    #[must_use]
    pub fn new() -> (Recorder, MetricsHandle) {
        let plain = PrometheusBuilder::new().build_recorder();
        let histograms = Arc::default();
        let handle = MetricsHandle { plain: plain.handle(), histograms: Arc::clone(&histograms) };
        (Recorder { plain, histograms }, handle)
    }
}

impl MetricsHandle {
    /// All metrics in Prometheus' text format, version 0.0.4.
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = self.plain.render();
        for (name, family) in lock(&self.histograms).iter().filter(|(_, family)| !family.series.is_empty()) {
            if let Some(help) = &family.help {
                let _ = writeln!(out, "# HELP {name} {}", help.replace('\\', "\\\\").replace('\n', "\\n"));
            }
            let _ = writeln!(out, "# TYPE {name} histogram");
            family.series.iter().for_each(|(labels, buckets)| buckets.render(&mut out, name, labels));
            out.push('\n');
        }
        out
    }
}

impl metrics::Recorder for Recorder {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.plain.describe_counter(key, unit, description);
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, description: SharedString) {
        self.plain.describe_gauge(key, unit, description);
    }

    fn describe_histogram(&self, key: KeyName, _: Option<Unit>, description: SharedString) {
        lock(&self.histograms).entry(key.as_str().to_owned()).or_default().help = Some(description);
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        self.plain.register_counter(key, metadata)
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        self.plain.register_gauge(key, metadata)
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        let mut histograms = lock(&self.histograms);
        let family = histograms.entry(key.name().to_owned()).or_default();
        Histogram::from_arc(Arc::clone(family.series.entry(labels(key)).or_default()))
    }
}

/// Says of all metrics what they are, and of the process what never changes.
fn announce() {
    names::describe_all();
    names::BUILD_INFO.gauge(&[env!("CARGO_PKG_VERSION")]).set(1.0);
    let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    names::PROCESS_START_TIME.gauge(&[]).set(started.as_secs_f64());
}

/// `a="b",c="d"`, with what the format reserves escaped.
fn labels(key: &Key) -> String {
    let mut out = String::new();
    for label in key.labels() {
        let comma = if out.is_empty() { "" } else { "," };
        let value = label.value().replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let _ = write!(out, "{comma}{}=\"{value}\"", label.key());
    }
    out
}

/// A panic elsewhere must not end the metrics: the map is whole after every step.
fn lock(histograms: &Mutex<Histograms>) -> MutexGuard<'_, Histograms> {
    histograms.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_recorded_is_rendered_with_its_help() {
        let (recorder, handle) = Recorder::new();
        metrics::with_local_recorder(&recorder, || {
            names::describe_all();
            names::HTTP_REJECTIONS.counter(&["origin"]).increment(2);
            names::SESSIONS.gauge(&[]).set(3.0);
            names::REQUEST_DURATION.histogram(&["files", "tools/call"]).record(0.003);
            names::REQUEST_DURATION.histogram(&["files", "tools/call"]).record(0.004);
        });
        let text = handle.render();
        for line in [
            "trunkline_http_rejections_total{reason=\"origin\"} 2",
            "trunkline_sessions 3",
            "# TYPE trunkline_request_duration_seconds histogram",
            "trunkline_request_duration_seconds_bucket{server=\"files\",method=\"tools/call\",le=\"0.005\"} 2",
            "trunkline_request_duration_seconds_count{server=\"files\",method=\"tools/call\"} 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        for metric in [&names::HTTP_REJECTIONS, &names::SESSIONS, &names::REQUEST_DURATION] {
            let line = format!("# HELP {} {}", metric.name, metric.help);
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("trunkline_upstream_duration"), "a metric without series is not rendered");
    }

    #[test]
    fn label_values_are_escaped() {
        let (recorder, handle) = Recorder::new();
        metrics::with_local_recorder(&recorder, || {
            names::UPSTREAM_DURATION.histogram(&["a\"b\\c\nd", "other"]).record(1.0);
        });
        assert!(handle.render().contains("server=\"a\\\"b\\\\c\\nd\","), "{}", handle.render());
    }

    #[test]
    fn build_and_start_time_are_set_from_the_start() {
        let (recorder, handle) = Recorder::new();
        metrics::with_local_recorder(&recorder, announce);
        let text = handle.render();
        let version = env!("CARGO_PKG_VERSION");
        assert!(text.contains(&format!("trunkline_build_info{{version=\"{version}\"}} 1\n")), "{text}");
        assert!(text.contains("\nprocess_start_time_seconds 1"), "{text}");
    }

    /// In a process of its own: what is installed here would be there for every other test.
    #[test]
    fn a_process_has_one_recorder() {
        const OTHER_PROCESS: &str = "TRUNKLINE_RECORDER_TEST";
        if std::env::var_os(OTHER_PROCESS).is_some() {
            let handle = Recorder::install().unwrap();
            names::HTTP_REJECTIONS.counter(&["host"]).increment(1);
            assert!(handle.render().contains("trunkline_http_rejections_total{reason=\"host\"} 1\n"));
            assert!(Recorder::install().is_err());
            return;
        }
        let test = format!("{}::a_process_has_one_recorder", module_path!().split_once("::").unwrap().1);
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        let output = command.args([&test, "--exact"]).env(OTHER_PROCESS, "1").output().unwrap();
        assert!(
            output.status.success() && output.stdout.windows(8).any(|found| found == b"1 passed"),
            "{output:?}"
        );
    }
}
