//! Request ids, kept as the bytes that arrived.

use std::fmt;

use bytes::Bytes;

/// A JSON-RPC request id as its raw JSON text: `"1"` is not `1`, and neither loses a digit.
///
/// Strings and integers of any size are ids; null, fractions, exponents and anything else are not (MCP,
/// `basic/index`: "requests MUST include a string or integer ID", "the ID MUST NOT be null").
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RawId(Bytes);

impl RawId {
    /// Takes the raw JSON text of an id, or refuses it.
    pub fn new(raw: Bytes) -> Option<RawId> {
        is_id(&raw).then_some(RawId(raw))
    }

    /// The id as it arrived.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// An id of our own minting.
    pub fn from_number(number: u64) -> RawId {
        RawId(Bytes::from(number.to_string()))
    }
}

impl fmt::Debug for RawId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

/// Whether the JSON text `raw`, known to be well-formed, is a string or an integer.
pub fn is_id(raw: &[u8]) -> bool {
    match raw.first() {
        Some(b'"') => true,
        Some(b'-' | b'0'..=b'9') => !raw.iter().any(|b| matches!(b, b'.' | b'e' | b'E')),
        _ => false,
    }
}

/// The number that a raw id of our own minting spells. Some servers echo a number as a string; both are read.
pub fn minted(raw: &[u8]) -> Option<u64> {
    let digits = raw.strip_prefix(b"\"").and_then(|r| r.strip_suffix(b"\"")).unwrap_or(raw);
    if digits.is_empty() || digits.len() > 16 {
        return None;
    }
    digits
        .iter()
        .try_fold(0u64, |number, byte| byte.is_ascii_digit().then(|| number * 10 + u64::from(byte - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_and_integers_of_any_size_are_ids_and_nothing_else_is() {
        for id in ["\"\"", "\"1\"", "0", "-7", "123456789012345678901234567890"] {
            assert!(RawId::new(Bytes::from_static(id.as_bytes())).is_some(), "{id}");
        }
        for not in ["null", "1.5", "1e3", "2E1", "{}", "[]", "true", ""] {
            assert!(RawId::new(Bytes::from_static(not.as_bytes())).is_none(), "{not}");
        }
    }

    #[test]
    fn minted_ids_are_read_back_also_when_a_server_quotes_them() {
        assert_eq!(minted(b"42"), Some(42));
        assert_eq!(minted(b"\"42\""), Some(42));
        assert_eq!(minted(b"-1"), None);
        assert_eq!(minted(b"99999999999999999"), None);
    }
}
