//! The load tool: what the gateway costs, measured against the same backend without it.
//!
//! `cargo run --release --example load` starts an echo backend, the gateway in front of it, and drives both
//! over loopback with a closed loop: each connection sends a call, reads the reply, checks it, and sends the
//! next. The direct backend is measured seconds before each gateway cell, so that a figure is a ratio within
//! one run and not a property of the machine.
//!
//! It promises that every reply is checked for HTTP status, JSON-RPC id and echoed text, that every wait has
//! a limit, and that a wrong or missing reply makes the exit code non-zero. It talks to loopback addresses
//! unless `--peer-url` names another. It reads `/proc`, so the figures of processes exist on Linux only.
//!
//! The same binary is both echo backends (`backend-http`, `backend-stdio`), so that nothing else is needed.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool: its tables and its errors are its output"
)]

#[cfg(target_os = "linux")]
mod backend;
#[cfg(target_os = "linux")]
mod client;
#[cfg(target_os = "linux")]
mod options;
#[cfg(target_os = "linux")]
mod process;
#[cfg(target_os = "linux")]
mod report;
#[cfg(target_os = "linux")]
mod sections;
#[cfg(target_os = "linux")]
mod stats;

/// Errors of the tool itself; wrong replies are [`client::Fault`] and are counted instead.
#[cfg(target_os = "linux")]
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[cfg(target_os = "linux")]
fn main() -> std::process::ExitCode {
    use clap::Parser as _;

    let cli = options::Cli::parse();
    let outcome = match cli.backend {
        Some(options::Backend::BackendHttp(options)) => backend::http::run(&options).map(|()| true),
        Some(options::Backend::BackendStdio(options)) => backend::stdio::run(&options).map(|()| true),
        None => sections::run(cli.options),
    };
    match outcome {
        Ok(true) => std::process::ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("load: some replies were wrong or missing; see the faults above");
            std::process::ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("load: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("load: this tool reads /proc and runs on Linux only");
    std::process::exit(1);
}
