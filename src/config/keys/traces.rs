//! Keys of `[traces]`: which requests leave spans, and who gets them. The defaults are those of OpenTelemetry's exporters
//! (specification, "OpenTelemetry Protocol Exporter" and "Batching processor").

use super::*;

/// Enough for one batch.
const MIN_QUEUE: u64 = 512;
/// A request waits some hundred bytes; this is half a gigabyte of the longest.
const MAX_QUEUE: u64 = 100_000;
/// Longer than this, and whoever looks at traces takes the gateway for silent.
const MAX_DELAY: Duration = Duration::from_secs(60);
/// Nobody waits longer for a collector, least of all at the end.
const MAX_TIMEOUT: Duration = Duration::from_secs(60);

pub(super) const ROWS: &[KeyDoc] = &[
    live(key(
        "traces.endpoint",
        Kind::Url,
        Nothing,
        "Where spans go by OTLP over HTTP; without a path, to /v1/traces. Unset, none are made.",
    )),
    live(key("traces.headers.*", Kind::Secret, Nothing, "Headers sent with every export.")),
    live(key(
        "traces.ca_file",
        Path,
        Nothing,
        "A PEM file of certificate authorities to trust instead of the system's.",
    )),
    live(key(
        "traces.sample_ratio",
        Kind::Decimal(1),
        Value("1"),
        "The share of requests with spans, of those that bring no trace; those that do decide themselves.",
    )),
    live(key("traces.service_name", Text, Value("trunkline"), "The resource attribute service.name.")),
    live(key(
        "traces.resource",
        TextList,
        Nothing,
        "More resource attributes, such as \"deployment.environment.name=production\".",
    )),
    live(key(
        "traces.queue",
        Count(MIN_QUEUE, MAX_QUEUE),
        Value("2048"),
        "The most requests whose spans wait to be sent.",
    )),
    live(key(
        "traces.delay",
        Kind::Duration(MS, MAX_DELAY),
        Value("5s"),
        "How long spans may wait for more to be sent with them.",
    )),
    live(key(
        "traces.timeout",
        Kind::Duration(MS, MAX_TIMEOUT),
        Value("10s"),
        "How long one export may take, and all that are left when the gateway ends.",
    )),
];
