//! Settings from the environment and from flags.

use std::collections::BTreeMap;

use super::document::{canonical, unknown_key, wrong_type};
use super::faults::{At, Collector, quoted};
use super::inputs::Flag;
use super::keys::{self, KeyDoc, Kind, Spot};
use super::layers::{KeyPath, Layer, Leaf, Place, Value};

/// What the names of our variables begin with.
const PREFIX: &str = "TRUNKLINE_";
/// Names the file; see `load`.
pub(super) const FILE_VARIABLE: &str = "TRUNKLINE_CONFIG";
/// A client's credential for a running gateway. No setting of this one.
pub const TOKEN_VARIABLE: &str = "TRUNKLINE_TOKEN";
/// Where a running gateway is, for the commands that ask it. No setting of this one.
pub const URL_VARIABLE: &str = "TRUNKLINE_URL";
/// The short form of `TRUNKLINE_GATEWAY__LOG__FILTER`.
const LOG_VARIABLE: &str = "TRUNKLINE_LOG";

/// The settings among these variables.
pub(super) fn from_env(env: &[(String, String)], faults: &mut Collector) -> Layer {
    // Sorted and each name once: the order of an environment means nothing.
    let env: BTreeMap<&str, &str> = env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let mut layer = Layer::default();
    let mut names: BTreeMap<KeyPath, &str> = BTreeMap::new();
    for (name, value) in env {
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        if [FILE_VARIABLE, TOKEN_VARIABLE, URL_VARIABLE].contains(&name) || is_service_link(rest, value) {
            continue;
        }
        let path = match name {
            LOG_VARIABLE => ["gateway", "log", "filter"].map(str::to_owned).to_vec(),
            _ => variable_path(rest),
        };
        if let Some(other) = names.insert(path.clone(), name) {
            let message = format!("the variables {other} and {name} both set `{}`", path.join("."));
            faults.fault(At::Variable(name.to_owned()), message, "unset one of them");
        }
        let place = Place::Variable(name.to_owned());
        layer.0.extend(leaf(path, value, place, faults));
    }
    layer
}

/// The settings among these flags; of two for one key the later holds.
pub(super) fn from_flags(flags: &[Flag], faults: &mut Collector) -> Layer {
    let leaf = |flag: &Flag| {
        let path = flag.key.split('.').map(str::to_owned).collect();
        leaf(path, &flag.value, Place::Flag(flag.name.clone()), faults)
    };
    Layer(flags.iter().filter_map(leaf).collect())
}

/// The value that a text means for a key; for defaults, which are written like variables.
pub(super) fn value_of(doc: &KeyDoc, text: &str) -> Option<Value> {
    match doc.kind {
        Kind::Bool => text.trim().parse().ok().map(Value::Bool),
        Kind::Count(..) => text.trim().parse().ok().map(Value::Integer),
        Kind::List | Kind::TextList => list(text).map(Value::List),
        _ => Some(Value::Text(text.to_owned())),
    }
}

fn leaf(path: KeyPath, text: &str, place: Place, faults: &mut Collector) -> Option<Leaf> {
    let doc = match keys::lookup(&path) {
        Spot::Key(doc) => doc,
        Spot::Table => {
            let message = format!("`{}` is a table and has no value of its own", path.join("."));
            faults.fault(place.key(), message, format!("set one of {}", keys::names_in(&path).join(", ")));
            return None;
        }
        Spot::Unknown => {
            let (message, mut help) = unknown_key(&path);
            if let (Place::Variable(_), [_]) = (&place, path.as_slice()) {
                help = format!("two underscores part the names, such as in {PREFIX}GATEWAY__LISTEN; {help}");
            }
            faults.fault(place.key(), message, help);
            return None;
        }
    };
    let Some(value) = value_of(doc, text) else {
        let is = match doc.kind {
            Kind::TextList => "a string".to_owned(),
            _ => quoted(text),
        };
        let (message, help) = wrong_type(doc, &path, &is);
        faults.fault(
            place.value(),
            message,
            help.replace(", without quotes", "").replace(" without quotes", ""),
        );
        return None;
    };
    Some(Leaf { path: canonical(&path), key: path.join("."), doc, value, place })
}

/// `["a", "b"]`, or `a, b`.
fn list(text: &str) -> Option<Vec<String>> {
    if text.trim_start().starts_with('[') {
        let value: toml_edit::Value = text.parse().ok()?;
        return value.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect();
    }
    Some(text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect())
}

/// The path that a variable's name stands for, the prefix taken off.
///
/// Names are in capitals, and shells allow no dash: a server's and a header's `-` is written `_`. The variables
/// of a child keep their case.
fn variable_path(rest: &str) -> KeyPath {
    let segments: Vec<&str> = rest.split("__").collect();
    let lower = |text: &str| text.to_ascii_lowercase();
    let dashed = |text: &str| lower(text).replace('_', "-");
    match segments.as_slice() {
        [servers, server, table, name @ ..] if is_named(&lower(servers)) => {
            let mut path = vec![lower(servers), dashed(server), lower(table)];
            match lower(table).as_str() {
                "env" if !name.is_empty() => path.push(name.join("__")),
                "headers" => path.extend(name.iter().map(|name| dashed(name))),
                _ => path.extend(name.iter().map(|name| lower(name))),
            }
            path
        }
        [enhance, clients, client, name @ ..]
            if lower(enhance) == "enhance" && lower(clients) == "clients" =>
        {
            let mut path = vec![lower(enhance), lower(clients), dashed(client)];
            path.extend(name.iter().map(|name| lower(name)));
            path
        }
        [servers, server] if is_named(&lower(servers)) => vec![lower(servers), dashed(server)],
        segments => segments.iter().map(|name| lower(name)).collect(),
    }
}

/// Whether the tables of a section have names that the operator chose.
fn is_named(section: &str) -> bool {
    matches!(section, "servers" | "services")
}

/// Kubernetes announces a service named `trunkline` to every pod beside it, in variables that begin like ours:
/// `TRUNKLINE_SERVICE_HOST`, `TRUNKLINE_SERVICE_PORT_HTTP`, `TRUNKLINE_PORT_6270_TCP_ADDR`.
fn is_service_link(rest: &str, value: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let parts: Vec<&str> = rest.split('_').collect();
    let is_link = |parts: &[&str]| match parts {
        ["SERVICE", "HOST"] => true,
        ["SERVICE", "PORT", ..] => digits(value),
        ["PORT"] => value.contains("://"),
        ["PORT", port, "TCP" | "UDP" | "SCTP", ..] => digits(port),
        _ => false,
    };
    !rest.contains("__") && (0..parts.len()).any(|n| is_link(&parts[n..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_variables_become_paths() {
        for (name, path) in [
            ("GATEWAY__LISTEN", "gateway.listen"),
            ("GATEWAY__LOG__FORMAT", "gateway.log.format"),
            ("SERVERS__MY_DOCS__CALL_TIMEOUT", "servers.my-docs.call_timeout"),
            ("SERVERS__DEMO__ENV__Api_KEY__2", "servers.demo.env.Api_KEY__2"),
            ("SERVERS__DOCS__HEADERS__X_API_KEY", "servers.docs.headers.x-api-key"),
            ("ENHANCE__CLIENTS__CLAUDE_CODE__MAX_TOKENS", "enhance.clients.claude-code.max_tokens"),
            ("SERVICES__MY_API__MAX_CONNECTIONS", "services.my-api.max_connections"),
        ] {
            assert_eq!(variable_path(name).join("."), path);
        }
    }

    #[test]
    fn lists_are_read_with_brackets_or_commas() {
        for (text, items) in [("", &[][..]), ("a, b", &["a", "b"]), ("[\"a,b\"]", &["a,b"]), ("[]", &[])] {
            assert_eq!(list(text).unwrap(), items, "{text}");
        }
        assert_eq!((list("[1]"), list("[a")), (None, None));
    }

    #[test]
    fn what_kubernetes_says_about_a_service_is_no_setting() {
        for (name, value) in [
            ("SERVICE_HOST", "10.0.0.1"),
            ("SERVICE_PORT", "6270"),
            ("METRICS_SERVICE_PORT_HTTP", "9090"),
            ("PORT", "tcp://10.0.0.1:6270"),
            ("PORT_6270_TCP", "tcp://10.0.0.1:6270"),
            ("PORT_6270_TCP_ADDR", "10.0.0.1"),
        ] {
            assert!(is_service_link(name, value), "{name}");
        }
        for name in ["PORT", "LISTEN", "GATEWAY__PORT", "SERVICE"] {
            assert!(!is_service_link(name, "6270"), "{name}");
        }
    }
}
