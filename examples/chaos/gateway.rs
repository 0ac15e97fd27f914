//! The gateway as a child process, and what it holds.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use crate::run::{Options, SERVERS};

const PATIENCE: Duration = Duration::from_secs(30);

/// What the fleet is told. Health and deadlines are quick so that many faults fit into a minute; the restart budget is
/// wide because a server that is killed on purpose is not one that cannot be kept up.
const DEFAULTS: &str = "\
[defaults]
call_timeout = \"2s\"
max_call_time = \"5s\"
health_interval = \"500ms\"
health_misses = 2
restart_budget = 100000
stop_grace = \"500ms\"
max_message = \"16MiB\"
[defaults.breaker]
open = \"1s\"
";

/// A running gateway.
pub struct Gateway {
    /// Where it listens.
    pub address: SocketAddr,
    pid: u32,
    child: Mutex<Option<Child>>,
    folder: TempDir,
}

/// What it holds at one moment.
#[derive(Clone, Debug, Default)]
pub struct Inventory {
    /// Calls that it works on.
    pub in_flight: i64,
    /// Things that must be as many at the end as before.
    pub counts: BTreeMap<String, i64>,
    /// Resident memory in bytes.
    pub resident: u64,
}

impl Gateway {
    pub async fn start(options: &Options) -> crate::Result<Gateway> {
        let own = std::env::current_exe()?;
        let examples = own.parent().ok_or("no folder")?;
        let beside = || examples.parent().map(|profile| profile.join("trunkline"));
        let binary: PathBuf = options.gateway.clone().or_else(beside).ok_or("no build directory")?;
        let server = examples.join("scripted-server");
        for file in [&binary, &server] {
            if !file.exists() {
                return Err(format!(
                    "{} is missing: cargo build --release --bins --examples",
                    file.display()
                )
                .into());
            }
        }
        let folder = tempfile::Builder::new().prefix("trunkline-chaos-").tempdir()?;
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let config = folder.path().join("gateway.toml");
        fs::write(&config, configuration(&server))?;
        let log = fs::File::create(folder.path().join("log"))?;
        let mut command = Command::new(&binary);
        command.arg("serve").arg("--config").arg(&config).arg("--data-dir").arg(folder.path().join("data"));
        command.arg("--listen").arg(address.to_string()).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn()?;
        let pid = child.id().ok_or("the gateway ended at once")?;
        let gateway = Gateway { address, pid, child: Mutex::new(Some(child)), folder };
        gateway.ready().await?;
        Ok(gateway)
    }

    async fn ready(&self) -> crate::Result<()> {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.get("/readyz").await {
                Ok(text) if text.contains(r#""status":"ready""#) => return Ok(()),
                _ if Instant::now() > end => {
                    return Err(format!("the gateway is not ready:\n{}", self.log_end()).into());
                }
                _ => sleep(Duration::from_millis(20)).await,
            }
        }
    }

    async fn get(&self, path: &str) -> crate::Result<String> {
        let stream = tokio::net::TcpStream::connect(self.address).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let request = http::Request::get(path)
            .header("host", self.address.to_string())
            .body(Empty::<bytes::Bytes>::new())?;
        let body = sender.send_request(request).await?.into_body().collect().await?.to_bytes();
        drop(sender);
        let _closed = connection.await;
        Ok(std::str::from_utf8(&body)?.to_owned())
    }

    /// Counts what it holds.
    pub async fn inventory(&self) -> crate::Result<Inventory> {
        let text = self.get("/metrics").await?;
        let metric = |name: &str| {
            let lines = text.lines().filter_map(|line| line.strip_prefix(name));
            let values = lines
                .filter(|rest| rest.starts_with(['{', ' ']))
                .filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok());
            values.sum::<f64>() as i64
        };
        let mut counts = BTreeMap::new();
        counts.insert("pending entries".to_owned(), metric("trunkline_server_pending"));
        counts.insert("places held".to_owned(), metric("trunkline_server_in_flight"));
        counts.insert("tasks".to_owned(), metric("trunkline_tasks"));
        counts.insert("descriptors".to_owned(), descriptors(self.pid)?);
        counts.insert("processes".to_owned(), descendants(self.pid) as i64);
        Ok(Inventory { in_flight: metric("trunkline_in_flight"), counts, resident: resident(self.pid)? })
    }

    /// The process of a server, by its name in the keeper's arguments.
    pub fn server_process(&self, server: &str) -> Option<Pid> {
        let keeper = children(self.pid).into_iter().find(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.split(|byte| *byte == 0).any(|argument| argument == server.as_bytes())
        })?;
        children(keeper).into_iter().find_map(|pid| Pid::from_raw(i32::try_from(pid).ok()?))
    }

    /// Stops it as an operator would; its last lines.
    pub async fn stop(&self) -> crate::Result<String> {
        let child = self.child.lock().map_err(|_| "the lock is broken")?.take();
        let Some(mut child) = child else { return Ok(String::new()) };
        let before = descendants_of(self.pid);
        if let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) {
            let _gone = kill_process(pid, Signal::TERM);
        }
        let status = timeout(PATIENCE, child.wait()).await.map_err(|_| "the gateway does not stop")??;
        let left: Vec<u32> = before.into_iter().filter(|pid| is_alive(*pid)).collect();
        if !status.success() || !left.is_empty() {
            return Err(
                format!("the gateway ended with {status} and left {left:?}:\n{}", self.log_end()).into()
            );
        }
        Ok(self.log_end())
    }

    fn log_end(&self) -> String {
        const LINES: usize = 30;
        let log = fs::read(self.folder.path().join("log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    }
}

impl Inventory {
    /// What there is more of than before.
    pub fn left_over(&self, before: &Inventory) -> Vec<String> {
        let more = |(name, count): (&String, &i64)| {
            let was = before.counts.get(name).copied().unwrap_or(0);
            (*count > was).then(|| format!("{} more {name} ({was}, now {count})", count - was))
        };
        self.counts.iter().filter_map(more).collect()
    }
}

fn configuration(server: &Path) -> String {
    let mut text = DEFAULTS.to_owned();
    for (place, name) in SERVERS.iter().enumerate() {
        let era = ["legacy", "modern"][place % 2];
        text += &format!("[servers.{name}]\ncommand = {server:?}\nargs = [\"--era\", \"{era}\"]\n");
    }
    text
}

fn descriptors(pid: u32) -> crate::Result<i64> {
    Ok(fs::read_dir(format!("/proc/{pid}/fd"))?.count() as i64)
}

fn resident(pid: u32) -> crate::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1024)
}

fn children(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>())
        .collect()
}

fn descendants_of(pid: u32) -> Vec<u32> {
    let mut all = children(pid);
    let mut next = 0;
    while let Some(parent) = all.get(next).copied() {
        all.extend(children(parent));
        next += 1;
    }
    all
}

fn descendants(pid: u32) -> usize {
    descendants_of(pid).len()
}

fn is_alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}
