//! The metrics of one server's requests, looked up once and then recorded through an array.

use std::sync::OnceLock;
use std::time::Duration;

use metrics::{Counter, Histogram};

use super::names;
use crate::base::ErrorKind;

/// Which endpoint a request came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndpointKind {
    /// The one that merges all servers.
    Merged,
    /// A server's own.
    Server,
    /// A plain HTTP service.
    Service,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// With a result.
    Ok,
    /// With an error that the upstream answered.
    UpstreamError,
    /// With an error of the gateway's.
    Failed(ErrorKind),
}

/// A method as a metric label: one of a closed set, whatever the client sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MethodLabel(usize);

/// The requests that a client may send in any version, then what stands for everything else.
const METHODS: [&str; 23] = [
    "initialize",
    "ping",
    "server/discover",
    "tools/list",
    "tools/call",
    "resources/list",
    "resources/templates/list",
    "resources/read",
    "resources/subscribe",
    "resources/unsubscribe",
    "prompts/list",
    "prompts/get",
    "completion/complete",
    "logging/setLevel",
    "subscriptions/listen",
    "tasks/get",
    "tasks/list",
    "tasks/result",
    "tasks/update",
    "tasks/cancel",
    HTTP,
    NOTIFICATION,
    OTHER,
];
/// Any request to a plain HTTP service.
const HTTP: &str = "http";
const NOTIFICATION: &str = "notification";
const OTHER: &str = "other";
const ENDPOINTS: usize = 3;
/// `Ok`, `UpstreamError`, and each kind of failure.
const OUTCOMES: usize = 2 + ErrorKind::ALL.len();

impl MethodLabel {
    /// The label of requests to plain HTTP services.
    pub const HTTP: MethodLabel = MethodLabel(METHODS.len() - 3);

    /// The label for a method as it came on the wire.
    #[must_use]
    pub fn of(method: &str) -> MethodLabel {
        let label = match method {
            HTTP => OTHER,
            method if method.starts_with("notifications/") => NOTIFICATION,
            method => method,
        };
        MethodLabel(METHODS.iter().position(|known| *known == label).unwrap_or(METHODS.len() - 1))
    }

    /// The label's text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        METHODS.get(self.0).copied().unwrap_or(OTHER)
    }
}

impl EndpointKind {
    const fn as_str(self) -> &'static str {
        match self {
            EndpointKind::Merged => "merged",
            EndpointKind::Server => "server",
            EndpointKind::Service => "service",
        }
    }
}

impl Outcome {
    const fn index(self) -> usize {
        match self {
            Outcome::Ok => 0,
            Outcome::UpstreamError => 1,
            Outcome::Failed(kind) => 2 + kind as usize,
        }
    }

    /// The word for it, in metrics and in the activity log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::UpstreamError => "upstream_error",
            Outcome::Failed(kind) => kind.as_str(),
        }
    }
}

/// One server's request metrics. Made once per server; recording takes no lock and hashes nothing.
///
/// A series is registered when it is first used: all combinations would be some nine hundred per server.
pub struct RequestMetrics {
    server: Box<str>,
    methods: [OnceLock<Box<MethodMetrics>>; METHODS.len()],
}

struct MethodMetrics {
    requests: [[OnceLock<Counter>; OUTCOMES]; ENDPOINTS],
    duration: Histogram,
    upstream: Histogram,
}

impl RequestMetrics {
    /// The metrics for a server's requests; `server` is its configured name.
    #[must_use]
    pub fn for_server(server: &str) -> RequestMetrics {
        RequestMetrics { server: server.into(), methods: [const { OnceLock::new() }; METHODS.len()] }
    }

    /// Records a request that has been answered. `upstream` is the part of `whole` that the server took, if it
    /// was asked at all.
    pub fn record(
        &self,
        endpoint: EndpointKind,
        method: MethodLabel,
        outcome: Outcome,
        whole: Duration,
        upstream: Option<Duration>,
    ) {
        let Some(slot) = self.methods.get(method.0) else { return };
        let metrics = slot.get_or_init(|| self.register(method));
        let requests = &metrics.requests[endpoint as usize][outcome.index()];
        let counter = requests.get_or_init(|| {
            names::REQUESTS.counter(&[endpoint.as_str(), method.as_str(), &self.server, outcome.as_str()])
        });
        counter.increment(1);
        metrics.duration.record(whole);
        if let Some(upstream) = upstream {
            metrics.upstream.record(upstream);
        }
    }

    fn register(&self, method: MethodLabel) -> Box<MethodMetrics> {
        let labels = [&*self.server, method.as_str()];
        Box::new(MethodMetrics {
            requests: [const { [const { OnceLock::new() }; OUTCOMES] }; ENDPOINTS],
            duration: names::REQUEST_DURATION.histogram(&labels),
            upstream: names::UPSTREAM_DURATION.histogram(&labels),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Recorder;
    use super::*;
    use std::collections::HashSet;

    const MILLISECOND: Duration = Duration::from_millis(1);

    #[test]
    fn a_client_cannot_invent_labels() {
        assert_eq!(MethodLabel::of("tools/call").as_str(), "tools/call");
        assert_eq!(MethodLabel::of("notifications/cancelled").as_str(), "notification");
        assert_eq!(MethodLabel::of("notifications/invented").as_str(), "notification");
        assert_eq!(MethodLabel::HTTP.as_str(), "http");
        for invented in ["", "tools/Call", "x", "tools/call ", "http"] {
            assert_eq!(MethodLabel::of(invented).as_str(), "other");
        }
    }

    #[test]
    fn every_outcome_has_a_place_and_a_word_of_its_own() {
        let failed = ErrorKind::ALL.into_iter().map(Outcome::Failed);
        let all: Vec<Outcome> = [Outcome::Ok, Outcome::UpstreamError].into_iter().chain(failed).collect();
        let places: HashSet<usize> = all.iter().map(|outcome| outcome.index()).collect();
        let words: HashSet<&str> = all.iter().map(|outcome| outcome.as_str()).collect();
        assert_eq!((places.len(), words.len()), (OUTCOMES, OUTCOMES));
        assert!(places.iter().all(|place| *place < OUTCOMES));
    }

    #[test]
    fn a_recorded_request_is_counted_and_timed_once() {
        let (recorder, handle) = Recorder::new();
        metrics::with_local_recorder(&recorder, || {
            let files = RequestMetrics::for_server("files");
            let call = MethodLabel::of("tools/call");
            for _ in 0..3 {
                files.record(EndpointKind::Merged, call, Outcome::Ok, 4 * MILLISECOND, Some(3 * MILLISECOND));
            }
            let timeout = Outcome::Failed(ErrorKind::Timeout);
            files.record(EndpointKind::Server, call, timeout, Duration::from_secs(61), None);
        });
        let text = handle.render();
        for line in [
            "trunkline_requests_total{endpoint_kind=\"merged\",method=\"tools/call\",server=\"files\",outcome=\"ok\"} 3",
            "trunkline_requests_total{endpoint_kind=\"server\",method=\"tools/call\",server=\"files\",outcome=\"timeout\"} 1",
            "trunkline_request_duration_seconds_bucket{server=\"files\",method=\"tools/call\",le=\"60\"} 3",
            "trunkline_request_duration_seconds_count{server=\"files\",method=\"tools/call\"} 4",
            "trunkline_upstream_duration_seconds_count{server=\"files\",method=\"tools/call\"} 3",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert_eq!(
            text.matches("trunkline_requests_total{").count(),
            2,
            "unused series stay unregistered:\n{text}"
        );
    }
}
