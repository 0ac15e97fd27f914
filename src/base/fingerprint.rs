//! Short hashes that stand for something longer.

use aws_lc_rs::digest::{SHA256, digest};

/// Bytes of a fingerprint: half of a SHA-256, so that two different texts never meet by chance or on purpose.
pub const FINGERPRINT: usize = 16;

/// The fingerprint of `text`.
pub fn fingerprint(text: &[u8]) -> [u8; FINGERPRINT] {
    let mut short = [0; FINGERPRINT];
    short.copy_from_slice(&digest(&SHA256, text).as_ref()[..FINGERPRINT]);
    short
}

/// The first `bytes` bytes of the fingerprint of `text`, as small hexadecimal digits.
pub fn short_hex(text: &[u8], bytes: usize) -> String {
    fingerprint(text).iter().take(bytes).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_the_beginning_of_the_sha_256() {
        // FIPS 180-4's example: the SHA-256 of "abc" begins so.
        assert_eq!(short_hex(b"abc", 8), "ba7816bf8f01cfea");
        assert_eq!(fingerprint(b"abc")[..2], [0xba, 0x78]);
    }
}
