//! The measuring part: takes each call, gives away what was counted, and takes back what could not be delivered.
//!
//! Time comes from outside. With delta temporality what is given away is gone unless it is given back; then it is added
//! to what came in the meantime, and counts from its old start. With cumulative temporality everything stays.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ai_tracing_config::ai_tracing::{OtlpSemconv, OtlpTemporality};
use ai_tracing_core::record::CallRecord;
use ai_tracing_core::time::At;

use super::instruments::values;
use super::labels::Labels;
use super::sums::{Key, Point, Sums};
use crate::stats::Counter;

/// Counts calls. Fed by the engine's thread.
#[derive(Debug)]
pub(super) struct Meter {
    semconv: OtlpSemconv,
    temporality: OtlpTemporality,
    /// Values that were counted under `otel.metric.overflow`.
    pub folded: Counter,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    sums: Sums,
    /// What comes now counts from here.
    since: At,
}

impl Meter {
    pub fn new(semconv: OtlpSemconv, temporality: OtlpTemporality, now: At) -> Self {
        let state = Mutex::new(State { sums: Sums::default(), since: now });
        Self { semconv, temporality, folded: Counter::default(), state }
    }

    pub fn semconv(&self) -> OtlpSemconv {
        self.semconv
    }

    pub fn temporality(&self) -> OtlpTemporality {
        self.temporality
    }

    /// Counts a call.
    pub fn observe(&self, record: &CallRecord) {
        let labels = Arc::new(Labels::of(record, self.semconv));
        let mut state = self.state();
        let State { sums, since } = &mut *state;
        values(record, |instrument, tokens, value| {
            if !sums.add(instrument, Key::Of(Arc::clone(&labels), tokens), value, *since) {
                self.folded.add(1);
            }
        });
    }

    /// What is to be sent, and the end of the time that it covers: `now`, or later where the clock was set back.
    pub fn collect(&self, now: At) -> (Vec<Point>, At) {
        let mut state = self.state();
        let until = now.max(state.since);
        let points = state.sums.points().collect();
        if self.temporality == OtlpTemporality::Delta {
            *state = State { sums: Sums::default(), since: until };
        }
        (points, until)
    }

    /// Takes back what could not be delivered.
    pub fn give_back(&self, points: impl IntoIterator<Item = Point>) {
        if self.temporality == OtlpTemporality::Cumulative {
            return;
        }
        let mut state = self.state();
        for point in points {
            if !state.sums.merge(point) {
                self.folded.add(1);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
