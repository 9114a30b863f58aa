//! Observations, counted by size.

/// A histogram with fixed bounds.
#[derive(Clone, Debug)]
pub struct Histogram {
    /// Upper bounds (inclusive), rising.
    bounds: &'static [f64],
    /// One for each bound, and one for what is above them all.
    counts: Box<[u64]>,
    sum: f64,
}

impl Histogram {
    /// An empty histogram. `bounds` rise; what is above the last one is counted too.
    pub fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, counts: vec![0; bounds.len() + 1].into(), sum: 0.0 }
    }

    /// Counts a value; what is no amount (negative, infinite, not a number) is left out.
    pub fn observe(&mut self, value: f64) {
        if !value.is_finite() || value < 0.0 {
            return;
        }
        let bucket = self.bounds.partition_point(|bound| *bound < value);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
            self.sum += value;
        }
    }

    /// Adds what another histogram with the same bounds has counted.
    pub fn merge(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, other)| *count += other);
        self.sum += other.sum;
    }

    /// Whether nothing was observed.
    pub fn is_empty(&self) -> bool {
        self.counts.iter().all(|count| *count == 0)
    }

    /// Each upper bound (the last is infinity) with the number of values between it and the one before.
    pub fn buckets(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        self.bounds.iter().copied().chain([f64::INFINITY]).zip(self.counts.iter().copied())
    }

    /// The sum of all values.
    pub fn sum(&self) -> f64 {
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_inclusive_and_nonsense_is_left_out() {
        let mut histogram = Histogram::new(&[1.0, 2.0]);
        assert!(histogram.is_empty());
        [0.0, 1.0, 1.5, 2.0, 2.1, -1.0, f64::NAN, f64::INFINITY].into_iter().for_each(|value| histogram.observe(value));
        let counts: Vec<u64> = histogram.buckets().map(|(_, count)| count).collect();
        assert_eq!((counts, histogram.sum()), (vec![2, 2, 1], 6.6));
        histogram.merge(&histogram.clone());
        assert_eq!((histogram.buckets().map(|(_, count)| count).sum(), histogram.sum()), (10_u64, 13.2));
    }
}
