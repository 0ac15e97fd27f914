//! What is written down about the keys is what the program reads.

use serde_json::Value;

use super::super::{Kind, keys, reference, schema};

fn page(name: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_reference_page_is_what_the_list_of_keys_says() {
    assert!(
        page("configuration.md") == reference(),
        "run: cargo run -q -- config reference > docs/configuration.md"
    );
}

#[test]
fn the_schema_for_editors_is_what_the_list_of_keys_says() {
    assert!(
        page("gateway.schema.json") == schema(),
        "run: cargo run -q -- config schema > docs/gateway.schema.json"
    );
}

#[test]
fn every_key_is_in_the_schema_and_on_the_page_with_its_meaning() {
    let (schema, page): (Value, String) = (serde_json::from_str(&schema()).unwrap(), reference());
    for key in keys() {
        let mut at = &schema;
        for segment in key.path.split('.') {
            let closed = &at["additionalProperties"];
            assert!(closed.is_object() || *closed == Value::Bool(false), "a table of {} is open", key.path);
            at = if segment == "*" { closed } else { &at["properties"][segment] };
        }
        assert_eq!(at["description"], key.doc, "{}", key.path);
        assert!(page.contains(&key.doc.replace('|', "\\|")), "{}", key.path);
        let last = key.path.replace('*', "<name>");
        let last: Vec<&str> = last.split('.').collect();
        let shown = |depth: usize| page.contains(&format!("| `{}` |", last[last.len() - depth..].join(".")));
        assert!(shown(1) || shown(2), "{} has no row of its own", key.path);
        if let Kind::Choice(words) = key.kind {
            assert_eq!(at["enum"].as_array().map(Vec::len), Some(words.len()), "{}", key.path);
        }
    }
}
