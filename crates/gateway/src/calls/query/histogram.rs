//! Percentiles of many durations in little memory.

/// Each bucket is this much wider than the one before it: a percentile is off by 1 % at most.
const GROWTH: f64 = 1.02;
/// The shortest duration that has a bucket of its own, in milliseconds.
const SMALLEST_MS: f64 = 0.01;
/// Up to 0.01 ms * 1.02^1400, about four months.
const BUCKETS: usize = 1_400;

/// How often each duration was seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Histogram {
    /// Grows up to [`BUCKETS`] as longer durations come.
    counts: Vec<u32>,
    total: u64,
}

impl Histogram {
    /// Adds a duration in milliseconds.
    pub fn add(&mut self, ms: f64) {
        // Negative and not-a-number become 0.
        let index = ((ms / SMALLEST_MS).max(1.0).ln() / GROWTH.ln()) as usize;
        let index = index.min(BUCKETS - 1);
        if self.counts.len() <= index {
            self.counts.resize(index + 1, 0);
        }
        if let Some(count) = self.counts.get_mut(index) {
            *count = count.saturating_add(1);
            self.total += 1;
        }
    }

    /// The duration in milliseconds that this share of all does not exceed; `None` when there is none.
    pub fn percentile(&self, share: f64) -> Option<f64> {
        let wanted = ((self.total as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        let index = self.counts.iter().position(|count| {
            seen += u64::from(*count);
            seen >= wanted
        })?;
        // The middle of the bucket.
        Some(SMALLEST_MS * GROWTH.powf(index as f64 + 0.5))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_off_by_one_percent_at_most() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.percentile(0.5), None);
        (1..=10_000).for_each(|n| histogram.add(f64::from(n)));
        for (share, exact) in [(0.5, 5_000.0), (0.95, 9_500.0), (0.99, 9_900.0), (1.0, 10_000.0)] {
            let found = histogram.percentile(share).unwrap();
            assert!((found / exact - 1.0).abs() <= 0.0101, "{share}: {found}");
        }
    }

    #[test]
    fn odd_durations_are_kept_in_bounds() {
        let mut histogram = Histogram::default();
        [f64::NAN, -1.0, 0.0, f64::INFINITY, 1e300].into_iter().for_each(|ms| histogram.add(ms));
        assert!(histogram.percentile(0.5).unwrap() < 0.011);
        assert!(histogram.percentile(1.0).unwrap().is_finite());
        assert!(histogram.counts.len() <= BUCKETS);
    }
}
