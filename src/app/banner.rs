//! What is said at the start: where the gateway listens, what it serves, how to point a client at it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::config::{Config, Origin, Transport};

/// The lines for a person who has just started the gateway.
pub fn banner(config: &Config, address: SocketAddr) -> String {
    let mut text = format!("trunkline {} listens on http://{address}\n", env!("CARGO_PKG_VERSION"));
    let base = base_of(address);
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

/// How somebody on this machine calls the address: one that means all of them is no destination.
pub fn base_of(mut address: SocketAddr) -> String {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    format!("http://{address}")
}

/// A program's own name, without the folder it is in.
fn program(command: &str) -> String {
    let name = std::path::Path::new(command).file_name();
    name.map_or_else(|| command.to_owned(), |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::base_of;

    #[test]
    fn clients_are_pointed_at_an_address_that_can_be_called() {
        for (listen, base) in [
            ("0.0.0.0:6270", "http://127.0.0.1:6270"),
            ("[::]:6270", "http://[::1]:6270"),
            ("192.0.2.7:80", "http://192.0.2.7:80"),
        ] {
            assert_eq!(base_of(listen.parse().unwrap()), base);
        }
    }
}
