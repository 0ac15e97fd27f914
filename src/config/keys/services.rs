//! Keys of `[services.<name>]`: one plain HTTP service behind the gateway.

use super::*;

pub(super) const ROWS: &[KeyDoc] = &[
    key("services.*.enabled", Bool, Value("true"), "Whether the service is served."),
    key("services.*.url", Kind::Url, Nothing, "Where it is; /services/<name>/x is x below this address."),
    key("services.*.headers.*", Kind::Secret, Nothing, "Headers sent with every request."),
    key(
        "services.*.ca_file",
        Path,
        Nothing,
        "A PEM file of certificate authorities to trust instead of the system's.",
    ),
    key("services.*.proxy", Text, Nothing, "The HTTP proxy to go through, such as \"http://proxy:3128\"."),
    key(
        "services.*.tls_verify",
        Bool,
        Value("true"),
        "Dangerous if false: whether its certificate is checked.",
    ),
    key(
        "services.*.health",
        Text,
        Nothing,
        "A path that answers while it is well, such as \"/api/version\".",
    ),
    key("services.*.health_interval", WAIT_OR_NONE, Inherited, "How often that path is asked for."),
    key("services.*.health_misses", SOME, Inherited, "Misses in a row until it counts as failed."),
    key("services.*.health_hits", SOME, Inherited, "Answers in a row until it counts as well again."),
    key("services.*.breaker.failures", SOME, Inherited, "Failures in a row that open its breaker."),
    key(
        "services.*.breaker.failure_share",
        PERCENT,
        Inherited,
        "Percentage of failed requests within the window that opens it.",
    ),
    key("services.*.breaker.window", ANY_WAIT, Inherited, "The window over which the share is taken."),
    key("services.*.breaker.open", ANY_WAIT, Inherited, "How long requests are refused before one is tried."),
    key("services.*.breaker.half_open_max_calls", SOME, Inherited, "Requests let through at once to try."),
    key("services.*.breaker.success_threshold", SOME, Inherited, "Successes that close the breaker again."),
    key(
        "services.*.connect_timeout",
        ANY_WAIT,
        Inherited,
        "How long opening a connection, or waiting for a free one, may take.",
    ),
    // A model of some gigabytes takes half a minute and more to load before its first word.
    key(
        "services.*.request_timeout",
        ANY_WAIT,
        Value("2m"),
        "How long it may take from a request's last byte to the head of its answer.",
    ),
    key("services.*.idle_timeout", WAIT_OR_NONE, Value("5m"), "How long its answer may be silent."),
    key("services.*.max_connections", SOME, Value("10"), "The most connections to it at once."),
    key(
        "services.*.max_idle_connections",
        Count(0, MANY),
        Value("5"),
        "The most of them kept open without a request.",
    ),
    key(
        "services.*.dns_ttl",
        Kind::Duration(NONE, DAY),
        Value("5m"),
        "How long its addresses are remembered.",
    ),
    key("services.*.rate", Rate, Value("none"), "Requests below /services/<name>/, by everybody together."),
    key("services.*.max_in_flight", SOME, Inherited, "The most requests to it at once."),
];
