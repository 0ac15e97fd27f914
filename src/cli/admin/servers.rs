//! `trunkline servers` and `trunkline server`.

use std::time::Duration;

use clap::{Args, Subcommand};
use http::Method;
use tokio::time::Instant;

use crate::base::ServerName;
use crate::cli::exit;
use crate::cli::words::{print, say};
use crate::http::api::Act;
use crate::http::api::shape::{Done, Server, ServerDetail, Servers};

use super::client::{Client, Remote, Trouble};
use super::table::{cut, length, or_dash, table};

/// How often a server that is changing is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// How long it is looked at: as long as a start may take by default, and a stop before it.
const WATCHED: Duration = Duration::from_secs(45);
/// Characters of a note in a table, and of a line of standard error.
const NOTE: usize = 60;
const LINE: usize = 1_000;

/// What to do to a server.
#[derive(Debug, Subcommand)]
pub enum Deed {
    /// Start it, at once even if it rests after failures.
    Start(Which),
    /// Stop it; calls do not wake it.
    Stop(Which),
    /// Stop it and start it again; its calls in flight fail.
    Restart(Which),
    /// Close its breaker.
    Reset(Which),
    /// Take it into service again.
    Enable(Which),
    /// Take it out of service: it stops, and nothing of it is listed, until it is enabled or the gateway starts anew.
    Disable(Which),
}

/// Which server.
#[derive(Debug, Args)]
pub struct Which {
    /// The server.
    pub name: String,
    /// Do not wait to see how the server fares.
    #[arg(long)]
    pub no_wait: bool,
}

impl Deed {
    /// What is to be done, and to which.
    pub fn parts(self) -> (Act, Which) {
        match self {
            Deed::Start(which) => (Act::Start, which),
            Deed::Stop(which) => (Act::Stop, which),
            Deed::Restart(which) => (Act::Restart, which),
            Deed::Reset(which) => (Act::Reset, which),
            Deed::Enable(which) => (Act::Enable, which),
            Deed::Disable(which) => (Act::Disable, which),
        }
    }
}

/// All servers.
pub async fn list(client: &Client, remote: &Remote) -> Result<u8, Trouble> {
    if remote.json {
        print(&format!("{}\n", client.text(Method::GET, "/servers").await?));
        return Ok(exit::OK);
    }
    let all: Servers = client.get("/servers").await?;
    print(&in_table(&all.servers));
    Ok(exit::OK)
}

fn in_table(servers: &[Server]) -> String {
    let row = |server: &Server| {
        let entries = |kind: &str| {
            let list = server.lists.iter().find(|list| list.kind == kind);
            list.map_or_else(
                || "-".to_owned(),
                |list| match list.state.as_str() {
                    "absent" => "-".to_owned(),
                    "failed" => format!("{}!", list.entries),
                    _ => list.entries.to_string(),
                },
            )
        };
        let state = if server.enabled { &server.state } else { "disabled" };
        vec![
            server.name.clone(),
            state.to_owned(),
            length(server.for_ms),
            server.generation.to_string(),
            or_dash(server.pid),
            or_dash(server.version.as_ref()),
            entries("tools"),
            entries("prompts"),
            entries("resources"),
            server.in_flight.to_string(),
            server.restarts.to_string(),
            noted(server),
        ]
    };
    let heading = [
        "NAME",
        "STATE",
        "FOR",
        "START",
        "PID",
        "VERSION",
        "TOOLS",
        "PROMPTS",
        "RESOURCES",
        "CALLS",
        "RESTARTS",
        "NOTE",
    ];
    table(&heading, &servers.iter().map(row).collect::<Vec<_>>())
}

fn noted(server: &Server) -> String {
    note(&server.breaker, server.last_error.as_deref(), server.next_try_ms)
}

/// What is worth saying of one that is not as it should be.
pub fn note(breaker: &str, last_error: Option<&str>, next_try_ms: Option<u64>) -> String {
    let mut notes = Vec::new();
    if breaker != "closed" {
        notes.push(format!("breaker {breaker}"));
    }
    notes.extend(last_error.map(|error| cut(error, NOTE)));
    notes.extend(next_try_ms.map(|wait| format!("next try in {}", length(wait))));
    notes.join("; ")
}

/// One server in detail.
pub async fn show(client: &Client, remote: &Remote, name: &str) -> Result<u8, Trouble> {
    let path = format!("/servers/{}", checked(name)?);
    if remote.json {
        print(&format!("{}\n", client.text(Method::GET, &path).await?));
        return Ok(exit::OK);
    }
    let detail: ServerDetail = client.get(&path).await?;
    print(&in_detail(&detail));
    Ok(exit::OK)
}

fn in_detail(detail: &ServerDetail) -> String {
    let server = &detail.server;
    let mut lines: Vec<(&str, String)> = vec![
        ("state", format!("{} for {}", server.state, length(server.for_ms))),
        ("in service", if server.enabled { "yes" } else { "no" }.to_owned()),
        ("reached by", format!("{} {}", server.transport, cut(&detail.target, LINE))),
        ("start", format!("{} (restarts after a fall: {})", server.generation, server.restarts)),
        ("process", or_dash(server.pid)),
        ("protocol", format!("{} {}", or_dash(server.era.as_ref()), or_dash(server.version.as_ref()))),
        ("breaker", server.breaker.clone()),
        ("calls", format!("{} of {}, {} waiting", server.in_flight, detail.max_in_flight, server.waiting)),
    ];
    lines.extend(server.login.as_deref().map(|login| ("login", told_login(login, server))));
    for list in server.lists.iter().filter(|list| list.state != "absent") {
        let reason =
            list.reason.as_ref().map(|why| format!(", not read: {}", cut(why, LINE))).unwrap_or_default();
        let stored = if detail.stored { ", from an earlier run" } else { "" };
        lines.push((&list.kind, format!("{}{stored}{reason}", list.entries)));
    }
    for link in &detail.links {
        let whose = format!("{} {}", link.owner, link.name);
        let process = link.pid.map(|pid| format!(", process {pid}")).unwrap_or_default();
        let (state, calls, idle) = (&link.state, link.in_flight, length(link.idle_ms));
        lines
            .push(("link of", format!("{}: {state}{process}, {calls} calls, idle {idle}", whose.trim_end())));
    }
    lines.extend(server.last_error.as_ref().map(|error| ("last error", cut(error, LINE))));
    lines.extend(server.next_try_ms.map(|wait| ("next try", format!("in {}", length(wait)))));
    let mut text = format!("{}\n", server.name);
    for (what, value) in lines {
        text.push_str(&format!("  {what:<17}  {value}\n"));
    }
    if !detail.stderr.is_empty() {
        text.push_str("  standard error\n");
        detail.stderr.iter().for_each(|line| text.push_str(&format!("    {}\n", cut(line, LINE))));
    }
    text
}

fn told_login(login: &str, server: &Server) -> String {
    match (login, &server.login_reason) {
        ("needed", Some(why)) => format!("needed: it {}", cut(why, LINE)),
        ("not_asked", _) => "not asked for so far".to_owned(),
        ("logged_in", _) => "logged in".to_owned(),
        (other, _) => other.to_owned(),
    }
}

/// Does something to a server, and waits to see what comes of it.
pub async fn act(client: &Client, remote: &Remote, act: Act, which: Which) -> Result<u8, Trouble> {
    let path = format!("/servers/{}", checked(&which.name)?);
    let before: ServerDetail = client.get(&path).await?;
    let done: Done = client.order(Method::POST, &format!("{path}/{}", act.as_str())).await?;
    if which.no_wait || act == Act::Reset {
        if remote.json {
            print(&format!("{}\n", serde_json::to_string(&done).unwrap_or_default()));
        } else {
            say(&format!("{}\n", done.done));
        }
        return Ok(exit::OK);
    }
    let end = Instant::now() + WATCHED;
    loop {
        let text = client.text(Method::GET, &path).await?;
        let now: ServerDetail =
            serde_json::from_str(&text).map_err(|error| Trouble::failure(error.to_string()))?;
        if is_settled(act, &before.server, &now.server) {
            if remote.json {
                print(&format!("{text}\n"));
            } else {
                say(&outcome(&now.server));
            }
            let well = matches!(now.server.state.as_str(), "ready" | "dormant")
                || matches!(act, Act::Stop | Act::Disable);
            return Ok(if well { exit::OK } else { exit::FAILURE });
        }
        if Instant::now() >= end {
            let text = format!("{} is still {} after {WATCHED:?}", now.server.name, now.server.state);
            return Err(Trouble::failure(text));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Whether what was to be done has come to something.
fn is_settled(act: Act, before: &Server, now: &Server) -> bool {
    let moving = matches!(now.state.as_str(), "starting" | "stopping");
    match act {
        Act::Stop | Act::Disable => now.state == "stopped",
        Act::Restart => now.generation > before.generation && !moving,
        Act::Start | Act::Enable => now.generation > before.generation && !moving || now.state == "ready",
        Act::Reset => true,
    }
}

fn outcome(server: &Server) -> String {
    let mut text = format!("{} is {}", server.name, server.state);
    if let Some(pid) = server.pid {
        text.push_str(&format!(" (start {}, process {pid})", server.generation));
    }
    let note = noted(server);
    if !note.is_empty() {
        text.push_str(&format!(": {note}"));
    }
    text + "\n"
}

/// A name that can stand in a path.
pub fn checked(name: &str) -> Result<&str, Trouble> {
    match ServerName::new(name) {
        Ok(_) => Ok(name),
        Err(error) => Err(Trouble { code: exit::USAGE, message: error.to_string() }),
    }
}

#[cfg(test)]
mod tests {
    use crate::http::api::shape::List;

    use super::*;

    fn server() -> Server {
        Server {
            name: "files".to_owned(),
            state: "ready".to_owned(),
            for_ms: 61_000,
            enabled: true,
            transport: "stdio".to_owned(),
            generation: 2,
            pid: Some(42),
            era: Some("legacy".to_owned()),
            version: Some("2025-11-25".to_owned()),
            lists: vec![List {
                kind: "tools".to_owned(),
                state: "read".to_owned(),
                entries: 7,
                reason: None,
            }],
            breaker: "open".to_owned(),
            in_flight: 1,
            waiting: 0,
            restarts: 1,
            last_error: None,
            next_try_ms: Some(1_500),
            login: None,
            login_reason: None,
        }
    }

    #[test]
    fn servers_are_told_in_a_table() {
        let expected = "\
NAME   STATE  FOR    START  PID  VERSION     TOOLS  PROMPTS  RESOURCES  CALLS  RESTARTS  NOTE
files  ready  1 m 1 s  2      42   2025-11-25  7      -        -          1      1         breaker open; next try in 1.5 s
";
        let squeeze = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(squeeze(&in_table(&[server()])), squeeze(expected));
    }

    #[test]
    fn a_restart_is_over_when_the_next_start_has_come_to_something() {
        let before = server();
        let starting = Server { generation: 3, state: "starting".to_owned(), ..server() };
        let up = Server { generation: 3, ..server() };
        assert!(!is_settled(Act::Restart, &before, &before));
        assert!(!is_settled(Act::Restart, &before, &starting) && is_settled(Act::Restart, &before, &up));
        let stopped = Server { state: "stopped".to_owned(), ..server() };
        assert!(is_settled(Act::Stop, &before, &stopped) && !is_settled(Act::Stop, &before, &before));
        assert!(is_settled(Act::Start, &before, &before), "it was up already");
    }
}
