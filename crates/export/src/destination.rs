//! One destination as the engine sees it: a bounded queue that a worker empties.
//!
//! With a spool the queue is only the part of what waits that is in memory. Once it is full the destination has fallen
//! *behind*: nothing more is queued, and when there is room the worker takes what comes next from the spool, in order,
//! until it has caught up.
//!
//! Records that the spool did not take are in the queue alone. Those that are on disk as well make room for them and are
//! read back later; after that the queue drops its **oldest** records, as Kong's queue does: when a destination comes back after an hour, what happened last is worth more than what
//! happened first.
//!
//! Every record that is offered is resolved in the end, once: delivered, or dropped with a reason. Until then it waits.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ai_tracing_core::record::CallRecord;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::backlog::{Backlog, News, Read, Unreadable};
use crate::clock;
use crate::deliveries::{Fate, Witness};
use crate::queue::Bounded;
use crate::retry::RetryOptions;
use crate::spool::{Event, LaneId, Position, Why};
use crate::stats::{Counters, DestinationStats, Outcome};
use crate::turn::Turns;
use crate::weight::weigh;

/// Bounds and patience of one destination. How records are batched is the exporter's
/// [`limits`](crate::exporter::Exporter::limits).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct QueueOptions {
    /// Records that may wait, besides the batch that is being sent.
    pub max_entries: usize,
    /// Bytes (approximate) of records that may wait.
    pub max_bytes: usize,
    /// A batch that could not be delivered for so long is given up.
    pub max_retry_time: Duration,
    /// Upper end of the first pause before a retry; doubles with each.
    pub initial_retry_delay: Duration,
    /// Upper end of every pause.
    pub max_retry_delay: Duration,
}

/// The defaults of the plugin's `queue`.
impl Default for QueueOptions {
    fn default() -> Self {
        Self {
            max_entries: 10_000,
            max_bytes: 64 << 20,
            max_retry_time: Duration::from_secs(86_400),
            initial_retry_delay: Duration::from_millis(500),
            max_retry_delay: Duration::from_secs(60),
        }
    }
}

impl QueueOptions {
    pub(crate) fn retry(&self) -> RetryOptions {
        RetryOptions {
            max_time: self.max_retry_time,
            initial_delay: self.initial_retry_delay,
            max_delay: self.max_retry_delay,
        }
    }
}

/// Bytes of records in memory, where the others wait in the spool.
const MAX_IN_MEMORY: usize = 16 << 20;

/// Why a queue drops.
pub(crate) const OVERFLOW: &str = "more wait than may, the oldest made room";

/// How often someone who waits for room asks whether it is still worth while.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// The queue of one destination, shared by the engine (puts in) and its worker (takes out).
pub(crate) struct Destination {
    /// Name and address, for the log and the statistics.
    pub name: String,
    pub counters: Counters,
    /// Who uses it, and who works for it.
    pub turns: Turns,
    queue: Mutex<Queue>,
    backlog: Option<Backlog>,
    /// Who hears what becomes of records.
    witness: Option<Witness>,
    arrived: Notify,
    failing: Mutex<Option<String>>,
    /// Why records were lost the last time.
    lost: Mutex<Option<String>>,
    /// Told when the queue has more room than before.
    room: Condvar,
}

struct Queue {
    items: Bounded<Waiting>,
    /// The first record that waits on disk alone: everything from here on is to be read back.
    behind: Option<Position>,
    /// Length at which a batch is complete.
    batch: usize,
}

impl Queue {
    /// Lets go of what is on disk as well: it is read back from there. What is in memory alone needs the room.
    fn leave_to_the_spool(&mut self) {
        let left = self.items.extract(|waiting| waiting.position.is_some());
        // Everything that is on its way to the destination comes before these.
        self.behind = left.iter().filter_map(|waiting| waiting.position).chain(self.behind).min();
    }
}

/// A record that waits.
#[derive(Clone)]
pub(crate) struct Waiting {
    pub record: Arc<CallRecord>,
    /// Where it is in the spool, if it is there.
    pub position: Option<Position>,
    pub weight: usize,
    pub since: Instant,
}

impl Destination {
    pub fn new(name: String, batch: usize, options: &QueueOptions, backlog: Option<Backlog>) -> Self {
        let destination = Self {
            name,
            counters: Counters::default(),
            turns: Turns::default(),
            queue: Mutex::new(Queue { items: Bounded::new(0, 0), behind: None, batch }),
            backlog,
            witness: None,
            arrived: Notify::new(),
            failing: Mutex::new(None),
            lost: Mutex::new(None),
            room: Condvar::new(),
        };
        destination.adjust(batch, options);
        destination
    }

    /// Tells what becomes of its records.
    pub fn witnessed(self, witness: Option<Witness>) -> Self {
        Self { witness, ..self }
    }

    /// Other bounds, for what comes from now on.
    pub fn adjust(&self, batch: usize, options: &QueueOptions) {
        let max_bytes = if self.backlog.is_some() { options.max_bytes.min(MAX_IN_MEMORY) } else { options.max_bytes };
        let mut queue = self.queue();
        queue.items.set_bounds(options.max_entries, max_bytes);
        queue.batch = batch;
    }

    /// The lane of the spool, if there is one. On the engine's thread, before anything is offered with a position: what
    /// earlier processes have left comes first.
    pub fn lane(&self) -> Option<LaneId> {
        let (lane, pending) = self.backlog.as_ref()?.lane(&self.name)?;
        if let Some(pending) = pending.filter(|pending| pending.records > 0) {
            self.fall_behind(pending.first, pending.records);
        }
        Some(lane)
    }

    /// More waits in the spool than was offered, from a position on.
    fn fall_behind(&self, from: Position, records: u64) {
        self.counters.offered.add(records);
        self.counters.recovered.add(records);
        self.queue().behind.get_or_insert(from);
        self.arrived.notify_one();
    }

    /// Queues a record of `weight` bytes, unless it waits its turn in the spool; makes room by dropping the oldest where
    /// it is not there.
    pub fn offer(&self, record: &Arc<CallRecord>, weight: usize, position: Option<Position>) {
        self.counters.offered.add(1);
        self.tell([record], Fate::Waiting);
        let mut queue = self.queue();
        if let Some(position) = position {
            if queue.behind.is_none() && queue.items.fits(weight).is_err() {
                queue.behind = Some(position);
                self.arrived.notify_one();
            }
            if queue.behind.is_some() {
                return;
            }
        } else {
            self.counters.unspooled.add(1);
        }
        let mut dropped = Vec::new();
        let mut waiting = Waiting { record: Arc::clone(record), position, weight, since: Instant::now() };
        if !queue.items.could_fit(weight) {
            drop(queue);
            self.overflow(&[waiting]);
            return;
        }
        if position.is_none() && queue.items.fits(weight).is_err() {
            queue.leave_to_the_spool();
        }
        while let Err((_, back)) = queue.items.push(waiting, weight) {
            waiting = back;
            let Some((oldest, _)) = queue.items.pop() else { break };
            dropped.push(oldest);
        }
        let (len, batch) = (queue.items.len(), queue.batch);
        drop(queue);
        self.overflow(&dropped);
        // The worker waits for the first record, then for a full batch or the time to send a smaller one.
        if len == 1 || len >= batch {
            self.arrived.notify_one();
        }
    }

    /// Fills the queue up to `max_records` from the spool where it has fallen behind. On the engine's thread.
    pub fn refill(&self, max_records: usize, max_bytes: usize) {
        let (Some(_), Some(backlog)) = (self.lane(), &self.backlog) else { return };
        loop {
            let (from, len) = {
                let queue = self.queue();
                (queue.behind, queue.items.len())
            };
            let Some(from) = from.filter(|_| len < max_records) else { return };
            let Read { records, next } = backlog.read(from, max_records - len, max_bytes);
            let (mut unreadable, since) = (Vec::new(), Instant::now());
            let mut queue = self.queue();
            queue.behind = next;
            for (position, record) in records {
                match record {
                    Ok(record) => {
                        let (weight, record) = (weigh(&record), Arc::new(record));
                        let waiting = Waiting { record, position: Some(position), weight, since };
                        queue.items.push_anyway(waiting, weight);
                    }
                    Err(it) => unreadable.push((position, it)),
                }
            }
            let found = !queue.items.is_empty();
            drop(queue);
            for (position, Unreadable { json, why }) in unreadable {
                let why = format!("what the spool has is no record: {why}");
                self.counters.dead_lettered.add(u64::from(backlog.bury(&self.name, &json, &why)));
                self.counters.damaged.add(backlog.resolve(&[position]));
                tracing::error!("AI Tracing: {} lost a record: {why}", self.name);
            }
            if found {
                return;
            }
        }
    }

    /// Takes note of what happened in the spool; false when it was another's. On the engine's thread.
    pub fn hear(&self, event: &Event) -> bool {
        let Some(news) = self.backlog.as_ref().and_then(|backlog| backlog.hear(event)) else { return false };
        match news {
            News::More { from, records } => self.fall_behind(from, records),
            News::Lost { records, why, before } => {
                let outcome = match why {
                    Why::Full => Outcome::Overflow,
                    Why::Aged => Outcome::Expired,
                    Why::Damaged => Outcome::Damaged,
                };
                self.counters.of(outcome).add(records);
                let why = why.as_str();
                self.set_lost(why);
                // The worker tells of what had to make room.
                if outcome != Outcome::Overflow {
                    tracing::error!(lost = records, "AI Tracing: {} lost records: {why}", self.name);
                }
                self.forget(before, why);
            }
        }
        true
    }

    /// Takes note of how much waits in the spool. On the engine's thread.
    pub fn look(&self) {
        if let Some(backlog) = &self.backlog {
            backlog.look();
        }
    }

    /// Drops what is counted as lost already.
    fn forget(&self, before: Option<Position>, why: &str) {
        let mut queue = self.queue();
        while queue.items.front().is_some_and(|waiting| waiting.position.is_some() && waiting.position < before) {
            if let Some((waiting, _)) = queue.items.pop() {
                self.tell([&waiting.record], Fate::Dropped(why));
            }
        }
    }

    /// The oldest that made room.
    fn overflow(&self, dropped: &[Waiting]) {
        if !dropped.is_empty() {
            self.tell(dropped.iter().map(|waiting| &waiting.record), Fate::Dropped(OVERFLOW));
            self.resolve(dropped, Outcome::Overflow);
        }
    }

    /// Tells what records have come to, before anybody can see it from the counters.
    pub fn tell<'a>(&self, records: impl IntoIterator<Item = &'a Arc<CallRecord>>, fate: Fate<'_>) {
        if let Some(witness) = &self.witness {
            witness.tell(records.into_iter().map(|record| record.id.as_str()), fate);
        }
    }

    /// As [`Self::offer`], from a thread that may wait: until there is room, or until `give_up`, which is asked now and
    /// then. False when the record was not queued.
    pub fn offer_patiently(&self, record: &Arc<CallRecord>, weight: usize, give_up: &dyn Fn() -> bool) -> bool {
        let full = |queue: &mut Queue| queue.items.could_fit(weight) && queue.items.fits(weight).is_err();
        loop {
            let waited = self.room.wait_timeout_while(self.queue(), ASK_EVERY, |queue| full(queue));
            let (queue, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            // Whoever is asked may look at the queue.
            drop(queue);
            if !timeout.timed_out() {
                break;
            }
            if give_up() {
                return false;
            }
        }
        // Nobody else puts anything in: the room is still there.
        self.offer(record, weight, None);
        true
    }

    /// Ends when there may be something new to look at.
    pub async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// Length of the queue, and since when its oldest record waits.
    pub fn waiting(&self) -> (usize, Option<Instant>) {
        let queue = self.queue();
        (queue.items.len(), queue.items.front().map(|waiting| waiting.since))
    }

    /// Takes the next batch. What is taken is to be resolved, or given back.
    pub fn take(&self, max_records: usize, max_bytes: usize) -> Vec<Waiting> {
        let taken = self.queue().items.take(max_records, max_bytes);
        self.room.notify_all();
        taken
    }

    /// Puts back what was taken, in front of everything else; the queue may then hold more than its bounds for a while.
    pub fn give_back(&self, records: Vec<Waiting>) {
        let mut queue = self.queue();
        for waiting in records.into_iter().rev() {
            let weight = waiting.weight;
            queue.items.push_front(waiting, weight);
        }
    }

    /// Keeps a record as a dead letter that the destination will never take, where there is a spool.
    pub fn bury(&self, waiting: &Waiting, why: &str) {
        if let Some(backlog) = &self.backlog
            && let Ok(json) = serde_json::to_vec(&*waiting.record)
            && backlog.bury(&self.name, &json, why)
        {
            self.counters.dead_lettered.add(1);
        }
    }

    /// Says what became of records. Those that the spool has lost meanwhile are counted as lost.
    pub fn resolve(&self, records: &[Waiting], outcome: Outcome) {
        let positions: Vec<_> = records.iter().filter_map(|waiting| waiting.position).collect();
        let unspooled = (records.len() - positions.len()) as u64;
        self.counters.unspooled_resolved.add(unspooled);
        let spooled = match &self.backlog {
            Some(backlog) if !positions.is_empty() => backlog.resolve(&positions),
            _ => 0,
        };
        self.counters.of(outcome).add(unspooled + spooled);
    }

    /// Why the last attempt failed; `None` when it did not.
    pub fn set_failing(&self, why: Option<String>) {
        *self.failing.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// Why records were lost.
    pub fn set_lost(&self, why: &str) {
        *self.lost.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.to_owned());
    }

    pub fn stats(&self) -> DestinationStats {
        let last_loss = self.lost.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (waiting_bytes, oldest) = {
            let queue = self.queue();
            (queue.items.bytes() as u64, queue.items.front().map(|waiting| waiting.since))
        };
        let counted = self.counters.stats();
        // What is known of the spool is a moment old.
        let spooled = self.backlog.as_ref().map(Backlog::waiting).filter(|_| counted.waiting > 0);
        let (spooled_bytes, spooled_since) = spooled.unwrap_or_default();
        let oldest = oldest.map_or(0.0, |since| since.elapsed().as_secs_f64());
        let spooled = spooled_since.map_or(0.0, |since| clock::now().0.saturating_sub(since.0) as f64 / 1e9);
        DestinationStats {
            name: self.name.clone(),
            key: self.witness.as_ref().map(|witness| witness.address.key),
            waiting_bytes,
            spooled_bytes,
            oldest_seconds: oldest.max(spooled),
            failing,
            last_loss,
            ..counted
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps a destination open. When the last holder lets go, the worker delivers what is left and ends.
pub(crate) struct Lease(Arc<Destination>);

impl Lease {
    /// One more user; true when it is the only one.
    pub fn new(destination: &Arc<Destination>) -> (Self, bool) {
        let only = destination.turns.enter();
        (Self(Arc::clone(destination)), only)
    }

    pub fn destination(&self) -> &Arc<Destination> {
        &self.0
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.0.turns.leave();
    }
}

#[cfg(test)]
mod tests;
