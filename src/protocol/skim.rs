//! Walking one level of a JSON value without building it.
//!
//! Everything the gateway reads on the request path goes through these two functions: keys are compared where they
//! stand, values stay raw. `serde_json` does the grammar (so whatever passes is well-formed JSON to the last
//! bracket, at any depth and without recursion), we keep the places.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The place of a value inside the text it was found in, in bytes.
pub type Span = Range<usize>;

/// Why a text could not be walked. The message names line and column, never the content.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct SkimError(#[from] serde_json::Error);

impl SkimError {
    /// Whether the text is JSON at all (as opposed to JSON of another shape).
    pub fn is_syntax(&self) -> bool {
        self.0.is_syntax() || self.0.is_eof()
    }
}

/// Calls `visit(key, place of the value)` for each field of the JSON object `text`, in order, duplicates included.
/// An `Err` from `visit` ends the walk and becomes the error's message.
pub fn each_field<F>(text: &str, visit: F) -> Result<(), SkimError>
where
    F: FnMut(&str, Span) -> Result<(), &'static str>,
{
    let mut deserializer = serde_json::Deserializer::from_str(text);
    deserializer.deserialize_map(Fields { text, visit })?;
    deserializer.end()?;
    Ok(())
}

/// Calls `visit(place of the value)` for each element of the JSON array `text`, in order.
pub fn each_element<F>(text: &str, visit: F) -> Result<(), SkimError>
where
    F: FnMut(Span) -> Result<(), &'static str>,
{
    let mut deserializer = serde_json::Deserializer::from_str(text);
    deserializer.deserialize_seq(Elements { text, visit })?;
    deserializer.end()?;
    Ok(())
}

/// The place of the field `name` in the JSON object `text`; the first one if it stands there twice.
pub fn field(text: &str, name: &str) -> Option<Span> {
    let mut found = None;
    each_field(text, |key, span| {
        if found.is_none() && key == name {
            found = Some(span);
        }
        Ok(())
    })
    .ok()?;
    found
}

/// The raw text of the field `name` in the JSON object `text`.
pub fn field_text<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    field(text, name).map(|span| &text[span])
}

/// The string that the JSON text `raw` spells, if it is a string: borrowed unless it holds escapes.
pub fn string(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str::<String>(raw).ok().map(Cow::Owned)
}

/// The string field `name` of the JSON object `text`.
pub fn string_field<'a>(text: &'a str, name: &str) -> Option<Cow<'a, str>> {
    field_text(text, name).and_then(string)
}

/// `text` as a JSON string.
pub fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn span_of(outer: &str, inner: &str) -> Span {
    let start = inner.as_ptr() as usize - outer.as_ptr() as usize;
    start..start + inner.len()
}

struct Fields<'t, F> {
    text: &'t str,
    visit: F,
}

impl<'t, F> Visitor<'t> for Fields<'t, F>
where
    F: FnMut(&str, Span) -> Result<(), &'static str>,
{
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'t>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key_seed(Key)? {
            let value: &'t RawValue = map.next_value()?;
            (self.visit)(&key, span_of(self.text, value.get())).map_err(A::Error::custom)?;
        }
        Ok(())
    }
}

struct Elements<'t, F> {
    text: &'t str,
    visit: F,
}

impl<'t, F> Visitor<'t> for Elements<'t, F>
where
    F: FnMut(Span) -> Result<(), &'static str>,
{
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON array")
    }

    fn visit_seq<A: SeqAccess<'t>>(mut self, mut seq: A) -> Result<(), A::Error> {
        while let Some(value) = seq.next_element::<&'t RawValue>()? {
            (self.visit)(span_of(self.text, value.get())).map_err(A::Error::custom)?;
        }
        Ok(())
    }
}

/// A key, borrowed from the text unless it holds escapes.
struct Key;

impl<'t> DeserializeSeed<'t> for Key {
    type Value = Cow<'t, str>;

    fn deserialize<D: Deserializer<'t>>(self, deserializer: D) -> Result<Cow<'t, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'t> Visitor<'t> for Key {
    type Value = Cow<'t, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'t str) -> Result<Cow<'t, str>, E> {
        Ok(Cow::Borrowed(key))
    }

    fn visit_str<E>(self, key: &str) -> Result<Cow<'t, str>, E> {
        Ok(Cow::Owned(key.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_in_order_with_their_places_and_duplicates() {
        let text = r#" { "a" : 1 , "b":{"a":[2]}, "\u0061" : "x" } "#;
        let mut seen = Vec::new();
        each_field(text, |key, span| {
            seen.push((key.to_owned(), text[span].to_owned()));
            Ok(())
        })
        .unwrap();
        let expected = [("a", "1"), ("b", r#"{"a":[2]}"#), ("a", r#""x""#)];
        assert_eq!(seen, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
    }

    #[test]
    fn what_follows_the_value_is_an_error() {
        assert!(each_field("{} {}", |_, _| Ok(())).is_err());
        assert!(each_element("[]x", |_| Ok(())).is_err());
    }

    #[test]
    fn a_nesting_far_deeper_than_any_stack_is_walked() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(200_000), "]".repeat(200_000));
        assert_eq!(field(&deep, "a").map(|s| s.len()), Some(400_000));
    }

    #[test]
    fn strings_are_unescaped_only_when_they_must() {
        assert!(matches!(string(r#""plain""#), Some(Cow::Borrowed("plain"))));
        assert_eq!(string(r#""a\u00e9\n""#).as_deref(), Some("aé\n"));
        assert_eq!(string("17"), None);
    }
}
