//! The configuration in types: what the other rooms read.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;
use ipnet::IpNet;

use crate::base::{Secret, ServerName, glob};

use super::activity::{Activity, Capture};
use super::auth::Auth;
use super::enhance::Enhance;
use super::limits::RateLimits;
use super::links::Links;
use super::oauth::OAuth;
use super::policy::PolicyRules;
use super::rate::Rate;
use super::tls::Tls;
use super::tool_prompts::ToolPrompts;
use super::tool_results::ToolResults;
use super::url::Url;
use super::{
    admin::Admin, compat::Compat, metrics::Metrics, replay::Replay, service::Service, traces::Traces,
};

/// Everything the operator wants, checked and with every reference resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The daemon itself.
    pub gateway: Gateway,
    /// The log of calls.
    pub activity: Activity,
    /// The administration interface.
    pub admin: Admin,
    /// Answering as others did.
    pub compat: Compat,
    /// What is counted apart.
    pub metrics: Metrics,
    /// Which requests leave spans, and who gets them; nobody, if there is nothing.
    pub traces: Option<Traces>,
    /// Who may call.
    pub auth: Auth,
    /// How often.
    pub limits: RateLimits,
    /// Who may use what.
    pub policy: PolicyRules,
    /// The servers in the order of the file; those that only the environment names come last.
    pub servers: Vec<Server>,
    /// The services in the same order.
    pub services: Vec<Service>,
    /// How prompts are enhanced.
    pub enhance: Enhance,
    /// Where the file layer came from.
    pub origin: Origin,
}

/// Where the file layer of a configuration came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// No file was found: the built-in example is in force.
    Embedded,
    /// This file.
    File(PathBuf),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded => f.write_str("the built-in gateway.toml"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// `[gateway]`: the daemon itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    /// Where the gateway listens.
    pub listen: SocketAddr,
    /// The certificate under which it speaks TLS there; without one it speaks plain HTTP.
    pub tls: Option<Tls>,
    /// Where the gateway keeps its own files.
    pub data_dir: PathBuf,
    /// Worker threads of the runtime.
    pub workers: usize,
    /// Origins of web pages that may call, as browsers write them: small letters, no default port.
    pub allowed_origins: Vec<String>,
    /// `Host` values accepted besides the gateway's own address, in small letters.
    pub allowed_hosts: Vec<String>,
    /// Whether an address that others can reach may be bound without authentication.
    pub allow_unauthenticated: bool,
    /// Whose word on clients behind them is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The largest body of one request, in bytes.
    pub max_body: u64,
    /// The most sessions held at once.
    pub max_sessions: usize,
    /// How long an idle session lives.
    pub session_ttl: Duration,
    /// The most event streams open at once.
    pub max_streams: usize,
    /// The most requests worked on at once.
    pub max_in_flight: usize,
    /// The most connections to all services together.
    pub max_service_connections: usize,
    /// The most calls of one principal that wait for their client's answers.
    pub max_parked: usize,
    /// The most servers brought up at the same moment.
    pub parallel_starts: usize,
    /// How long calls in flight may take to finish at shutdown.
    pub shutdown_grace: Duration,
    /// How often the files are looked at for changes; never if there is none.
    pub watch: Option<Duration>,
    /// The longest tool or prompt name shown at the merged endpoint.
    pub name_limit: usize,
    /// The most bytes of results that are kept.
    pub result_cache: u64,
    /// What is kept for clients that lost a stream.
    pub replay: Replay,
    /// The gateway's own log.
    pub log: Log,
}

/// `[gateway.log]`: the gateway's own log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// What is logged, in the directives of `tracing`'s `EnvFilter`; they have been checked.
    pub filter: String,
    /// How a line looks.
    pub format: LogFormat,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For eyes.
    Text,
    /// One JSON object a line, for collectors.
    Json,
}

/// `[servers.<name>]`: one MCP server behind the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// The name, which prefixes the server's tools.
    pub name: ServerName,
    /// Whether the server runs. References of a server that does not run are left as written.
    pub enabled: bool,
    /// How the server is reached.
    pub transport: Transport,
    /// How a URL speaks HTTP.
    pub http: HttpTransport,
    /// How the gateway comes by a token for a URL; nothing for a command, and where a header says who it is.
    pub oauth: Option<OAuth>,
    /// Which era of the protocol it speaks.
    pub protocol: Protocol,
    /// How long one call may take.
    pub call_timeout: Duration,
    /// How long a call may take however much progress it reports.
    pub max_call_time: Duration,
    /// When the server is started.
    pub start: Start,
    /// After how long without a call it is stopped until the next one.
    pub idle_stop: Option<Duration>,
    /// How restarts are paced.
    pub restart: Restart,
    /// When it is asked whether it is well, and what its answers mean.
    pub health: Health,
    /// When its calls are refused because calls before failed.
    pub breaker: Breaker,
    /// How long the server may take from its start until it is ready.
    pub start_timeout: Duration,
    /// How long opening a connection to a URL may take.
    pub connect_timeout: Duration,
    /// How long an event stream of a URL may be silent.
    pub stream_idle_timeout: Option<Duration>,
    /// What each process of a child may use.
    pub limits: Limits,
    /// How long a child may take to leave after its input was closed, and again after SIGTERM.
    pub stop_grace: Duration,
    /// What a reload does when the entry has changed.
    pub replace: Replace,
    /// How long calls in flight may take when a reload replaces or removes the server.
    pub drain_timeout: Duration,
    /// The largest single message accepted from the server, in bytes.
    pub max_message: u64,
    /// The most calls in flight to the server at once.
    pub max_in_flight: usize,
    /// Who shares its links, and whether it may ask.
    pub links: Links,
    /// Of which calls the messages are kept in the activity log.
    pub capture: Capture,
    /// How often it may be asked by everybody together.
    pub rate: Option<Rate>,
    /// Which of its tools are offered.
    pub tools: ToolFilter,
}

impl Server {
    /// How long a call of the tool with this name (the server's own name for it) may take.
    pub fn tool_timeout(&self, tool: &str) -> Duration {
        let own = self.tools.timeouts.iter().find(|(pattern, _)| glob::matches(pattern, tool));
        own.map_or(self.call_timeout, |(_, timeout)| *timeout)
    }
}

/// When a server is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With the gateway.
    Eager,
    /// By the first call; and once to learn what it offers, if that is not known from an earlier run.
    Lazy,
}

/// How a server of a changed entry follows the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replace {
    /// Both run until the new one is ready: no call waits.
    Overlap,
    /// The old one has stopped before the new one starts: for servers of which there can be only one.
    StopFirst,
}

/// How restarts are paced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restart {
    /// Restarts within `window` after which the server rests.
    pub budget: usize,
    /// See `budget`.
    pub window: Duration,
    /// How long it rests before it is tried again.
    pub slow_retry: Duration,
}

/// When a server is asked whether it is well, and what its answers mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    /// How often it is asked; never if there is none.
    pub interval: Option<Duration>,
    /// Questions without an answer, in a row, after which it counts as hung.
    pub misses: usize,
    /// Answers in a row after which it counts as well again.
    pub hits: usize,
}

/// When a server's calls are refused because calls before failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breaker {
    /// Failures in a row that open it.
    pub failures: usize,
    /// Percentage of failed calls within `window` that opens it.
    pub failure_share: usize,
    /// See `failure_share`.
    pub window: Duration,
    /// How long calls are refused before one is tried.
    pub open: Duration,
    /// Calls let through at once to try.
    pub half_open_max_calls: usize,
    /// Successes that close it again.
    pub success_threshold: usize,
}

/// What a child may use: each process, or all together. Without a value, what the gateway itself may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Memory in bytes.
    pub memory: Option<u64>,
    /// Processor time over its whole life.
    pub cpu: Option<Duration>,
    /// Open files and sockets.
    pub open_files: Option<usize>,
    /// Processes and threads of the child and all below it together.
    pub processes: Option<usize>,
}

/// How a server behind a URL speaks HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HttpTransport {
    /// Found out by asking.
    Auto,
    /// One endpoint, to which each message is a POST (since 2025-03-26).
    Streamable,
    /// One stream and an endpoint beside it (2024-11-05).
    Sse,
}

/// Which era of the protocol a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Found out by asking the server.
    Auto,
    /// `initialize` and sessions: 2024-11-05 to 2025-11-25.
    Legacy,
    /// Stateless: 2026-07-28 and later.
    Modern,
}

/// Which of a server's tools are offered, how long they may take, and how often they may be called.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ToolFilter {
    /// Patterns of the tools that are offered; empty means all of them.
    pub allow: Vec<String>,
    /// Patterns of the tools that are not, whatever `allow` says.
    pub deny: Vec<String>,
    /// Patterns of tools with a call timeout of their own, the most exact first.
    pub timeouts: Vec<(String, Duration)>,
    /// Patterns of tools each of which may be called so often, the most exact first.
    pub rates: Vec<(String, Rate)>,
    /// Which of their results are kept.
    pub results: ToolResults,
    /// Which of their arguments are prompts.
    pub prompts: ToolPrompts,
}

impl ToolFilter {
    /// Whether a tool of this name (the server's own name for it) is offered.
    pub fn permits(&self, tool: &str) -> bool {
        let hit = |patterns: &[String]| patterns.iter().any(|pattern| glob::matches(pattern, tool));
        !hit(&self.deny) && (self.allow.is_empty() || hit(&self.allow))
    }
}

/// How a server is reached.
///
/// `Debug` names the program, the variables and the host, and never an argument, a query or a value: after
/// references are resolved, any of them may hold a credential.
#[derive(Clone, PartialEq, Eq)]
pub enum Transport {
    /// A child process that speaks on its pipes.
    Stdio {
        /// The program: a path, or a name to look up in `PATH`.
        command: String,
        /// Its arguments.
        args: Vec<String>,
        /// Variables added to its otherwise cleared environment, sorted by name.
        env: Vec<(String, Secret)>,
        /// Its working directory, absolute.
        cwd: Option<PathBuf>,
    },
    /// A streamable HTTP endpoint.
    Http {
        /// The endpoint.
        url: Url,
        /// Headers sent with every request, sorted by name; the values have been checked.
        headers: Vec<(HeaderName, Secret)>,
        /// A PEM file of certificate authorities trusted instead of the system's own.
        ca_file: Option<PathBuf>,
        /// An HTTP proxy to go through. It may hold a user name and a password.
        proxy: Option<String>,
    },
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdio { command, args, env, cwd } => f
                .debug_struct("Stdio")
                .field("command", command)
                .field("args", &format_args!("[{} not shown]", args.len()))
                .field("env", env)
                .field("cwd", cwd)
                .finish(),
            Self::Http { url, headers, ca_file, proxy } => f
                .debug_struct("Http")
                .field("url", url)
                .field("headers", headers)
                .field("ca_file", ca_file)
                .field("proxy", &proxy.as_ref().map(|_| format_args!("***")))
                .finish(),
        }
    }
}
