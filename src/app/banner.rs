//! What is said at the start: where the gateway listens, what it serves, how to point a client at it.

use std::net::SocketAddr;

use crate::config::{Config, Transport};

/// The lines for a person who has just started the gateway.
pub fn banner(config: &Config, address: SocketAddr) -> String {
    let base = format!("http://{address}");
    let mut text = format!("trunkline {} listens on {base}\n", env!("CARGO_PKG_VERSION"));
    text.push_str(&format!("  configuration  {}\n", config.origin));
    let enabled: Vec<_> = config.servers.iter().filter(|server| server.enabled).collect();
    text.push_str(&format!("  {base}/mcp  all servers; tools are named <server>__<name>\n"));
    for server in &enabled {
        let what = match &server.transport {
            Transport::Stdio { command, .. } => program(command),
            Transport::Http { url, .. } => url.to_string(),
        };
        text.push_str(&format!("  {base}/mcp/{}  {what}\n", server.name));
    }
    for service in config.services.iter().filter(|service| service.enabled) {
        text.push_str(&format!("  {base}/services/{}/  {}\n", service.name, service.url));
    }
    if enabled.is_empty() {
        text.push_str("  no server is enabled: add a [servers.<name>] to the configuration\n");
    }
    text.push_str(&format!("  {base}/readyz and /metrics  health, Prometheus metrics\n"));
    text.push_str("Point a client at it:\n");
    text.push_str(&format!("  Claude Code    claude mcp add --transport http trunkline {base}/mcp\n"));
    text.push_str(&format!("  most clients   \"mcpServers\": {{ \"trunkline\": {{ \"type\": \"http\", \"url\": \"{base}/mcp\" }} }}\n"));
    text.push_str(&format!("  VS Code        \"servers\": {{ \"trunkline\": {{ \"type\": \"http\", \"url\": \"{base}/mcp\" }} }}\n"));
    text
}

/// A program's own name, without the folder it is in.
fn program(command: &str) -> String {
    let name = std::path::Path::new(command).file_name();
    name.map_or_else(|| command.to_owned(), |name| name.to_string_lossy().into_owned())
}
