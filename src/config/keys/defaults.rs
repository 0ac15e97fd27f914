//! Keys of `[defaults]`: what holds for every server that does not say otherwise.

use super::*;

pub(super) const ROWS: &[KeyDoc] = &[
    key("defaults.protocol", Choice(PROTOCOLS), Value("auto"), "Which era of MCP a server speaks."),
    key("defaults.call_timeout", ANY_WAIT, Value("30s"), "How long one call may take."),
    key(
        "defaults.max_call_time",
        ANY_WAIT,
        Value("5m"),
        "How long a call may take however much progress it reports.",
    ),
    key(
        "defaults.start",
        Choice(STARTS),
        Value("eager"),
        "When a server is started: at once, or on first use.",
    ),
    key(
        "defaults.idle_stop",
        WAIT_OR_NONE,
        Value("none"),
        "After how long without a call a server is stopped until the next one.",
    ),
    key(
        "defaults.restart_budget",
        SOME,
        Value("5"),
        "Restarts within the window after which a server rests.",
    ),
    key("defaults.restart_window", ANY_WAIT, Value("1m"), "The window in which restarts are counted."),
    key("defaults.slow_retry", ANY_WAIT, Value("1m"), "How long a server rests that cannot be kept up."),
    key(
        "defaults.health_interval",
        WAIT_OR_NONE,
        Value("10s"),
        "How often a server is asked whether it is well.",
    ),
    key(
        "defaults.health_misses",
        SOME,
        Value("3"),
        "Unanswered questions in a row until a server counts as hung.",
    ),
    key("defaults.health_hits", SOME, Value("1"), "Answers in a row until it counts as well again."),
    key("defaults.breaker.failures", SOME, Value("3"), "Failures in a row that open a server's breaker."),
    key(
        "defaults.breaker.failure_share",
        PERCENT,
        Value("50"),
        "Percentage of failed calls, of at least 20 in the window, that opens it.",
    ),
    key("defaults.breaker.window", ANY_WAIT, Value("30s"), "The window over which the share is taken."),
    key("defaults.breaker.open", ANY_WAIT, Value("30s"), "How long calls are refused before one is tried."),
    key("defaults.breaker.half_open_max_calls", SOME, Value("1"), "Calls let through at once to try."),
    key("defaults.breaker.success_threshold", SOME, Value("1"), "Successes that close the breaker again."),
    key("defaults.start_timeout", ANY_WAIT, Value("30s"), "How long a server may take to become ready."),
    key(
        "defaults.connect_timeout",
        ANY_WAIT,
        Value("10s"),
        "How long opening a connection to a URL may take.",
    ),
    key(
        "defaults.stream_idle_timeout",
        WAIT_OR_NONE,
        Value("5m"),
        "How long an event stream of a URL may be silent before it counts as broken.",
    ),
    key(
        "defaults.stop_grace",
        ANY_GRACE,
        Value("5s"),
        "How long a child may take to leave, before each harder signal.",
    ),
    key(
        "defaults.replace",
        Choice(REPLACES),
        Value("overlap"),
        "Whether a changed server starts beside the one that serves, or after it has stopped.",
    ),
    key(
        "defaults.drain_timeout",
        ANY_GRACE,
        Value("30s"),
        "How long calls in flight may take when a reload replaces or removes a server.",
    ),
    key(
        "defaults.max_message",
        MESSAGE,
        Value("64MiB"),
        "The largest single message accepted from a server.",
    ),
    key("defaults.max_in_flight", SOME, Value("1024"), "The most calls in flight to a server at once."),
];
