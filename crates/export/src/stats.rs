//! What the engine counts. Every call that is offered ends in exactly one of these counters, or still waits.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use crate::spool::SpoolStats;

/// Counters since the start.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Stats {
    /// The queue between the request path and the engine.
    pub sink: SinkStats,
    /// Exchanges that were read into records.
    pub records: u64,
    /// Exchanges that could not be read: a defect, each one costs its own trace only.
    pub unreadable: u64,
    /// Exchanges that turned out to be no LLM traffic.
    pub ignored: u64,
    /// Records that `sampling_ratio` left out.
    pub sampled_out: u64,
    /// The spool; `None` where there is to be none.
    pub spool: Option<SpoolState>,
    /// Destinations in use.
    pub destinations: Vec<DestinationStats>,
    /// The sum over destinations that no configuration uses any more.
    pub retired: DestinationStats,
    /// Receivers of metrics in use.
    pub metrics: Vec<MetricsStats>,
}

/// The queue between the request path and the engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct SinkStats {
    /// Calls taken in.
    pub accepted: u64,
    /// Calls dropped because as many waited as may wait.
    pub dropped_entries: u64,
    /// Calls dropped because those that waited were as large as they may be.
    pub dropped_bytes: u64,
    /// Calls that came after the shutdown had begun.
    pub dropped_closed: u64,
    /// Calls that wait now.
    pub waiting: u64,
    /// Their size in bytes.
    pub waiting_bytes: u64,
    /// How long the oldest of them has waited, in seconds; 0 when none waits.
    pub oldest_seconds: f64,
}

impl SinkStats {
    /// Calls dropped, whatever the reason.
    pub fn dropped(&self) -> u64 {
        self.dropped_entries + self.dropped_bytes + self.dropped_closed
    }

    /// Calls that a shutdown left: not read, or come too late.
    pub(crate) fn undone(&self) -> u64 {
        self.waiting + self.dropped_closed
    }
}

/// The spool, and whether it works.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SpoolState {
    /// Why records are in memory alone at the moment; `None` while the spool takes them.
    pub failing: Option<String>,
    /// Records that it did not take: they are lost if the process ends before they are delivered.
    pub memory_only: u64,
    /// Its own counters.
    #[serde(flatten)]
    pub spool: SpoolStats,
}

/// One destination. `offered` = `delivered` + everything in `dropped` + `waiting`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DestinationStats {
    /// Name and, where there is one, address; no credentials.
    pub name: String,
    /// Its key for [`Deliveries`](crate::Deliveries), where they are told of it.
    #[serde(skip)]
    pub key: Option<[u8; 16]>,
    /// Records handed to the destination, those of earlier processes included.
    pub offered: u64,
    /// The part of them that earlier processes have left in the spool.
    pub recovered: u64,
    /// Records that it took.
    pub delivered: u64,
    /// Records lost, by reason.
    pub dropped: Dropped,
    /// The part of the lost ones that is kept as dead letters, to be looked at and sent again.
    pub dead_lettered: u64,
    /// Records that wait or are being sent.
    pub waiting: u64,
    /// The part of them that is in memory alone, because the spool did not take it or there is none.
    pub memory_only: u64,
    /// Approximate size in memory of those in the queue, in bytes.
    pub waiting_bytes: u64,
    /// Size of those in the spool, in bytes.
    pub spooled_bytes: u64,
    /// How long the oldest record has waited, in seconds; 0 when none waits.
    pub oldest_seconds: f64,
    /// Attempts to send, retries included.
    pub requests: u64,
    /// Attempts after which something had to be tried again.
    pub retries: u64,
    /// Why the last attempt failed, while the destination is failing.
    pub failing: Option<String>,
    /// Why records were lost the last time, for who has sent them.
    #[serde(skip)]
    pub last_loss: Option<String>,
}

/// One receiver of metrics.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct MetricsStats {
    /// Name and address; no credentials.
    pub name: String,
    /// Data points that it took.
    pub delivered: u64,
    /// Data points that it refused for good, or that were left at the end.
    pub rejected: u64,
    /// Attempts to send.
    pub requests: u64,
    /// Attempts that came to nothing: what they carried is kept for the next.
    pub failures: u64,
    /// Values that were counted without their attributes, because there were too many sets of them.
    pub folded: u64,
    /// Why the last attempt failed, while it is failing.
    pub failing: Option<String>,
}

/// Records lost, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Dropped {
    /// The queue or the spool was full: the oldest made room.
    pub overflow: u64,
    /// Not delivered within `max_retry_time`, or older than the spool keeps anything.
    pub expired: u64,
    /// Refused by the destination for good.
    pub rejected: u64,
    /// Could not be encoded: a defect.
    pub unencodable: u64,
    /// Could not be read back from the spool.
    pub damaged: u64,
}

impl Dropped {
    /// All reasons together.
    pub fn total(&self) -> u64 {
        self.overflow + self.expired + self.rejected + self.unencodable + self.damaged
    }
}

/// What became of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Delivered,
    Overflow,
    Expired,
    Rejected,
    Unencodable,
    Damaged,
}

/// A counter that several threads read.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counters behind [`DestinationStats`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub offered: Counter,
    pub delivered: Counter,
    pub overflow: Counter,
    /// The part of it that the log has been given.
    pub overflow_told: Counter,
    pub expired: Counter,
    pub rejected: Counter,
    pub unencodable: Counter,
    pub damaged: Counter,
    pub recovered: Counter,
    pub dead_lettered: Counter,
    /// Taken in without a place in the spool, and those of them that are resolved.
    pub unspooled: Counter,
    pub unspooled_resolved: Counter,
    pub requests: Counter,
    pub retries: Counter,
}

impl Counters {
    pub fn of(&self, outcome: Outcome) -> &Counter {
        match outcome {
            Outcome::Delivered => &self.delivered,
            Outcome::Overflow => &self.overflow,
            Outcome::Expired => &self.expired,
            Outcome::Rejected => &self.rejected,
            Outcome::Unencodable => &self.unencodable,
            Outcome::Damaged => &self.damaged,
        }
    }

    pub fn stats(&self) -> DestinationStats {
        let dropped = Dropped {
            overflow: self.overflow.get(),
            expired: self.expired.get(),
            rejected: self.rejected.get(),
            unencodable: self.unencodable.get(),
            damaged: self.damaged.get(),
        };
        let resolved = self.unspooled_resolved.get();
        let delivered = self.delivered.get();
        // Read last: it is raised first, so that the difference is never negative.
        let offered = self.offered.get();
        DestinationStats {
            offered,
            delivered,
            dropped,
            recovered: self.recovered.get(),
            dead_lettered: self.dead_lettered.get(),
            waiting: offered.saturating_sub(delivered + dropped.total()),
            memory_only: self.unspooled.get().saturating_sub(resolved),
            requests: self.requests.get(),
            retries: self.retries.get(),
            ..DestinationStats::default()
        }
    }
}

impl DestinationStats {
    /// Adds another destination's counters.
    pub(crate) fn add(&mut self, other: &Self) {
        self.offered += other.offered;
        self.recovered += other.recovered;
        self.dead_lettered += other.dead_lettered;
        self.delivered += other.delivered;
        self.dropped.overflow += other.dropped.overflow;
        self.dropped.expired += other.dropped.expired;
        self.dropped.rejected += other.dropped.rejected;
        self.dropped.unencodable += other.dropped.unencodable;
        self.dropped.damaged += other.dropped.damaged;
        self.waiting += other.waiting;
        self.memory_only += other.memory_only;
        self.requests += other.requests;
        self.retries += other.retries;
        if other.last_loss.is_some() {
            self.last_loss.clone_from(&other.last_loss);
        }
    }

    /// Adds another destination that is in use too.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.add(other);
        self.waiting_bytes += other.waiting_bytes;
        self.spooled_bytes += other.spooled_bytes;
        self.oldest_seconds = self.oldest_seconds.max(other.oldest_seconds);
        self.failing = self.failing.take().or_else(|| other.failing.clone());
    }
}
