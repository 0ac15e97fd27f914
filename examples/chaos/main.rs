//! The chaos run: eight servers under mixed load, two of them killed, hung and flooded at random.
//!
//! `cargo build --release --bins --examples && cargo run --release --example chaos` starts the gateway as a process of
//! its own in front of eight scripted servers, loads all of them over HTTP in both eras, first in peace, then with
//! mischief, and prints what came of it. The seed is printed and can be given again with `--seed`.
//!
//! It promises that every answer is checked to be the answer to its own question, and that the exit code is not 0 when
//! a promise of the gateway breaks: an error on a healthy server, a slow one, a server that stays down, or anything
//! that is left over at the end.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool: its report is its output"
)]

#[cfg(target_os = "linux")]
mod client;
#[cfg(target_os = "linux")]
mod gateway;
#[cfg(target_os = "linux")]
mod load;
#[cfg(target_os = "linux")]
mod mischief;
#[cfg(target_os = "linux")]
mod report;
#[cfg(target_os = "linux")]
mod run;
#[cfg(target_os = "linux")]
mod tally;

/// Errors of the tool itself; what goes wrong behind the gateway is counted instead.
#[cfg(target_os = "linux")]
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[cfg(target_os = "linux")]
#[tokio::main]
async fn main() -> std::process::ExitCode {
    use clap::Parser as _;

    match run::run(run::Options::parse()).await {
        Ok(true) => std::process::ExitCode::SUCCESS,
        Ok(false) => std::process::ExitCode::FAILURE,
        Err(error) => {
            eprintln!("chaos: {error}");
            std::process::ExitCode::from(2)
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn main() {
    eprintln!("chaos: this tool reads /proc and runs on Linux only");
    std::process::exit(1);
}
