//! One spelling for all spellings of a JSON value, so that equal values can be told by their bytes.
//!
//! Fields stand in the order of their names, white space is gone, strings are escaped in one way. A number keeps its
//! spelling: whether `1`, `1.0` and `1e0` are the same is for its reader to say.

use super::skim;

/// How deep a value may lie. Arguments of tools are flat; each further level costs another walk over what is in it.
const MAX_DEPTH: usize = 32;

/// The one spelling of the JSON text `raw`; none for what is no JSON, lies too deep, or has a field that stands twice,
/// of which different readers take different ones.
pub fn canonical(raw: &str) -> Option<String> {
    let mut out = String::with_capacity(raw.len());
    write(raw.trim(), &mut out, 0)?;
    Some(out)
}

fn write(raw: &str, out: &mut String, depth: usize) -> Option<()> {
    if depth > MAX_DEPTH {
        return None;
    }
    match raw.as_bytes().first()? {
        b'{' => {
            let mut fields = Vec::new();
            skim::each_field(raw, |name, span| {
                fields.push((name.to_owned(), span));
                Ok(())
            })
            .ok()?;
            fields.sort_by(|one, other| one.0.cmp(&other.0));
            if fields.windows(2).any(|pair| pair[0].0 == pair[1].0) {
                return None;
            }
            out.push('{');
            for (index, (name, span)) in fields.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&skim::quote(&name));
                out.push(':');
                write(&raw[span], out, depth + 1)?;
            }
            out.push('}');
        }
        b'[' => {
            let mut elements = Vec::new();
            skim::each_element(raw, |span| {
                elements.push(span);
                Ok(())
            })
            .ok()?;
            out.push('[');
            for (index, span) in elements.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(&raw[span], out, depth + 1)?;
            }
            out.push(']');
        }
        b'"' => out.push_str(&skim::quote(&skim::string(raw)?)),
        _ => out.push_str(raw),
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn spellings_of_the_same_value_become_one() {
        for (one, other) in [
            (r#"{"b":1,"a":[1, 2]}"#, r#" { "a" : [1,2] , "b":1 } "#),
            (r#"{"a":{"y":null,"x":"A/é"}}"#, r#"{"a":{"x":"\u0041\/\u00e9","y":null}}"#),
        ] {
            assert_eq!(canonical(one), canonical(other), "{one}");
        }
        for (one, other) in [
            (r#"{"a":1}"#, r#"{"a":"1"}"#),
            ("[1,2]", "[2,1]"),
            ("12345678901234567890123", "12345678901234567890124"),
            (r#"{"a":{}}"#, r#"{"a":[]}"#),
        ] {
            assert_ne!(canonical(one), canonical(other), "{one}");
        }
    }

    #[test]
    fn what_has_no_one_meaning_has_no_spelling() {
        let deep = "[".repeat(MAX_DEPTH + 2) + &"]".repeat(MAX_DEPTH + 2);
        for raw in [r#"{"a":1,"a":2}"#, r#"[{"a":{"b":1,"\u0062":2}}]"#, "", "{", deep.as_str()] {
            assert_eq!(canonical(raw), None, "{raw}");
        }
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::hash_map(any::<String>(), inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn it_means_what_it_meant_and_has_one_spelling(value in any_value()) {
            let once = canonical(&serde_json::to_string_pretty(&value).unwrap()).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Value>(&once).unwrap(), &value);
            prop_assert_eq!(canonical(&once), Some(once.clone()));
            prop_assert_eq!(canonical(&value.to_string()), Some(once));
        }
    }
}
