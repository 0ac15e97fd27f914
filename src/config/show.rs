//! Settings as people may see them: values as TOML, credentials hidden.

use toml_edit::Document;

use super::keys::{self, Kind, Spot};
use super::layers::{KeyPath, Value};
use super::veil;

/// What is shown when hiding cannot be done with certainty.
const HIDDEN: &str = "\"***\"";

/// The values of these settings as TOML, in their order.
///
/// They are written down as a file and hidden by the rules for files, so that no second set of rules can differ.
pub(super) fn values<'a>(settings: impl Iterator<Item = (&'a KeyPath, &'a Value)>) -> Vec<String> {
    let mut text = String::new();
    let mut spans = Vec::new();
    for (path, value) in settings {
        text += &key(path);
        text += " = ";
        let start = text.len();
        text += &toml(path, value);
        spans.push(start..text.len());
        text.push('\n');
    }
    let Ok(document) = Document::parse(text.as_str()) else {
        return spans.iter().map(|_| HIDDEN.to_owned()).collect();
    };
    let veils = veil::of_document(&document);
    let mut shown = Vec::with_capacity(spans.len());
    let mut veils = veils.iter().peekable();
    for span in spans {
        let (mut value, mut at) = (String::new(), span.start);
        while let Some(veil) = veils.next_if(|veil| veil.span.start < span.end) {
            value += text.get(at..veil.span.start).unwrap_or_default();
            value += &veil.shown;
            at = veil.span.end;
        }
        value += text.get(at..span.end).unwrap_or_default();
        shown.push(value);
    }
    shown
}

/// A path as TOML writes it.
pub(super) fn key(path: &[String]) -> String {
    let bare = |name: &str| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
    };
    let segment = |name: &String| if bare(name) { name.clone() } else { string(name) };
    path.iter().map(segment).collect::<Vec<_>>().join(".")
}

fn is_decimal(path: &[String]) -> bool {
    matches!(keys::lookup(path), Spot::Key(doc) if matches!(doc.kind, Kind::Decimal(_)))
}

fn toml(path: &[String], value: &Value) -> String {
    match value {
        // Kept as it was written; what is no number is shown as the text that it is.
        Value::Text(number) if is_decimal(path) && number.trim().parse::<f64>().is_ok() => {
            number.trim().to_owned()
        }
        Value::Bool(word) => word.to_string(),
        Value::Integer(number) => number.to_string(),
        Value::Text(text) => string(text),
        Value::List(items) => {
            format!("[{}]", items.iter().map(|item| string(item)).collect::<Vec<_>>().join(", "))
        }
    }
}

/// A text as a TOML basic string.
pub(super) fn string(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted += "\\\"",
            '\\' => quoted += "\\\\",
            '\n' => quoted += "\\n",
            '\t' => quoted += "\\t",
            c if c.is_control() => quoted += &format!("\\u{:04X}", u32::from(c)),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(path: &str, value: Value) -> String {
        let path: KeyPath = path.split('.').map(str::to_owned).collect();
        values([(&path, &value)].into_iter()).remove(0)
    }

    #[test]
    fn credentials_are_hidden_and_references_are_not() {
        let text = |text: &str| Value::Text(text.to_owned());
        let list = |items: &[&str]| Value::List(items.iter().map(|item| (*item).to_owned()).collect());
        for (path, value, expected) in [
            ("gateway.listen", text("127.0.0.1:1"), "\"127.0.0.1:1\""),
            ("servers.a.env.X", text("s3cret"), "\"***\""),
            ("servers.a.env.X", text("Bearer ${env:T}"), "\"***${env:T}\""),
            ("servers.a.url", text("https://h/p?key=s3cret"), "\"https://h/p?***\""),
            ("servers.a.args", list(&["--token", "s3cret", "-y"]), "[\"--token\", \"***\", \"-y\"]"),
            ("servers.a.command", text("a \"b\"\n\u{1}\\"), "\"a \\\"b\\\"\\n\\u0001\\\\\""),
            ("servers.a.max_in_flight", Value::Integer(5), "5"),
            ("servers.a.enabled", Value::Bool(true), "true"),
            ("enhance.default.temperature", text("0.3"), "0.3"),
            ("enhance.default.temperature", text("hot"), "\"hot\""),
        ] {
            assert_eq!(shown(path, value), expected, "{path}");
        }
        assert_eq!(key(&["servers".into(), "a".into(), "odd key".into()]), "servers.a.\"odd key\"");
    }
}
