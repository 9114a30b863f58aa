//! Keeping the log readable: what repeats is logged now and then, with a count.

use std::time::Duration;

use tokio::time::Instant;

/// Lets one occurrence through per `every` and counts the others.
#[derive(Debug)]
pub(crate) struct Throttle {
    every: Duration,
    last: Option<Instant>,
    held_back: u64,
}

impl Throttle {
    pub fn new(every: Duration) -> Self {
        Self { every, last: None, held_back: 0 }
    }

    /// `count` more occurrences; `Some(total)` when it is time to log, with those held back since the last time.
    pub fn admit(&mut self, count: u64, now: Instant) -> Option<u64> {
        self.held_back += count;
        let due = self.last.is_none_or(|last| now.duration_since(last) >= self.every);
        if !due || self.held_back == 0 {
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.held_back))
    }

    /// What was held back until now, for the last line.
    pub fn rest(&mut self) -> Option<u64> {
        Some(std::mem::take(&mut self.held_back)).filter(|count| *count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_passes_and_the_rest_are_counted() {
        let start = Instant::now();
        let mut throttle = Throttle::new(Duration::from_secs(60));
        assert_eq!(throttle.admit(0, start), None);
        assert_eq!(throttle.admit(1, start), Some(1));
        assert_eq!(throttle.admit(2, start + Duration::from_secs(59)), None);
        assert_eq!(throttle.admit(1, start + Duration::from_secs(60)), Some(3));
        assert_eq!(throttle.rest(), None);
        assert_eq!(throttle.admit(2, start + Duration::from_secs(61)), None);
        assert_eq!((throttle.rest(), throttle.rest()), (Some(2), None));
    }
}
