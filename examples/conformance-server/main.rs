//! The server that the official conformance suite is run against, directly and through the gateway.
//!
//! It offers every tool, resource and prompt that the suite's scenarios call by name, in both eras. A tool that needs
//! something from its client asks in the way of the request's era: by a request of its own in the legacy one, by an
//! `input_required` result in the modern one.
//!
//! `--era legacy` and `--era modern` make it a server of one era only, so that each translation can be tested.

mod converse;
mod dialogs;
mod gate;
mod offers;
mod serve;
mod server;
mod tasks;
mod tools;

use std::error::Error;

use clap::{Parser, ValueEnum};

/// What the server is told on its command line.
#[derive(Parser)]
struct Flags {
    /// How clients reach it.
    #[arg(long, value_enum, default_value = "stdio")]
    transport: Transport,
    /// The port on 127.0.0.1, with `--transport http`. 0 lets the system choose.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// The protocol eras that it speaks.
    #[arg(long, value_enum, default_value = "both")]
    era: Era,
}

#[derive(Clone, Copy, ValueEnum)]
enum Transport {
    Stdio,
    Http,
}

/// The protocol eras that the server speaks.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Era {
    /// Both at once, told apart by the request.
    Both,
    /// Up to 2025-11-25: the modern era is as unknown to it as to a server of that time.
    Legacy,
    /// From 2026-07-28: `initialize` is refused.
    Modern,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let flags = Flags::parse();
    match flags.transport {
        Transport::Stdio => serve::stdio(flags.era).await,
        Transport::Http => serve::http(flags.era, flags.port).await,
    }
}
