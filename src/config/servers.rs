//! From settings to servers.

use std::time::Duration;

use crate::base::{Secret, ServerName};

use super::activity::Capture;
use super::faults::At;
use super::keys::Reach;
use super::layers::{KeyPath, Leaf, Place};
use super::links::{Isolation, Links};
use super::logins::oauth;
use super::model::{HttpTransport, Limits, Protocol, Replace, Restart, Server, Start, ToolFilter, Transport};
use super::rate::Rate;
use super::reader::{Reader, path};
use super::remote;
use super::tool_prompts::tool_prompts;
use super::tool_results::{by_exactness, tool_results};

/// The table of servers.
const SECTION: &str = "servers";

/// Headers that the gateway writes itself, or that belong to one hop.
const OWN_HEADERS: [&str; 15] = [
    "accept",
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "last-event-id",
    "mcp-method",
    "mcp-name",
    "mcp-protocol-version",
    "mcp-session-id",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// One server; nothing comes back only when a fault was noted.
pub(super) fn server(reader: &mut Reader<'_>, name: &str, at: &At, spoiled: &[KeyPath]) -> Option<Server> {
    let checked = ServerName::new(name);
    if let Err(error) = &checked {
        let help = format!("{error}; for instance `{}`", suggestion(name));
        reader.faults.fault(at.clone(), format!("`servers.{name}` is no name for a server"), help);
    }
    let key = |key: &'static str| ["servers", name, key];
    let enabled = reader.flag(&key("enabled"));
    let resolve = reader.resolve;
    reader.resolve = enabled && resolve;
    let transport = transport(reader, name, at, spoiled);
    let oauth = match &transport {
        Some(Transport::Http { headers, .. }) => {
            oauth(reader, name, headers.iter().any(|(header, _)| *header == http::header::AUTHORIZATION))
        }
        _ => None,
    };
    reader.resolve = resolve;
    let protocol = [Protocol::Auto, Protocol::Legacy, Protocol::Modern][reader.choice(&key("protocol"))];
    let server = Server {
        enabled,
        oauth,
        http: [HttpTransport::Auto, HttpTransport::Streamable, HttpTransport::Sse]
            [reader.choice(&key("transport"))],
        protocol,
        call_timeout: reader.duration(&key("call_timeout")),
        max_call_time: reader.duration(&key("max_call_time")),
        start: [Start::Eager, Start::Lazy][reader.choice(&key("start"))],
        idle_stop: reader.duration_or_none(&key("idle_stop")),
        restart: Restart {
            budget: reader.count(&key("restart_budget")),
            window: reader.duration(&key("restart_window")),
            slow_retry: reader.duration(&key("slow_retry")),
        },
        health: remote::health(reader, SECTION, name),
        breaker: remote::breaker(reader, SECTION, name),
        start_timeout: reader.duration(&key("start_timeout")),
        connect_timeout: reader.duration(&key("connect_timeout")),
        stream_idle_timeout: reader.duration_or_none(&key("stream_idle_timeout")),
        limits: limits(reader, name),
        stop_grace: reader.duration(&key("stop_grace")),
        replace: [Replace::Overlap, Replace::StopFirst][reader.choice(&key("replace"))],
        drain_timeout: reader.duration(&key("drain_timeout")),
        max_message: reader.size(&key("max_message")),
        max_in_flight: reader.count(&key("max_in_flight")),
        links: links(reader, name, transport.as_ref()),
        capture: [Capture::None, Capture::Errors, Capture::All][reader.choice(&key("capture"))],
        rate: reader.rate(&key("rate")),
        tools: ToolFilter {
            allow: patterns(reader, name, "allow"),
            deny: patterns(reader, name, "deny"),
            timeouts: timeouts(reader, name),
            rates: rates(reader, name),
            results: {
                let public = patterns(reader, name, "cache_public");
                tool_results(reader, name, public)
            },
            prompts: tool_prompts(reader, name),
        },
        // Last, so that a server without a usable name or transport still has all its other faults told.
        name: checked.ok()?,
        transport: transport?,
    };
    Some(server)
}

fn links(reader: &mut Reader<'_>, name: &str, transport: Option<&Transport>) -> Links {
    let key = |key: &'static str| ["servers", name, key];
    let isolation =
        [Isolation::Shared, Isolation::Session, Isolation::Principal][reader.choice(&key("isolation"))];
    let questions = match reader.leaf(&key("questions")) {
        Some(_) => reader.flag(&key("questions")),
        // On pipes that everybody shares, nobody can tell whose a question is once two calls are in flight.
        None => isolation != Isolation::Shared || !matches!(transport, Some(Transport::Stdio { .. })),
    };
    Links {
        isolation,
        questions,
        max: reader.count(&key("max_links")),
        idle: reader.duration(&key("link_idle")),
        answer_timeout: reader.duration(&key("answer_timeout")),
    }
}

fn limits(reader: &mut Reader<'_>, name: &str) -> Limits {
    let key = |key: &'static str| ["servers", name, "limits", key];
    Limits {
        memory: reader.leaf(&key("memory")).map(|_| reader.size(&key("memory"))),
        cpu: reader.leaf(&key("cpu")).map(|leaf| reader.length(leaf)),
        processes: reader.leaf(&key("processes")).map(|_| reader.count(&key("processes"))),
        open_files: reader.leaf(&key("open_files")).map(|_| reader.count(&key("open_files"))),
    }
}

/// Call timeouts by pattern.
fn timeouts(reader: &mut Reader<'_>, name: &str) -> Vec<(String, Duration)> {
    let mut timeouts = Vec::new();
    for leaf in reader.stack.below(&path(&["servers", name, "tools", "timeouts"])) {
        let pattern = leaf.path.last().map_or("", String::as_str);
        timeouts.push((pattern.to_owned(), reader.length(leaf)));
    }
    by_exactness(&mut timeouts);
    timeouts
}

/// Rates by pattern, the most exact first.
fn rates(reader: &mut Reader<'_>, name: &str) -> Vec<(String, Rate)> {
    let mut rates = Vec::new();
    for leaf in reader.stack.below(&path(&["servers", name, "tools", "rates"])) {
        let pattern = leaf.path.last().map_or("", String::as_str);
        rates.extend(reader.rate_of(leaf).map(|rate| (pattern.to_owned(), rate)));
    }
    by_exactness(&mut rates);
    rates
}

pub(super) fn suggestion(name: &str) -> String {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let dashed: String =
        name.chars().map(|c| c.to_ascii_lowercase()).map(|c| if legal(c) { c } else { '-' }).collect();
    let short: String = dashed.trim_matches('-').chars().take(ServerName::MAX_LEN).collect();
    if short.is_empty() { "my-server".to_owned() } else { short }
}

fn patterns(reader: &mut Reader<'_>, name: &str, list: &'static str) -> Vec<String> {
    let check = |item: &str| match item.trim() {
        "" => Err(("matches no tool", "write a tool's own name, or a pattern such as \"get_*\"")),
        _ => Ok(item.to_owned()),
    };
    reader.list(&["servers", name, "tools", list], check)
}

fn transport(reader: &mut Reader<'_>, name: &str, at: &At, spoiled: &[KeyPath]) -> Option<Transport> {
    let given = |key: &str| {
        let key = path(&["servers", name, key]);
        reader.stack.find(&key).is_some() || spoiled.contains(&key)
    };
    let (at, message, help) = match (given("command"), given("url")) {
        (true, false) => {
            refuse_keys_of_the_other(reader, name, Reach::Command);
            return stdio(reader, name);
        }
        (false, true) => {
            refuse_keys_of_the_other(reader, name, Reach::Url);
            return remote(reader, name);
        }
        (true, true) => {
            let at =
                reader.leaf(&["servers", name, "url"]).map_or_else(|| at.clone(), |leaf| leaf.place.key());
            let help = "keep `command` to start a program, or `url` to connect to one";
            (at, format!("`servers.{name}` has both `command` and `url`"), help)
        }
        (false, false) => {
            let help = "add `command` to start a program, or `url` to connect to a running one";
            (at.clone(), format!("`servers.{name}` has neither `command` nor `url`"), help)
        }
    };
    reader.faults.fault(at, message, help);
    // What else is wrong with either is told all the same.
    let _ = (stdio(reader, name), remote(reader, name));
    None
}

fn refuse_keys_of_the_other(reader: &mut Reader<'_>, name: &str, reach: Reach) {
    let other = match reach {
        Reach::Command => Reach::Url.key(),
        Reach::Url => Reach::Command.key(),
    };
    let has = reach.key();
    let set: Vec<&Leaf> = reader.stack.below(&path(&["servers", name]));
    let strangers = set
        .into_iter()
        .filter(|leaf| leaf.place != Place::Default && leaf.doc.only.is_some_and(|only| only != reach));
    for leaf in strangers {
        let message = format!("`{}` means nothing for a server with `{has}`", leaf.key);
        let help = format!("remove it: only a server with `{other}` has this key");
        reader.faults.fault(leaf.place.key(), message, help);
    }
}

fn stdio(reader: &mut Reader<'_>, name: &str) -> Option<Transport> {
    let command = command(reader, name);
    let args = reader.texts(&["servers", name, "args"]);
    let mut env = Vec::new();
    for leaf in reader.stack.below(&path(&["servers", name, "env"])) {
        let variable = leaf.path.last().map_or("", String::as_str);
        if variable.is_empty() || variable.contains(['=', '\0']) {
            let message = format!("`{}` is no name for an environment variable", leaf.key);
            reader.faults.fault(leaf.place.key(), message, "a variable's name is not empty and has no `=`");
        }
        env.extend(remote::secret(reader, leaf).map(|value| (variable.to_owned(), Secret::new(value))));
    }
    let cwd = reader.path(&["servers", name, "cwd"]);
    Some(Transport::Stdio { command: command?, args, env, cwd })
}

/// The program: a name for `PATH` stays as it is, a path becomes absolute.
fn command(reader: &mut Reader<'_>, name: &str) -> Option<String> {
    let (leaf, text) = reader.text(&["servers", name, "command"])?;
    if text.trim().is_empty() {
        reader.wrong(leaf, "names no program", "write the program to start");
        return None;
    }
    if !text.contains(std::path::is_separator) {
        if let Some((program, _)) = text.trim().split_once(char::is_whitespace) {
            let help = format!(
                "write command = \"{program}\", and the rest as a list in `args`; no shell reads them"
            );
            reader.wrong(leaf, "is more than a program", help);
        }
        return Some(text);
    }
    Some(reader.absolute(leaf, &text).to_string_lossy().into_owned())
}

fn remote(reader: &mut Reader<'_>, name: &str) -> Option<Transport> {
    let url = remote::url(reader, SECTION, name);
    let headers = remote::headers(reader, SECTION, name, &OWN_HEADERS);
    let ca_file = reader.path(&[SECTION, name, "ca_file"]);
    let proxy = remote::proxy(reader, SECTION, name);
    Some(Transport::Http { url: url?, headers, ca_file, proxy })
}
