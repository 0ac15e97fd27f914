//! What of a row is sealed, and how. Pure.
//!
//! A digest is over numbered fields, and a field with its default is left out. So a column that a later version adds takes
//! the next number, and rows from before keep their digest. A number never changes its meaning.

use aws_lc_rs::digest::{SHA256, digest};

/// A SHA-256.
pub(super) type Digest = [u8; 32];

/// One field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field<'a> {
    /// A text; empty is the default.
    Text(&'a str),
    /// A number; 0 is the default.
    Number(i64),
    /// A number that may be missing.
    Maybe(Option<i64>),
    /// Bytes, or a text, that may be missing.
    Given(Option<&'a [u8]>),
}

/// The digest of fields in their order; at most 255. `room` is what it is written into, so that many need one allocation.
pub(super) fn digest_in(room: &mut Vec<u8>, fields: &[Field<'_>]) -> Digest {
    room.clear();
    for (number, field) in fields.iter().enumerate() {
        match field {
            Field::Text("") | Field::Number(0) | Field::Maybe(None) | Field::Given(None) => {}
            Field::Text(text) => add(room, number, text.as_bytes()),
            Field::Number(value) | Field::Maybe(Some(value)) => add(room, number, &value.to_le_bytes()),
            Field::Given(Some(given)) => add(room, number, given),
        }
    }
    sha256(room)
}

/// The digest of fields in their order.
pub(super) fn digest_of(fields: &[Field<'_>]) -> Digest {
    digest_in(&mut Vec::new(), fields)
}

/// The digest of bytes.
pub(super) fn sha256(bytes: &[u8]) -> Digest {
    let mut found = Digest::default();
    found.copy_from_slice(digest(&SHA256, bytes).as_ref());
    found
}

/// A digest as people read it.
pub(super) fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn add(bytes: &mut Vec<u8>, number: usize, value: &[u8]) {
    bytes.push(number as u8);
    bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
    bytes.extend_from_slice(value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_digest_is_the_sha_256_of_the_fields_as_they_are_documented() {
        // Field 0, 1 byte, "a"; field 2, 8 bytes, 7. FIPS 180-4's example stands in `base::fingerprint`.
        let bytes = b"\x00\x01\x00\x00\x00a\x02\x08\x00\x00\x00\x07\x00\x00\x00\x00\x00\x00\x00";
        assert_eq!(digest_of(&[Field::Text("a"), Field::Maybe(None), Field::Number(7)]), sha256(bytes));
        assert_eq!(hex(&sha256(b"abc")[..4]), "ba7816bf");
    }

    #[test]
    fn a_later_column_at_its_default_changes_nothing_and_any_other_does() {
        let row = [Field::Number(7), Field::Text("read"), Field::Maybe(None)];
        let later = [&row[..], &[Field::Text(""), Field::Maybe(None), Field::Number(0)]].concat();
        assert_eq!(digest_of(&row), digest_of(&later));
        let other = [&row[..], &[Field::Text("x")]].concat();
        assert_ne!(digest_of(&row), digest_of(&other));
    }

    #[test]
    fn missing_and_nothing_are_not_the_same_where_both_can_be() {
        assert_ne!(digest_of(&[Field::Maybe(Some(0))]), digest_of(&[Field::Maybe(None)]));
        assert_ne!(digest_of(&[Field::Given(Some(b""))]), digest_of(&[Field::Given(None)]));
    }

    proptest! {
        #[test]
        fn nothing_moves_from_one_field_to_the_next(
            one in ".{0,9}", two in ".{0,9}", three in ".{0,9}", four in ".{0,9}",
        ) {
            let same = (&one, &two) == (&three, &four);
            let left = digest_of(&[Field::Text(&one), Field::Text(&two)]);
            let right = digest_of(&[Field::Text(&three), Field::Text(&four)]);
            prop_assert_eq!(left == right, same);
        }
    }
}
