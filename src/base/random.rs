//! Randomness for keys, nonces and jitter, from the process's one generator.
//!
//! aws-lc reseeds itself from the kernel and aborts the process when it cannot, so there is no weaker
//! source to fall back to and nothing for a caller to handle.

use aws_lc_rs::rand;

/// Fills `buffer` with random bytes fit for keys.
///
/// # Panics
/// If the generator reports a failure. aws-lc aborts before that can happen, and going on with bytes
/// that are not random would be worse.
pub fn fill(buffer: &mut [u8]) {
    if rand::fill(buffer).is_err() {
        panic!("the system gives no random numbers; a gateway cannot mint ids or keys without them");
    }
}

/// One uniformly distributed 64-bit number.
#[must_use]
pub fn next_u64() -> u64 {
    let mut bytes = [0; 8];
    fill(&mut bytes);
    u64::from_ne_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn numbers_do_not_repeat() {
        let drawn: HashSet<u64> = (0..10_000).map(|_| next_u64()).collect();
        // A repeat among 10,000 draws of 64 bits has a chance of about 3 in 10^12.
        assert_eq!(drawn.len(), 10_000);
    }

    #[test]
    fn fill_reaches_every_byte() {
        let mut union = [0u8; 40];
        for _ in 0..64 {
            let mut buffer = [0u8; 40];
            fill(&mut buffer);
            union.iter_mut().zip(buffer).for_each(|(seen, byte)| *seen |= byte);
        }
        assert!(union.iter().all(|seen| *seen != 0), "some byte stayed zero in 64 draws: {union:?}");
    }
}
