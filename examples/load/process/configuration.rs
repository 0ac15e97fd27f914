//! The gateway's configuration for a measurement.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use crate::options::{Era, Options};

/// The server that is a child process of the gateway.
pub const STDIO_SERVER: &str = "bench-stdio";
/// The server that is the HTTP backend.
pub const HTTP_SERVER: &str = "bench-http";
/// The service that is the HTTP backend.
pub const SERVICE: &str = "bench-service";
/// The path of the backend's endpoint, below the service's URL.
pub const SERVICE_PATH: &str = "/mcp";

/// What the limits leave above what the measurement opens: handshakes while it waits, warm-up, probes.
const MARGIN: usize = 1_000;

/// The configuration file: both servers and the service, limits above what is opened, and what the command line sets.
pub fn configuration(
    options: &Options,
    folder: &Path,
    port: u16,
    backend_era: Era,
    backend_url: &str,
    tell: Option<SocketAddr>,
) -> crate::Result<String> {
    let own = std::env::current_exe()?;
    let mut arguments = vec!["backend-stdio".to_owned(), "--era".into(), backend_era.to_string()];
    arguments.extend(["--owner".into(), std::process::id().to_string()]);
    if let Some(tell) = tell {
        arguments.extend(["--tell".into(), tell.to_string()]);
    }
    let further = options.extra_config.as_ref().map(fs::read_to_string).transpose()?.unwrap_or_default();
    // JSON strings and arrays of strings are TOML too.
    let data = serde_json::to_string(&folder.join("data"))?;
    let lanes: usize = options.conns.iter().sum();
    let in_flight = options.inflight + lanes + MARGIN;
    let mut gateway = vec![
        ("listen", format!("\"127.0.0.1:{port}\"")),
        ("data_dir", data),
        (
            "max_sessions",
            (options.sessions.max(options.streams) + 2 * lanes + options.inflight + MARGIN).to_string(),
        ),
        ("max_streams", (options.streams + MARGIN).to_string()),
        ("max_in_flight", in_flight.to_string()),
        ("max_service_connections", in_flight.to_string()),
    ];
    gateway.extend(options.workers.map(|workers| ("workers", workers.to_string())));
    let gateway = table("gateway", gateway, &options.gateway_set);
    let stdio = vec![
        ("command", serde_json::to_string(&own)?),
        ("args", serde_json::to_string(&arguments)?),
        ("max_in_flight", in_flight.to_string()),
    ];
    let stdio = table(&format!("servers.{STDIO_SERVER}"), stdio, &options.server_set);
    let http = vec![("url", serde_json::to_string(backend_url)?), ("max_in_flight", in_flight.to_string())];
    let http = table(&format!("servers.{HTTP_SERVER}"), http, &options.server_set);
    let origin = backend_url.strip_suffix(SERVICE_PATH).unwrap_or(backend_url);
    let service = vec![
        ("url", serde_json::to_string(origin)?),
        ("max_in_flight", in_flight.to_string()),
        ("max_connections", in_flight.to_string()),
        ("max_idle_connections", in_flight.to_string()),
    ];
    let service = table(&format!("services.{SERVICE}"), service, &[]);
    let log = options.keeps_log.map(|kept| table("activity", vec![("enabled", kept.to_string())], &[]));
    let log = log.unwrap_or_default();
    Ok(format!("{gateway}\n{stdio}\n{http}\n{service}\n{log}\n{further}\n"))
}

/// A TOML table in which the lines of the command line replace those with the same key.
fn table(name: &str, lines: Vec<(&str, String)>, set: &[String]) -> String {
    let key = |line: &str| line.split('=').next().unwrap_or_default().trim().to_owned();
    let kept = lines.iter().filter(|(own, _)| !set.iter().any(|line| key(line) == *own));
    let lines = kept.map(|(key, value)| format!("{key} = {value}\n"));
    format!("[{name}]\n{}{}\n", lines.collect::<String>(), set.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[test]
    fn the_command_line_replaces_a_limit() {
        let text = table("x", vec![("a", "1".into()), ("b", "2".into())], &["a = 7".into()]);
        let document = text.parse::<toml_edit::DocumentMut>().unwrap();
        assert_eq!(document["x"]["a"].as_integer(), Some(7));
        assert_eq!(document["x"]["b"].as_integer(), Some(2));
    }

    #[test]
    fn the_configuration_is_toml_and_has_what_was_set() {
        let cli = crate::options::Cli::parse_from([
            "load",
            "--workers",
            "1",
            "--gateway-set",
            "a = 1",
            "--server-set",
            "b = \"x\"",
        ]);
        let tell = Some("127.0.0.1:5".parse().unwrap());
        let url = "http://127.0.0.1:9/mcp";
        let text = configuration(&cli.options, Path::new("/tmp/a b"), 8, Era::Modern, url, tell).unwrap();
        let document = text.parse::<toml_edit::DocumentMut>().unwrap();
        let string =
            |table: &str, name: &str, key: &str| document[table][name][key].as_str().map(str::to_owned);
        assert_eq!(document["gateway"]["listen"].as_str(), Some("127.0.0.1:8"));
        assert_eq!(document["gateway"]["data_dir"].as_str(), Some("/tmp/a b/data"));
        assert_eq!(document["gateway"]["workers"].as_integer(), Some(1));
        assert_eq!(document["gateway"]["a"].as_integer(), Some(1));
        assert_eq!(string("servers", HTTP_SERVER, "url").as_deref(), Some(url));
        assert_eq!(string("services", SERVICE, "url").as_deref(), Some("http://127.0.0.1:9"));
        assert_eq!(string("servers", STDIO_SERVER, "b").as_deref(), Some("x"));
        let arguments = document["servers"][STDIO_SERVER]["args"].as_array().unwrap();
        assert_eq!(document["gateway"]["max_streams"].as_integer(), Some(10_000 + MARGIN as i64));
        assert_eq!(arguments.get(2).and_then(|value| value.as_str()), Some("modern"));
    }
}
