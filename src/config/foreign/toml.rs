//! Entries as TOML, with comments on what was changed.

use std::fmt::Write as _;
use std::time::Duration;

use toml_edit::Value;

use super::entry::{Entry, Reached};

/// One entry as TOML, with its notes and these as comments.
pub fn toml_of(entry: &Entry, more: &[String]) -> String {
    let mut out = String::new();
    for note in entry.notes.iter().chain(more) {
        comment(&mut out, note);
    }
    if matches!(entry.reached, Reached::Url { sse: true, .. }) {
        comment(&mut out, "it speaks the HTTP+SSE transport of 2024-11-05, which is found out by itself");
    }
    let _ = writeln!(out, "[servers.{}]", entry.name);
    match &entry.reached {
        Reached::Program { command, args, env, cwd } => {
            pair(&mut out, "command", command.as_str());
            if !args.is_empty() {
                let _ = writeln!(out, "args = {}", list(args));
            }
            if !env.is_empty() {
                let _ = writeln!(out, "env = {}", table(env));
            }
            if let Some(cwd) = cwd {
                pair(&mut out, "cwd", cwd.as_str());
            }
        }
        Reached::Url { url, headers, .. } => {
            pair(&mut out, "url", url.as_str());
            if !headers.is_empty() {
                let _ = writeln!(out, "headers = {}", table(headers));
            }
        }
    }
    rest(&mut out, entry);
    out
}

fn rest(out: &mut String, entry: &Entry) {
    if !entry.enabled {
        pair(out, "enabled", false);
    }
    if entry.lazy {
        pair(out, "start", "lazy");
    }
    let times = [
        ("call_timeout", entry.call_timeout),
        ("start_timeout", entry.start_timeout),
        ("health_interval", entry.health_interval),
    ];
    for (key, time) in times {
        if let Some(time) = time {
            pair(out, key, length(time));
        }
    }
    if let Some(budget) = entry.restart_budget.and_then(|budget| i64::try_from(budget).ok()) {
        pair(out, "restart_budget", budget);
    }
    let lists = [("allow", &entry.allow), ("deny", &entry.deny)];
    let lists: Vec<String> = lists
        .into_iter()
        .filter(|(_, items)| !items.is_empty())
        .map(|(key, items)| format!("{key} = {}", list(items)))
        .collect();
    if !lists.is_empty() {
        let _ = writeln!(out, "tools = {{ {} }}", lists.join(", "));
    }
}

/// Adds a comment of one line: a line end in what another program's file says must not begin a key here.
pub fn comment(out: &mut String, text: &str) {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let _ = writeln!(out, "# {line}");
}

fn pair(out: &mut String, key: &str, value: impl Into<Value>) {
    let _ = writeln!(out, "{key} = {}", value.into());
}

fn list(items: &[String]) -> String {
    let items: Vec<String> = items.iter().map(|item| quoted(item)).collect();
    format!("[{}]", items.join(", "))
}

fn table(pairs: &[(String, String)]) -> String {
    let pairs: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{} = {}", key(name), quoted(value))).collect();
    format!("{{ {} }}", pairs.join(", "))
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

fn key(name: &str) -> String {
    let bare = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if bare { name.to_owned() } else { quoted(name) }
}

/// The largest unit that loses nothing.
fn length(time: Duration) -> String {
    let ms = time.as_millis().max(1);
    match ms {
        ms if ms % 3_600_000 == 0 => format!("{}h", ms / 3_600_000),
        ms if ms % 60_000 == 0 => format!("{}m", ms / 60_000),
        ms if ms % 1_000 == 0 => format!("{}s", ms / 1_000),
        ms => format!("{ms}ms"),
    }
}
