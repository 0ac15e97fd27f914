//! Names at the merged endpoint: `<server>__<name>`, fit for every client and model API.

use std::borrow::Cow;

use crate::base::{ServerName, short_hex};

/// What stands between a server's name and its own name for a tool. A server's name never contains it.
pub const SEPARATOR: &str = "__";
/// Hex digits of the hash that marks a shortened name: 32 bits, so that among a thousand shortened names of one
/// fleet a chance collision has odds of about 1 in 10,000; a collision is reported, not guessed.
const HASH_DIGITS: usize = 8;

/// The name of `own` of `server` at the merged endpoint, at most `limit` characters of `[A-Za-z0-9_-]`.
///
/// Model APIs refuse anything else, and 64 characters less what clients put before are 48 (VS Code #243602). A name
/// that has to change ends in a hash of the original, so it stays the same whatever else is configured.
pub fn merged_name(server: &ServerName, own: &str, limit: usize) -> String {
    let plain = format!("{server}{SEPARATOR}{own}");
    if plain.len() <= limit && plain.bytes().all(is_safe) {
        return plain;
    }
    let hex = short_hex(plain.as_bytes(), HASH_DIGITS / 2);
    let room = limit.saturating_sub(HASH_DIGITS + 1).max(1);
    let kept: String =
        plain.chars().map(|c| if c.is_ascii() && is_safe(c as u8) { c } else { '_' }).take(room).collect();
    format!("{kept}_{hex}")
}

/// Splits a merged name that the catalog does not know (yet) into server and own name.
pub fn split(name: &str) -> Option<(&str, &str)> {
    name.split_once(SEPARATOR)
}

/// The scheme of a URI, in small letters (RFC 3986 §3.1).
pub fn scheme(uri: &str) -> Option<Cow<'_, str>> {
    let (scheme, _) = uri.split_once(':')?;
    let legal = !scheme.is_empty()
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    if !legal {
        return None;
    }
    Some(if scheme.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(scheme.to_ascii_lowercase())
    } else {
        Cow::Borrowed(scheme)
    })
}

fn is_safe(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn server() -> ServerName {
        ServerName::new("files").unwrap()
    }

    #[test]
    fn an_ordinary_name_is_only_prefixed() {
        assert_eq!(merged_name(&server(), "read_file", 48), "files__read_file");
    }

    #[test]
    fn a_long_or_unusual_name_is_shortened_the_same_way_each_time() {
        let long = "x".repeat(60);
        assert_eq!(merged_name(&server(), &long, 48), merged_name(&server(), &long, 48));
        assert_ne!(merged_name(&server(), &long, 48), merged_name(&server(), &(long.clone() + "y"), 48));
        assert!(merged_name(&server(), "a.b/c", 48).starts_with("files__a_b_c_"));
    }

    #[test]
    fn schemes_are_read_as_the_rfc_says() {
        assert_eq!(scheme("FILE:///x").as_deref(), Some("file"));
        assert_eq!(scheme("no scheme"), None);
        assert_eq!(scheme("a b://x"), None);
    }

    proptest! {
        #[test]
        fn every_name_is_fit_for_every_client(own in any::<String>(), limit in 16usize..64) {
            let name = merged_name(&server(), &own, limit);
            prop_assert!(name.len() <= limit, "{name}");
            prop_assert!(name.bytes().all(is_safe), "{name}");
        }
    }
}
