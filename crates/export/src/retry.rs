//! How long to wait before the next try: exponential backoff with full jitter.

use std::time::Duration;

/// The longest `Retry-After` that is believed.
pub(crate) const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);

/// When to try again, and when to give up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RetryOptions {
    /// A batch that could not be delivered for so long is given up.
    pub max_time: Duration,
    /// Upper end of the first pause.
    pub initial_delay: Duration,
    /// Upper end of every pause.
    pub max_delay: Duration,
}

/// The pauses of one destination. Randomness comes from a seed, so that a test can know every pause.
#[derive(Debug)]
pub(crate) struct Backoff {
    options: RetryOptions,
    failures: u32,
    random: SplitMix,
}

impl Backoff {
    pub fn new(options: RetryOptions, seed: u64) -> Self {
        Self { options, failures: 0, random: SplitMix(seed) }
    }

    /// The pause after one more failure: between 0 and a ceiling that doubles each time, but never shorter than what
    /// the destination asked for.
    pub fn pause(&mut self, after: Option<Duration>) -> Duration {
        let ceiling = self.options.initial_delay.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX));
        self.failures = self.failures.saturating_add(1);
        let jittered = ceiling.min(self.options.max_delay).mul_f64(self.random.unit());
        jittered.max(after.unwrap_or_default().min(MAX_RETRY_AFTER))
    }

    /// Something was delivered.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

/// SplitMix64: a few lines of good enough randomness for spreading retries.
#[derive(Debug)]
struct SplitMix(u64);

impl SplitMix {
    /// Uniform in 0.0..1.0.
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: RetryOptions = RetryOptions {
        max_time: Duration::from_secs(60),
        initial_delay: Duration::from_millis(10),
        max_delay: Duration::from_millis(1000),
    };

    #[test]
    fn pauses_stay_below_a_doubling_ceiling_and_use_the_room() {
        let mut longest = [Duration::ZERO; 40];
        for seed in 0..200 {
            let mut backoff = Backoff::new(OPTIONS, seed);
            for (failure, longest) in longest.iter_mut().enumerate() {
                let ceiling = Duration::from_millis(10 * 2_u64.pow(failure.min(20) as u32)).min(OPTIONS.max_delay);
                let pause = backoff.pause(None);
                assert!(pause <= ceiling, "{failure}: {pause:?}");
                *longest = pause.max(*longest);
            }
        }
        assert!(longest[0] > Duration::from_millis(8) && longest[39] > Duration::from_millis(900));
    }

    #[test]
    fn the_destinations_wish_is_the_least_and_is_capped() {
        let mut backoff = Backoff::new(OPTIONS, 1);
        assert_eq!(backoff.pause(Some(Duration::from_secs(7))), Duration::from_secs(7));
        assert_eq!(backoff.pause(Some(Duration::from_secs(86_400))), MAX_RETRY_AFTER);
    }

    #[test]
    fn success_starts_over() {
        let mut backoff = Backoff::new(OPTIONS, 1);
        for _ in 0..10 {
            let _ = backoff.pause(None);
        }
        backoff.reset();
        assert!(backoff.pause(None) <= OPTIONS.initial_delay);
    }
}
