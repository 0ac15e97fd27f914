//! The JSON Schema of the file, for editors that complete and check as one types.
//!
//! It is made from the list of keys and says less than the reading does: what needs more than one key to judge, or a
//! look at the system, is told by `trunkline check`.

use serde_json::{Map, Value, json};

use crate::base::ServerName;

use super::keys::{self, KeyDefault, KeyDoc, Kind};

/// The version of JSON Schema that the editors' TOML tools understand.
const DIALECT: &str = "http://json-schema.org/draft-07/schema#";
/// A length of time as `units` reads it.
const DURATION: &str = r"^\s*([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?\s*$";
/// A rate as `rate` reads it.
const RATE: &str = r"^\s*[0-9]+/[smhd](\s+burst\s+[0-9]+)?\s*$";
/// A size as `units` reads it.
const SIZE: &str = r"^\s*[0-9]+\s*([kKmMgG]?[iI]?[bB])?\s*$";

/// The JSON Schema of the configuration file, as text.
pub fn schema() -> String {
    let mut root = table();
    root.insert("$schema".into(), DIALECT.into());
    root.insert("title".into(), "Trunkline's configuration".into());
    for doc in keys::keys() {
        let segments: Vec<&str> = doc.path.split('.').collect();
        enter(&mut root, &segments, doc);
    }
    // Serialising what was just built from strings and numbers cannot fail.
    serde_json::to_string_pretty(&Value::Object(root)).unwrap_or_default() + "\n"
}

/// A table that takes no key which is not listed.
fn table() -> Map<String, Value> {
    let Value::Object(table) = json!({ "type": "object", "additionalProperties": false }) else {
        return Map::new();
    };
    table
}

fn enter(table: &mut Map<String, Value>, path: &[&str], doc: &KeyDoc) {
    let Some((first, rest)) = path.split_first() else { return };
    let slot = if *first == "*" {
        table.entry("additionalProperties").or_insert(Value::Null)
    } else {
        let properties = table.entry("properties").or_insert_with(|| json!({}));
        let Some(properties) = properties.as_object_mut() else { return };
        properties.entry(*first).or_insert(Value::Null)
    };
    if rest.is_empty() {
        *slot = value(doc);
        return;
    }
    if !slot.is_object() {
        *slot = Value::Object(self::table());
    }
    let Some(inner) = slot.as_object_mut() else { return };
    if matches!(*first, "servers" | "services") {
        inner.insert("propertyNames".into(), json!({ "pattern": ServerName::PATTERN }));
    }
    enter(inner, rest, doc);
}

fn value(doc: &KeyDoc) -> Value {
    let mut schema = match doc.kind {
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::Count(min, max) => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Kind::Decimal(max) => json!({ "type": "number", "minimum": 0, "maximum": max }),
        Kind::Duration(..) => json!({ "type": "string", "pattern": DURATION }),
        Kind::DurationOrNone(..) => {
            json!({ "anyOf": [{ "const": "none" }, { "type": "string", "pattern": DURATION }] })
        }
        Kind::Rate => json!({ "anyOf": [{ "const": "none" }, { "type": "string", "pattern": RATE }] }),
        Kind::Size(min, max) => json!({
            "anyOf": [
                { "type": "integer", "minimum": min, "maximum": max },
                { "type": "string", "pattern": SIZE },
            ]
        }),
        Kind::Choice(words) => json!({ "type": "string", "enum": words }),
        Kind::List | Kind::TextList => json!({ "type": "array", "items": { "type": "string" } }),
        Kind::Address | Kind::Path | Kind::Text | Kind::Filter | Kind::Url | Kind::Secret => {
            json!({ "type": "string" })
        }
    };
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("description".into(), doc.doc.into());
        if let KeyDefault::Value(text) = doc.default {
            schema.insert("default".into(), default(doc, text));
        }
    }
    schema
}

/// A default in the type that the file has for it.
fn default(doc: &KeyDoc, text: &str) -> Value {
    match doc.kind {
        Kind::Bool | Kind::Count(..) | Kind::Decimal(_) | Kind::List | Kind::TextList => {
            serde_json::from_str(text).unwrap_or_else(|_| text.into())
        }
        _ => text.into(),
    }
}
