//! What can be said on the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::activity::Activity;
use super::admin::Admin;
use super::configuration::{Check, Config};
use super::health::Health;
use super::keys::Key;
use super::login::{LoginArguments, LogoutArguments};
use super::onboard::{Connect, DoctorArguments, Import};
use super::policy::Policy;

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
    /// Serve one MCP client on stdin and stdout: with a fleet of its own, or as a bridge to a running gateway.
    Stdio(Stdio),
    /// Take over MCP servers from the configuration of other programs; prints entries for gateway.toml.
    Import(Import),
    /// Point a client at the gateway: prints what goes into the client's configuration, or puts it there.
    Connect(Connect),
    /// Log in to a server, for everybody who may use the gateway.
    Login(LoginArguments),
    /// Forget the login to a server.
    Logout(LogoutArguments),
    /// Look for whatever keeps the gateway from serving, and say the cure.
    Doctor(DoctorArguments),
    /// Check the configuration and say everything that is wrong with it (exit code 78), or what was found.
    Check(Check),
    /// Ask the running gateway how it is: exit code 0 if it answers, 1 if not. For health checks of containers.
    Health(Health),
    /// Show the configuration, or what may stand in it.
    Config {
        #[command(subcommand)]
        command: Config,
    },
    /// Print what a shell needs to complete these arguments.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page.
    #[command(hide = true)]
    Man,
    /// Show what the gateway was asked and how it went.
    Activity(Activity),
    #[command(flatten)]
    Admin(Admin),
    /// What the policy says of a caller, and which rule says it.
    Policy {
        #[command(subcommand)]
        command: Policy,
    },
    /// Make, list and revoke the API keys by which callers show who they are.
    Key {
        #[command(subcommand)]
        command: Key,
    },
    /// Run the built-in demo MCP server on stdin and stdout.
    DemoServer,
}

#[derive(Debug, Args)]
pub struct Stdio {
    /// Bridge to the gateway that runs at this URL, and start no server.
    #[arg(long, value_name = "URL", conflicts_with_all = ["config", "data_dir"])]
    pub connect: Option<String>,
    /// Serve this server under its own names instead of the whole fleet.
    #[arg(long, value_name = "NAME")]
    pub server: Option<String>,
    /// The environment variable that holds the credential for the running gateway; TRUNKLINE_TOKEN if there is one.
    #[arg(long, value_name = "VARIABLE", requires = "connect")]
    pub token_env: Option<String>,
    /// The file that holds it.
    #[arg(long, value_name = "FILE", requires = "connect", conflicts_with = "token_env")]
    pub token_file: Option<PathBuf>,
    /// PEM certificates of the authorities to trust for the running gateway instead of the platform's.
    #[arg(long, value_name = "FILE", requires = "connect")]
    pub ca_file: Option<PathBuf>,
    /// The configuration file, as of `serve`.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The folder for the gateway's own files (gateway.data_dir).
    #[arg(long, value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
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
