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

/// Whether something works: a failure is told when it begins, now and then while it lasts, and when it ends. Of failures
/// that come and go, one is told in the same time.
#[derive(Debug)]
pub(crate) struct Health {
    failing_since: Option<Instant>,
    told: bool,
    throttle: Throttle,
}

impl Health {
    pub fn new(every: Duration) -> Self {
        Self { failing_since: None, told: false, throttle: Throttle::new(every) }
    }

    /// One more failure; `Some(failures since the last line)` when it is time to log.
    pub fn failed(&mut self, now: Instant) -> Option<u64> {
        self.failing_since.get_or_insert(now);
        let due = self.throttle.admit(1, now);
        self.told |= due.is_some();
        due
    }

    /// A success; `Some(seconds)` when it ends a failure that was logged.
    pub fn recovered(&mut self, now: Instant) -> Option<u64> {
        let since = self.failing_since.take()?;
        std::mem::take(&mut self.told).then(|| now.duration_since(since).as_secs())
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

    #[test]
    fn the_log_hears_of_a_failure_when_it_begins_each_minute_and_when_it_ends() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut health = Health::new(Duration::from_secs(60));
        assert_eq!(health.recovered(at(0)), None, "nothing had failed");
        assert_eq!(health.failed(at(1)), Some(1));
        assert_eq!((health.failed(at(2)), health.failed(at(60))), (None, None));
        assert_eq!(health.failed(at(61)), Some(3));
        assert_eq!(health.recovered(at(70)), Some(69));
        assert_eq!(health.recovered(at(71)), None);
        assert_eq!((health.failed(at(72)), health.recovered(at(73))), (None, None), "not another within the minute");
        assert_eq!(health.failed(at(130)), Some(2));
    }
}
