//! The servers: their programs, and how they do when they are started.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::base::{SEAL_KEY_FILE, SealKey};
use crate::config::{Config, Server, Transport};
use crate::credentials::{Credentials, CredentialsOptions, Vault};
use crate::supervisor::{Fleet, FleetOptions, ServerHandle, Surroundings};
use crate::upstream::ListKind;

use super::finding::Finding;

/// Programs that are there to run others: how to get them, and the oldest version that today's servers start with.
const RUNTIMES: [(&str, &str, Option<u64>); 9] = [
    ("npx", NODE, None),
    ("npm", NODE, None),
    // What the SDK for TypeScript states as `engines`.
    ("node", NODE, Some(18)),
    ("uvx", UV, None),
    ("uv", UV, None),
    ("python3", "install Python 3 (https://www.python.org/downloads)", None),
    ("python", "install Python 3 (https://www.python.org/downloads)", None),
    ("docker", "install Docker (https://docs.docker.com/get-docker)", None),
    ("bunx", "install Bun (https://bun.sh)", None),
];
const NODE: &str = "install Node.js (https://nodejs.org/en/download)";
const UV: &str = "install uv (https://docs.astral.sh/uv/getting-started/installation)";
/// A program tells its version within this time, or is not well.
const VERSION_WAIT: Duration = Duration::from_secs(10);

/// Looks whether the program of each server is there and, of runtimes, new enough.
pub(super) async fn commands(config: &Config, surroundings: &Surroundings, tell: &mut impl FnMut(Finding)) {
    let mut asked: Vec<PathBuf> = Vec::new();
    for server in config.servers.iter().filter(|server| server.enabled) {
        let Transport::Stdio { command, env, cwd, .. } = &server.transport else { continue };
        let own = env.iter().find(|(name, _)| name == "PATH").map(|(_, path)| OsString::from(path.expose()));
        let inherited = surroundings.environment.iter().find(|(name, _)| name == "PATH");
        let path = own.or_else(|| inherited.map(|(_, path)| path.clone())).unwrap_or_default();
        let about = format!("server {}", server.name);
        match find(command, &path, cwd.as_deref()) {
            None => {
                let cure = RUNTIMES.iter().find(|(name, ..)| name == command).map_or_else(
                    || format!("install it, or write the whole path in `servers.{}.command`", server.name),
                    |(_, cure, _)| {
                        format!(
                            "{cure}; if it is there, write its whole path in `servers.{}.command`",
                            server.name
                        )
                    },
                );
                tell(Finding::fault(
                    about,
                    format!("there is no program `{command}` in {}", shown(&path)),
                    cure,
                ));
            }
            Some(program) => {
                if let Some(oldest) = oldest(&program)
                    && !asked.contains(&program)
                {
                    asked.push(program.clone());
                    version(&program, oldest, &path, tell).await;
                }
            }
        }
    }
}

fn shown(path: &OsStr) -> String {
    if path.is_empty() {
        "PATH, which is empty".to_owned()
    } else {
        format!("PATH ({})", path.to_string_lossy())
    }
}

/// The program that a command names, as the system would find it.
fn find(command: &str, path: &OsStr, cwd: Option<&Path>) -> Option<PathBuf> {
    let runs = |file: &Path| file.is_file() && rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok();
    if command.contains('/') {
        let file = cwd.map_or_else(|| PathBuf::from(command), |cwd| cwd.join(command));
        return runs(&file).then_some(file);
    }
    std::env::split_paths(path).map(|folder| folder.join(command)).find(|file| runs(file))
}

fn oldest(program: &Path) -> Option<u64> {
    let name = program.file_name()?.to_str()?;
    // npx runs on the node beside it.
    let name = if matches!(name, "npx" | "npm") { "node" } else { name };
    RUNTIMES.iter().find(|(runtime, ..)| *runtime == name)?.2
}

async fn version(program: &Path, oldest: u64, path: &OsStr, tell: &mut impl FnMut(Finding)) {
    let beside = program.with_file_name("node");
    let Some(node) = beside.is_file().then_some(beside).or_else(|| find("node", path, None)) else {
        return tell(Finding::fault("node", "npx is there and node is not", NODE));
    };
    let run = tokio::process::Command::new(&node)
        .arg("--version")
        .env("PATH", path)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = match tokio::time::timeout(VERSION_WAIT, run).await {
        Ok(Ok(output)) => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        _ => String::new(),
    };
    let major = output.trim_start_matches('v').split('.').next().and_then(|major| major.parse::<u64>().ok());
    match major {
        Some(major) if major >= oldest => {
            tell(Finding::good("node", format!("{output} at {}", node.display())))
        }
        Some(_) => {
            let what = format!("{output} at {} is too old for today's servers", node.display());
            tell(Finding::warning("node", what, format!("{NODE}, version {oldest} or newer")));
        }
        None => tell(Finding::warning("node", format!("{} does not tell its version", node.display()), NODE)),
    }
}

/// Starts every server as the gateway would, and tells how each does.
pub(super) async fn handshakes(config: Config, surroundings: Surroundings, tell: &mut impl FnMut(Finding)) {
    let fleet = Fleet::start(FleetOptions {
        servers: config.servers,
        surroundings,
        store: None,
        parallel_starts: config.gateway.parallel_starts,
        stored: Vec::new(),
        credentials: logins(&config.gateway.data_dir),
    });
    let began = Instant::now();
    for server in fleet.servers().iter() {
        let finding = match server.wait_until_live(0).await {
            Ok(_) => ready(server, began),
            Err(error) => {
                let lead = format!("server '{}' is not available: it ", server.name());
                let what = error.message.strip_prefix(&lead).unwrap_or(&error.message);
                Finding::fault(format!("server {}", server.name()), what, cure(server, what))
            }
        };
        tell(finding);
    }
    fleet.shutdown().await;
}

/// The logins that the gateway has; nothing is made that is not there.
fn logins(data_dir: &Path) -> Option<Arc<Credentials>> {
    let key = data_dir.join(SEAL_KEY_FILE);
    let key = key.exists().then(|| SealKey::load_or_create(&key).ok()).flatten()?;
    Some(Credentials::start(CredentialsOptions { vault: Vault::new(data_dir, key) }))
}

fn ready(server: &ServerHandle, began: Instant) -> Finding {
    let about = format!("server {}", server.name());
    let offer = server.offer();
    let counts: Vec<String> = ListKind::ALL
        .into_iter()
        .zip(&offer.lists)
        .filter(|(_, list)| list.list().is_some())
        .map(|(kind, list)| format!("{} {}", list.entries().len(), kind.field()))
        .collect();
    let version =
        offer.peer.as_ref().map(|peer| format!("{} ({})", peer.version, peer.era())).unwrap_or_default();
    let counted = if counts.is_empty() { "no lists".to_owned() } else { counts.join(", ") };
    let what = format!("ready after {:.1} s: MCP {version}, {counted}", began.elapsed().as_secs_f64());
    let empty = offer.lists.iter().all(|list| list.entries().is_empty());
    if empty {
        return Finding::warning(about, what, "it offers nothing; look at its arguments and its log");
    }
    Finding::good(about, what)
}

/// What most likely helps, by what went wrong.
fn cure(server: &ServerHandle, error: &str) -> String {
    let config: &Server = server.config();
    // Statuses in full: a port may be 4033.
    let says = |words: &[&str]| words.iter().any(|word| error.contains(word));
    let name = &config.name;
    match &config.transport {
        Transport::Stdio { command, args, .. } => {
            let line = std::iter::once(command).chain(args).map(String::as_str).collect::<Vec<_>>().join(" ");
            if says(&["still starting", "in time"]) {
                format!(
                    "the first start of an `npx` or `uvx` server loads it; raise `servers.{name}.start_timeout`"
                )
            } else if says(&["not found", "No such file"]) {
                format!("write the whole path of the program in `servers.{name}.command`")
            } else {
                format!(
                    "run `{line}` by hand and read what it says; the variables that it needs go into `servers.{name}.env`"
                )
            }
        }
        Transport::Http { url, .. } => {
            let host = url.uri().host().unwrap_or_default();
            if says(&["needs_login"]) {
                format!("run `trunkline login {name}`, or correct `servers.{name}.oauth`")
            } else if says(&["401 Unauthorized", "403 Forbidden", "credential"]) {
                format!(
                    "put the credential into `servers.{name}.headers`, such as Authorization = \"Bearer ${{env:TOKEN}}\""
                )
            } else if says(&["certificate", "TLS", "UnknownIssuer"]) {
                format!("name the authority that signed its certificate in `servers.{name}.ca_file`")
            } else if says(&["404 Not Found", "405 Method Not Allowed"]) {
                format!("`servers.{name}.url` must be the MCP endpoint, mostly a path such as /mcp")
            } else {
                format!(
                    "look whether {host} runs and can be reached from here; the URL is `servers.{name}.url`"
                )
            }
        }
    }
}
