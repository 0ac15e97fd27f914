//! Percentiles and medians, exact: every latency of a round is kept.

use std::time::Duration;

/// One tick of a stored latency; a `u32` of them reaches seven minutes, past every deadline here.
const TICK_NANOS: u128 = 100;

/// The latencies of one round.
#[derive(Debug, Default, Clone)]
pub struct Samples {
    ticks: Vec<u32>,
}

impl Samples {
    /// Adds one latency.
    pub fn record(&mut self, latency: Duration) {
        self.ticks.push(u32::try_from(latency.as_nanos() / TICK_NANOS).unwrap_or(u32::MAX));
    }

    /// Takes over another's latencies.
    pub fn absorb(&mut self, mut other: Self) {
        self.ticks.append(&mut other.ticks);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ticks.len()
    }

    /// The percentiles asked for, in milliseconds (nearest rank); zeros without samples.
    pub fn percentiles<const N: usize>(&mut self, of: [f64; N]) -> [f64; N] {
        self.ticks.sort_unstable();
        of.map(|percent| {
            let rank = (percent / 100.0 * self.ticks.len() as f64).ceil() as usize;
            let tick = self.ticks.get(rank.saturating_sub(1)).copied().unwrap_or(0);
            f64::from(tick) * TICK_NANOS as f64 / 1e6
        })
    }
}

/// The median, with the mean of the middle two for an even count; zero for none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_ranks() {
        let mut samples = Samples::default();
        for micros in (1..=100).rev() {
            samples.record(Duration::from_micros(micros));
        }
        let [p1, p50, p99, p100] = samples.percentiles([1.0, 50.0, 99.0, 100.0]);
        assert_eq!([p1, p50, p99, p100], [0.001, 0.05, 0.099, 0.1]);
    }

    #[test]
    fn absorbing_keeps_every_sample() {
        let mut all = Samples::default();
        all.record(Duration::from_millis(1));
        let mut other = Samples::default();
        other.record(Duration::from_millis(3));
        all.absorb(other);
        assert_eq!(all.len(), 2);
        assert_eq!(all.percentiles([100.0]), [3.0]);
    }

    #[test]
    fn no_samples_are_zero_and_long_ones_saturate() {
        assert_eq!(Samples::default().percentiles([50.0]), [0.0]);
        let mut samples = Samples::default();
        samples.record(Duration::from_secs(100_000));
        let [p50] = samples.percentiles([50.0]);
        assert!(p50 > 400_000.0);
    }

    #[test]
    fn the_median_of_even_counts_is_the_mean_of_the_middle() {
        assert_eq!(median(&[]), 0.0);
        assert_eq!(median(&[5.0, 1.0, 3.0]), 3.0);
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), 2.5);
    }
}
