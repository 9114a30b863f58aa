//! What the log hears of a destination: every change at once, what lasts or repeats once a minute, and all of it in
//! numbers by the end.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::destination::Destination;
use crate::log::Throttle;

/// How often a state that lasts is logged.
const EVERY: Duration = Duration::from_secs(60);

/// Why a queue drops.
const OVERFLOW: &str = "more wait than may, the oldest made room";

/// The lines about one destination.
pub(super) struct Told {
    destination: Arc<Destination>,
    health: Health,
    losses: Throttle,
    overflow: Throttle,
}

impl Told {
    pub fn new(destination: Arc<Destination>) -> Self {
        Self { destination, health: Health::default(), losses: Throttle::new(EVERY), overflow: Throttle::new(EVERY) }
    }

    /// An attempt failed.
    pub fn failed(&mut self, why: &str, now: Instant) {
        self.destination.set_failing(Some(why.to_owned()));
        if let Some(failures) = self.health.failed(now) {
            let waiting = self.destination.counters.stats().waiting;
            tracing::warn!(failures, waiting, "AI Tracing: {} does not take records: {why}", self.destination.name);
        }
    }

    /// Records were taken.
    pub fn worked(&mut self, now: Instant) {
        self.destination.set_failing(None);
        if let Some(lasted) = self.health.recovered(now) {
            tracing::info!("AI Tracing: {} takes records again after {lasted} s", self.destination.name);
        }
    }

    /// Records were dropped.
    pub fn lost(&mut self, count: u64, why: &str) {
        self.destination.set_lost(why);
        if let Some(lost) = self.losses.admit(count, Instant::now()) {
            tracing::error!(lost, "AI Tracing: {} lost records: {why}", self.destination.name);
        }
    }

    /// The queue drops by itself; what it dropped is told here.
    pub fn overflow(&mut self) {
        let counters = &self.destination.counters;
        let more = counters.overflow.get().saturating_sub(counters.overflow_told.get());
        counters.overflow_told.add(more);
        let lost = self.overflow.admit(more, Instant::now());
        if let Some(lost) = lost {
            tracing::error!(lost, "AI Tracing: {} lost records: {OVERFLOW}", self.destination.name);
        }
    }

    /// The last lines: what was held back since the ones before.
    pub fn rest(&mut self) {
        self.overflow();
        if let Some(lost) = self.overflow.rest() {
            tracing::error!(lost, "AI Tracing: {} lost records: {OVERFLOW}", self.destination.name);
        }
        if let Some(lost) = self.losses.rest() {
            tracing::error!(lost, "AI Tracing: {} lost records", self.destination.name);
        }
    }
}

/// Whether the destination works: a failure is told when it begins and once a minute while it lasts, and its end. Of
/// failures that come and go within a minute, one is told.
struct Health {
    failing_since: Option<Instant>,
    told: bool,
    throttle: Throttle,
}

impl Default for Health {
    fn default() -> Self {
        Self { failing_since: None, told: false, throttle: Throttle::new(EVERY) }
    }
}

impl Health {
    /// One more failure; `Some(failures since the last line)` when it is time to log.
    fn failed(&mut self, now: Instant) -> Option<u64> {
        self.failing_since.get_or_insert(now);
        let due = self.throttle.admit(1, now);
        self.told |= due.is_some();
        due
    }

    /// A success; `Some(seconds)` when it ends a failure that was logged.
    fn recovered(&mut self, now: Instant) -> Option<u64> {
        let since = self.failing_since.take()?;
        std::mem::take(&mut self.told).then(|| now.duration_since(since).as_secs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_hears_of_a_failure_when_it_begins_each_minute_and_when_it_ends() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut health = Health::default();
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
