//! The single list of keys: what a file, the environment and the flags may say. Each section has a file of its own.

mod activity;
mod admin;
mod auth;
mod compat;
mod defaults;
mod enhance;
mod gateway;
mod import;
mod limits;
mod metrics;
mod oauth;
mod policy;
mod replay;
mod servers;
mod services;
mod tls;
mod traces;

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
    /// Whether a reload brings a change of it into effect. Ask [`KeyDoc::is_live`].
    live: bool,
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
    /// A number from 0 to this, which may have decimals.
    Decimal(u32),
    /// A length of time within bounds, such as `"30s"`.
    Duration(Duration, Duration),
    /// A length of time within bounds, or `"none"`.
    DurationOrNone(Duration, Duration),
    /// So many in a length of time, such as `"100/s"` or `"60/m burst 5"`, or `"none"`.
    Rate,
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
    /// The key of the same name in `[defaults]`; for a client's rule of enhancement, in `[enhance.default]`.
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

impl Reach {
    /// The key that says that a server is reached so.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Url => "url",
        }
    }
}

use KeyDefault::{Computed, Inherited, Nothing, Value};
use Kind::{Address, Bool, Choice, Count, Filter, List, Path, Rate, Size, Text, TextList};

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
const TLS_VERSIONS: &[&str] = &["1.2", "1.3"];
const REPLACES: &[&str] = &["overlap", "stop_first"];
const STARTS: &[&str] = &["eager", "lazy"];
const CAPTURES: &[&str] = &["none", "errors", "all"];
const TRANSPORTS: &[&str] = &["auto", "streamable-http", "sse"];
const PROTOCOLS: &[&str] = &["auto", "legacy", "modern"];
const ISOLATIONS: &[&str] = &["shared", "session", "principal"];

const ANY_WAIT: Kind = Kind::Duration(MS, DAY);
const WAIT_OR_NONE: Kind = Kind::DurationOrNone(MS, DAY);
const PERCENT: Kind = Count(1, 100);
const ANY_GRACE: Kind = Kind::Duration(NONE, DAY);
const MESSAGE: Kind = Size(KIB, GIB);
const SOME: Kind = Count(1, MANY);

const fn key(path: &'static str, kind: Kind, default: KeyDefault, doc: &'static str) -> KeyDoc {
    KeyDoc { path, kind, default, only: None, live: false, doc }
}

const fn only(reach: Reach, row: KeyDoc) -> KeyDoc {
    KeyDoc { only: Some(reach), ..row }
}

/// A key of the daemon of which a reload brings a change into effect; any other waits for a restart.
const fn live(row: KeyDoc) -> KeyDoc {
    KeyDoc { live: true, ..row }
}

const fn child(path: &'static str, kind: Kind, default: KeyDefault, doc: &'static str) -> KeyDoc {
    only(Reach::Command, key(path, kind, default, doc))
}

const fn remote(path: &'static str, kind: Kind, default: KeyDefault, doc: &'static str) -> KeyDoc {
    only(Reach::Url, key(path, kind, default, doc))
}

/// The sections, in the order in which they are documented.
const SECTIONS: &[&[KeyDoc]] = &[
    import::ROWS,
    gateway::ROWS,
    tls::ROWS,
    admin::ROWS,
    compat::ROWS,
    metrics::ROWS,
    traces::ROWS,
    auth::ROWS,
    limits::ROWS,
    policy::ROWS,
    replay::ROWS,
    activity::ROWS,
    defaults::ROWS,
    servers::ROWS,
    oauth::ROWS,
    services::ROWS,
    enhance::ROWS,
];

/// Every key there is.
pub fn keys() -> impl Iterator<Item = &'static KeyDoc> {
    SECTIONS.iter().copied().flatten()
}

/// The row of a key as TOML writes it.
pub fn doc_of(key: &str) -> Option<&'static KeyDoc> {
    let path: Vec<&str> = key.split('.').collect();
    match lookup(&path) {
        Spot::Key(doc) => Some(doc),
        Spot::Table | Spot::Unknown => None,
    }
}

/// What stands at a path.
#[derive(Debug, Clone, Copy)]
pub(super) enum Spot {
    Key(&'static KeyDoc),
    Table,
    Unknown,
}

impl KeyDoc {
    /// Whether a reload brings a change of it into effect: for servers always, by starting them anew.
    pub fn is_live(&self) -> bool {
        const LIVE: [&str; 5] = ["servers.", "defaults.", "services.", "enhance.", "import"];
        self.live || LIVE.iter().any(|table| self.path.starts_with(table))
    }

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
    for row in keys() {
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
    for row in keys() {
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
