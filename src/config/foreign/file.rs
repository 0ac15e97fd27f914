//! A whole file: which program's it is, where its servers stand, and each of them.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Map, Value};

use super::entry::Entry;
use super::fields::{self, Context};
use super::flavor::Flavor;
use super::keys::{Keys, keys_of};
use super::variables::Inputs;
use crate::base::ServerName;

/// What a file of another program says.
#[derive(Debug, PartialEq, Eq)]
pub struct Foreign {
    /// Whose it is.
    pub flavor: Flavor,
    /// Its servers, in its order.
    pub entries: Vec<Entry>,
    /// Servers that could not be taken: the name there and why.
    pub refused: Vec<(String, String)>,
}

/// A file of which nothing can be taken.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Neither JSON (with comments and trailing commas) nor TOML.
    #[error("it is neither JSON nor TOML: {0}")]
    Syntax(String),
    /// No table of servers in it.
    #[error("there is no table of MCP servers in it; looked for {0}")]
    NoServers(String),
}

/// Where servers stand, by path, and what that says of the program.
const TABLES: [(Place, Option<Flavor>); 8] = [
    (&["mcpServers"], None),
    (&["mcp_servers"], Some(Flavor::Codex)),
    (&["context_servers"], Some(Flavor::Zed)),
    (&["mcp", "servers"], Some(Flavor::VsCode)),
    (&["mcp.servers"], Some(Flavor::VsCode)),
    (&["servers"], None),
    (&["amp.mcpServers"], None),
    (&["mcp"], Some(Flavor::OpenCode)),
];

/// Reads the text of the file at `path`, which says more than the text about whose it is.
pub fn read(path: &Path, text: &str) -> Result<Foreign, Unreadable> {
    let (root, order) = parse(path, text)?;
    let empty = Map::new();
    let root = root.as_object().unwrap_or(&empty);
    let (mut found, by_table, place) = find(root).ok_or_else(|| {
        let names: Vec<String> = TABLES.iter().map(|(path, _)| format!("`{}`", path.join("."))).collect();
        Unreadable::NoServers(names.join(", "))
    })?;
    let flavor = Flavor::of_path(path).or(by_table).unwrap_or_else(|| guess(root, &found));
    let order = order.names(place);
    found.sort_by_key(|(name, _)| order.iter().position(|other| other == name).unwrap_or(usize::MAX));
    let inputs = inputs(root);
    let mut foreign = Foreign { flavor, entries: Vec::new(), refused: Vec::new() };
    let mut taken = BTreeSet::new();
    for (was, value) in &found {
        if was.starts_with('_') && !value.is_object() {
            continue;
        }
        let name = unused(&fit(was), &taken);
        match fields::entry(&Context { name: &name, was, flavor, inputs: &inputs }, value) {
            Ok(entry) => {
                taken.insert(name);
                foreign.entries.push(entry);
            }
            Err(why) => foreign.refused.push((was.clone(), why)),
        }
    }
    Ok(foreign)
}

/// The values, and the order of the names, which a map of values does not keep.
fn parse(path: &Path, text: &str) -> Result<(Value, Keys), Unreadable> {
    let text = text.trim_start_matches('\u{feff}');
    if path.extension().is_some_and(|extension| extension == "toml") {
        return toml(text).map_err(Unreadable::Syntax);
    }
    let options = jsonc_parser::ParseOptions::default();
    match jsonc_parser::parse_to_serde_value::<Value>(text, &options) {
        Ok(value) => Ok((value, jsonc_parser::parse_to_serde_value(text, &options).unwrap_or_default())),
        Err(error) => toml(text).map_err(|_| Unreadable::Syntax(error.to_string())),
    }
}

/// TOML as JSON's values, which is all that these files need of it.
fn toml(text: &str) -> Result<(Value, Keys), String> {
    let document: toml_edit::DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| {
        error.message().lines().next().unwrap_or_default().to_owned()
    })?;
    Ok((table(document.as_table()), keys_of(document.as_table())))
}

fn table(table: &dyn toml_edit::TableLike) -> Value {
    Value::Object(table.iter().map(|(name, item)| (name.to_owned(), item_value(item))).collect())
}

fn item_value(item: &toml_edit::Item) -> Value {
    match item {
        toml_edit::Item::Value(value) => plain(value),
        item => item.as_table_like().map_or(Value::Null, table),
    }
}

fn plain(value: &toml_edit::Value) -> Value {
    match value {
        toml_edit::Value::String(text) => text.value().as_str().into(),
        toml_edit::Value::Integer(number) => (*number.value()).into(),
        toml_edit::Value::Float(number) => (*number.value()).into(),
        toml_edit::Value::Boolean(word) => (*word.value()).into(),
        toml_edit::Value::Datetime(date) => date.value().to_string().into(),
        toml_edit::Value::Array(array) => array.iter().map(plain).collect(),
        toml_edit::Value::InlineTable(inline) => table(inline),
    }
}

type Named = Vec<(String, Value)>;
/// The path of a table.
type Place = &'static [&'static str];

/// The first table of servers. Claude Code keeps some below each project; those are taken too.
fn find(root: &Map<String, Value>) -> Option<(Named, Option<Flavor>, Place)> {
    let mut found = None;
    for (path, flavor) in TABLES {
        let Some((first, rest)) = path.split_first() else { continue };
        let value = rest.iter().fold(root.get(*first), |value, name| value.and_then(|value| value.get(name)));
        let servers = match value {
            Some(Value::Object(servers)) => servers.iter().map(|(n, v)| (n.clone(), v.clone())).collect(),
            // Raycast has a list whose elements bear an id.
            Some(Value::Array(list)) => list.iter().enumerate().map(by_id).collect(),
            _ => continue,
        };
        found = Some((servers, flavor, path));
        break;
    }
    let projects = root.get("projects").and_then(Value::as_object);
    let below: Named = projects
        .into_iter()
        .flatten()
        .filter_map(|(_, project)| project.get("mcpServers")?.as_object())
        .flat_map(|servers| servers.iter().map(|(name, value)| (name.clone(), value.clone())))
        .collect();
    if below.is_empty() {
        return found;
    }
    let (mut servers, flavor, place) = found.unwrap_or_default();
    let new = below.into_iter().filter(|one| !servers.contains(one)).collect::<Named>();
    servers.extend(new);
    Some((servers, flavor.or(Some(Flavor::ClaudeCode)), place))
}

fn by_id((number, value): (usize, &Value)) -> (String, Value) {
    let id = ["id", "name"].iter().find_map(|key| value.get(key)?.as_str());
    (id.map_or_else(|| format!("server-{}", number + 1), str::to_owned), value.clone())
}

/// What the content says of the program.
fn guess(root: &Map<String, Value>, servers: &Named) -> Flavor {
    let any =
        |keys: &[&str]| servers.iter().any(|(_, server)| keys.iter().any(|key| server.get(key).is_some()));
    if any(&["auto_start", "restart_on_failure"]) {
        Flavor::AgentHub
    } else if any(&["httpUrl"]) {
        Flavor::Gemini
    } else if any(&["serverUrl"]) {
        Flavor::Windsurf
    } else if root.contains_key("inputs") || root.contains_key("servers") {
        Flavor::VsCode
    } else if root.contains_key("projects") {
        Flavor::ClaudeCode
    } else {
        Flavor::Common
    }
}

/// What VS Code asks for, with its words.
fn inputs(root: &Map<String, Value>) -> Inputs {
    let lists = [root.get("inputs"), root.get("mcp").and_then(|mcp| mcp.get("inputs"))];
    let inputs = lists.into_iter().flatten().filter_map(Value::as_array).flatten();
    inputs
        .filter_map(|input| {
            let words = input.get("description").and_then(Value::as_str).unwrap_or_default();
            Some((input.get("id")?.as_str()?.to_owned(), words.to_owned()))
        })
        .collect()
}

/// A name that is fit for a server, as close to another as can be.
fn fit(name: &str) -> String {
    let mut fit = String::new();
    for c in name.chars().map(|c| c.to_ascii_lowercase()) {
        let legal = c.is_ascii_lowercase() || c.is_ascii_digit();
        if legal {
            fit.push(c);
        } else if !fit.is_empty() && !fit.ends_with('-') {
            fit.push('-');
        }
    }
    fit.truncate(ServerName::MAX_LEN);
    let fit = fit.trim_matches('-');
    if fit.is_empty() { "server".to_owned() } else { fit.to_owned() }
}

/// The name, with a number if others have it.
fn unused(name: &str, taken: &BTreeSet<String>) -> String {
    if !taken.contains(name) {
        return name.to_owned();
    }
    let numbered = |number: usize| {
        let suffix = format!("-{number}");
        let room = ServerName::MAX_LEN - suffix.len();
        format!("{}{suffix}", name[..name.len().min(room)].trim_end_matches('-'))
    };
    (2..).map(numbered).find(|name| !taken.contains(name)).unwrap_or_default()
}
