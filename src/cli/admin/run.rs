//! From arguments to a question for the gateway, and to an exit code.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Subcommand;

use crate::cli::exit;
use crate::cli::words::fail;

use super::client::{Client, Remote, Trouble};
use super::servers::Deed;
use super::{cache, calls, catalog, events, order, servers, services, sessions, status};

#[derive(Debug, Subcommand)]
pub enum Admin {
    /// Say how the running gateway is: exit code 0 healthy, 3 degraded, 4 not running.
    Status {
        #[command(flatten)]
        remote: Remote,
    },
    /// List the servers, or show one in detail.
    Servers {
        /// The server to show.
        name: Option<String>,
        #[command(flatten)]
        remote: Remote,
    },
    /// Start, stop or restart a server, reset its breaker, take it out of service and back.
    Server {
        #[command(subcommand)]
        deed: Deed,
        #[command(flatten)]
        remote: Remote,
    },
    /// List the services, or show one in detail.
    Services {
        /// The service to show.
        name: Option<String>,
        #[command(flatten)]
        remote: Remote,
    },
    /// Reset the breaker of a service, take it out of service and back.
    Service {
        #[command(subcommand)]
        deed: services::Deed,
        #[command(flatten)]
        remote: Remote,
    },
    /// List the requests that are worked on, or cancel one.
    Calls {
        #[command(subcommand)]
        deed: Option<calls::Deed>,
        #[command(flatten)]
        remote: Remote,
    },
    /// List the sessions of clients, or close one.
    Sessions {
        #[command(subcommand)]
        deed: Option<sessions::Deed>,
        #[command(flatten)]
        remote: Remote,
    },
    /// List the event streams of clients, or close one.
    Streams {
        #[command(subcommand)]
        deed: Option<sessions::StreamDeed>,
        #[command(flatten)]
        remote: Remote,
    },
    /// Show what the merged endpoint offers, and what had to be renamed or left out.
    Catalog {
        #[command(flatten)]
        remote: Remote,
    },
    /// Follow what changes, until interrupted.
    Events {
        #[command(flatten)]
        remote: Remote,
    },
    /// Have the gateway read its configuration again; a faulty one changes nothing.
    Reload {
        #[command(flatten)]
        remote: Remote,
    },
    /// Say how much is kept and of what use it was, forget it, or have lists read beforehand.
    Cache {
        #[command(subcommand)]
        deed: Option<cache::Deed>,
        #[command(flatten)]
        remote: Remote,
    },
}

/// Runs the command. `before` is the configuration file that was named before it.
pub fn run(command: Admin, before: Option<PathBuf>) -> ExitCode {
    in_runtime(async move {
        let find = |remote: &Remote| Client::find(remote, before.clone());
        match command {
            Admin::Status { remote } => status::status(&find(&remote)?, &remote).await,
            Admin::Servers { name: None, remote } => servers::list(&find(&remote)?, &remote).await,
            Admin::Servers { name: Some(name), remote } => {
                servers::show(&find(&remote)?, &remote, &name).await
            }
            Admin::Server { deed, remote } => {
                let (act, which) = deed.parts();
                servers::act(&find(&remote)?, &remote, act, which).await
            }
            Admin::Services { name, remote } => services::services(&find(&remote)?, &remote, name).await,
            Admin::Service { deed, remote } => services::act(&find(&remote)?, &remote, deed).await,
            Admin::Calls { deed, remote } => calls::calls(&find(&remote)?, &remote, deed).await,
            Admin::Sessions { deed, remote } => sessions::sessions(&find(&remote)?, &remote, deed).await,
            Admin::Streams { deed, remote } => sessions::streams(&find(&remote)?, &remote, deed).await,
            Admin::Catalog { remote } => catalog::catalog(&find(&remote)?, &remote).await,
            Admin::Events { remote } => events::follow(&find(&remote)?, &remote).await,
            Admin::Reload { remote } => order::order(&find(&remote)?, &remote, "/reload").await,
            Admin::Cache { deed, remote } => cache::cache(&find(&remote)?, &remote, deed).await,
        }
    })
}

/// Runs a question to its end.
pub fn in_runtime(work: impl Future<Output = Result<u8, Trouble>>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(exit::FAILURE, &error.to_string()),
    };
    match runtime.block_on(work) {
        Ok(code) => ExitCode::from(code),
        Err(trouble) => fail(trouble.code, &trouble.message),
    }
}
