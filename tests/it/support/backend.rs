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
        Backend::launch(example, &[&["--transport", "http"], args].concat()).await
    }

    /// Starts a service that behaves like Ollama, on this port or, at 0, on any.
    pub async fn ollama(port: u16) -> Backend {
        Backend::launch("scripted-server", &["--transport", "ollama", "--port", &port.to_string()]).await
    }

    async fn launch(example: &str, args: &[&str]) -> Backend {
        let mut child = Command::new(program(example))
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

    /// Asks the service itself, past every gateway.
    pub async fn ask(&self, method: &str, path: &str, body: serde_json::Value) -> serde_json::Value {
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], self.port()));
        let reply = super::wire::request(address, method, path, &[], body.to_string()).await.whole().await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()
    }

    /// What a service that behaves like Ollama has seen.
    pub async fn seen(&self) -> serde_json::Value {
        self.ask("GET", "/seen", serde_json::Value::Null).await
    }

    /// Tells a service that behaves like Ollama how to behave.
    pub async fn behave(&self, how: serde_json::Value) {
        self.ask("POST", "/control", how).await;
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
