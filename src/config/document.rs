//! The file: TOML with the place of every key, checked for unknown keys and wrong types.

use std::ops::Range;

use toml_edit::{Document, Item, TableLike, TomlError, Value as Toml};

use super::faults::{At, Collector, quoted};
use super::keys::{self, KeyDoc, Kind, Spot};
use super::layers::{KeyPath, Layer, Leaf, Place, Value};
use super::veil;

/// What a file says.
#[derive(Debug, Default)]
pub(super) struct FileLayer {
    pub layer: Layer,
    /// The servers in the order of the file, and where each is named.
    pub servers: Vec<(String, Range<usize>)>,
    /// The services likewise.
    pub services: Vec<(String, Range<usize>)>,
    /// Keys that are there but could not be taken.
    pub spoiled: Vec<KeyPath>,
}

/// Reads the text of one file. Nothing comes back when it is no TOML at all.
pub(super) fn read(name: &str, text: &str, faults: &mut Collector) -> Option<FileLayer> {
    let base = faults.source.add(name, text);
    match Document::parse(text) {
        Ok(document) => {
            faults.source.veil(veil::of_document(&document));
            let mut walk = Walk { faults, read: FileLayer::default(), base };
            walk.table(document.as_table(), &mut Vec::new());
            Some(walk.read)
        }
        Err(error) => {
            faults.source.veil(veil::of_text(text));
            let (what, help) = syntax(text, &error);
            let span = error.span().unwrap_or(0..0);
            faults.fault(At::Span(shifted(span, base)), what, help);
            None
        }
    }
}

/// Message and cure for a text that is no TOML.
fn syntax(text: &str, error: &TomlError) -> (String, &'static str) {
    let message = error.message().lines().next().unwrap_or_default();
    let is_name = |text: &&str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    let name = error.span().and_then(|span| text.get(span)).filter(is_name);
    if let ("duplicate key", Some(name)) = (message, name) {
        let what = format!("the key or table `{name}` is there a second time");
        return (what, "keep one of the two and remove the other");
    }
    // What the parser expected is of use when it is a character, not when it is a rule of the grammar.
    let message = match message.split_once(", expected ") {
        Some((what, expected)) if !expected.starts_with('`') => what,
        _ => message,
    };
    let help = "a string stands in quotes, and a table begins with `[name]` on a line of its own";
    (format!("the file is not valid TOML: {message}"), help)
}

struct Walk<'a> {
    faults: &'a mut Collector,
    read: FileLayer,
    /// Where the file begins among all files.
    base: usize,
}

/// A place in a file as a place among all files.
fn shifted(span: Range<usize>, base: usize) -> Range<usize> {
    span.start + base..span.end + base
}

impl Walk<'_> {
    /// The place of a value in the file, or of what stands in for it.
    fn span(&self, own: Option<Range<usize>>, otherwise: &Range<usize>) -> Range<usize> {
        own.map_or_else(|| otherwise.clone(), |span| shifted(span, self.base))
    }

    fn table(&mut self, table: &dyn TableLike, path: &mut KeyPath) {
        for (name, item) in table.iter() {
            let key = table.key(name).and_then(|key| key.span()).or_else(|| item.span()).unwrap_or(0..0);
            let key = shifted(key, self.base);
            path.push(name.to_owned());
            match keys::lookup(path) {
                Spot::Key(doc) => self.leaf(doc, path, key, item),
                Spot::Table => self.inner(path, key, item),
                Spot::Unknown => {
                    let (message, help) = unknown_key(path);
                    self.faults.fault(At::Span(key), message, help);
                }
            }
            path.pop();
        }
    }

    fn inner(&mut self, path: &mut KeyPath, key: Range<usize>, item: &Item) {
        if let [section, name] = path.as_slice()
            && item.is_table_like()
        {
            match section.as_str() {
                "servers" => self.read.servers.push((name.clone(), key.clone())),
                "services" => self.read.services.push((name.clone(), key.clone())),
                _ => {}
            }
        }
        if let Some(table) = item.as_table_like() {
            return self.table(table, path);
        }
        let name = path.join(".");
        let help = match item {
            Item::ArrayOfTables(_) if matches!(name.as_str(), "servers" | "services") => {
                format!("write `[{name}.<name>]` for each {}", name.trim_end_matches('s'))
            }
            Item::ArrayOfTables(_) => format!("write `[{name}]`, with single brackets"),
            _ => format!("write `[{name}]` on a line of its own, and the keys of the table below it"),
        };
        let at = self.span(item.span(), &key);
        // The value of a table that may hold credentials is not repeated.
        self.faults.fault(At::Span(at), format!("`{name}` is {}, not a table", shape(item)), help);
        self.read.spoiled.push(path.clone());
    }

    fn leaf(&mut self, doc: &'static KeyDoc, path: &KeyPath, key: Range<usize>, item: &Item) {
        let span = self.span(item.span(), &key);
        let mut items = Vec::new();
        let value = match (doc.kind, item) {
            (Kind::Bool, Item::Value(Toml::Boolean(value))) => Some(Value::Bool(*value.value())),
            (Kind::Count(..) | Kind::Size(..), Item::Value(Toml::Integer(value))) => {
                Some(Value::Integer(*value.value()))
            }
            // Kept as it is written in a variable.
            (Kind::Decimal(_), Item::Value(Toml::Float(value))) => {
                Some(Value::Text(value.value().to_string()))
            }
            (Kind::Decimal(_), Item::Value(Toml::Integer(value))) => {
                Some(Value::Text(value.value().to_string()))
            }
            (Kind::List | Kind::TextList, Item::Value(Toml::Array(array))) => {
                items = array.iter().map(|item| self.span(item.span(), &span)).collect();
                self.list(path, array, &span)
            }
            (Kind::Bool | Kind::Count(..) | Kind::Decimal(_) | Kind::List | Kind::TextList, _) => None,
            (_, Item::Value(Toml::String(value))) => Some(Value::Text(value.value().clone())),
            _ => None,
        };
        match value {
            Some(value) => {
                let (path, written) = (canonical(path), path.join("."));
                if self.read.layer.0.iter().any(|leaf| leaf.path == path) {
                    let message = format!("`{written}` is there a second time");
                    self.faults.fault(
                        At::Span(key),
                        message,
                        "names of headers know no case; keep one of the two",
                    );
                    return;
                }
                let place = Place::File { key, value: span, items };
                self.read.layer.0.push(Leaf { path, key: written, doc, value, place });
            }
            None => {
                self.read.spoiled.push(canonical(path));
                // A list says itself which of its elements is wrong.
                if items.is_empty() {
                    let (message, help) = wrong_type(doc, path, &describe(doc, item));
                    self.faults.fault(At::Span(span), message, help);
                }
            }
        }
    }

    fn list(&mut self, path: &KeyPath, array: &toml_edit::Array, span: &Range<usize>) -> Option<Value> {
        let mut texts = Vec::new();
        for item in array.iter() {
            match item.as_str() {
                Some(text) => texts.push(text.to_owned()),
                None => {
                    let at = self.span(item.span(), span);
                    let item = Item::Value(item.clone());
                    let message =
                        format!("an element of `{}` is {}, not a string", path.join("."), shape(&item));
                    self.faults.fault(At::Span(at), message, "put every element in quotes");
                }
            }
        }
        (texts.len() == array.len()).then_some(Value::List(texts))
    }
}

/// The path under which a setting is kept: names of headers know no case.
pub(super) fn canonical(path: &[String]) -> KeyPath {
    let mut path = path.to_vec();
    if let [_, _, table, header] = path.as_mut_slice()
        && table == "headers"
    {
        header.make_ascii_lowercase();
    }
    path
}

/// Message and cure for a path at which no key can stand.
pub(super) fn unknown_key(path: &[String]) -> (String, String) {
    // The first segment that leads nowhere is the one to be put right.
    let known = (0..path.len()).take_while(|&n| !matches!(keys::lookup(&path[..n]), Spot::Unknown)).count();
    let table = &path[..known.saturating_sub(1)];
    let name = path.get(table.len()).map_or("", String::as_str);
    let message = format!("unknown key `{}`", path[..(table.len() + 1).min(path.len())].join("."));
    let names = keys::names_in(table);
    let place = if table.is_empty() { "the file".to_owned() } else { format!("`[{}]`", table.join(".")) };
    let help = match (keys::nearest(name, &names), elsewhere(name)) {
        (Some(near), _) => format!("did you mean `{near}`?"),
        (None, Some(other)) => format!("`{name}` belongs in `[{other}]`"),
        (None, None) if names.is_empty() => format!("{place} is no table; remove what follows it"),
        (None, None) => format!("the keys of {place} are {}", names.join(", ")),
    };
    (message, help)
}

/// The table in which a key of exactly this name stands.
fn elsewhere(name: &str) -> Option<String> {
    let row = keys::keys().find(|row| row.leaf() == name)?;
    let (table, _) = row.path.rsplit_once('.')?;
    Some(table.replace('*', "<name>"))
}

/// Message and cure for a value of the wrong type.
pub(super) fn wrong_type(doc: &KeyDoc, path: &[String], is: &str) -> (String, String) {
    let (expected, cure) = match doc.kind {
        Kind::Bool => ("true or false", "write true or false, without quotes"),
        Kind::Decimal(_) => ("a number", "write a number without quotes, such as 0.3"),
        Kind::Count(..) => ("a whole number", "write a whole number without quotes, such as 8"),
        Kind::Duration(..) | Kind::DurationOrNone(..) => {
            ("a length of time", "write a number with a unit in quotes, such as \"30s\" or \"5m\"")
        }
        Kind::Rate => ("a rate", "write so many in s, m, h or d in quotes, such as \"100/s\""),
        Kind::Size(..) => ("a size", "write a number with a unit in quotes, such as \"4MiB\""),
        Kind::List | Kind::TextList => {
            ("an array", "write strings in square brackets, such as [\"a\", \"b\"]")
        }
        _ => ("a string", "put the value in quotes"),
    };
    (format!("`{}` is {is}, not {expected}", path.join(".")), cure.to_owned())
}

/// A value in words, without the value where it may be a credential.
fn describe(doc: &KeyDoc, item: &Item) -> String {
    let scalar = match item {
        Item::Value(Toml::String(text)) => quoted(text.value()),
        Item::Value(Toml::Integer(number)) => number.value().to_string(),
        Item::Value(Toml::Float(number)) => number.value().to_string(),
        Item::Value(Toml::Boolean(word)) => word.value().to_string(),
        _ => return shape(item).to_owned(),
    };
    match doc.kind {
        Kind::Secret | Kind::TextList => shape(item).to_owned(),
        _ => format!("{} {scalar}", shape(item).replacen("a ", "the ", 1)),
    }
}

fn shape(item: &Item) -> &'static str {
    match item {
        Item::Value(Toml::String(_)) => "a string",
        Item::Value(Toml::Integer(_) | Toml::Float(_)) => "a number",
        Item::Value(Toml::Boolean(_)) => "a boolean",
        Item::Value(Toml::Datetime(_)) => "a date",
        Item::Value(Toml::Array(_)) => "an array",
        Item::ArrayOfTables(_) => "an array of tables",
        Item::Value(Toml::InlineTable(_)) | Item::Table(_) | Item::None => "a table",
    }
}
