//! Sealing: small pieces of our state that travel through a client and come back unread and unchanged.
//!
//! Session ids, and whatever else a client only has to hand back, are encrypted and authenticated with
//! AES-256-GCM-SIV (RFC 8452) under a random nonce. The SIV mode is chosen because many replicas may share
//! one key without coordination: a repeated nonce then reveals only that two payloads were equal, where
//! plain GCM would lose its authentication key. The purpose of a seal is its associated data, so that what
//! was sealed for one purpose opens for no other.
//!
//! The sealed text is `base64url(ciphertext ‖ tag ‖ nonce)` without padding, 28 bytes longer than the
//! payload before encoding. Key material is wiped after use (aws-lc wipes what it frees) and never printed.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, RandomizedNonceKey, UnboundKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use super::random;

/// Bytes in a key: what AES-256 takes.
pub const SEAL_KEY_LEN: usize = 32;
/// Bytes in the authentication tag of AES-GCM-SIV.
const TAG_LEN: usize = 16;

/// The key that seals. Clones share it.
#[derive(Clone)]
pub struct SealKey(Arc<Aead>);

struct Aead {
    random: RandomizedNonceKey,
    /// The same key, for seals whose nonce follows from what they hold.
    derived: LessSafeKey,
}

impl SealKey {
    /// A key that lives as long as this process: for a gateway without a data directory.
    #[must_use]
    pub fn random() -> SealKey {
        let mut bytes = Zeroizing::new([0; SEAL_KEY_LEN]);
        random::fill(bytes.as_mut());
        SealKey::from_bytes(&bytes)
    }

    /// The key with these bytes.
    ///
    /// # Panics
    /// If aws-lc cannot set up a key, which it does only when memory is exhausted.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; SEAL_KEY_LEN]) -> SealKey {
        let random = RandomizedNonceKey::new(&AES_256_GCM_SIV, bytes);
        let derived = UnboundKey::new(&AES_256_GCM_SIV, bytes).map(LessSafeKey::new);
        match (random, derived) {
            (Ok(random), Ok(derived)) => SealKey(Arc::new(Aead { random, derived })),
            _ => panic!("AES-256-GCM-SIV refused a key of the right length"),
        }
    }

    /// Seals `payload` so that the same payload gives the same text each time: for what a client compares.
    ///
    /// The nonce is the tag that the key gives the payload, so that it says nothing to anybody else; equal nonces mean
    /// equal payloads, which is what the mode is made for.
    ///
    /// # Panics
    /// As [`SealKey::seal`].
    #[must_use]
    pub fn seal_alike(&self, purpose: &'static [u8], payload: &[u8]) -> String {
        let mut copy = payload.to_vec();
        let label = [purpose, b" nonce"].concat();
        let nonce = Nonce::assume_unique_for_key([0; NONCE_LEN]);
        let tag = self.0.derived.seal_in_place_separate_tag(nonce, Aad::from(&label[..]), &mut copy);
        let derived = tag.as_ref().ok().and_then(|tag| tag.as_ref().first_chunk::<NONCE_LEN>()).copied();
        let mut buffer = Vec::with_capacity(payload.len() + TAG_LEN + NONCE_LEN);
        buffer.extend_from_slice(payload);
        let sealed = derived.map(|nonce| {
            let nonce = Nonce::assume_unique_for_key(nonce);
            self.0.derived.seal_in_place_append_tag(nonce, Aad::from(purpose), &mut buffer)
        });
        match (derived, sealed) {
            (Some(nonce), Some(Ok(()))) => buffer.extend_from_slice(&nonce),
            _ => panic!("sealing failed: the payload is beyond the cipher's limit"),
        }
        URL_SAFE_NO_PAD.encode(buffer)
    }

    /// Seals `payload` for `purpose`. The same payload gives another text each time.
    ///
    /// # Panics
    /// If the payload exceeds 64 GiB, the cipher's own limit.
    #[must_use]
    pub fn seal(&self, purpose: &'static [u8], payload: &[u8]) -> String {
        let mut buffer = Vec::with_capacity(payload.len() + TAG_LEN + NONCE_LEN);
        buffer.extend_from_slice(payload);
        match self.0.random.seal_in_place_append_tag(Aad::from(purpose), &mut buffer) {
            Ok(nonce) => buffer.extend_from_slice(nonce.as_ref()),
            Err(_) => panic!("sealing failed: the payload is beyond the cipher's limit"),
        }
        URL_SAFE_NO_PAD.encode(buffer)
    }

    /// Opens what [`SealKey::seal`] made for the same purpose.
    ///
    /// Whatever is wrong with `sealed` (its alphabet, its length, its key, its purpose, one bit), the answer
    /// is the same `None`, so that nobody learns from us how far a forgery got.
    #[must_use]
    pub fn open(&self, purpose: &'static [u8], sealed: &str) -> Option<Vec<u8>> {
        let mut buffer = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let body_len = buffer.len().checked_sub(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(buffer.get(body_len..)?).ok()?;
        let body = buffer.get_mut(..body_len)?;
        let payload_len = self.0.random.open_in_place(nonce, Aad::from(purpose), body).ok()?.len();
        buffer.truncate(payload_len);
        Some(buffer)
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SESSION: &[u8] = b"session";
    const TASK: &[u8] = b"task";

    #[test]
    fn sealing_twice_gives_two_texts() {
        let key = SealKey::random();
        assert_ne!(key.seal(SESSION, b"same"), key.seal(SESSION, b"same"));
    }

    #[test]
    fn what_is_sealed_alike_is_equal_and_opens() {
        let key = SealKey::random();
        let seal = |payload: &[u8]| key.seal_alike(TASK, payload);
        assert_eq!(seal(b"one"), seal(b"one"));
        assert_ne!(seal(b"one")[..4], seal(b"two")[..4]);
        assert_ne!(seal(b"one"), key.seal_alike(SESSION, b"one"));
        assert_ne!(seal(b"one"), SealKey::random().seal_alike(TASK, b"one"));
        assert_eq!(key.open(TASK, &seal(b"one")).as_deref(), Some(&b"one"[..]));
        assert_eq!(key.open(SESSION, &seal(b"one")), None);
    }

    #[test]
    fn another_key_opens_nothing() {
        let sealed = SealKey::random().seal(SESSION, b"mine");
        assert_eq!(SealKey::random().open(SESSION, &sealed), None);
    }

    #[test]
    fn the_same_bytes_make_the_same_key() {
        let (one, other) = (SealKey::from_bytes(&[7; SEAL_KEY_LEN]), SealKey::from_bytes(&[7; SEAL_KEY_LEN]));
        assert_eq!(other.open(SESSION, &one.seal(SESSION, b"shared")).as_deref(), Some(b"shared".as_slice()));
    }

    #[test]
    fn a_key_is_never_printed() {
        assert_eq!(format!("{:?}", SealKey::from_bytes(&[7; SEAL_KEY_LEN])), "SealKey(…)");
    }

    #[test]
    fn no_other_spelling_of_a_seal_opens() {
        let key = SealKey::random();
        // 2 payload bytes make 30 in all and end on a full group; 3 leave unused bits in the last character.
        for payload in [b"ab".as_slice(), b"abc", b"abcd"] {
            let sealed = key.seal(SESSION, payload);
            for spelling in
                [format!("{sealed}="), format!("{sealed}A"), format!(" {sealed}"), format!("{sealed}\n")]
            {
                assert_eq!(key.open(SESSION, &spelling), None, "{spelling:?} opened");
            }
            let (rest, last) = sealed.split_at(sealed.len() - 1);
            for other in ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['-', '_']) {
                if !last.starts_with(other) {
                    assert_eq!(key.open(SESSION, &format!("{rest}{other}")), None);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn what_was_sealed_opens(payload: Vec<u8>) {
            let key = SealKey::random();
            let sealed = key.seal(SESSION, &payload);
            prop_assert!(sealed.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
            prop_assert_eq!(key.open(SESSION, &sealed), Some(payload));
        }

        #[test]
        fn a_flipped_bit_opens_nothing(payload in prop::collection::vec(any::<u8>(), 0..64), at: prop::sample::Index) {
            let key = SealKey::random();
            let mut bytes = URL_SAFE_NO_PAD.decode(key.seal(SESSION, &payload)).unwrap();
            let bit = at.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(key.open(SESSION, &URL_SAFE_NO_PAD.encode(bytes)), None);
        }

        #[test]
        fn purposes_do_not_mix(payload: Vec<u8>) {
            let key = SealKey::random();
            prop_assert_eq!(key.open(TASK, &key.seal(SESSION, &payload)), None);
        }

        #[test]
        fn a_shortened_seal_opens_nothing(payload: Vec<u8>, keep: prop::sample::Index) {
            let key = SealKey::random();
            let sealed = key.seal(SESSION, &payload);
            prop_assert_eq!(key.open(SESSION, &sealed[..keep.index(sealed.len())]), None);
        }

        #[test]
        fn noise_opens_nothing(noise: String) {
            prop_assert_eq!(SealKey::random().open(SESSION, &noise), None);
        }
    }
}
