//! Keys of `[gateway]`: the daemon itself.

use super::*;

pub(super) const ROWS: &[KeyDoc] = &[
    key("gateway.listen", Address, Value("127.0.0.1:6270"), "Where the gateway listens."),
    key(
        "gateway.data_dir",
        Path,
        Computed("the platform's folder for state"),
        "Where the gateway keeps its own files.",
    ),
    key(
        "gateway.workers",
        Count(1, MAX_WORKERS),
        Computed("one per processor"),
        "Worker threads of the runtime.",
    ),
    live(key(
        "gateway.allowed_origins",
        List,
        Value("[]"),
        "Origins of web pages that may call the gateway.",
    )),
    live(key(
        "gateway.allowed_hosts",
        List,
        Value("[]"),
        "Host names under which the gateway may be called, besides its own.",
    )),
    key(
        "gateway.allow_unauthenticated",
        Bool,
        Value("false"),
        "Dangerous: lets everybody who reaches `listen` use every server.",
    ),
    live(key(
        "gateway.trusted_proxies",
        List,
        Value("[]"),
        "Addresses and networks of proxies whose X-Forwarded-For, -Proto and -Host are believed.",
    )),
    live(key("gateway.max_body", MESSAGE, Value("4MiB"), "The largest body of one request.")),
    // Each costs a record of some hundred bytes; at the limit that is a few megabytes.
    live(key("gateway.max_sessions", SOME, Value("10000"), "The most sessions held at once.")),
    live(key(
        "gateway.session_ttl",
        Kind::Duration(MS, YEAR),
        Value("24h"),
        "How long an idle session lives; after a restart its age counts.",
    )),
    // An idle stream costs about 10 KiB and a descriptor.
    live(key("gateway.max_streams", SOME, Value("4096"), "The most event streams open at once.")),
    live(key("gateway.max_in_flight", SOME, Value("4096"), "The most requests worked on at once.")),
    live(key(
        "gateway.max_parked",
        SOME,
        Value("1000"),
        "The most calls of one principal that wait for answers of their client.",
    )),
    // As in the router that many users come from; each costs a descriptor and some 20 KiB.
    key(
        "gateway.max_service_connections",
        SOME,
        Value("100"),
        "The most connections to all services together.",
    ),
    // Children in their first seconds keep a processor busy each; more at once would all be slow.
    key("gateway.parallel_starts", SOME, Value("8"), "The most servers brought up at the same moment."),
    live(key(
        "gateway.shutdown_grace",
        ANY_GRACE,
        Value("10s"),
        "How long calls in flight may take to finish at shutdown.",
    )),
    live(key(
        "gateway.watch",
        WAIT_OR_NONE,
        Value("none"),
        "How often the files are looked at for changes, which are then reloaded as by SIGHUP.",
    )),
    // 64 characters less what clients put before a name.
    live(key(
        "gateway.name_limit",
        Count(MIN_NAME, MAX_NAME),
        Value("48"),
        "The longest tool or prompt name shown.",
    )),
    // Some thousand results of usual size.
    live(key(
        "gateway.result_cache",
        Size(0, GIB),
        Value("32MiB"),
        "The most bytes of results that are kept; 0 keeps none.",
    )),
    live(key(
        "gateway.log.filter",
        Filter,
        Value("info"),
        "What is logged: a level, or `target=level` parts with commas.",
    )),
    key("gateway.log.format", Choice(LOG_FORMATS), Value("text"), "How a log line looks."),
];
