//! What the server is told on its command line.

use clap::{Parser, ValueEnum};

#[derive(Parser)]
pub(crate) struct Flags {
    /// The protocol eras that it speaks.
    #[arg(long, value_enum, default_value = "both")]
    pub(crate) era: Era,
    /// The newest legacy version that it knows.
    #[arg(long, default_value = "2025-11-25")]
    pub(crate) protocol: String,
    #[arg(long, value_enum, default_value = "stdio")]
    pub(crate) transport: Transport,
    /// The port on 127.0.0.1, with `--transport http` or `ollama`. 0 lets the system choose.
    #[arg(long, default_value_t = 0)]
    pub(crate) port: u16,
    /// Over HTTP, offers the stream that a legacy client opens by GET. Without, GET is answered by 405.
    #[arg(long)]
    pub(crate) get_stream: bool,
    /// Over HTTP, speaks the transport of 2024-11-05: GET opens the one stream, POST goes to the endpoint that it names.
    #[arg(long)]
    pub(crate) oldest: bool,
    /// The beginning of the endpoint that it names then; the session follows.
    #[arg(long, default_value = "/messages?session=")]
    pub(crate) endpoint: String,
    /// Over HTTP, refuses with 401 what does not bear this token.
    #[arg(long)]
    pub(crate) bearer: Option<String>,

    /// Writes this line to standard output before anything else.
    #[arg(long)]
    pub(crate) banner: Option<String>,
    /// Writes so many bytes to standard error before anything else.
    #[arg(long, default_value_t = 0)]
    pub(crate) stderr_burst: usize,
    /// Does nothing for so many milliseconds after its start.
    #[arg(long, default_value_t = 0)]
    pub(crate) slow_start: u64,
    /// Starts a process of a session of its own that ignores SIGTERM.
    #[arg(long)]
    pub(crate) spawn_grandchild: bool,
    /// Leaves standard output and standard error open in that process.
    #[arg(long, requires = "spawn_grandchild")]
    pub(crate) grandchild_keeps_pipes: bool,

    /// Exits with status 3 when it gets `initialize` or `server/discover`.
    #[arg(long)]
    pub(crate) exit_during_handshake: bool,
    /// Exits with status 3 when it gets `server/discover`.
    #[arg(long)]
    pub(crate) exit_on_discover: bool,
    /// Never answers `server/discover`.
    #[arg(long)]
    pub(crate) silent_discover: bool,
    /// Has the tool `confide` for clients that declare elicitation.
    #[arg(long)]
    pub(crate) tools_by_capability: bool,
    /// Cuts the list of tools into so many pages.
    #[arg(long, default_value_t = 1)]
    pub(crate) pages: usize,

    /// Exits with status 1 so many milliseconds after its start; without a number, at once.
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "0")]
    pub(crate) crash_loop: Option<u64>,
    /// Closes its standard output after so many messages, and lives on.
    #[arg(long)]
    pub(crate) close_stdout_after: Option<usize>,
    /// Lives on when its standard input ends.
    #[arg(long)]
    pub(crate) ignore_eof: bool,
    /// Lives on when it gets SIGTERM.
    #[arg(long)]
    pub(crate) ignore_sigterm: bool,

    /// How it starts itself as a grandchild.
    #[arg(long, hide = true)]
    pub(crate) grandchild: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Era {
    Both,
    Legacy,
    Modern,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Transport {
    Stdio,
    Http,
    /// Not MCP at all: a plain HTTP service in the manner of Ollama.
    Ollama,
}
