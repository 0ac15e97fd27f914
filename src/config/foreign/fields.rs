//! The fields of one entry, whatever each program calls them.

use std::time::Duration;

use serde_json::{Map, Value};

use super::entry::{Entry, Reached};
use super::flavor::Flavor;
use super::variables::{self, Inputs, Translated};

/// What an entry is read with.
pub(super) struct Context<'a> {
    pub name: &'a str,
    pub was: &'a str,
    pub flavor: Flavor,
    pub inputs: &'a Inputs,
}

/// From here on a timeout without a unit is one of milliseconds: nobody waits a thousand seconds, or one second, for a
/// tool.
const MILLISECONDS_FROM: f64 = 1000.0;

/// Fields that say nothing about how a server is reached or watched.
const OF_NO_USE_HERE: [&str; 12] = [
    "$schema",
    "description",
    "displayName",
    "gallery",
    "icon",
    "id",
    "name",
    "package",
    "source",
    "timeout_ms",
    "version",
    "_comment",
];

/// One entry, or why it cannot be taken.
pub(super) fn entry(context: &Context<'_>, value: &Value) -> Result<Entry, String> {
    let Some(fields) = value.as_object() else {
        return Err("it is not a table of settings".to_owned());
    };
    let mut reader = Reader { context, fields, used: Vec::new(), notes: Vec::new(), unknown: Vec::new() };
    let kind = reader.text(&["type", "transport", "transportType"]).unwrap_or_default().to_ascii_lowercase();
    let program = reader.program();
    let address = reader.address(&kind);
    let reached = match (program, address) {
        (Some(_), Some(_)) => {
            return Err("it has a command and a URL; only one of the two can hold".to_owned());
        }
        (Some(program), None) => program,
        (None, Some(address)) => address,
        (None, None) => return Err("it has neither a command nor a URL".to_owned()),
    };
    if matches!(kind.as_str(), "ws" | "websocket") {
        return Err("it is reached by a WebSocket, which MCP does not define".to_owned());
    }
    let mut entry = Entry::new(context.name, context.was, reached);
    reader.switches(&mut entry);
    reader.times(&mut entry);
    entry.allow = reader.list(&["includeTools", "enabled_tools", "enabledTools", "allowedTools", "tools"]);
    entry.deny = reader.list(&["excludeTools", "disabled_tools", "disabledTools"]);
    reader.left_out();
    if !reader.unknown.is_empty() {
        entry.enabled = false;
        let what = reader.unknown.join(", ");
        reader
            .notes
            .push(format!("switched off: {what} is known to an editor only; put a path in its place"));
    }
    if context.name != context.was {
        reader.notes.insert(0, format!("was called {:?} there", context.was));
    }
    entry.notes = reader.notes;
    Ok(entry)
}

struct Reader<'a> {
    context: &'a Context<'a>,
    fields: &'a Map<String, Value>,
    /// Names of fields that have been read.
    used: Vec<&'static str>,
    notes: Vec<String>,
    unknown: Vec<String>,
}

impl<'a> Reader<'a> {
    fn get(&mut self, names: &[&'static str]) -> Option<&'a Value> {
        self.used.extend(names);
        names.iter().find_map(|name| self.fields.get(*name)).filter(|value| !value.is_null())
    }

    fn text(&mut self, names: &[&'static str]) -> Option<&'a str> {
        self.get(names)?.as_str()
    }

    fn list(&mut self, names: &[&'static str]) -> Vec<String> {
        let items = self.get(names).and_then(Value::as_array);
        items
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .filter(|item| *item != "*")
            .map(str::to_owned)
            .collect()
    }

    /// A text in our form.
    fn translated(&mut self, text: &str) -> String {
        let Translated { text, notes, unknown } =
            variables::translate(text, self.context.flavor, self.context.inputs);
        self.notes.extend(notes);
        self.unknown.extend(unknown);
        text
    }

    fn program(&mut self) -> Option<Reached> {
        let command = self.get(&["command", "cmd"])?;
        let mut args: Vec<&Value> =
            self.get(&["args", "arguments"]).and_then(Value::as_array).into_iter().flatten().collect();
        let mut env = self.get(&["env", "environment"]);
        let program = match command {
            Value::String(program) => program.as_str(),
            // OpenCode: the program and its arguments in one list.
            Value::Array(words) => {
                let (program, rest) = words.split_first()?;
                args.splice(0..0, rest);
                program.as_str()?
            }
            // Zed, formerly: a table.
            Value::Object(table) => {
                args.extend(table.get("args").and_then(Value::as_array).into_iter().flatten());
                env = env.or_else(|| table.get("env"));
                table.get("path").or_else(|| table.get("command"))?.as_str()?
            }
            _ => return None,
        };
        let command = self.translated(program);
        let args: Vec<String> =
            args.into_iter().filter_map(scalar).map(|arg| self.translated(&arg)).collect();
        let mut variables = self.variables(env);
        // Codex: names of variables that the server gets from its own environment.
        for name in self.list(&["env_vars"]) {
            variables.push((name.clone(), format!("${{env:{name}}}")));
        }
        if let Some(file) = self.text(&["envFile", "env_file"]) {
            self.notes.push(format!("its variables in {file} are not read; add them to `env`"));
        }
        let cwd = self.text(&["cwd", "workingDirectory", "working_directory"]).filter(|cwd| !cwd.is_empty());
        let cwd = cwd.map(|cwd| self.translated(cwd));
        let relative = |text: &String| text.starts_with("./") || text.starts_with("../");
        if cwd.is_none() && (relative(&command) || args.iter().any(relative)) {
            self.notes
                .push("its relative paths need a `cwd`: the folder in which it was started there".to_owned());
        }
        Some(Reached::Program { command, args, env: variables, cwd })
    }

    fn variables(&mut self, env: Option<&Value>) -> Vec<(String, String)> {
        let mut variables = Vec::new();
        for (name, value) in env.and_then(Value::as_object).into_iter().flatten() {
            let value = match value {
                // AgentHub: a place in the system's keyring.
                Value::Object(place) if place.contains_key("source") => {
                    self.notes.push(format!("{name} came from a keyring; set the variable {name}"));
                    format!("${{env:{name}}}")
                }
                value => match scalar(value) {
                    Some(_)
                        if name.starts_with('_')
                            && !name[1..].starts_with(|c: char| c.is_ascii_uppercase()) =>
                    {
                        continue;
                    }
                    Some(text) => self.translated(&text),
                    None => continue,
                },
            };
            variables.push((name.clone(), value));
        }
        variables
    }

    fn address(&mut self, kind: &str) -> Option<Reached> {
        let gemini_http = self.text(&["httpUrl"]);
        let url = self.text(&["url", "serverUrl", "endpoint", "baseUrl"]);
        let sse = match kind {
            "sse" | "http+sse" | "http-sse" => true,
            "" => self.context.flavor == Flavor::Gemini && gemini_http.is_none(),
            _ => false,
        };
        let url = gemini_http.or(url)?;
        let url = self.translated(url);
        let mut headers = Vec::new();
        let tables = [
            self.get(&["headers", "http_headers", "httpHeaders"]),
            self.get(&["requestInit"]).and_then(|init| init.get("headers")),
        ];
        for (name, value) in tables.into_iter().flatten().filter_map(Value::as_object).flatten() {
            if let Some(value) = scalar(value) {
                headers.push((name.clone(), self.translated(&value)));
            }
        }
        let from_variables = self.get(&["env_http_headers"]).and_then(Value::as_object);
        for (name, variable) in from_variables.into_iter().flatten() {
            if let Some(variable) = variable.as_str() {
                headers.push((name.clone(), format!("${{env:{variable}}}")));
            }
        }
        if let Some(variable) = self.text(&["bearer_token_env_var", "bearerTokenEnvVar"]) {
            headers.push(("Authorization".to_owned(), format!("Bearer ${{env:{variable}}}")));
        }
        if let Some(token) = self.text(&["bearer_token", "bearerToken"]) {
            let token = self.translated(token);
            headers.push(("Authorization".to_owned(), format!("Bearer {token}")));
        }
        if self.get(&["auth", "oauth", "authProvider", "authorization"]).is_some() {
            self.notes
                .push("it signs in by OAuth there; the gateway needs a credential of its own".to_owned());
        }
        Some(Reached::Url { url, headers, sse })
    }

    fn switches(&mut self, entry: &mut Entry) {
        if self.get(&["disabled"]).and_then(Value::as_bool) == Some(true)
            || self.get(&["enabled"]).and_then(Value::as_bool) == Some(false)
        {
            entry.enabled = false;
        }
        if self.get(&["auto_start", "autoStart"]).and_then(Value::as_bool) == Some(false) {
            entry.lazy = true;
        }
        let restarts = self.get(&["restart_on_failure"]).and_then(Value::as_bool);
        let most = self.get(&["max_restarts"]).and_then(Value::as_u64);
        entry.restart_budget = most.filter(|most| *most > 0 && restarts != Some(false));
        if restarts == Some(false) {
            self.notes.push("it was not restarted when it failed; here every server is".to_owned());
        }
        let health = self.get(&["health_check_interval"]).and_then(Value::as_f64);
        entry.health_interval = health.filter(|seconds| *seconds > 0.0).and_then(seconds);
    }

    fn times(&mut self, entry: &mut Entry) {
        let plain = self.get(&["timeout"]).and_then(Value::as_f64);
        let in_milliseconds =
            matches!(self.context.flavor, Flavor::Gemini | Flavor::ClaudeCode | Flavor::OpenCode);
        let plain = plain.and_then(|number| {
            seconds(if in_milliseconds || number >= MILLISECONDS_FROM { number / 1000.0 } else { number })
        });
        let exact =
            self.get(&["tool_timeout_sec", "proxy_timeout"]).and_then(Value::as_f64).and_then(seconds);
        entry.call_timeout = exact.or(plain);
        let start = self.get(&["startup_timeout_sec"]).and_then(Value::as_f64);
        let start_ms = self.get(&["startup_timeout_ms"]).and_then(Value::as_f64).map(|ms| ms / 1000.0);
        entry.start_timeout = start.or(start_ms).and_then(seconds);
    }

    /// Names what has no form here.
    fn left_out(&mut self) {
        let known =
            |name: &str| self.used.contains(&name) || OF_NO_USE_HERE.contains(&name) || name.starts_with('_');
        let left: Vec<&str> = self.fields.keys().map(String::as_str).filter(|name| !known(name)).collect();
        if !left.is_empty() {
            self.notes.push(format!("left out, for it has no form here: {}", left.join(", ")));
        }
    }
}

/// A value as a text; `None` for tables, lists and nothing.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(word) => Some(word.to_string()),
        _ => None,
    }
}

/// A length of time; none for numbers that are none.
fn seconds(number: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(number).ok().filter(|time| !time.is_zero())
}
