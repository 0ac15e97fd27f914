//! What an API key is made of.

use aws_lc_rs::digest::{SHA256, digest};

use crate::base::{Secret, random};
use crate::store::KEY_DIGEST;

/// What every key begins with, so that people and scanners for leaked credentials recognise it.
pub const KEY_PREFIX: &str = "tl_";
/// Letters and digits: a double click selects the whole key, and no shell or URL changes it.
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Characters after the prefix: 43 of 62 are 256 bits, so that a plain SHA-256 is all that a key on file needs. Slow
/// hashes are for what people think up.
const RANDOM_CHARS: usize = 43;
/// Characters of a key that are shown to people; what remains unknown of it is 208 bits.
const HINT_CHARS: usize = KEY_PREFIX.len() + 8;
/// The longest name of a key: a principal's name is sealed into session ids.
const MAX_NAME: usize = 64;

/// A new key, on its only way out.
#[derive(Debug)]
pub struct MintedKey {
    /// The key itself.
    pub key: Secret,
    /// What is kept of it.
    pub digest: [u8; KEY_DIGEST],
    /// Its beginning, by which people recognise it.
    pub hint: String,
}

/// Makes a key.
pub fn mint() -> MintedKey {
    let mut key = String::from(KEY_PREFIX);
    let mut noise = [0; 64];
    while key.len() < KEY_PREFIX.len() + RANDOM_CHARS {
        random::fill(&mut noise);
        // Bytes beyond the last whole multiple of 62 would make some characters likelier than others.
        let fair = noise.iter().filter(|byte| usize::from(**byte) < 256 / ALPHABET.len() * ALPHABET.len());
        let chars = fair.map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]));
        key.extend(chars.take(KEY_PREFIX.len() + RANDOM_CHARS - key.len()));
    }
    MintedKey { digest: digest_of(&key), hint: key[..HINT_CHARS].to_owned(), key: Secret::new(key) }
}

/// What is kept of a key.
pub(super) fn digest_of(key: &str) -> [u8; KEY_DIGEST] {
    let mut kept = [0; KEY_DIGEST];
    kept.copy_from_slice(digest(&SHA256, key.as_bytes()).as_ref());
    kept
}

/// What names a key for people: a name as it is, of a whole key no more than is shown of it. A key that is pasted where it is
/// named goes no further than this.
pub fn spoken_of(text: &str) -> &str {
    let shown = if text.starts_with(KEY_PREFIX) { text.get(..HINT_CHARS) } else { None };
    shown.unwrap_or(text)
}

/// Whether a whole key stands in a text, such as a path: it must not be shown.
pub fn holds_key(text: &str) -> bool {
    text.match_indices(KEY_PREFIX).any(|(at, _)| {
        let rest = text.as_bytes().get(at + KEY_PREFIX.len()..).unwrap_or_default();
        rest.len() >= RANDOM_CHARS && rest.iter().take(RANDOM_CHARS).all(u8::is_ascii_alphanumeric)
    })
}

/// Whether a text can name a key: 1 to 64 letters, digits and `.`, `_`, `-`, `@`, a letter or digit first.
pub fn is_key_name(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@".contains(&byte);
    text.len() <= MAX_NAME
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.bytes().all(legal)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_key_has_its_prefix_and_256_bits_of_letters_and_digits() {
        let mut seen = HashSet::new();
        for _ in 0..200 {
            let minted = mint();
            let key = minted.key.expose();
            let body = key.strip_prefix(KEY_PREFIX).unwrap();
            assert_eq!(body.len(), RANDOM_CHARS);
            assert!(body.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{key}");
            assert_eq!(minted.digest, digest_of(key));
            assert!(key.starts_with(&minted.hint) && minted.hint.len() == HINT_CHARS);
            assert_eq!((spoken_of(key), spoken_of(&minted.hint)), (&*minted.hint, &*minted.hint));
            assert!(
                holds_key(&format!("/api/v1/keys/{key}?x")) && !holds_key(&format!("/keys/{}", minted.hint))
            );
            seen.extend(body.bytes());
        }
        // 8,600 draws leave out one of 62 characters with a chance of about 10^-59.
        assert_eq!(seen.len(), ALPHABET.len());
        assert!(format!("{:?}", mint()).contains("***"));
    }

    #[test]
    fn names_are_plain_words() {
        for name in ["ci", "a", "team-1.build@host_2", &"x".repeat(64)] {
            assert!(is_key_name(name), "{name}");
        }
        for name in ["", "-a", ".a", "a b", "a:b", "a#b", "é", "a\n", &"x".repeat(65)] {
            assert!(!is_key_name(name), "{name:?}");
        }
    }
}
