//! From settings to services.

use crate::base::ServerName;

use super::faults::At;
use super::reader::Reader;
use super::remote;
use super::servers::suggestion;
use super::service::{Proxy, Service};

/// The table of services.
const SECTION: &str = "services";

/// Headers that the gateway writes itself, or that belong to one hop.
const OWN_HEADERS: [&str; 8] =
    ["connection", "content-length", "host", "keep-alive", "te", "transfer-encoding", "upgrade", "via"];

/// One service; nothing comes back only when a fault was noted.
pub(super) fn service(reader: &mut Reader<'_>, name: &str, at: &At, servers: &[&str]) -> Option<Service> {
    let checked = ServerName::new(name);
    if let Err(error) = &checked {
        let help = format!("{error}; for instance `{}`", suggestion(name));
        reader.faults.fault(at.clone(), format!("`services.{name}` is no name for a service"), help);
    }
    if servers.contains(&name) {
        let message = format!("`{name}` is the name of a server and of a service");
        let help = "give one of them another name: status, metrics and breakers go by it";
        reader.faults.fault(at.clone(), message, help);
    }
    let key = |key: &'static str| [SECTION, name, key];
    let enabled = reader.flag(&key("enabled"));
    reader.resolve = enabled;
    if reader.leaf(&key("url")).is_none() {
        let help = "add the address of the service, such as url = \"http://127.0.0.1:11434\"";
        reader.faults.fault(at.clone(), format!("`services.{name}` has no `url`"), help);
    }
    let url = remote::url(reader, SECTION, name);
    let headers = remote::headers(reader, SECTION, name, &OWN_HEADERS);
    let ca_file = reader.path(&key("ca_file"));
    let proxy = remote::proxy(reader, SECTION, name).map(Proxy);
    reader.resolve = true;
    let service = Service {
        enabled,
        headers,
        ca_file,
        proxy,
        tls_verify: reader.flag(&key("tls_verify")),
        health_path: health_path(reader, name),
        health: remote::health(reader, SECTION, name),
        breaker: remote::breaker(reader, SECTION, name),
        connect_timeout: reader.duration(&key("connect_timeout")),
        request_timeout: reader.duration(&key("request_timeout")),
        idle_timeout: reader.duration_or_none(&key("idle_timeout")),
        max_connections: reader.count(&key("max_connections")),
        max_idle_connections: reader.count(&key("max_idle_connections")),
        dns_ttl: reader.duration(&key("dns_ttl")),
        rate: reader.rate(&key("rate")),
        max_in_flight: reader.count(&key("max_in_flight")),
        // Last, so that a service without a usable name or address still has all its other faults told.
        name: checked.ok()?,
        url: url?,
    };
    Some(service)
}

fn health_path(reader: &mut Reader<'_>, name: &str) -> Option<String> {
    let (leaf, text) = reader.text(&[SECTION, name, "health"])?;
    if !text.starts_with('/') || text.starts_with("//") || text.parse::<http::uri::PathAndQuery>().is_err() {
        reader.wrong(leaf, "is no path", "write a path below `url`, such as \"/api/version\"");
        return None;
    }
    Some(text)
}
