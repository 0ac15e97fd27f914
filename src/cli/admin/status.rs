//! `trunkline status`.

use std::collections::BTreeMap;

use http::Method;

use crate::cli::exit;
use crate::cli::words::print;
use crate::http::api::shape::Status;

use super::cache::brief;
use super::client::{Client, Remote, Trouble};
use super::table::{count, cut, length};

/// Characters of a reason: three lines of a usual terminal.
const REASON: usize = 240;

/// Says how the gateway is.
pub async fn status(client: &Client, remote: &Remote) -> Result<u8, Trouble> {
    let text = client.text(Method::GET, "/status").await?;
    let status: Status = serde_json::from_str(&text).map_err(|error| {
        Trouble::failure(format!("{} is no gateway of this version: {error}", client.base()))
    })?;
    if remote.json {
        print(&format!("{text}\n"));
    } else {
        print(&told(&status, client.base()));
    }
    Ok(if status.status == "healthy" { exit::OK } else { exit::WARNINGS })
}

fn told(status: &Status, base: &str) -> String {
    let counted = |states: &BTreeMap<String, usize>| {
        let counted: Vec<String> = states.iter().map(|(state, count)| format!("{count} {state}")).collect();
        if counted.is_empty() { "none".to_owned() } else { counted.join(", ") }
    };
    let services = match status.services.is_empty() {
        true => String::new(),
        false => format!("  services       {}\n", counted(&status.services)),
    };
    let mut text = format!(
        "trunkline {} at {base} is {}\n  up             {}, process {}\n  configuration  {}\n  servers        {}\n{services}  now            {}, {}, {}\n",
        status.version,
        status.status,
        length(status.uptime_seconds * 1_000),
        status.pid,
        cut(&status.configuration, REASON),
        counted(&status.servers),
        count(status.in_flight, "call", "calls"),
        count(status.sessions, "session", "sessions"),
        count(status.streams, "stream", "streams"),
    );
    if status.parked > 0 {
        text.push_str(&format!(
            "  questions      {} for their clients' answers\n",
            count(status.parked, "call waits", "calls wait")
        ));
    }
    let cache = &status.cache;
    if cache.hits + cache.misses + cache.bypassed > 0 {
        text.push_str(&format!("  kept           {}\n", brief(cache)));
    }
    for trouble in &status.degraded {
        let next =
            trouble.next_try_ms.map(|wait| format!("; next try in {}", length(wait))).unwrap_or_default();
        let reason = cut(&trouble.reason, REASON);
        text.push_str(&format!("{} is {}: {reason}{next}\n", trouble.server, trouble.state));
    }
    text
}

#[cfg(test)]
mod tests {
    use crate::http::api::shape::{Cache, Trouble};

    use super::*;

    #[test]
    fn a_status_is_told_with_what_is_wrong_and_when_it_is_tried_again() {
        let trouble = Trouble {
            server: "files".to_owned(),
            state: "backoff".to_owned(),
            reason: "exited with status 1".to_owned(),
            next_try_ms: Some(2_500),
        };
        let status = Status {
            status: "degraded".to_owned(),
            version: "0.1.0".to_owned(),
            pid: 42,
            uptime_seconds: 3_725,
            configuration: "/etc/trunkline/gateway.toml".to_owned(),
            servers: [("ready".to_owned(), 2), ("backoff".to_owned(), 1)].into(),
            services: [("ready".to_owned(), 1)].into(),
            degraded: vec![trouble],
            in_flight: 1,
            parked: 2,
            sessions: 0,
            streams: 3,
            cache: Cache { entries: 2, bytes: 900, hits: 7, misses: 3, ..Cache::default() },
        };
        let expected = "\
trunkline 0.1.0 at http://127.0.0.1:6270 is degraded
  up             1 h 2 m, process 42
  configuration  /etc/trunkline/gateway.toml
  servers        1 backoff, 2 ready
  services       1 ready
  now            1 call, 0 sessions, 3 streams
  questions      2 calls wait for their clients' answers
  kept           2 results, 900 B; 7 hits, 3 misses
files is backoff: exited with status 1; next try in 2.5 s
";
        assert_eq!(told(&status, "http://127.0.0.1:6270"), expected);
    }
}
