//! The gateway as a child process, with a configuration and a data directory of its own.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use memchr::memmem;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::configuration::{HTTP_SERVER, SERVICE, SERVICE_PATH, STDIO_SERVER, configuration};
use crate::client::{Connection, Url, listing, result_of};
use crate::options::{Endpoint, Era, Options};

/// How the gateway is told where its configuration lies; the path follows.
const ARGUMENTS: [&str; 2] = ["serve", "--config"];
/// How long it may take to have both servers ready.
const START_PATIENCE: Duration = Duration::from_secs(30);
/// How long it may take to stop: twice its default grace of ten seconds.
const STOP_PATIENCE: Duration = Duration::from_secs(20);
/// Between two questions whether it is ready.
const PAUSE: Duration = Duration::from_millis(1);

/// A running gateway; it ends with this value at the latest.
#[derive(Debug)]
pub struct Gateway {
    /// Its process.
    pub pid: u32,
    port: u16,
    endpoint: Endpoint,
    folder: TempDir,
    child: Child,
}

impl Gateway {
    /// Starts it in front of the HTTP backend at `backend_url` and of a stdio backend it starts itself. It may
    /// not listen yet when this returns.
    pub fn spawn(
        options: &Options,
        backend_era: Era,
        backend_url: &str,
        tell: Option<SocketAddr>,
    ) -> crate::Result<Self> {
        let folder = tempfile::tempdir()?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let config = folder.path().join("gateway.toml");
        fs::write(&config, configuration(options, folder.path(), port, backend_era, backend_url, tell)?)?;
        let binary = binary(options)?;
        let log = fs::File::create(folder.path().join("log"))?;
        let child = Command::new(&binary)
            .args(ARGUMENTS)
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| {
                format!("cannot start {}: {error}; build it or pass --gateway", binary.display())
            })?;
        let pid = child.id().ok_or("the gateway ended at once")?;
        Ok(Self { pid, port, endpoint: options.endpoint, folder, child })
    }

    /// The MCP endpoint for calls to the server, and what stands before its tools' names there.
    pub fn endpoint(&self, server: &str) -> (Url, String) {
        match self.endpoint {
            Endpoint::Merged => (Url::loopback(self.port, "/mcp"), format!("{server}__")),
            Endpoint::Single => (Url::loopback(self.port, &format!("/mcp/{server}")), String::new()),
        }
    }

    /// The backend's MCP endpoint, as a path of the service.
    pub fn service(&self) -> Url {
        Url::loopback(self.port, &format!("/services/{SERVICE}{SERVICE_PATH}"))
    }

    /// Waits until it accepts connections.
    pub async fn listening(&mut self) -> crate::Result<()> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let limit = Instant::now() + START_PATIENCE;
        while tokio::net::TcpStream::connect(address).await.is_err() {
            self.still_starting(limit, "does not listen")?;
            // Refused at once on loopback: yielding would burn the core that the gateway starts on.
            #[expect(clippy::disallowed_methods, reason = "tokio's timer is a millisecond coarse")]
            std::thread::sleep(Duration::from_micros(200));
        }
        Ok(())
    }

    /// Waits until it says that it is ready.
    pub async fn ready(&mut self) -> crate::Result<()> {
        let limit = Instant::now() + START_PATIENCE;
        self.listening().await?;
        let url = Url::loopback(self.port, "/readyz");
        let mut connection = Connection::open(url.address).await?;
        loop {
            let status = connection.ask(&url.get()).await.map(|received| received.head.status);
            match status {
                Ok(200) => return Ok(()),
                Ok(_) => {}
                Err(_) => connection = Connection::open(url.address).await?,
            }
            self.still_starting(limit, "is not ready (GET /readyz)")?;
            sleep(PAUSE).await;
        }
    }

    /// Waits until both servers' tools are listed.
    pub async fn listed(&mut self, era: Era) -> crate::Result<()> {
        let limit = Instant::now() + START_PATIENCE;
        for server in [STDIO_SERVER, HTTP_SERVER] {
            let (url, prefix) = self.endpoint(server);
            let name = format!("\"{prefix}echo\"");
            let mut connection = Connection::open(url.address).await?;
            let session = connection.shake_hands(&url, era).await?;
            let request = listing(&url, era, &session);
            loop {
                let listed = connection.ask(&request).await.and_then(|received| {
                    let result = result_of(&received, b"1")?;
                    Ok(memmem::find(result.get().as_bytes(), name.as_bytes()).is_some())
                });
                match listed {
                    Ok(true) => break,
                    Ok(false) => self.still_starting(limit, &format!("does not list {name}"))?,
                    Err(fault) => self.still_starting(limit, &format!("cannot list tools ({fault})"))?,
                }
                sleep(PAUSE).await;
            }
        }
        Ok(())
    }

    fn still_starting(&mut self, limit: Instant, what: &str) -> crate::Result<()> {
        let state = match self.child.try_wait()? {
            Some(status) => format!("ended with {status}"),
            None if Instant::now() > limit => format!("{what} after {} s", START_PATIENCE.as_secs()),
            None => return Ok(()),
        };
        Err(format!("the gateway {state}; its log ends with:\n{}", self.log_end()).into())
    }

    /// The last lines of what it printed.
    fn log_end(&self) -> String {
        const LINES: usize = 20;
        let log = fs::read(self.folder.path().join("log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    }

    /// Stops it as an operator would, and by force when that does not help.
    pub async fn stop(mut self) -> crate::Result<()> {
        use rustix::process::{Pid, Signal, kill_process};
        if let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) {
            // It may have ended already, which the wait below sees.
            let _ = kill_process(pid, Signal::TERM);
        }
        if timeout(STOP_PATIENCE, self.child.wait()).await.is_err() {
            self.child.kill().await?;
            return Err(format!("the gateway did not stop within {} s", STOP_PATIENCE.as_secs()).into());
        }
        Ok(())
    }
}

/// The gateway's binary: the one asked for, or the one beside the folder this example lies in.
fn binary(options: &Options) -> crate::Result<PathBuf> {
    if let Some(path) = &options.gateway {
        return Ok(path.clone());
    }
    let own = std::env::current_exe()?;
    let profile = own.parent().and_then(Path::parent).ok_or("the load tool has no build directory")?;
    Ok(profile.join("trunkline"))
}
