//! An MCP server over HTTP, in a process of its own.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use super::gateway::Said;
use super::servers::program;

/// A running server. Dropping it kills it.
pub struct Backend {
    child: Child,
    said: Arc<Said>,
    /// Where it serves MCP.
    pub url: String,
}

impl Backend {
    /// Starts an example with `--transport http`.
    pub async fn start(example: &str, args: &[&str]) -> Backend {
        let mut child = Command::new(program(example))
            .args(["--transport", "http"])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("server started");
        let said = Said::follow(&mut child);
        let told = said.clone();
        let url = tokio::task::spawn_blocking(move || {
            told.find(|line| line.strip_prefix("listening on ").map(str::to_owned))
        });
        let url = url.await.expect("looked").unwrap_or_else(|| panic!("no address: {}", said.text()));
        Backend { child, said, url }
    }

    /// The port in its URL.
    pub fn port(&self) -> u16 {
        let uri: http::Uri = self.url.parse().expect("a URL");
        uri.port_u16().expect("a port")
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the server's stderr ---\n{}", self.said.text());
        }
    }
}
