//! Every metric there is: its name, labels, unit and help, in one table.
//!
//! The names follow the Prometheus conventions (<https://prometheus.io/docs/practices/naming/>): a prefix for the
//! program, base units, `_total` for what only grows. `process_start_time_seconds` has the name that every
//! Prometheus client library gives it, so that dashboards find it.

use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, SharedString, Unit};

/// What kind of metric it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// It counts values by size.
    Histogram,
}

/// One metric and all its series.
#[derive(Debug)]
pub struct Metric {
    /// The full name.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// The unit, where it has one.
    pub unit: Option<Unit>,
    /// Its label names, in the order in which values are given.
    pub labels: &'static [&'static str],
    /// What it says, in a sentence for whoever reads a dashboard.
    pub help: &'static str,
}

impl Metric {
    const fn counter_of(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
        Metric { name, kind: Kind::Counter, unit: None, labels, help }
    }

    const fn gauge_of(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
        Metric { name, kind: Kind::Gauge, unit: None, labels, help }
    }

    const fn seconds_of(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
        Metric { name, kind: Kind::Histogram, unit: Some(Unit::Seconds), labels, help }
    }

    /// The counter with these label values, one for each of `labels`. Looking it up costs a hash and a lock:
    /// keep it where it is used often.
    pub fn counter(&'static self, values: &[&str]) -> Counter {
        debug_assert_eq!(self.kind, Kind::Counter, "{}", self.name);
        metrics::with_recorder(|recorder| recorder.register_counter(&self.key(values), &METADATA))
    }

    /// The gauge with these label values.
    pub fn gauge(&'static self, values: &[&str]) -> Gauge {
        debug_assert_eq!(self.kind, Kind::Gauge, "{}", self.name);
        metrics::with_recorder(|recorder| recorder.register_gauge(&self.key(values), &METADATA))
    }

    /// The histogram with these label values.
    pub fn histogram(&'static self, values: &[&str]) -> Histogram {
        debug_assert_eq!(self.kind, Kind::Histogram, "{}", self.name);
        metrics::with_recorder(|recorder| recorder.register_histogram(&self.key(values), &METADATA))
    }

    fn key(&'static self, values: &[&str]) -> Key {
        debug_assert_eq!(self.labels.len(), values.len(), "{} has the labels {:?}", self.name, self.labels);
        let labels =
            self.labels.iter().zip(values).map(|(name, value)| Label::new(*name, (*value).to_owned()));
        Key::from_parts(self.name, labels.collect::<Vec<_>>())
    }
}

/// Recorders may filter by it; ours does not.
static METADATA: Metadata<'static> = Metadata::new("trunkline", Level::INFO, None);

macro_rules! metrics_table {
    ($($(#[$doc:meta])* $name:ident = $metric:expr;)*) => {
        $($(#[$doc])* pub static $name: Metric = $metric;)*
        /// Every metric, in the order of this file.
        pub static ALL: &[&Metric] = &[$(&$name),*];
    };
}

metrics_table! {
    /// Requests answered, by how they ended.
    REQUESTS = Metric::counter_of(
        "trunkline_requests_total", &["endpoint_kind", "method", "server", "outcome"],
        "Requests from clients that were answered, by endpoint, method, server and outcome.");
    /// The whole time of a request in the gateway.
    REQUEST_DURATION = Metric::seconds_of(
        "trunkline_request_duration_seconds", &["server", "method"],
        "Time from a request's last byte in to its answer's first byte out.");
    /// The part of it that the upstream took.
    UPSTREAM_DURATION = Metric::seconds_of(
        "trunkline_upstream_duration_seconds", &["server", "method"],
        "Time from sending a request to the server until its reply has arrived.");
    /// Requests under way.
    IN_FLIGHT = Metric::gauge_of(
        "trunkline_in_flight", &[], "Requests that have been accepted and not yet answered.");
    /// Calls that wait for people.
    PARKED_CALLS = Metric::gauge_of(
        "trunkline_parked_calls", &[],
        "Calls of modern clients that a server has asked something, and that wait for the answers without a place.");
    /// Connections without an agreement on TLS.
    TLS_HANDSHAKE_FAILURES = Metric::counter_of(
        "trunkline_tls_handshake_failures_total", &["reason"],
        "Connections that did not come to an agreement on TLS, by reason (timeout, plain, closed, refused, incompatible, malformed).");
    /// Until when the certificate is good.
    TLS_CERTIFICATE_EXPIRY = Metric {
        name: "trunkline_tls_certificate_expiry_timestamp_seconds", kind: Kind::Gauge, unit: Some(Unit::Seconds),
        labels: &[],
        help: "Until when the gateway's certificate is good, in seconds since 1970-01-01 UTC; 0 without TLS.",
    };
    /// Legacy sessions.
    SESSIONS = Metric::gauge_of("trunkline_sessions", &[], "Legacy client sessions that hold state here.");
    /// Open streams.
    STREAMS = Metric::gauge_of("trunkline_streams", &[], "Event streams that are open to clients.");
    /// One series per server and state.
    SERVER_STATE = Metric::gauge_of(
        "trunkline_server_state", &["server", "state"],
        "1 for the state that a server is in, 0 for the others it has been in.");
    /// Respawns.
    SERVER_RESTARTS = Metric::counter_of(
        "trunkline_server_restarts_total", &["server"], "Times that a server was started again after it had ended.");
    /// Calls at a server.
    SERVER_IN_FLIGHT = Metric::gauge_of(
        "trunkline_server_in_flight", &["server"], "Calls that hold a place at the server.");
    /// What they are to be measured by.
    SERVER_PLACES = Metric::gauge_of(
        "trunkline_server_places", &["server"],
        "Calls that may hold a place at the server (max_in_flight); the share in use is its saturation.");
    /// Entries of a link's table.
    SERVER_PENDING = Metric::gauge_of(
        "trunkline_server_pending", &["server"],
        "Requests that wait for a reply on a child's pipes, the gateway's own included.");
    /// Reloads, by how they ended.
    RELOADS = Metric::counter_of(
        "trunkline_reloads_total", &["outcome"],
        "Times that the configuration was read again, and taken or refused.");
    /// Links of single clients.
    SERVER_LINKS = Metric::gauge_of(
        "trunkline_server_links", &["server"],
        "Links to the server beside the shared one: of sessions, of principals, or for what clients declare.");
    /// Tasks of the runtime.
    TASKS = Metric::gauge_of("trunkline_tasks", &[], "Tasks of the asynchronous runtime that are alive.");
    /// Threads of the runtime.
    WORKERS = Metric::gauge_of(
        "trunkline_runtime_workers", &[], "Worker threads of the asynchronous runtime.");
    /// How busy they are.
    WORKER_BUSY = Metric {
        name: "trunkline_runtime_worker_busy_seconds", kind: Kind::Gauge, unit: Some(Unit::Seconds), labels: &["worker"],
        help: "Time that a worker thread has spent running tasks; its rate is the share of the time that it is busy.",
    };
    /// Tasks that wait for a thread.
    RUN_QUEUE = Metric::gauge_of(
        "trunkline_runtime_queue_depth", &[], "Tasks that are ready to run and that no worker thread has taken yet.");
    /// Whether tasks run when they should.
    EVENT_LOOP_LAG = Metric::seconds_of(
        "trunkline_runtime_lag_seconds", &[],
        "By how much a task ran later than it was scheduled for, looked at ten times a second.");
    /// Whether blocking work finds a thread.
    BLOCKING_WAIT = Metric::seconds_of(
        "trunkline_runtime_blocking_wait_seconds", &[],
        "How long blocking work waited for a thread of its pool, looked at once a second.");
    /// Calls that wait.
    SERVER_WAITING = Metric::gauge_of(
        "trunkline_server_waiting", &["server"], "Calls that wait for a place at the server, or for it to come up.");
    /// Calls of a tool.
    TOOL_CALLS = Metric::counter_of(
        "trunkline_tool_calls_total", &["server", "tool", "outcome"],
        "Calls of a tool that were answered; tools beyond metrics.tools are counted together as other.");
    /// The time of a call of a tool.
    TOOL_DURATION = Metric::seconds_of(
        "trunkline_tool_duration_seconds", &["server", "tool"],
        "Time from sending a call of a tool to the server until its reply has arrived.");
    /// Starts.
    SERVER_GENERATION = Metric::gauge_of(
        "trunkline_server_generation", &["server"], "The number of the server's last start in this run of the gateway.");
    /// Health.
    SERVER_HEALTHY = Metric::gauge_of(
        "trunkline_server_healthy", &["server"], "1 while the server answers health checks, 0 while it does not.");
    /// One series per server and state of its breaker.
    BREAKER_STATE = Metric::gauge_of(
        "trunkline_breaker_state", &["server", "state"],
        "1 for the state that the server's breaker is in (closed, open, half_open), 0 for the others.");
    /// Calls that the breaker refused.
    BREAKER_REFUSALS = Metric::counter_of(
        "trunkline_breaker_refusals_total", &["server"], "Calls that were refused because the server's breaker was open.");
    /// Requests whose answer could be kept.
    RESULT_CACHE = Metric::counter_of(
        "trunkline_result_cache_total", &["server", "outcome"],
        "Calls of tools and reads of resources whose result may be kept: answered from memory (hit), by the server (miss), or by the server because the client wanted that (bypass).");
    /// Results that are kept.
    RESULT_CACHE_ENTRIES = Metric::gauge_of("trunkline_result_cache_entries", &[], "Results that are kept.");
    /// What they weigh.
    RESULT_CACHE_BYTES = Metric::gauge_of("trunkline_result_cache_bytes", &[], "Bytes of the results that are kept.");
    /// Results that had to go.
    RESULT_CACHE_EVICTED = Metric::counter_of(
        "trunkline_result_cache_evicted_total", &[], "Results that were dropped for want of room.");
    /// How long calls waited to be sent.
    QUEUE_WAIT = Metric::seconds_of(
        "trunkline_queue_wait_seconds", &["server"],
        "How long calls waited for a place at the server, or for it to come up; calls that did not wait are left out.");
    /// Processes of a child.
    SERVER_PROCESSES = Metric::gauge_of(
        "trunkline_server_processes", &["server"], "Processes of the server, everything that it started included.");
    /// Memory of a child.
    SERVER_MEMORY = Metric {
        name: "trunkline_server_resident_memory_bytes", kind: Kind::Gauge, unit: Some(Unit::Bytes), labels: &["server"],
        help: "Resident memory of the server's processes, everything that it started included.",
    };
    /// Processor time of a child.
    SERVER_CPU = Metric {
        name: "trunkline_server_cpu_seconds", kind: Kind::Gauge, unit: Some(Unit::Seconds), labels: &["server"],
        help: "Processor time that the server's processes have used since the server's last start.",
    };
    /// Descriptors of a child.
    SERVER_FILES = Metric::gauge_of(
        "trunkline_server_open_files", &["server"], "Open files and sockets of the server's processes.");
    /// Lines that are no messages.
    STDOUT_NOISE = Metric::counter_of(
        "trunkline_stdout_noise_total", &["server"],
        "Lines on a server's standard output that were no JSON-RPC message and were skipped.");
    /// Notifications without room.
    DROPPED_NOTIFICATIONS = Metric::counter_of(
        "trunkline_dropped_notifications_total", &["server"],
        "Notifications of a server that were dropped because a client did not take them in time.");
    /// Requests that never became one.
    HTTP_REJECTIONS = Metric::counter_of(
        "trunkline_http_rejections_total", &["reason"],
        "HTTP exchanges that were refused before they were read as a request, by reason.");
    /// Exchanges of those who were not let in.
    AUTH_REFUSALS = Metric::counter_of(
        "trunkline_auth_refusals_total", &["reason"],
        "HTTP exchanges whose sender was not let in, by reason (missing, invalid, expired, several, scope, unavailable, limited).");
    /// Requests that came too often.
    RATE_LIMITED = Metric::counter_of(
        "trunkline_rate_limited_total", &["limit"],
        "Requests that were refused because a limit was reached (total, principal, server, tool).");
    /// Changes that the store lost.
    STORE_DROPPED_WRITES = Metric::counter_of(
        "trunkline_store_dropped_writes_total", &[],
        "Changes that were not kept because the store's queue was full or closed.");
    /// Calls without a row.
    ACTIVITY_DROPPED_ROWS = Metric::counter_of(
        "trunkline_activity_dropped_rows_total", &[],
        "Calls that the activity log does not hold because its queue was full or its file could not be written.");
    /// Spans, by what became of them.
    TRACE_SPANS = Metric::counter_of(
        "trunkline_trace_spans_total", &["outcome"],
        "Spans by what became of them: sent, or lost because the queue was full (queue_full), the collector was away for too long (unreachable), or did not want them (refused, rejected).");
    /// Log lines that were lost.
    LOG_DROPPED_LINES = Metric::counter_of(
        "trunkline_log_dropped_lines_total", &[],
        "Log lines that were dropped because standard error did not take them in time.");
    /// Prompts, by what became of them.
    ENHANCEMENTS = Metric::counter_of(
        "trunkline_enhancements_total", &["outcome"],
        "Prompts that were to be enhanced, by outcome: enhanced, cached, shared, untouched, refused, limited, failed.");
    /// How long models take.
    ENHANCE_DURATION = Metric::seconds_of(
        "trunkline_enhance_duration_seconds", &[], "Time that models took to enhance a prompt, failures included.");
    /// Which build runs.
    BUILD_INFO = Metric::gauge_of(
        "trunkline_build_info", &["version"], "Always 1; its labels say which build is running.");
    /// When it was started.
    PROCESS_START_TIME = Metric {
        name: "process_start_time_seconds", kind: Kind::Gauge, unit: Some(Unit::Seconds), labels: &[],
        help: "When the process was started, in seconds since 1970-01-01 UTC.",
    };
}

/// Gives the recorder every metric's help and unit.
pub fn describe_all() {
    for metric in ALL {
        metrics::with_recorder(|recorder| {
            let (name, help) = (metric.name.into(), SharedString::const_str(metric.help));
            match metric.kind {
                Kind::Counter => recorder.describe_counter(name, metric.unit, help),
                Kind::Gauge => recorder.describe_gauge(name, metric.unit, help),
                Kind::Histogram => recorder.describe_histogram(name, metric.unit, help),
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn snake_case(word: &str) -> bool {
        word.starts_with(|first: char| first.is_ascii_lowercase())
            && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
            && !word.ends_with('_')
            && !word.contains("__")
    }

    #[test]
    fn names_are_unique() {
        let names: HashSet<&str> = ALL.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), ALL.len());
    }

    #[test]
    fn names_and_labels_are_snake_case_with_our_prefix() {
        for metric in ALL {
            assert!(snake_case(metric.name), "{}", metric.name);
            assert!(metric.labels.iter().all(|label| snake_case(label) && *label != "le"), "{}", metric.name);
            let standard = metric.name == "process_start_time_seconds";
            assert!(standard || metric.name.starts_with("trunkline_"), "{}", metric.name);
        }
    }

    #[test]
    fn suffixes_say_kind_and_unit() {
        for metric in ALL {
            let unit = match metric.unit {
                Some(Unit::Seconds) => "_seconds",
                Some(Unit::Bytes) => "_bytes",
                Some(unit) => panic!("{}: {unit:?} is no base unit of Prometheus", metric.name),
                None => "",
            };
            let total = if metric.kind == Kind::Counter { "_total" } else { "" };
            assert!(metric.name.ends_with(&format!("{unit}{total}")), "{}", metric.name);
            assert_eq!(metric.name.ends_with("_total"), metric.kind == Kind::Counter, "{}", metric.name);
            assert!(metric.unit.is_some() || metric.kind != Kind::Histogram, "{}", metric.name);
            for reserved in ["_bucket", "_sum", "_count"] {
                assert!(
                    !metric.name.ends_with(reserved),
                    "{} clashes with a histogram's series",
                    metric.name
                );
            }
        }
    }

    #[test]
    fn the_reference_page_has_every_metric_as_it_is() {
        let page = include_str!("../../docs/metrics.md");
        let listed: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
        let row = |metric: &&Metric| {
            let kind = format!("{:?}", metric.kind).to_lowercase();
            let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
            format!("| `{}` | {kind} | {} | {} |", metric.name, labels.join(", "), metric.help)
        };
        assert_eq!(listed, ALL.iter().map(row).collect::<Vec<_>>());
    }

    #[test]
    fn every_alert_has_an_example() {
        let rules = include_str!("../../docker/prometheus/alerts.yml");
        let examples = include_str!("../../docker/prometheus/alerts_test.yml");
        let alerts: Vec<&str> =
            rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
        assert!(alerts.len() > 5, "{alerts:?}");
        for alert in alerts {
            assert!(examples.contains(&format!("alertname=\"{alert}\"")), "{alert} has no example");
        }
    }

    #[test]
    fn every_help_is_a_sentence() {
        for metric in ALL {
            assert!(
                metric.help.ends_with('.') && metric.help.len() > 20,
                "{}: {:?}",
                metric.name,
                metric.help
            );
        }
    }
}
