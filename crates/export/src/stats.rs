//! What the engine counts. Every call that is offered ends in exactly one of these counters, or still waits.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

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

/// One destination. `offered` = `delivered` + everything in `dropped` + `waiting`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DestinationStats {
    /// Name and, where there is one, address; no credentials.
    pub name: String,
    /// Records handed to the destination.
    pub offered: u64,
    /// Records that it took.
    pub delivered: u64,
    /// Records lost, by reason.
    pub dropped: Dropped,
    /// Records that wait or are being sent.
    pub waiting: u64,
    /// Approximate size of the waiting queue in bytes.
    pub waiting_bytes: u64,
    /// How long the oldest record in the queue has waited, in seconds; 0 when none waits.
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
    /// The queue was full: the oldest made room.
    pub overflow: u64,
    /// Not delivered within `max_retry_time`.
    pub expired: u64,
    /// Refused by the destination for good.
    pub rejected: u64,
    /// Could not be encoded: a defect.
    pub unencodable: u64,
}

impl Dropped {
    /// All reasons together.
    pub fn total(&self) -> u64 {
        self.overflow + self.expired + self.rejected + self.unencodable
    }
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
    pub expired: Counter,
    pub rejected: Counter,
    pub unencodable: Counter,
    pub requests: Counter,
    pub retries: Counter,
}

impl Counters {
    pub fn stats(&self) -> DestinationStats {
        let dropped = Dropped {
            overflow: self.overflow.get(),
            expired: self.expired.get(),
            rejected: self.rejected.get(),
            unencodable: self.unencodable.get(),
        };
        let delivered = self.delivered.get();
        // Read last: it is raised first, so that the difference is never negative.
        let offered = self.offered.get();
        DestinationStats {
            offered,
            delivered,
            dropped,
            waiting: offered.saturating_sub(delivered + dropped.total()),
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
        self.delivered += other.delivered;
        self.dropped.overflow += other.dropped.overflow;
        self.dropped.expired += other.dropped.expired;
        self.dropped.rejected += other.dropped.rejected;
        self.dropped.unencodable += other.dropped.unencodable;
        self.waiting += other.waiting;
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
        self.oldest_seconds = self.oldest_seconds.max(other.oldest_seconds);
        self.failing = self.failing.take().or_else(|| other.failing.clone());
    }
}
