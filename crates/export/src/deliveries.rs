//! What becomes of each record at each destination, for a host that keeps account of it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use ai_tracing_core::time::At;

use crate::clock::now;

/// Hears what becomes of records at the destinations that configurations name. Called on the engine's thread, or on that
/// of whoever hands records over: must be quick and never block. The last that it hears of a record counts.
///
/// Records that are lost on disk without having been read back are not told: nobody knows which they were.
pub trait Deliveries: Send + Sync + 'static {
    /// What a record has come to by the time `at`.
    fn told(&self, to: &Address, record_id: &str, fate: Fate<'_>, at: At);
}

/// A destination, as [`Deliveries`] are told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// What tells it from all others, also over restarts: a digest, parts of which may come from secrets. Not to be shown.
    pub key: [u8; 16],
    /// Name and address for people; no credentials.
    pub label: String,
}

/// What a record has come to at a destination. Reasons are one line each, as they stand in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate<'a> {
    /// It was handed to the destination: it waits, or is being sent.
    Waiting,
    /// The destination has it.
    Delivered,
    /// Refused for good, or not to be encoded: a dead letter where there is a spool.
    Refused(&'a str),
    /// Given up: too many waited, or it waited too long.
    Dropped(&'a str),
    /// The destination refused some of a batch, this one perhaps, and does not say which.
    Unclear(&'a str),
}

/// Tells of one destination.
pub(crate) struct Witness {
    pub address: Address,
    deliveries: Arc<dyn Deliveries>,
}

impl Witness {
    pub fn new(address: Address, deliveries: Arc<dyn Deliveries>) -> Self {
        Self { address, deliveries }
    }

    /// Tells what records have come to by now. A defect of who hears it costs what was to be told.
    pub fn tell<'a>(&self, ids: impl Iterator<Item = &'a str>, fate: Fate<'_>) {
        let at = now();
        let _ = catch_unwind(AssertUnwindSafe(|| ids.for_each(|id| self.deliveries.told(&self.address, id, fate, at))));
    }
}

#[cfg(test)]
pub(crate) mod tests;
