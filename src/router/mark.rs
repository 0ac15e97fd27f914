//! What the gateway adds to a result, so that a caller sees what became of the call.

use bytes::Bytes;

use crate::protocol::{Splice, skim, translate};

/// The field of `_meta` that says how old a result is that was kept.
pub(super) const CACHE: &str = "dev.trunkline/cache";

/// The field of `_meta` that says what became of the prompt in a call.
pub(super) const ENHANCED: &str = "dev.trunkline/enhanced";

/// The result (JSON text) with `field` in its `_meta`, which is made if there is none. What is no object stays as it is.
pub(super) fn result(text: &Bytes, field: &str) -> Bytes {
    let Ok(own) = std::str::from_utf8(text) else { return text.clone() };
    let mut splice = Splice::new(text.clone());
    if !add(&mut splice, own, 0..own.len(), field) {
        return text.clone();
    }
    splice.to_bytes(0)
}

/// The same for the result inside a whole message.
pub(super) fn message(text: Bytes, field: &str) -> Bytes {
    let Ok(own) = std::str::from_utf8(&text) else { return text };
    let Some(at) = skim::field(own, "result") else { return text };
    let mut splice = Splice::new(text.clone());
    match add(&mut splice, own, at, field) {
        true => splice.to_bytes(0),
        false => text,
    }
}

fn add(splice: &mut Splice, text: &str, at: skim::Span, field: &str) -> bool {
    let result = &text[at.clone()];
    if !result.starts_with('{') {
        return false;
    }
    match skim::field(result, "_meta") {
        Some(meta) if result[meta.clone()].starts_with('{') => {
            let place = at.start + meta.start..at.start + meta.end;
            translate::insert_field(splice, text, place, field.to_owned());
        }
        // What stands there is not ours to mend.
        Some(_) => return false,
        None => translate::insert_field(splice, text, at, format!(r#""_meta":{{{field}}}"#)),
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_added_and_nothing_else_is_changed() {
        for (before, after) in [
            (r#"{}"#, r#"{"_meta":{"m":1}}"#),
            (r#"{"content": [] }"#, r#"{"_meta":{"m":1},"content": [] }"#),
            (r#"{"a":1,"_meta":{}}"#, r#"{"a":1,"_meta":{"m":1}}"#),
            (r#"{"_meta":{"x":1},"a":1}"#, r#"{"_meta":{"m":1,"x":1},"a":1}"#),
            (r#"{"_meta":null}"#, r#"{"_meta":null}"#),
            ("[]", "[]"),
        ] {
            let marked = result(&Bytes::copy_from_slice(before.as_bytes()), r#""m":1"#);
            assert_eq!(marked, after, "{before}");
            let whole = |result: &str| format!(r#"{{"id":1,"result":{result}}}"#);
            assert_eq!(message(whole(before).into(), r#""m":1"#), whole(after), "{before}");
        }
        let error = Bytes::from_static(br#"{"id":1,"error":{}}"#);
        assert_eq!(message(error.clone(), r#""m":1"#), error);
    }
}
