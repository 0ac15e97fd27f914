//! Histograms of fixed size: an array of counters, updated in place.
//!
//! The exporter's own histogram keeps every value (16 bytes, in blocks of 64 that it allocates on the recording
//! path) until somebody scrapes or runs its upkeep; between two such runs its memory grows with the load. Here a
//! value becomes one more in its bucket at once.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use metrics::HistogramFn;

/// Upper bounds in seconds: 0.5 ms, which a gateway hop should stay under, to a minute, the usual deadline of a
/// call, in steps of 2 to 2.5.
pub(super) const BOUNDS: [f64; 16] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// How often each bucket was hit (the last one is for what exceeds all bounds), and the sum of all values.
#[derive(Debug, Default)]
pub(super) struct Buckets {
    hits: [AtomicU64; BOUNDS.len() + 1],
    /// The bits of an `f64`.
    sum: AtomicU64,
}

impl HistogramFn for Buckets {
    fn record(&self, value: f64) {
        // A sum that is no longer a number would never be one again.
        if !value.is_finite() {
            return;
        }
        let index = BOUNDS.partition_point(|bound| value > *bound);
        if let Some(hits) = self.hits.get(index) {
            hits.fetch_add(1, Ordering::Relaxed);
        }
        let mut sum = self.sum.load(Ordering::Relaxed);
        loop {
            let more = (f64::from_bits(sum) + value).to_bits();
            match self.sum.compare_exchange_weak(sum, more, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(seen) => sum = seen,
            }
        }
    }
}

impl Buckets {
    /// Writes the series in Prometheus' text format. `labels` is `a="b",c="d"` or empty.
    pub fn render(&self, out: &mut String, name: &str, labels: &str) {
        let comma = if labels.is_empty() { "" } else { "," };
        let mut count = 0;
        for (index, hits) in self.hits.iter().enumerate() {
            count += hits.load(Ordering::Relaxed);
            let _ = match BOUNDS.get(index) {
                Some(bound) => writeln!(out, "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {count}"),
                None => writeln!(out, "{name}_bucket{{{labels}{comma}le=\"+Inf\"}} {count}"),
            };
        }
        let braced = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        let sum = f64::from_bits(self.sum.load(Ordering::Relaxed));
        let _ = writeln!(out, "{name}_sum{braced} {sum}\n{name}_count{braced} {count}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rendered(buckets: &Buckets, labels: &str) -> String {
        let mut out = String::new();
        buckets.render(&mut out, "x_seconds", labels);
        out
    }

    #[test]
    fn bounds_rise() {
        assert!(BOUNDS.is_sorted_by(|one, next| one < next));
    }

    #[test]
    fn a_value_on_a_bound_belongs_to_it() {
        let buckets = Buckets::default();
        buckets.record(0.001);
        let text = rendered(&buckets, "");
        assert!(text.contains("x_seconds_bucket{le=\"0.0005\"} 0\n"), "{text}");
        assert!(text.contains("x_seconds_bucket{le=\"0.001\"} 1\n"), "{text}");
        assert!(
            text.contains("x_seconds_bucket{le=\"+Inf\"} 1\nx_seconds_sum 0.001\nx_seconds_count 1\n"),
            "{text}"
        );
    }

    #[test]
    fn labels_stand_beside_the_bound() {
        let buckets = Buckets::default();
        buckets.record(100.0);
        let text = rendered(&buckets, "server=\"files\"");
        assert!(text.contains("x_seconds_bucket{server=\"files\",le=\"60\"} 0\n"), "{text}");
        assert!(
            text.ends_with("x_seconds_sum{server=\"files\"} 100\nx_seconds_count{server=\"files\"} 1\n"),
            "{text}"
        );
    }

    #[test]
    fn threads_lose_nothing() {
        let buckets = Buckets::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10_000).for_each(|_| buckets.record(0.5)));
            }
        });
        let text = rendered(&buckets, "");
        assert!(text.contains("x_seconds_sum 20000\nx_seconds_count 40000\n"), "{text}");
    }

    proptest! {
        #[test]
        fn counts_are_those_of_the_values(values in prop::collection::vec(any::<f64>(), 0..50)) {
            let buckets = Buckets::default();
            values.iter().for_each(|value| buckets.record(*value));
            let text = rendered(&buckets, "");
            for bound in BOUNDS {
                let expected = values.iter().filter(|value| value.is_finite() && **value <= bound).count();
                let line = format!("x_seconds_bucket{{le=\"{bound}\"}} {expected}\n");
                prop_assert!(text.contains(&line), "{line} is not in {text}");
            }
        }
    }
}
