//! Enough of JSON Schema to hold answers to the schemas of an OpenAPI document.

use serde_json::Value;

/// What is wrong with `value`, by the schema; nothing if it is right.
pub fn faults(document: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    if let Some(name) = schema["$ref"].as_str() {
        let pointer = name.strip_prefix('#').expect("a reference into the document");
        let target = document.pointer(pointer).unwrap_or_else(|| panic!("{name} leads nowhere"));
        return faults(document, target, value, at);
    }
    let mut found = Vec::new();
    let known =
        ["type", "enum", "description", "required", "properties", "additionalProperties", "items", "minimum"];
    for key in schema.as_object().expect("a schema").keys() {
        assert!(known.contains(&key.as_str()), "this test does not know the keyword {key}");
    }
    let types = match &schema["type"] {
        Value::Array(types) => types.iter().filter_map(Value::as_str).collect(),
        one => vec![one.as_str().unwrap_or_else(|| panic!("{at} has a schema without a type"))],
    };
    if !types.iter().any(|wanted| is(wanted, value)) {
        found.push(format!("{at} is {value} and not {types:?}"));
    }
    if let Some(allowed) = schema["enum"].as_array().filter(|allowed| !allowed.contains(value)) {
        found.push(format!("{at} is {value} and none of {allowed:?}"));
    }
    if let (Some(least), Some(number)) = (schema["minimum"].as_i64(), value.as_i64())
        && number < least
    {
        found.push(format!("{at} is {number}, below {least}"));
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        found.extend(faults(document, &schema["items"], item, &format!("{at}[{index}]")));
    }
    if let Some(fields) = value.as_object() {
        for required in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !fields.contains_key(required) {
                found.push(format!("{at} has no {required}"));
            }
        }
        for (name, field) in fields {
            let at = format!("{at}.{name}");
            match (&schema["properties"][name], &schema["additionalProperties"]) {
                (Value::Null, Value::Bool(false)) => found.push(format!("{at} is not in the schema")),
                (Value::Null, other @ Value::Object(_)) => found.extend(faults(document, other, field, &at)),
                (Value::Null, _) => {}
                (own, _) => found.extend(faults(document, own, field, &at)),
            }
        }
    }
    found
}

fn is(wanted: &str, value: &Value) -> bool {
    match wanted {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("there is no type {other}"),
    }
}
