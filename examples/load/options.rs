//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Measures an MCP gateway against the same backend without it.
#[derive(Parser, Debug)]
#[command(name = "load", args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// Run as one of the echo backends instead of measuring.
    #[command(subcommand)]
    pub backend: Option<Backend>,
    /// What to measure.
    #[command(flatten)]
    pub options: Options,
}

/// The echo backends.
#[derive(Subcommand, Debug)]
pub enum Backend {
    /// An MCP echo server over HTTP; prints its URL as the first line.
    BackendHttp(BackendOptions),
    /// An MCP echo server on stdin and stdout.
    BackendStdio(BackendOptions),
}

/// What both backends take.
#[derive(Args, Debug, Clone)]
pub struct BackendOptions {
    /// Loopback port to listen on, 0 for any free one (HTTP only).
    #[arg(long, default_value_t = 0)]
    pub port: u16,
    /// The era it speaks.
    #[arg(long, value_enum, default_value_t = Era::Legacy)]
    pub era: Era,
    /// Process id of the load tool that started it: the mark by which it is found, and over HTTP the
    /// process it ends with.
    #[arg(long)]
    pub owner: Option<u32>,
    /// UDP address that gets one datagram when a client's handshake is done.
    #[arg(long)]
    pub tell: Option<std::net::SocketAddr>,
}

/// What one run measures.
#[derive(Args, Debug, Clone)]
pub struct Options {
    /// Sections to run; all of them when absent.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub only: Vec<Section>,
    /// The gateway's binary [default: `trunkline` in the build directory this tool lies in].
    #[arg(long)]
    pub gateway: Option<PathBuf>,
    /// Worker threads of the gateway (`gateway.workers`) [default: the gateway's own].
    #[arg(long)]
    pub workers: Option<usize>,
    /// A line for the `[gateway]` table of its configuration, as `key = value`.
    #[arg(long)]
    pub gateway_set: Vec<String>,
    /// A line for both servers' tables of its configuration, as `key = value`.
    #[arg(long)]
    pub server_set: Vec<String>,
    /// A file with further tables for its configuration.
    #[arg(long)]
    pub extra_config: Option<PathBuf>,
    /// The gateway's endpoint: merged (`/mcp`) or one server's own (`/mcp/<server>`).
    #[arg(long, value_enum, default_value_t = Endpoint::Merged)]
    pub endpoint: Endpoint,
    /// Eras of the client.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Era::Legacy, Era::Modern])]
    pub era: Vec<Era>,
    /// Era of the backends [default: the client's].
    #[arg(long, value_enum)]
    pub backend_era: Option<Era>,
    /// What to measure besides the direct backend; without `stdio` and `http` no gateway is started.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Target::Stdio, Target::Http, Target::Peers])]
    pub target: Vec<Target>,
    /// Another running MCP endpoint: `NAME=URL[,prefix=TOOL_PREFIX][,pid=PID]`.
    #[arg(long, value_parser = parse_peer)]
    pub peer_url: Vec<Peer>,
    /// Connections at a time, one cell each.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64, 256])]
    pub conns: Vec<usize>,
    /// Rounds a cell; figures are medians over them.
    #[arg(long, default_value_t = 3)]
    pub rounds: usize,
    /// Seconds a round.
    #[arg(long, default_value_t = 2.0)]
    pub seconds: f64,
    /// One round of one second.
    #[arg(long)]
    pub quick: bool,
    /// Most requests of one connection in one round.
    #[arg(long, default_value_t = 2_000_000)]
    pub max_requests: u32,
    /// Bytes added to the echoed text.
    #[arg(long, default_value_t = 32)]
    pub payload: usize,
    /// Idle streams opened by `streams`.
    #[arg(long, default_value_t = 10_000)]
    pub streams: usize,
    /// Sessions opened by `sessions`.
    #[arg(long, default_value_t = 10_000)]
    pub sessions: usize,
    /// Calls held at once by `inflight`.
    #[arg(long, default_value_t = 1_000)]
    pub inflight: usize,
    /// Starts measured by `start`.
    #[arg(long, default_value_t = 10)]
    pub starts: usize,
    /// Whether the gateway keeps its activity log, where a section decides that; as it is configured otherwise.
    #[arg(skip)]
    pub keeps_log: Option<bool>,
    /// Print one JSON object a line instead of tables.
    #[arg(long)]
    pub json: bool,
}

impl Options {
    /// Rounds and seconds with `--quick` applied.
    pub fn effort(&self) -> (usize, f64) {
        if self.quick { (1, 1.0) } else { (self.rounds.max(1), self.seconds) }
    }

    /// Whether the section was asked for.
    pub fn wants(&self, section: Section) -> bool {
        self.only.is_empty() || self.only.contains(&section)
    }

    /// Whether any target lies behind a gateway that this tool starts.
    pub fn wants_gateway(&self) -> bool {
        self.target.iter().any(|target| matches!(target, Target::Stdio | Target::Http | Target::Service))
    }
}

/// The parts of a measurement.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// Closed-loop calls at several numbers of connections.
    Calls,
    /// One connection with the cores kept awake.
    Latency,
    /// Memory of idle streams.
    Streams,
    /// Memory of sessions without streams.
    Sessions,
    /// Memory of many calls in flight.
    Inflight,
    /// Time to listen and to the first complete list.
    Start,
    /// What the activity log costs: a gateway that keeps it against one that does not, turn by turn.
    Log,
}

/// The two wire eras.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Era {
    /// 2025-11-25: `initialize` and a session header.
    Legacy,
    /// 2026-07-28: stateless, `_meta` on every request.
    Modern,
}

impl std::fmt::Display for Era {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Legacy => "legacy",
            Self::Modern => "modern",
        })
    }
}

/// Which of the gateway's endpoints is called.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// `/mcp` with prefixed tool names.
    Merged,
    /// `/mcp/<server>` with the server's own tool names.
    Single,
}

/// What is measured besides the direct backend.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Nothing more: the direct backend is measured in any case.
    Direct,
    /// The gateway, calling the stdio backend.
    Stdio,
    /// The gateway, calling the HTTP backend.
    Http,
    /// The gateway, passing on to the HTTP backend as to a service that does not speak MCP.
    Service,
    /// Every `--peer-url`.
    Peers,
}

/// Another MCP endpoint, started by somebody else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its name in the table.
    pub name: String,
    /// Its MCP endpoint.
    pub url: String,
    /// What it puts before the backend's tool names.
    pub prefix: String,
    /// Its process, for CPU and memory.
    pub pid: Option<u32>,
}

fn parse_peer(text: &str) -> Result<Peer, String> {
    let (name, rest) = text.split_once('=').ok_or("expected NAME=URL[,prefix=…][,pid=…]")?;
    let mut parts = rest.split(',');
    let url = parts.next().unwrap_or_default().to_owned();
    let mut peer = Peer { name: name.to_owned(), url, prefix: String::new(), pid: None };
    for part in parts {
        match part.split_once('=') {
            Some(("prefix", value)) => value.clone_into(&mut peer.prefix),
            Some(("pid", value)) => {
                peer.pid = Some(value.parse().map_err(|_| format!("`{value}` is no process id"))?);
            }
            _ => return Err(format!("`{part}` is neither prefix=… nor pid=…")),
        }
    }
    Ok(peer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_names_its_url_prefix_and_process() {
        let peer = parse_peer("other=http://127.0.0.1:9/mcp,prefix=bench__,pid=7").unwrap();
        assert_eq!(peer.name, "other");
        assert_eq!(peer.url, "http://127.0.0.1:9/mcp");
        assert_eq!(peer.prefix, "bench__");
        assert_eq!(peer.pid, Some(7));
        assert!(parse_peer("no-url").is_err());
        assert!(parse_peer("a=http://127.0.0.1:9/,colour=red").is_err());
    }

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }
}
