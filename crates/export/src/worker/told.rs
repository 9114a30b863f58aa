//! What the log hears of a destination: every change at once, what lasts or repeats once a minute, and all of it in
//! numbers by the end.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::destination::{Destination, OVERFLOW};
use crate::log::{Health, Throttle};

/// How often a state that lasts is logged.
const EVERY: Duration = Duration::from_secs(60);

/// The lines about one destination.
pub(super) struct Told {
    destination: Arc<Destination>,
    health: Health,
    losses: Throttle,
    overflow: Throttle,
}

impl Told {
    pub fn new(destination: Arc<Destination>) -> Self {
        Self { destination, health: Health::new(EVERY), losses: Throttle::new(EVERY), overflow: Throttle::new(EVERY) }
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
