//! The reference of all keys, for people: `docs/configuration.md`.

use super::keys::{self, KeyDefault, KeyDoc, Kind, Reach};
use super::units::{show_duration, show_size};

/// What stands before the tables.
const HEAD: &str = "\
# Configuration reference

This page is written by `trunkline config reference` from the list of keys that the program itself reads; a test keeps
it current. [`gateway.toml`](../gateway.toml) is the example to copy, and what holds when no file is found.

## Layers

The later holds against the earlier:

1. the defaults below;
2. the file: `--config`, else `TRUNKLINE_CONFIG`, else `$XDG_CONFIG_HOME/trunkline/gateway.toml` (`~/.config` without that
   variable), else `/etc/trunkline/gateway.toml`, else the built-in example;
3. its drop-ins: `gateway.d/*.toml` beside the file, by name. They add servers, or change single keys of the file; a list
   is replaced as a whole. Relative paths start at the folder of `gateway.toml` in drop-ins too;
4. variables: `TRUNKLINE_` and the path in capitals, two underscores between its parts:
   `TRUNKLINE_GATEWAY__LISTEN`, `TRUNKLINE_SERVERS__DOCS__CALL_TIMEOUT`. `TRUNKLINE_LOG` is short for
   `TRUNKLINE_GATEWAY__LOG__FILTER`;
5. flags.

`trunkline check` tells everything that is wrong at once, each with file, line, column and cure, and exits with 78 if there
is anything. `trunkline config show --origin` prints every setting in force and where it came from, without credentials.
`trunkline config schema` prints a JSON Schema; [`gateway.schema.json`](gateway.schema.json) is the same for editors:
where TOML is edited with Taplo, write `#:schema <path to that file>` into the first line of your `gateway.toml`.

## Values

| what | how it is written |
| --- | --- |
| length of time | whole numbers with the units `d`, `h`, `m`, `s`, `ms`: `\"30s\"`, `\"1h30m\"` |
| size | bytes, or a whole number with a unit: `\"4MiB\"`, `\"64kB\"` |
| reference | in a text marked *references*: `${env:NAME}` a variable, `${env:NAME:-default}` one that may be unset, `${file:/path}` a file's content, `${credential:name}` a credential of systemd (`LoadCredential=`), `${trunkline}` this program; `$${` is a literal `${` |

A running gateway takes a changed configuration on SIGHUP (`systemctl reload trunkline`), or by itself with
`gateway.watch`. A configuration with faults changes nothing. A server whose entry has not changed keeps its process and
its calls; keys of which a change waits for a restart say so below, and a reload names them.

An unknown key is an error, and so is a reference to what does not exist. Credentials belong into references: what the
gateway prints of a configuration never shows them.
";

/// What is said of a table, besides its keys.
const TABLES: &[(&str, &str)] = &[
    ("gateway", "The daemon itself."),
    ("gateway.log", "Its log, on standard error."),
    ("gateway.replay", "What is kept for clients that lost a stream."),
    ("defaults", "What holds for every server that does not say otherwise."),
    (
        "defaults.breaker",
        "When a server's calls are refused at once because calls before them failed for want of an answer.",
    ),
    (
        "servers.<name>",
        "One MCP server: a program (`command`) or an address (`url`). The name is 1 to 24 characters of `a-z`, `0-9` and \
         `-`, and becomes the prefix of its tools.",
    ),
    ("servers.<name>.limits", "What a program may use; without a value, what the gateway itself may use."),
    ("servers.<name>.tools", "Which of its tools are offered, and how long they may take."),
    (
        "services.<name>",
        "A plain HTTP service, which is passed on as it is. It shares the rules of names, and the names, with the servers.",
    ),
    (
        "enhance",
        "How prompts are made better by a model, at `POST /enhance`. It is on when `service` names a service.",
    ),
    ("enhance.default", "What holds for every client that has no rule of its own."),
    ("enhance.clients.<name>", "What holds for one client, by the name that it gives itself."),
];

/// The reference page, in Markdown.
pub fn reference() -> String {
    let mut page = HEAD.to_owned();
    let mut tables: Vec<(String, Vec<&KeyDoc>)> = Vec::new();
    for doc in keys::keys() {
        let table = table_of(doc);
        match tables.iter_mut().find(|(known, _)| *known == table) {
            Some((_, rows)) => rows.push(doc),
            None => tables.push((table, vec![doc])),
        }
    }
    for (table, rows) in tables {
        page += &match table.as_str() {
            "" => "\n## Before the first table\n\n".to_owned(),
            table => format!("\n## `[{table}]`\n\n"),
        };
        if let Some((_, about)) = TABLES.iter().find(|(name, _)| *name == table) {
            page += &format!("{about}\n\n");
        }
        page += "| key | value | default | what it is for |\n| --- | --- | --- | --- |\n";
        for doc in rows {
            let key = written(doc.path);
            let key = key.strip_prefix(&table).map_or(key.as_str(), |key| key.trim_start_matches('.'));
            page += &format!("| `{key}` | {} | {} | {} |\n", value(doc), default(doc), what(doc));
        }
    }
    page
}

/// A path as people write it.
fn written(path: &str) -> String {
    path.replace('*', "<name>")
}

/// The table in which a key is shown. A table in which any name may stand is shown with its parent.
fn table_of(doc: &KeyDoc) -> String {
    let segments: Vec<&str> = doc.path.split('.').collect();
    let depth = match segments.as_slice() {
        [.., "*"] => segments.len().saturating_sub(2),
        _ => segments.len().saturating_sub(1),
    };
    // A key of its own stands in no table; one in which any name may stand is never at the top.
    written(&segments[..if segments.len() > 1 { depth.max(1) } else { 0 }].join("."))
}

fn value(doc: &KeyDoc) -> String {
    match doc.kind {
        Kind::Bool => "`true` or `false`".to_owned(),
        Kind::Count(min, max) => format!("{min} to {max}"),
        Kind::Decimal(max) => format!("number, 0 to {max}"),
        Kind::Duration(min, max) => format!("time, {} to {}", show_duration(min), show_duration(max)),
        Kind::DurationOrNone(min, max) => {
            format!("time, {} to {}, or `\"none\"`", show_duration(min), show_duration(max))
        }
        Kind::Size(min, max) => format!("size, {} to {}", show_size(min), show_size(max)),
        Kind::Rate => "rate, such as `100/s` or `60/m burst 5`, or `\"none\"`".to_owned(),
        Kind::Address => "IP address and port".to_owned(),
        Kind::Path => "path, references".to_owned(),
        Kind::Text => "text, references".to_owned(),
        Kind::Filter => "log filter".to_owned(),
        Kind::Url => "http or https URL, references".to_owned(),
        Kind::Choice(words) => {
            words.iter().map(|word| format!("`\"{word}\"`")).collect::<Vec<_>>().join(", ")
        }
        Kind::List => "list of texts".to_owned(),
        Kind::TextList => "list of texts, references".to_owned(),
        Kind::Secret => "text, references; never shown".to_owned(),
    }
}

fn default(doc: &KeyDoc) -> String {
    match doc.default {
        KeyDefault::Value(text) => match doc.kind {
            Kind::Bool | Kind::Count(..) | Kind::Decimal(_) | Kind::List | Kind::TextList => {
                format!("`{text}`")
            }
            _ => format!("`\"{text}\"`"),
        },
        KeyDefault::Computed(how) => how.to_owned(),
        KeyDefault::Inherited if doc.path.starts_with("enhance.") => "that of `[enhance.default]`".to_owned(),
        KeyDefault::Inherited => "that of `[defaults]`".to_owned(),
        KeyDefault::Nothing => "–".to_owned(),
    }
}

fn what(doc: &KeyDoc) -> String {
    // A bar would end the cell.
    let text = doc.doc.replace('|', "\\|");
    let only = match doc.only {
        Some(Reach::Command) => " Only with `command`.",
        Some(Reach::Url) => " Only with `url`.",
        None => "",
    };
    let restart = if doc.is_live() { "" } else { " A change waits for a restart." };
    format!("{text}{only}{restart}")
}
