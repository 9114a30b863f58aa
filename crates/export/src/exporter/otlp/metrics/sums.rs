//! Sums by metric and attributes, as many as OpenTelemetry's SDK keeps.

use std::collections::BTreeMap;
use std::sync::Arc;

use ai_tracing_core::time::At;

use super::instruments::{Instrument, TokenType, Value};
use super::labels::Labels;
use crate::metrics::Histogram;

/// Attribute sets of one metric, the one for what finds no room included: the SDK's default
/// (<https://opentelemetry.io/docs/specs/otel/metrics/sdk/#cardinality-limits>).
pub(super) const MAX_SETS: usize = 2000;

/// Which attributes a sum belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Of(Arc<Labels>, Option<TokenType>),
    /// `otel.metric.overflow`: all that came when there was no room.
    Overflow,
}

/// What was counted.
#[derive(Clone, Debug)]
pub(super) enum Aggregate {
    Sum(u64),
    Distribution { histogram: Histogram, min: f64, max: f64 },
}

/// One data point in the making.
#[derive(Clone, Debug)]
pub(super) struct Point {
    pub instrument: Instrument,
    pub key: Key,
    /// What it counts from.
    pub since: At,
    pub aggregate: Aggregate,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Sums {
    /// In the order in which they are sent: by metric.
    points: BTreeMap<(Instrument, Key), (At, Aggregate)>,
    /// Sets of each metric, without the one for overflow.
    sets: BTreeMap<Instrument, usize>,
}

impl Aggregate {
    fn new(instrument: Instrument) -> Self {
        match instrument.bounds() {
            None => Self::Sum(0),
            Some(bounds) => {
                let (min, max) = (f64::INFINITY, f64::NEG_INFINITY);
                Self::Distribution { histogram: Histogram::new(bounds), min, max }
            }
        }
    }

    fn add(&mut self, value: Value) {
        match (self, value) {
            (Self::Sum(sum), Value::Count(count)) => *sum = sum.saturating_add(count),
            (Self::Distribution { histogram, min, max }, Value::Size(size)) => {
                histogram.observe(size);
                (*min, *max) = (min.min(size), max.max(size));
            }
            // An instrument takes one kind of values.
            (Self::Sum(_), Value::Size(_)) | (Self::Distribution { .. }, Value::Count(_)) => {}
        }
    }

    fn merge(&mut self, other: &Self) {
        match (self, other) {
            (Self::Sum(sum), Self::Sum(other)) => *sum = sum.saturating_add(*other),
            (
                Self::Distribution { histogram, min, max },
                Self::Distribution { histogram: other, min: least, max: most },
            ) => {
                histogram.merge(other);
                (*min, *max) = (min.min(*least), max.max(*most));
            }
            (Self::Sum(_), Self::Distribution { .. }) | (Self::Distribution { .. }, Self::Sum(_)) => {}
        }
    }
}

impl Sums {
    /// Adds a value; false when it found no room of its own. What is no amount is left out.
    pub fn add(&mut self, instrument: Instrument, key: Key, value: Value, since: At) -> bool {
        if matches!(value, Value::Size(size) if !size.is_finite() || size < 0.0) {
            return true;
        }
        let (key, own) = self.admit(instrument, key);
        let new = || (since, Aggregate::new(instrument));
        self.points.entry((instrument, key)).or_insert_with(new).1.add(value);
        own
    }

    /// Adds what was counted before; false when it found no room of its own.
    pub fn merge(&mut self, point: Point) -> bool {
        let Point { instrument, key, since, aggregate } = point;
        let (key, own) = self.admit(instrument, key);
        match self.points.get_mut(&(instrument, key.clone())) {
            Some((begun, known)) => {
                known.merge(&aggregate);
                *begun = since.min(*begun);
            }
            None => {
                self.points.insert((instrument, key), (since, aggregate));
            }
        }
        own
    }

    /// All points, by metric.
    pub fn points(&self) -> impl Iterator<Item = Point> + '_ {
        self.points.iter().map(|((instrument, key), (since, aggregate))| Point {
            instrument: *instrument,
            key: key.clone(),
            since: *since,
            aggregate: aggregate.clone(),
        })
    }

    /// The key under which a value is counted, and whether it is its own.
    fn admit(&mut self, instrument: Instrument, key: Key) -> (Key, bool) {
        let entry = (instrument, key);
        let known = self.points.contains_key(&entry);
        let key = entry.1;
        if known || key == Key::Overflow {
            return (key, true);
        }
        let sets = self.sets.entry(instrument).or_default();
        // One place is kept for the overflow.
        if *sets + 1 < MAX_SETS {
            *sets += 1;
            (key, true)
        } else {
            (Key::Overflow, false)
        }
    }
}
