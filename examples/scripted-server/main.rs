//! An MCP server that misbehaves on demand, for the tests of what the gateway does about it.
//!
//! It is written on raw JSON, without an MCP library, because it has to say what no library would. Flags make it
//! misbehave at its start and in the handshake; tools make it misbehave in a call. Apart from that it is a proper
//! server: it answers in any order, honours cancellation and counts what it has seen (tool `stats`).
//!
//! With `--transport ollama` it is no MCP server but a plain HTTP service that behaves like Ollama.
//!
//! Unix only: it closes its own standard output, starts sessions and kills itself.

mod flags;
mod http;
mod message;
mod oldest;
mod ollama;
mod protocol;
mod questions;
mod stdio;
mod tools;

use std::error::Error;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use flags::{Flags, Transport};
use protocol::Server;

/// How long anything lives that ignores the usual ways to end it, so that a failed test leaves nothing for ever.
const LONGEST_LIFE: Duration = Duration::from_secs(600);
/// The length of a line of the burst on standard error.
const BURST_LINE: usize = 80;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let flags = Flags::parse();
    if flags.grandchild {
        return live_as_grandchild().await;
    }
    // Dropping the stream would not bring the default action back either: the handler stays.
    let _ignored = flags.ignore_sigterm.then(|| signal(SignalKind::terminate())).transpose()?;
    match flags.crash_loop {
        Some(0) => std::process::exit(1),
        Some(ms) => drop(tokio::spawn(async move {
            sleep(Duration::from_millis(ms)).await;
            std::process::exit(1);
        })),
        None => {}
    }
    let grandchild =
        flags.spawn_grandchild.then(|| spawn_grandchild(flags.grandchild_keeps_pipes)).transpose()?;
    burst(flags.stderr_burst)?;
    sleep(Duration::from_millis(flags.slow_start)).await;
    let (transport, port) = (flags.transport, flags.port);
    let server = Arc::new(Server::new(flags, grandchild));
    match transport {
        Transport::Stdio => stdio::serve(server).await?,
        Transport::Http => http::serve(server, port).await?,
        Transport::Ollama => ollama::serve(port).await?,
    }
    // Standard input may still be read by a thread, which would hold the runtime's end up.
    std::process::exit(0);
}

/// Writes so much to standard error, at one go, that somebody has to read it.
fn burst(bytes: usize) -> std::io::Result<()> {
    let mut stderr = std::io::stderr();
    let line = [vec![b'e'; BURST_LINE - 1], vec![b'\n']].concat();
    let text: Vec<u8> = line.iter().copied().cycle().take(bytes).collect();
    stderr.write_all(&text)
}

fn spawn_grandchild(keeps_pipes: bool) -> std::io::Result<u32> {
    let pipe = || if keeps_pipes { Stdio::inherit() } else { Stdio::null() };
    let child = Command::new(std::env::current_exe()?)
        .arg("--grandchild")
        .stdin(Stdio::null())
        .stdout(pipe())
        .stderr(pipe())
        .spawn()?;
    Ok(child.id())
}

/// A process that leaves its parent's process group and session and does not mind SIGTERM.
async fn live_as_grandchild() -> Result<(), Box<dyn Error>> {
    let _ignored = signal(SignalKind::terminate())?;
    rustix::process::setsid()?;
    sleep(LONGEST_LIFE).await;
    Ok(())
}
