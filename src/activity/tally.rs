//! How many calls of a context a slot of time holds, and how long they took.
//!
//! Times are counted in buckets: eight to each power of two, so that a bucket's middle is at most 6 % off. A text of
//! tallies is a list of (bucket, count) pairs, and two lists behind each other are their sum: a slot's row grows by
//! appending.

use std::collections::BTreeMap;

/// Bits of an id (microseconds) that a slot leaves out: 2^23 µs are 8.4 s.
pub(super) const SLOT_BITS: u32 = 23;
/// Buckets to each power of two, as a power of two.
const PARTS_BITS: u32 = 3;

/// The slot of a row's id.
pub(super) fn slot(id: i64) -> i64 {
    id >> SLOT_BITS
}

/// The ids of a slot: from the first to before the second.
pub(super) fn bounds(slot: i64) -> (i64, i64) {
    (slot << SLOT_BITS, (slot + 1) << SLOT_BITS)
}

/// Times, counted by bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Times(BTreeMap<u16, u64>);

impl Times {
    /// Counts a time in microseconds.
    pub fn add(&mut self, micros: i64) {
        *self.0.entry(bucket(micros)).or_default() += 1;
    }

    /// The pairs, to be appended to those of the same slot.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.0.len() * 4);
        for (bucket, count) in &self.0 {
            varint(&mut bytes, u64::from(*bucket));
            varint(&mut bytes, *count);
        }
        bytes
    }

    /// Adds what pairs say; what is cut off in the middle of a pair is left out.
    pub fn absorb(&mut self, mut bytes: &[u8]) {
        while let Some((bucket, count)) = pair(&mut bytes) {
            *self.0.entry(bucket).or_default() += count;
        }
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.values().sum()
    }

    /// The time in microseconds below which `share` of them lie.
    pub fn percentile(&self, share: f64) -> u64 {
        let wanted = (self.count() as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (bucket, count) in &self.0 {
            seen += count;
            if seen >= wanted {
                return middle(*bucket);
            }
        }
        0
    }
}

fn bucket(micros: i64) -> u16 {
    let value = micros.max(0).cast_unsigned();
    if value < 1 << PARTS_BITS {
        return value as u16;
    }
    let exponent = value.ilog2() - PARTS_BITS;
    let part = (value >> exponent) & ((1 << PARTS_BITS) - 1);
    (((exponent + 1) << PARTS_BITS) as u64 + part) as u16
}

/// The middle of a bucket.
fn middle(bucket: u16) -> u64 {
    let (exponent, part) = (u32::from(bucket) >> PARTS_BITS, u64::from(bucket) & ((1 << PARTS_BITS) - 1));
    if exponent == 0 {
        return part;
    }
    let shift = (exponent - 1).min(60);
    (((1 << PARTS_BITS) + part) << shift) + ((1 << shift) >> 1)
}

fn varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn pair(bytes: &mut &[u8]) -> Option<(u16, u64)> {
    let mut next = || {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = bytes.split_first()?;
            *bytes = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    };
    Some((u16::try_from(next()?).ok()?, next()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_bucket_is_close_to_what_it_counts(micros in 0_i64..(1 << 52)) {
            let found = middle(bucket(micros));
            let off = found.abs_diff(micros.cast_unsigned());
            prop_assert!(off as f64 <= micros as f64 * 0.0625 + 0.5, "{micros} is counted as {found}");
        }

        #[test]
        fn appended_pairs_are_the_sum(one in prop::collection::vec(0_i64..1_000_000, 0..50), two in prop::collection::vec(0_i64..1_000_000, 0..50)) {
            let count = |values: &[i64]| {
                let mut times = Times::default();
                values.iter().for_each(|value| times.add(*value));
                times
            };
            let mut sum = Times::default();
            sum.absorb(&[count(&one).encode(), count(&two).encode()].concat());
            prop_assert_eq!(sum, count(&[one, two].concat()));
        }
    }

    #[test]
    fn percentiles_are_those_of_what_was_counted() {
        let mut times = Times::default();
        (1..=1_000).for_each(|value| times.add(value));
        for (share, exact) in [(0.5, 500), (0.95, 950), (0.99, 990)] {
            let found = times.percentile(share);
            assert!(found.abs_diff(exact) * 16 <= exact, "{share}: {found}");
        }
        assert_eq!(Times::default().percentile(0.5), 0);
    }
}
