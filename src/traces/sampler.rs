//! Which requests are traced that bring no trace: a share of them, by the id that their trace gets.

use crate::protocol::traceparent::TraceId;

/// Takes a share of all traces. What a smaller share takes, a larger one takes as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sampler {
    /// Ids below it are taken; of 63 bits, so that a share of 1 takes all.
    bound: u64,
}

impl Sampler {
    /// A sampler that takes this share, from 0 to 1. The arithmetic is that of `TraceIdRatioBased` in the SDKs for Go and
    /// Rust; the specification leaves it open.
    pub fn new(share: f64) -> Sampler {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the share is within 0 and 1, and so the product within 63 bits"
        )]
        let bound = (share.clamp(0.0, 1.0) * (1u64 << 63) as f64) as u64;
        Sampler { bound }
    }

    /// Whether the trace is one of the share.
    pub fn takes(&self, trace: &TraceId) -> bool {
        let [.., a, b, c, d, e, f, g, h] = *trace.bytes();
        u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 1 < self.bound
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn trace(low: u64) -> TraceId {
        let mut bytes = [7; 16];
        bytes[8..].copy_from_slice(&low.to_be_bytes());
        TraceId::new(bytes).unwrap()
    }

    #[test]
    fn the_ends_of_the_scale_are_all_and_nothing() {
        for low in [0, 1, u64::MAX / 2, u64::MAX] {
            assert!(Sampler::new(1.0).takes(&trace(low)) && !Sampler::new(0.0).takes(&trace(low)), "{low}");
        }
        assert!(
            Sampler::new(0.5).takes(&trace(u64::MAX / 2))
                && !Sampler::new(0.5).takes(&trace(u64::MAX / 2 + 1))
        );
    }

    proptest! {
        #[test]
        fn a_larger_share_takes_what_a_smaller_one_takes(low: u64, one in 0.0..=1.0f64, other in 0.0..=1.0f64) {
            let (small, large) = (Sampler::new(one.min(other)), Sampler::new(one.max(other)));
            prop_assert!(!small.takes(&trace(low)) || large.takes(&trace(low)));
        }
    }
}
