//! What is said at the start: where the gateway listens, what it serves, how to point a client at it.

use std::net::SocketAddr;

use crate::config::{Config, Gateway, Listening, Origin, Transport};

/// The lines for a person who has just started the gateway.
pub fn banner(config: &Config, address: SocketAddr) -> String {
    let scheme = if config.gateway.tls.is_some() { "https" } else { "http" };
    let mut text = format!("trunkline {} listens on {scheme}://{address}\n", env!("CARGO_PKG_VERSION"));
    let base = base_of(&config.gateway, address);
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
    if config.origin == Origin::Embedded && enabled.iter().any(|server| server.name.as_str() == DEMO) {
        let ask = r#"{"name":"echo","arguments":{"message":"hello"}}"#;
        text.push_str(&format!("Try it:\n  curl -s {base}/mcp/{DEMO}/tools/call -d '{ask}'\n"));
    }
    text.push_str("Point a client at it:\n");
    text.push_str("  trunkline connect CLIENT   says how, and with --write does it; trunkline connect --help lists them\n");
    text.push_str(&format!("  Claude Code    claude mcp add --transport http trunkline {base}/mcp\n"));
    text.push_str(&format!("  most clients   \"mcpServers\": {{ \"trunkline\": {{ \"type\": \"http\", \"url\": \"{base}/mcp\" }} }}\n"));
    text.push_str(&format!("  VS Code        \"servers\": {{ \"trunkline\": {{ \"type\": \"http\", \"url\": \"{base}/mcp\" }} }}\n"));
    text
}

/// The server of the built-in configuration.
const DEMO: &str = "demo";

/// How clients call a gateway that listens at this address: as its certificate says, if it has one.
pub fn base_of(gateway: &Gateway, address: SocketAddr) -> String {
    let here = Listening::of(&Gateway { listen: address, ..gateway.clone() });
    match &gateway.tls {
        None => here.base(),
        Some(tls) => format!("https://{}:{}", tls.name(here.address.ip()), address.port()),
    }
}

/// A program's own name, without the folder it is in.
fn program(command: &str) -> String {
    let name = std::path::Path::new(command).file_name();
    name.map_or_else(|| command.to_owned(), |name| name.to_string_lossy().into_owned())
}
