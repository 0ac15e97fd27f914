//! Hiding credentials in the lines of the file that a fault shows.
//!
//! A fault shows a whole line, and a credential may stand anywhere on it: beside the faulty value, below a
//! misspelt table, in a text that is no TOML. So more is hidden than is secret, and never less.

use std::ops::Range;

use toml_edit::{Document, Item, TableLike, Value as Toml};

use super::keys::{self, KeyDoc, Kind, Spot};
use super::layers::KeyPath;
use super::references;
use super::source::Veil;
use super::url::veil_url;

/// Tables whose values are credentials, under our names for them and under those of other programs.
const SECRET_TABLES: [&str; 4] = ["env", "headers", "environment", "header"];

/// What names of credentials have in them.
const SECRET_NAMES: [&str; 7] = ["key", "token", "secret", "password", "passwd", "auth", "credential"];

/// How much is known about a value before it is looked at.
#[derive(Clone, Copy, PartialEq)]
enum Trust {
    /// It stands below a table of credentials.
    Secret,
    /// It is a credential if it is a string: its name says so, or its name says nothing to us.
    Named,
    /// It is a URL, or should be.
    Url,
    None,
}

/// What to hide in a file, in its order.
pub(super) fn of_document(document: &Document<&str>) -> Vec<Veil> {
    let table = document.as_table();
    // A comment may be the credential that was there yesterday.
    let mut veils: Vec<Veil> =
        comments(document.raw()).into_iter().map(|span| Veil { span, shown: String::new() }).collect();
    veil_table(table, Trust::None, &mut Vec::new(), &mut veils);
    veils.sort_by_key(|veil| veil.span.start);
    veils
}

/// Where the comments of a TOML text are, which must be valid.
fn comments(text: &str) -> Vec<Range<usize>> {
    let mut comments = Vec::new();
    let mut at = 0;
    while let Some(start) =
        text.get(at..).and_then(|rest| rest.find(['#', '"', '\'']).map(|found| at + found))
    {
        let rest = &text[start..];
        let quote = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quote| rest.starts_with(quote));
        at = match quote {
            Some(quote) => start + quote.len() + string_length(&rest[quote.len()..], quote),
            None => {
                let end = rest.find('\n').map_or(text.len(), |length| start + length);
                comments.push(start..end);
                end
            }
        };
    }
    comments
}

/// How long a string is from behind its opening quote to behind its closing one.
fn string_length(text: &str, quote: &str) -> usize {
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if quote.starts_with('"') && rest.starts_with('\\') {
            at += 1 + rest[1..].chars().next().map_or(0, char::len_utf8);
        } else if let Some(behind) = rest.strip_prefix(quote) {
            // Up to two quotes may stand before the three that close a string of several lines.
            let own = |b: &u8| quote.len() > 1 && quote.as_bytes().first() == Some(b);
            let more = behind.bytes().take_while(own).count();
            return at + quote.len() + more;
        } else {
            at += rest.chars().next().map_or(0, char::len_utf8);
        }
    }
    text.len()
}

fn veil_table(table: &dyn TableLike, trust: Trust, path: &mut KeyPath, veils: &mut Vec<Veil>) {
    for (name, item) in table.iter() {
        path.push(name.to_owned());
        let trust = trust_in(path, trust, item);
        match item {
            Item::Value(value) => veil_value(value, trust, path, veils),
            Item::Table(table) => veil_table(table, trust, path, veils),
            Item::ArrayOfTables(tables) => {
                tables.iter().for_each(|table| veil_table(table, trust, path, veils))
            }
            Item::None => {}
        }
        path.pop();
    }
}

fn trust_in(path: &[String], outer: Trust, item: &Item) -> Trust {
    let name = path.last().map_or_else(String::new, |name| name.to_ascii_lowercase());
    // An unknown key may be a misspelt `env`, or a credential whose table's header went lost.
    let stranger = matches!(keys::lookup(path), Spot::Unknown);
    let holds_more = item.is_table_like() || item.is_array() || item.is_array_of_tables();
    if outer == Trust::Secret || (stranger && holds_more) || SECRET_TABLES.contains(&name.as_str()) {
        Trust::Secret
    } else if stranger || names_secret(&name) {
        Trust::Named
    } else if matches!(name.as_str(), "url" | "proxy") {
        Trust::Url
    } else {
        Trust::None
    }
}

fn names_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_NAMES.iter().any(|part| name.contains(part))
}

fn veil_value(value: &Toml, trust: Trust, path: &mut KeyPath, veils: &mut Vec<Veil>) {
    let shown = match value {
        Toml::InlineTable(table) => return veil_table(table, trust, path, veils),
        Toml::Array(array) => {
            let mut named = false;
            for value in array.iter() {
                let own = if named && trust != Trust::Secret { Trust::Named } else { trust };
                veil_value(value, own, path, veils);
                // The argument after `--api-key` is the key.
                named = value.as_str().is_some_and(|it| !it.contains('=') && names_secret(it));
            }
            return;
        }
        Toml::String(text) => veil_text(text.value(), trust),
        _ => (trust == Trust::Secret).then(|| "***".to_owned()),
    };
    veils.extend(value.span().zip(shown).map(|(span, shown)| Veil { span, shown }));
}

/// What is shown of a string instead of itself, in quotes.
fn veil_text(text: &str, trust: Trust) -> Option<String> {
    let shown = match trust {
        Trust::Secret | Trust::Named => references::veil(text),
        Trust::Url => veil_url(text),
        Trust::None => match text.split_once('=') {
            Some((name, value)) if names_secret(name) => format!("{name}={}", references::veil(value)),
            _ if text.contains("://") => veil_url(text),
            _ => return None,
        },
    };
    (shown != text).then(|| format!("\"{shown}\""))
}

/// What to hide in a text that is no TOML, where nobody can know what belongs to what: a line is shown whole only
/// if it is a table's header or sets a key that never holds a credential.
pub(super) fn of_text(text: &str) -> Vec<Veil> {
    let mut veils = Vec::new();
    let mut secret = false;
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let body = line.trim_end();
        let indent = body.len() - body.trim_start().len();
        let bracket = body[indent..].starts_with('[');
        let header = bracket && body.bytes().all(|b| is_bare(b) || b"[]. ".contains(&b));
        if bracket
            && body.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| SECRET_TABLES.contains(&word))
        {
            secret = true;
        } else if header {
            secret = false;
        }
        if !header && !body.is_empty() && (secret || !is_harmless(body)) {
            veils.push(Veil {
                span: start + value_from(body, indent)..start + body.len(),
                shown: "***".to_owned(),
            });
        }
        start += line.len();
    }
    veils
}

/// Where on a line the value begins; what is no plain `key = value` is taken for a value from the start.
fn value_from(line: &str, indent: usize) -> usize {
    let is_key =
        |at: &usize| line.get(indent..*at).is_some_and(|key| key.bytes().all(|b| is_bare(b) || b == b'.'));
    line.find(" = ").filter(is_key).map_or(indent, |at| at + " = ".len())
}

/// Whether a byte may stand in a key without quotes.
fn is_bare(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

fn is_harmless(line: &str) -> bool {
    let name: String =
        line.trim_start().chars().take_while(|c| c.is_ascii_alphanumeric() || "._-".contains(*c)).collect();
    let leaf = name.rsplit('.').next().unwrap_or_default();
    let open = |row: &KeyDoc| row.leaf() == leaf && !matches!(row.kind, Kind::Secret | Kind::TextList);
    let nested = SECRET_TABLES.iter().any(|table| line.contains(table));
    // Two signs of equality: perhaps two lines in one, of which the second may hold anything.
    let single = line.bytes().filter(|&b| b == b'=').count() <= 1;
    keys::keys().any(open) && single && !nested && !line.contains(['@', '?', '#'])
}

#[cfg(test)]
mod tests {
    use super::super::faults::{At, Collector};
    use super::*;

    /// The lines of a text as faults would show them.
    fn shown(text: &str) -> Vec<String> {
        let veils = match toml_edit::Document::parse(text) {
            Ok(document) => of_document(&document),
            Err(_) => of_text(text),
        };
        let mut faults = Collector::default();
        faults.source.add("", text);
        faults.source.veil(veils);
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            faults.fault(At::Span(start..start + 1), "", "");
            start += line.len();
        }
        let faults = faults.finish().unwrap().to_string();
        let line = |line: &str| {
            line.split_once(" | ")
                .filter(|(number, _)| number.trim().parse::<u32>().is_ok())
                .map(|(_, it)| it.to_owned())
        };
        faults.lines().filter_map(line).collect()
    }

    #[test]
    fn credentials_are_hidden_wherever_a_toml_file_may_hold_them() {
        for (line, expected) in [
            (
                "a.env = { A = \"s3cret\", B = 5, C = [\"s3cret\"] }",
                "a.env = { A = \"***\", B = ***, C = [\"***\"] }",
            ),
            ("a.headers.X = \"Bearer ${env:T}\"", "a.headers.X = \"***${env:T}\""),
            ("environment = { A = { B = \"s3cret\" } }", "environment = { A = { B = \"***\" } }"),
            ("api_key = \"s3cret\"", "api_key = \"***\""),
            ("tokens = [\"s3cret\", \"s3cret\"]", "tokens = [\"***\", \"***\"]"),
            ("allow_unauthenticated = true", "allow_unauthenticated = true"),
            ("servers.a.url = \"https://u:s3cret@h/p?k=s3cret\"", "servers.a.url = \"https://***@h/p?***\""),
            ("servers.a.proxy = \"u:s3cret@h:1\"", "servers.a.proxy = \"***@h:1\""),
            ("enf = { A = \"s3cret\" }", "enf = { A = \"***\" }"),
            ("headrs.X = \"s3cret\"", "headrs.X = \"***\""),
            (
                "servers.a.args = [\"--api-key\", \"s3cret\", \"x\"]",
                "servers.a.args = [\"--api-key\", \"***\", \"x\"]",
            ),
            (
                "servers.a.args = [\"--token=s3cret\", \"@scope/pkg\"]",
                "servers.a.args = [\"--token=***\", \"@scope/pkg\"]",
            ),
            ("servers.a.args = [\"https://u:s3cret@h/\"]", "servers.a.args = [\"https://***@h/\"]"),
            ("servers.a.command = \"#\" # s3cret", "servers.a.command = \"#\""),
            ("lisen = \"x\"", "lisen = \"***\""),
            ("lisen = 1", "lisen = 1"),
        ] {
            assert_eq!(shown(line), [expected]);
        }
        assert_eq!(
            shown("env.A = \"\"\"s3cret\n#\\\"s3cret\"\"\"\"\" # s3cret\nx = 1 # 's3cret\n'#' = 'a'\n"),
            ["env.A = \"***\"", "\"***\"", "x = 1", "'#' = \"***\""]
        );
    }

    #[test]
    fn in_a_text_that_is_no_toml_only_what_is_certainly_harmless_is_shown() {
        let text = "[gateway\nlisten = x\n[servers.a]\ncommand = npx\nenv = { A = \"s3cret\" }\nargs = [\"s3cret\"]\n\
                    s3cret\n\"s3cret\" = s3cret\ns3cret==\nurl = https://h/?s3cret\n[servers.a.env]\nlisten = s3cret\n[defaults]\n";
        let lines = shown(text);
        assert!(!lines.concat().contains("s3cret"), "{lines:?}");
        assert_eq!(lines[..4], ["[gateway", "listen = x", "[servers.a]", "command = npx"]);
        assert_eq!(lines[4..6], ["env = ***", "args = ***"]);
        assert_eq!(lines[lines.len() - 2..], ["listen = ***", "[defaults]"]);
    }
}
