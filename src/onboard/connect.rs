//! The entry that points a client at the gateway, printed or put into the client's own file.

use std::path::{Path, PathBuf};

use jsonc_parser::cst::{CstInputValue, CstNode, CstRootNode};
use jsonc_parser::json;

use super::clients::{Client, Speaks, Variable};

/// Where a client is to be pointed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// The URL of the MCP endpoint.
    pub url: String,
    /// What the client shall call it.
    pub name: String,
    /// This program, for clients that only start programs.
    pub exe: PathBuf,
    /// The environment variable that holds the credential, as far as the client can refer to one.
    pub token_env: Option<String>,
    /// The file that holds the credential, for the bridge on standard input and output.
    pub token_file: Option<PathBuf>,
}

/// What a client's file should hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connected {
    /// The whole text of the file.
    pub text: String,
    /// The entry alone, within its table.
    pub snippet: String,
    /// Whether the file said the same already.
    pub unchanged: bool,
}

/// Why a client's file is left as it is.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It cannot be read as what it should be.
    #[error("{0}")]
    Syntax(String),
    /// There is something else where the table of servers should be.
    #[error("`{0}` is there and is not a table; put it right, or add the entry by hand")]
    NotATable(String),
}

/// Puts the entry for `endpoint` into the text of the client's file, or into an empty one. Nothing else changes: other
/// entries, comments and the order stay.
pub fn connect(client: Client, endpoint: &Endpoint, text: Option<&str>) -> Result<Connected, Refused> {
    let entry = entry(client, endpoint);
    let text = text.filter(|text| !text.trim().is_empty());
    let before = text.unwrap_or_default();
    let (whole, snippet) = match client {
        Client::Codex => (toml(client, endpoint, before, &entry)?, toml(client, endpoint, "", &entry)?),
        _ => (json_file(client, endpoint, before, &entry)?, json_file(client, endpoint, "", &entry)?),
    };
    Ok(Connected { unchanged: whole == before, text: whole, snippet })
}

/// The fields of an entry, in order.
fn entry(client: Client, endpoint: &Endpoint) -> Vec<(String, Field)> {
    let text = |text: &str| Field::Text(text.to_owned());
    let pair = |name: &str, field: Field| (name.to_owned(), field);
    match client.speaks() {
        Speaks::Http { url, kind, variable } if can_show_a_token(variable, endpoint) => {
            let mut fields = Vec::new();
            fields.extend(kind.map(|kind| pair("type", text(kind))));
            fields.push(pair(url, text(&endpoint.url)));
            if let Some(name) = &endpoint.token_env {
                let bearer = |reference: String| {
                    pair(
                        "headers",
                        Field::Table(vec![("Authorization".to_owned(), format!("Bearer {reference}"))]),
                    )
                };
                fields.push(match variable {
                    Variable::Braces => bearer(format!("${{{name}}}")),
                    Variable::Env => bearer(format!("${{env:{name}}}")),
                    Variable::Named | Variable::None => pair("bearer_token_env_var", text(name)),
                });
            }
            fields
        }
        _ => {
            let mut args = vec!["stdio".to_owned(), "--connect".to_owned(), endpoint.url.clone()];
            if let Some(file) = &endpoint.token_file {
                args.extend(["--token-file".to_owned(), file.display().to_string()]);
            }
            let kind = (client == Client::VsCode).then(|| pair("type", text("stdio")));
            let command = pair("command", text(&endpoint.exe.display().to_string()));
            kind.into_iter().chain([command, pair("args", Field::List(args))]).collect()
        }
    }
}

/// Whether a client that speaks HTTP can bring the key that it needs. Otherwise the bridge brings it.
fn can_show_a_token(variable: Variable, endpoint: &Endpoint) -> bool {
    match (&endpoint.token_env, &endpoint.token_file) {
        (Some(_), _) => variable != Variable::None,
        (None, Some(_)) => false,
        (None, None) => true,
    }
}

enum Field {
    Text(String),
    List(Vec<String>),
    Table(Vec<(String, String)>),
}

impl Field {
    fn json(&self) -> CstInputValue {
        match self {
            Field::Text(text) => CstInputValue::String(text.clone()),
            Field::List(items) => {
                CstInputValue::Array(items.iter().cloned().map(CstInputValue::String).collect())
            }
            Field::Table(pairs) => CstInputValue::Object(
                pairs
                    .iter()
                    .map(|(name, value)| (name.clone(), CstInputValue::String(value.clone())))
                    .collect(),
            ),
        }
    }

    fn toml(&self) -> toml_edit::Item {
        match self {
            Field::Text(text) => toml_edit::value(text.as_str()),
            Field::List(items) => toml_edit::value(items.iter().collect::<toml_edit::Array>()),
            Field::Table(pairs) => {
                let pairs = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
                toml_edit::value(pairs.collect::<toml_edit::InlineTable>())
            }
        }
    }
}

fn json_file(
    client: Client,
    endpoint: &Endpoint,
    text: &str,
    fields: &[(String, Field)],
) -> Result<String, Refused> {
    let text = if text.is_empty() { "{}\n" } else { text };
    let root = CstRootNode::parse(text, &Default::default())
        .map_err(|error| Refused::Syntax(format!("it is not valid JSON: {error}")))?;
    let file =
        root.object_value_or_create().ok_or_else(|| Refused::NotATable("the whole file".to_owned()))?;
    let table = file
        .object_value_or_create(client.table())
        .ok_or_else(|| Refused::NotATable(client.table().to_owned()))?;
    let value =
        CstInputValue::Object(fields.iter().map(|(name, field)| (name.clone(), field.json())).collect());
    match table.get(&endpoint.name) {
        Some(old) if same(old.value(), &value) => {}
        Some(old) => old.set_value(value),
        None => {
            table.append(&endpoint.name, value);
        }
    }
    Ok(root.to_string())
}

/// Whether an entry says the same already, however it is written.
fn same(old: Option<CstNode>, new: &CstInputValue) -> bool {
    let scratch = CstRootNode::parse("null", &Default::default());
    let Ok(scratch) = scratch else { return false };
    scratch.set_value(clone(new));
    let read = |text: String| {
        jsonc_parser::parse_to_serde_value::<serde_json::Value>(&text, &Default::default()).ok()
    };
    old.and_then(|old| read(old.to_string())).is_some_and(|old| Some(old) == read(scratch.to_string()))
}

fn clone(value: &CstInputValue) -> CstInputValue {
    match value {
        CstInputValue::String(text) => CstInputValue::String(text.clone()),
        CstInputValue::Array(items) => CstInputValue::Array(items.iter().map(clone).collect()),
        CstInputValue::Object(pairs) => {
            CstInputValue::Object(pairs.iter().map(|(name, value)| (name.clone(), clone(value))).collect())
        }
        CstInputValue::Number(number) => CstInputValue::Number(number.clone()),
        CstInputValue::Bool(word) => CstInputValue::Bool(*word),
        CstInputValue::Null => json!(null),
    }
}

fn toml(
    client: Client,
    endpoint: &Endpoint,
    text: &str,
    fields: &[(String, Field)],
) -> Result<String, Refused> {
    let mut document: toml_edit::DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| {
        Refused::Syntax(format!("it is not valid TOML: {}", error.message()))
    })?;
    let servers = document.entry(client.table()).or_insert_with(|| {
        let mut table = toml_edit::Table::new();
        table.set_implicit(true);
        toml_edit::Item::Table(table)
    });
    let servers = servers.as_table_mut().ok_or_else(|| Refused::NotATable(client.table().to_owned()))?;
    let entry =
        servers.entry(&endpoint.name).or_insert_with(|| toml_edit::Item::Table(toml_edit::Table::new()));
    let entry = entry.as_table_like_mut().ok_or_else(|| Refused::NotATable(endpoint.name.clone()))?;
    for (name, field) in fields {
        let item = field.toml();
        let same = entry.get(name).is_some_and(|old| old.to_string().trim() == item.to_string().trim());
        if !same {
            entry.insert(name, item);
        }
    }
    Ok(document.to_string())
}

/// Where the file is kept as it was before it was changed for the first time.
pub fn backup_of(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".before-trunkline");
    path.with_file_name(name)
}
