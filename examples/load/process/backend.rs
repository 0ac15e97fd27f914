//! The HTTP echo backend as a child process.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::options::Era;

/// How long the backend may take to print its URL.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running HTTP backend; it ends with this value.
#[derive(Debug)]
pub struct HttpBackend {
    /// Its MCP endpoint.
    pub url: String,
    /// Its process.
    pub pid: u32,
    _child: Child,
}

impl HttpBackend {
    /// Starts this same binary as backend and waits for its URL.
    pub async fn start(era: Era, tell: Option<SocketAddr>) -> crate::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["backend-http", "--port", "0", "--era", &era.to_string()]);
        command.args(["--owner", &std::process::id().to_string()]);
        if let Some(tell) = tell {
            command.args(["--tell", &tell.to_string()]);
        }
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let stdout = child.stdout.take().ok_or("the HTTP backend has no stdout")?;
        let mut url = String::new();
        tokio::time::timeout(PATIENCE, BufReader::new(stdout).read_line(&mut url))
            .await
            .map_err(|_| "the HTTP backend did not start within ten seconds")??;
        let pid = child.id().ok_or("the HTTP backend ended at once")?;
        match url.trim() {
            "" => Err("the HTTP backend ended before it listened".into()),
            url => Ok(Self { url: url.to_owned(), pid, _child: child }),
        }
    }
}
