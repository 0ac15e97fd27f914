//! A gateway process of its own for each test.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::Instant;

use super::servers::PROGRAM;
use super::wire::{self, Reply};
use super::{DEADLINE, eventually};

/// What a process has written to its standard error so far.
#[derive(Default)]
pub struct Said {
    lines: Mutex<(Vec<String>, bool)>,
    more: Condvar,
}

/// A running gateway. Dropping it kills it; its keepers then see to its children.
pub struct Gateway {
    child: Child,
    said: Arc<Said>,
    /// Where it listens.
    pub address: SocketAddr,
    folder: Arc<TempDir>,
}

/// What stands before the address in the banner.
const LISTENS: [&str; 2] = [" listens on http://", " listens on https://"];

impl Gateway {
    /// Starts a gateway and waits until all its servers are ready.
    pub async fn start(config: &str) -> Gateway {
        let gateway = Gateway::launch(config).await;
        gateway.ready().await;
        gateway
    }

    /// Starts a gateway and waits until it listens.
    pub async fn launch(config: &str) -> Gateway {
        let folder = tempfile::Builder::new().prefix("trunkline-it-").tempdir().expect("folder");
        Gateway::launch_in(Arc::new(folder), config, "127.0.0.1:0").await
    }

    /// Starts a gateway again, with the same files, on the same port or, at 0, on another.
    pub async fn launch_again(before: &Gateway, config: &str, port: u16) -> Gateway {
        Gateway::launch_in(before.folder.clone(), config, &format!("127.0.0.1:{port}")).await
    }

    /// Starts a gateway with more in its environment, and waits until it listens.
    pub async fn launch_with(config: &str, environment: &[(&str, &str)]) -> Gateway {
        let folder = tempfile::Builder::new().prefix("trunkline-it-").tempdir().expect("folder");
        let mut command = command(folder.path(), config, "127.0.0.1:0");
        command.envs(environment.iter().copied());
        Gateway::spawned(command, Arc::new(folder)).await
    }

    async fn launch_in(folder: Arc<TempDir>, config: &str, listen: &str) -> Gateway {
        Gateway::spawned(command(folder.path(), config, listen), folder).await
    }

    /// Starts a gateway by this command, and waits until it listens.
    pub async fn spawned(mut command: Command, folder: Arc<TempDir>) -> Gateway {
        let mut child = command.spawn().expect("gateway started");
        let said = Said::follow(&mut child);
        let (watched, told) = (said.clone(), said.clone());
        let address = tokio::task::spawn_blocking(move || {
            let address =
                |line: &str| LISTENS.iter().find_map(|said| line.split_once(said)?.1.trim().parse().ok());
            watched.find(address)
        });
        let address = address.await.expect("looked");
        let address = address.unwrap_or_else(|| panic!("the gateway did not start:\n{}", told.text()));
        Gateway { child, said, address, folder }
    }

    /// Waits until all servers are ready.
    pub async fn ready(&self) {
        eventually("all servers are ready", || async {
            let readiness = self.readiness().await;
            (readiness["status"] == "ready").then_some(())
        })
        .await;
    }

    /// What `/readyz` says; its status is always 200.
    pub async fn readiness(&self) -> Value {
        let reply = self.get("/readyz", &[]).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()
    }

    /// Waits until a server is in one of these states, and returns what `/readyz` says then.
    pub async fn in_state(&self, server: &str, states: &[&str]) -> Value {
        eventually(&format!("{server} is {states:?}"), || async {
            let readiness = self.readiness().await;
            let state = readiness["servers"][server].as_str().unwrap_or_default().to_owned();
            states.contains(&state.as_str()).then_some(readiness)
        })
        .await
    }

    /// The value of a metric without labels.
    pub async fn metric(&self, name: &str) -> Option<f64> {
        let metrics = self.get("/metrics", &[]).await;
        metrics.text().lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    }

    /// Waits until so many requests are in flight.
    pub async fn in_flight(&self, wanted: u32) {
        eventually(&format!("{wanted} requests are in flight"), || async {
            (self.metric("trunkline_in_flight").await == Some(f64::from(wanted))).then_some(())
        })
        .await;
    }

    /// Waits until so many event streams are open.
    pub async fn streams(&self, wanted: u32) {
        eventually(&format!("{wanted} streams are open"), || async {
            (self.metric("trunkline_streams").await == Some(f64::from(wanted))).then_some(())
        })
        .await;
    }

    /// A GET.
    pub async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        wire::request(self.address, "GET", path, headers, "").await.whole().await
    }

    /// The process.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Sends a signal.
    pub fn signal(&self, kind: Signal) {
        kill_process(self.pid(), kind).expect("signal sent");
    }

    /// Waits for the process to end.
    pub async fn ended(&mut self) -> ExitStatus {
        let end = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().expect("status") {
                return status;
            }
            assert!(Instant::now() < end, "the gateway does not end");
            tokio::time::sleep(super::LOOK).await;
        }
    }

    /// Everything written to standard error so far.
    pub fn log(&self) -> String {
        self.said.text()
    }

    /// Its folder, which holds the configuration and, in `data`, the gateway's own files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the gateway's log ---\n{}", self.said.text());
        }
    }
}

/// The command that runs a gateway with this configuration. Nothing of the tester's own settings reaches it.
pub fn command(folder: &Path, config: &str, listen: &str) -> Command {
    let file = folder.join("gateway.toml");
    std::fs::write(&file, config).expect("configuration written");
    let mut command = Command::new(PROGRAM);
    command.arg("serve").arg("--config").arg(&file).arg("--data-dir").arg(folder.join("data"));
    command.arg("--listen").arg(listen);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TRUNKLINE_") {
            command.env_remove(name);
        }
    }
    command.env("TRUNKLINE_GATEWAY__LOG__FILTER", "info,trunkline=debug");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

impl Said {
    /// Reads a child's standard error to its end.
    pub fn follow(child: &mut Child) -> Arc<Said> {
        let said = Arc::new(Said::default());
        let (stderr, teller) = (child.stderr.take().expect("stderr"), said.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
                teller.lines.lock().expect("lines").0.push(String::from_utf8_lossy(&line).into_owned());
                teller.more.notify_all();
            }
            teller.lines.lock().expect("lines").1 = true;
            teller.more.notify_all();
        });
        said
    }

    /// The first that `find` finds in a line, now or later. Blocks; `None` at the end or after the deadline.
    pub fn find<T>(&self, find: impl Fn(&str) -> Option<T>) -> Option<T> {
        let mut lines = self.lines.lock().expect("lines");
        loop {
            if let Some(found) = lines.0.iter().find_map(|line| find(line)) {
                return Some(found);
            }
            if lines.1 {
                return None;
            }
            let (again, waited) = self.more.wait_timeout(lines, DEADLINE).expect("lines");
            if waited.timed_out() {
                return None;
            }
            lines = again;
        }
    }

    /// All of it.
    pub fn text(&self) -> String {
        self.lines.lock().expect("lines").0.join("\n")
    }
}
