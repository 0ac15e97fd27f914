//! What can be said on the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// One endpoint in front of a supervised fleet of MCP servers.
///
/// Without a command, trunkline serves. Without a configuration file it serves a built-in demo server, so that a first
/// call works with nothing else installed.
#[derive(Debug, Parser)]
#[command(name = "trunkline", version, propagate_version = true)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub serve: Serve,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the gateway (the default).
    Serve(Serve),
    /// Run the built-in demo MCP server on stdin and stdout.
    DemoServer,
}

#[derive(Debug, Default, Args)]
pub struct Serve {
    /// The configuration file. Otherwise: $TRUNKLINE_CONFIG, then trunkline/gateway.toml in the user's configuration
    /// folder, then /etc/trunkline/gateway.toml, then the built-in one.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where to listen, as ADDRESS:PORT (gateway.listen).
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// The folder for the gateway's own files (gateway.data_dir).
    #[arg(long, value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
}

impl Serve {
    /// These arguments, completed by those that stood before the command.
    pub fn over(self, before: Serve) -> Serve {
        Serve {
            config: self.config.or(before.config),
            listen: self.listen.or(before.listen),
            data_dir: self.data_dir.or(before.data_dir),
        }
    }
}
