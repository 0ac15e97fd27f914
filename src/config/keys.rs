//! The single list of keys: what a file, the environment and the flags may say.

use std::time::Duration;

/// One key: the check for unknown keys, the defaults and the reference page all read this.
#[derive(Debug, Clone, Copy)]
pub struct KeyDoc {
    /// The path, segments joined by dots; `*` stands for any one segment.
    pub path: &'static str,
    /// What the value must be.
    pub kind: Kind,
    /// What holds when nobody sets it.
    pub default: KeyDefault,
    /// The only way of reaching a server for which the key has a meaning.
    pub only: Option<Reach>,
    /// What it is for, in one line.
    pub doc: &'static str,
}

/// What a key's value must be. Bounds are inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Bool,
    /// A whole number within bounds.
    Count(u64, u64),
    /// A length of time within bounds, such as `"30s"`.
    Duration(Duration, Duration),
    /// A length of time within bounds, or `"none"`.
    DurationOrNone(Duration, Duration),
    /// A size in bytes within bounds, such as `"4MiB"`.
    Size(u64, u64),
    /// An IP address and a port.
    Address,
    /// A path; a relative one starts at the file's folder. References are resolved.
    Path,
    /// Any text. References are resolved.
    Text,
    /// Directives of `tracing`'s `EnvFilter`.
    Filter,
    /// An http or https URL. References are resolved.
    Url,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A list of texts.
    List,
    /// A list of texts in which references are resolved.
    TextList,
    /// A text that is never shown. References are resolved.
    Secret,
}

/// What holds when nobody sets a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyDefault {
    /// This value, written as in an environment variable.
    Value(&'static str),
    /// A value found out at start; the text says how.
    Computed(&'static str),
    /// The key of the same name in `[defaults]`.
    Inherited,
    /// Nothing: the key may be left out.
    Nothing,
}

/// The two ways of reaching a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// A child process (`command`).
    Command,
    /// An HTTP endpoint (`url`).
    Url,
}

use KeyDefault::{Computed, Inherited, Nothing, Value};
use Kind::{Address, Bool, Choice, Count, Filter, List, Path, Size, Text, TextList};

/// The port of `gateway.listen` when nobody sets another.
pub(super) const DEFAULT_PORT: u16 = 6270;

const MS: Duration = Duration::from_millis(1);
const NONE: Duration = Duration::ZERO;
/// The longest wait that still means a wait: a day.
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// The longest life of an idle session: a year, far below what clocks can add.
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// The smallest cap on a message: a handshake and its error must fit.
const KIB: u64 = 1 << 10;
/// The largest cap on a message: it is held in memory as one piece.
const GIB: u64 = 1 << 30;
/// The largest count of things that cost memory each.
const MANY: u64 = 1_000_000;
/// The smallest limit on memory that lets a program start at all.
const MIN_MEMORY: u64 = 4 << 20;
/// More memory than any machine has.
const MAX_MEMORY: u64 = 1 << 50;
/// Standard input, output and error, and one more.
const MIN_FILES: u64 = 4;
/// The limit of processor time is counted in whole seconds.
const SECOND: Duration = Duration::from_secs(1);
/// More threads than any machine has cores.
const MAX_WORKERS: u64 = 1_024;
/// The shortest useful name: 24 of the server, 2 of `__`, and room for a stable suffix.
const MIN_NAME: u64 = 40;
/// The longest name that the protocol's revision 2025-11-25 recommends.
const MAX_NAME: u64 = 128;

const LOG_FORMATS: &[&str] = &["text", "json"];
const STARTS: &[&str] = &["eager", "lazy"];
const PROTOCOLS: &[&str] = &["auto", "legacy", "modern"];

const ANY_WAIT: Kind = Kind::Duration(MS, DAY);
const WAIT_OR_NONE: Kind = Kind::DurationOrNone(MS, DAY);
const PERCENT: Kind = Count(1, 100);
const ANY_GRACE: Kind = Kind::Duration(NONE, DAY);
const MESSAGE: Kind = Size(KIB, GIB);
const SOME: Kind = Count(1, MANY);

const fn key(path: &'static str, kind: Kind, default: KeyDefault, doc: &'static str) -> KeyDoc {
    KeyDoc { path, kind, default, only: None, doc }
}

const fn only(reach: Reach, row: KeyDoc) -> KeyDoc {
    KeyDoc { only: Some(reach), ..row }
}

const fn child(path: &'static str, kind: Kind, default: KeyDefault, doc: &'static str) -> KeyDoc {
    only(Reach::Command, key(path, kind, default, doc))
}

const fn remote(path: &'static str, kind: Kind, default: KeyDefault, doc: &'static str) -> KeyDoc {
    only(Reach::Url, key(path, kind, default, doc))
}

/// Every key there is.
pub const KEYS: &[KeyDoc] = &[
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
    key("gateway.allowed_origins", List, Value("[]"), "Origins of web pages that may call the gateway."),
    key(
        "gateway.allowed_hosts",
        List,
        Value("[]"),
        "Host names under which the gateway may be called, besides its own.",
    ),
    key(
        "gateway.allow_unauthenticated",
        Bool,
        Value("false"),
        "Dangerous: lets everybody who reaches `listen` use every server.",
    ),
    key("gateway.max_body", MESSAGE, Value("4MiB"), "The largest body of one request."),
    // Each costs a record of some hundred bytes; at the limit that is a few megabytes.
    key("gateway.max_sessions", SOME, Value("10000"), "The most sessions held at once."),
    key(
        "gateway.session_ttl",
        Kind::Duration(MS, YEAR),
        Value("24h"),
        "How long an idle session lives; after a restart its age counts.",
    ),
    // An idle stream costs about 10 KiB and a descriptor.
    key("gateway.max_streams", SOME, Value("4096"), "The most event streams open at once."),
    key("gateway.max_in_flight", SOME, Value("4096"), "The most requests worked on at once."),
    // Children in their first seconds keep a processor busy each; more at once would all be slow.
    key("gateway.parallel_starts", SOME, Value("8"), "The most servers brought up at the same moment."),
    key(
        "gateway.shutdown_grace",
        ANY_GRACE,
        Value("10s"),
        "How long calls in flight may take to finish at shutdown.",
    ),
    // 64 characters less what clients put before a name.
    key(
        "gateway.name_limit",
        Count(MIN_NAME, MAX_NAME),
        Value("48"),
        "The longest tool or prompt name shown.",
    ),
    key(
        "gateway.log.filter",
        Filter,
        Value("info"),
        "What is logged: a level, or `target=level` parts with commas.",
    ),
    key("gateway.log.format", Choice(LOG_FORMATS), Value("text"), "How a log line looks."),
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
        "defaults.max_message",
        MESSAGE,
        Value("64MiB"),
        "The largest single message accepted from a server.",
    ),
    key("defaults.max_in_flight", SOME, Value("1024"), "The most calls in flight to a server at once."),
    key("servers.*.enabled", Bool, Value("true"), "Whether the server runs."),
    child("servers.*.command", Text, Nothing, "The program to start: a path, or a name found in PATH."),
    child("servers.*.args", TextList, Value("[]"), "The program's arguments."),
    child(
        "servers.*.env.*",
        Kind::Secret,
        Nothing,
        "Variables of the program; it sees only these and a safe few.",
    ),
    child("servers.*.cwd", Path, Nothing, "The program's working directory."),
    remote("servers.*.url", Kind::Url, Nothing, "The MCP endpoint to connect to."),
    remote("servers.*.headers.*", Kind::Secret, Nothing, "Headers sent with every request."),
    remote(
        "servers.*.ca_file",
        Path,
        Nothing,
        "A PEM file of certificate authorities to trust instead of the system's.",
    ),
    remote("servers.*.proxy", Text, Nothing, "The HTTP proxy to go through, such as \"http://proxy:3128\"."),
    key("servers.*.protocol", Choice(PROTOCOLS), Inherited, "Which era of MCP the server speaks."),
    key("servers.*.call_timeout", ANY_WAIT, Inherited, "How long one call may take."),
    key(
        "servers.*.max_call_time",
        ANY_WAIT,
        Inherited,
        "How long a call may take however much progress it reports.",
    ),
    key("servers.*.start", Choice(STARTS), Inherited, "When it is started: at once, or on first use."),
    key(
        "servers.*.idle_stop",
        WAIT_OR_NONE,
        Inherited,
        "After how long without a call it is stopped until the next one.",
    ),
    key("servers.*.restart_budget", SOME, Inherited, "Restarts within the window after which it rests."),
    key("servers.*.restart_window", ANY_WAIT, Inherited, "The window in which restarts are counted."),
    key("servers.*.slow_retry", ANY_WAIT, Inherited, "How long it rests when it cannot be kept up."),
    key("servers.*.health_interval", WAIT_OR_NONE, Inherited, "How often it is asked whether it is well."),
    key("servers.*.health_misses", SOME, Inherited, "Unanswered questions in a row until it counts as hung."),
    key("servers.*.health_hits", SOME, Inherited, "Answers in a row until it counts as well again."),
    key("servers.*.breaker.failures", SOME, Inherited, "Failures in a row that open its breaker."),
    key(
        "servers.*.breaker.failure_share",
        PERCENT,
        Inherited,
        "Percentage of failed calls within the window that opens it.",
    ),
    key("servers.*.breaker.window", ANY_WAIT, Inherited, "The window over which the share is taken."),
    key("servers.*.breaker.open", ANY_WAIT, Inherited, "How long calls are refused before one is tried."),
    key("servers.*.breaker.half_open_max_calls", SOME, Inherited, "Calls let through at once to try."),
    key("servers.*.breaker.success_threshold", SOME, Inherited, "Successes that close the breaker again."),
    key("servers.*.start_timeout", ANY_WAIT, Inherited, "How long the server may take to become ready."),
    remote("servers.*.connect_timeout", ANY_WAIT, Inherited, "How long opening a connection may take."),
    remote(
        "servers.*.stream_idle_timeout",
        WAIT_OR_NONE,
        Inherited,
        "How long an event stream may be silent before it counts as broken.",
    ),
    child(
        "servers.*.limits.memory",
        Size(MIN_MEMORY, MAX_MEMORY),
        Nothing,
        "The most memory of each of its processes.",
    ),
    child(
        "servers.*.limits.cpu",
        Kind::Duration(SECOND, YEAR),
        Nothing,
        "The most processor time of each of its processes, over its whole life.",
    ),
    child(
        "servers.*.limits.open_files",
        Count(MIN_FILES, MANY),
        Nothing,
        "The most files each of its processes opens.",
    ),
    child(
        "servers.*.limits.processes",
        SOME,
        Nothing,
        "The most processes and threads of the child and all that it starts, by a cgroup (Delegate=pids).",
    ),
    child(
        "servers.*.stop_grace",
        ANY_GRACE,
        Inherited,
        "How long the child may take to leave, before each harder signal.",
    ),
    key("servers.*.max_message", MESSAGE, Inherited, "The largest single message accepted from the server."),
    key("servers.*.max_in_flight", SOME, Inherited, "The most calls in flight to the server at once."),
    key("servers.*.tools.allow", List, Value("[]"), "Patterns of the tools to offer; empty means all."),
    key(
        "servers.*.tools.deny",
        List,
        Value("[]"),
        "Patterns of the tools to hold back, whatever `allow` says.",
    ),
    key(
        "servers.*.tools.timeouts.*",
        ANY_WAIT,
        Nothing,
        "How long a call of the tools of this pattern may take.",
    ),
];

/// What stands at a path.
#[derive(Debug, Clone, Copy)]
pub(super) enum Spot {
    Key(&'static KeyDoc),
    Table,
    Unknown,
}

impl KeyDoc {
    fn segments(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('.')
    }

    /// The last segment.
    pub(super) fn leaf(&self) -> &'static str {
        self.path.rsplit('.').next().unwrap_or(self.path)
    }
}

/// What stands at a path, which may be any path at all.
pub(super) fn lookup(path: &[impl AsRef<str>]) -> Spot {
    let mut table = path.is_empty();
    for row in KEYS {
        let mut segments = row.segments();
        let fits =
            path.iter().all(|have| segments.next().is_some_and(|want| want == "*" || want == have.as_ref()));
        match (fits, segments.next()) {
            (true, None) => return Spot::Key(row),
            (true, Some(_)) => table = true,
            (false, _) => {}
        }
    }
    if table { Spot::Table } else { Spot::Unknown }
}

/// The names that may stand in a table, in the order of the list; empty when any name may.
pub(super) fn names_in(table: &[impl AsRef<str>]) -> Vec<&'static str> {
    let mut names = Vec::new();
    for row in KEYS {
        let mut segments = row.segments();
        let fits =
            table.iter().all(|have| segments.next().is_some_and(|want| want == "*" || want == have.as_ref()));
        if let (true, Some(name)) = (fits, segments.next())
            && name != "*"
            && !names.contains(&name)
        {
            names.push(name);
        }
    }
    names
}

/// How alike a name and a key must be before the key is offered as what was meant, from 0 to 1.
const LIKENESS: f64 = 0.6;

/// What other programs call things.
const ALIASES: &[(&str, &str)] = &[
    ("mcpservers", "servers"),
    ("mcp_servers", "servers"),
    ("server", "servers"),
    ("bind", "listen"),
    ("address", "listen"),
    ("host", "listen"),
    ("port", "listen"),
    ("disabled", "enabled"),
    ("timeout", "call_timeout"),
    ("cmd", "command"),
    ("endpoint", "url"),
    ("working_dir", "cwd"),
];

/// The name in `names` that was most likely meant.
pub(super) fn nearest(name: &str, names: &[&'static str]) -> Option<&'static str> {
    let name = name.to_ascii_lowercase().replace('-', "_");
    let alias = ALIASES.iter().find(|(other, ours)| *other == name && names.contains(ours));
    if let Some((_, ours)) = alias {
        return Some(ours);
    }
    names
        .iter()
        .map(|candidate| (strsim::normalized_damerau_levenshtein(&name, candidate), *candidate))
        .filter(|(likeness, _)| *likeness >= LIKENESS)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}
