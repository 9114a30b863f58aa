//! The worker of one destination: batches, encodes, sends, and does what the answer asks for.
//!
//! ```text
//! queue ─► batch ─► encode ─► send ─┬─ Accepted: done
//!                     ▲             ├─ Partial, Retry: pause, then once more with what is left ─┐
//!                     │             ├─ Split, Fatal: both halves ───────────────────────────────┤
//!                     └─────────────┴───────────────────────────────────────────────────────────┘
//!                                   └─ a single record: dead letter; out of time: dropped; both counted
//! ```
//!
//! Every attempt encodes anew: encoding is deterministic, so a retry sends the same bytes, and nothing encoded lies
//! around during a pause. While a batch is retried, later records wait in the queue up to its bounds.
//!
//! Records are resolved one by one, as soon as it is known what became of them: a worker that ends, for whatever
//! reason, leaves those to its successor that nobody has taken.

use std::collections::VecDeque;
use std::future::{Future as _, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::deliveries::Fate;
use crate::destination::{Destination, Waiting};
use crate::exporter::{BatchLimits, Delivery, Exporter};
use crate::retry::{Backoff, RetryOptions};
use crate::stats::Outcome;
use crate::turn::{Mode, Turn};

mod told;

use told::Told;

/// Retries at once (`after` = 0) in a row; what asks for more of them pauses like any other failure.
const MAX_IMMEDIATE: u32 = 2;

/// Runs until the destination is closed and its queue is empty, a flush has ended, or another worker's turn has come.
pub(crate) async fn run<E: Exporter>(
    exporter: E,
    destination: Arc<Destination>,
    retry: RetryOptions,
    turn: Turn,
    seed: u64,
) {
    let mut worker = Worker {
        limits: exporter.limits(),
        turn,
        backoff: Backoff::new(retry, seed),
        retry,
        not_before: None,
        immediate: 0,
        told: Told::new(Arc::clone(&destination)),
        exporter,
        destination,
    };
    while let Some(batch) = worker.next_batch().await {
        if worker.deliver(batch).await == Flow::Stop {
            break;
        }
    }
    worker.told.rest();
}

struct Worker<E> {
    exporter: E,
    limits: BatchLimits,
    destination: Arc<Destination>,
    turn: Turn,
    retry: RetryOptions,
    backoff: Backoff,
    /// The pause after a failure; it holds for every later batch as well.
    not_before: Option<Instant>,
    immediate: u32,
    told: Told,
}

/// Records that share their fate for now.
struct Unit {
    records: Vec<Waiting>,
    /// When the first attempt began that failed.
    failing_since: Option<Instant>,
}

/// Whether to go on.
#[derive(PartialEq, Eq)]
enum Flow {
    Continue,
    /// Another worker's turn, or a flush that met a failure: what is left stays undelivered.
    Stop,
}

impl<E: Exporter> Worker<E> {
    /// Waits for a full batch, or for the oldest record to have waited long enough. `None`: closed and empty, or over.
    async fn next_batch(&mut self) -> Option<Vec<Waiting>> {
        loop {
            let mode = self.turn.mode();
            if mode == Mode::HandOver {
                return None;
            }
            self.destination.refill(self.limits.max_records, self.limits.max_bytes);
            let closing = mode != Mode::Run;
            let (len, oldest) = self.destination.waiting();
            let due = oldest.map(|since| since + self.limits.max_delay);
            match due {
                None if closing => return None,
                None => tokio::select! {
                    () = self.destination.arrived() => {}
                    () = self.turn.changed() => {}
                },
                Some(due) if closing || len >= self.limits.max_records || due <= Instant::now() => {
                    return Some(self.destination.take(self.limits.max_records, self.limits.max_bytes));
                }
                Some(due) => tokio::select! {
                    () = self.destination.arrived() => {}
                    () = sleep_until(due) => {}
                    () = self.turn.changed() => {}
                },
            }
        }
    }

    /// Delivers a batch, or drops and counts what cannot be delivered. What it stops before goes back into the queue.
    async fn deliver(&mut self, batch: Vec<Waiting>) -> Flow {
        let mut units = VecDeque::from([Unit { records: batch, failing_since: None }]);
        while let Some(unit) = units.pop_front() {
            self.told.overflow();
            let mode = self.pause().await;
            let flow = if mode == Mode::HandOver {
                units.push_front(unit);
                Flow::Stop
            } else {
                self.attempt(unit, mode == Mode::Flush, &mut units).await
            };
            if flow == Flow::Stop {
                self.destination.give_back(units.into_iter().flat_map(|unit| unit.records).collect());
                return Flow::Stop;
            }
        }
        Flow::Continue
    }

    /// One attempt at a unit; what is left of it goes in front of `units`.
    async fn attempt(&mut self, mut unit: Unit, flushing: bool, units: &mut VecDeque<Unit>) -> Flow {
        if unit.records.is_empty() {
            return Flow::Continue;
        }
        let started = Instant::now();
        let payload = match self.encode(&unit.records) {
            Ok(payload) => payload,
            Err(why) => {
                self.isolate(unit, Outcome::Unencodable, &why, units);
                return Flow::Continue;
            }
        };
        self.destination.counters.requests.add(1);
        match self.send(&payload).await {
            Delivery::Accepted => self.delivered(&unit.records),
            Delivery::Partial { rejected, retry } => {
                let left = self.partial(unit.records, rejected, &retry);
                if left.is_empty() {
                    return Flow::Continue;
                }
                if flushing {
                    // The destination works: the rest of the queue has its one attempt as well.
                    self.destination.counters.retries.add(1);
                    return Flow::Continue;
                }
                unit.records = left;
                return self.failed(unit, started, None, "part of the batch was put off", units, flushing);
            }
            Delivery::Short { refused, why } => {
                // Any of them may be the ones: none becomes a dead letter, to be sent again.
                self.tell(&unit.records, Fate::Unclear(&why));
                let taken = unit.records.len().saturating_sub(refused);
                let refused = unit.records.split_off(taken);
                self.taken(&unit.records);
                self.lost(&refused, Outcome::Rejected, &why);
            }
            Delivery::Retry { after, why } => return self.failed(unit, started, after, &why, units, flushing),
            Delivery::Split { why } | Delivery::Fatal { why } => self.isolate(unit, Outcome::Rejected, &why, units),
        }
        Flow::Continue
    }

    /// Waits until the destination may be tried again, or until the mode allows or forbids it; says what the mode is.
    async fn pause(&mut self) -> Mode {
        loop {
            let mode = self.turn.mode();
            let over = matches!(mode, Mode::Flush | Mode::HandOver);
            match self.not_before {
                Some(until) if !over && until > Instant::now() => tokio::select! {
                    () = sleep_until(until) => {}
                    () = self.turn.changed() => {}
                },
                _ => {
                    self.not_before = None;
                    return mode;
                }
            }
        }
    }

    /// A defect while encoding costs the records that it cannot encode, not the destination.
    fn encode(&self, records: &[Waiting]) -> Result<E::Payload, String> {
        let records: Vec<_> = records.iter().map(|waiting| Arc::clone(&waiting.record)).collect();
        match catch_unwind(AssertUnwindSafe(|| self.exporter.encode(&records))) {
            Ok(result) => result.map_err(|error| error.to_string()),
            Err(_) => Err("the encoder panicked".into()),
        }
    }

    /// A defect while sending costs the attempt, not the destination.
    async fn send(&self, payload: &E::Payload) -> Delivery {
        let mut sending = pin!(self.exporter.send(payload));
        poll_fn(|context| {
            let polled = catch_unwind(AssertUnwindSafe(|| sending.as_mut().poll(context)));
            polled.unwrap_or_else(|_| Poll::Ready(Delivery::Retry { after: None, why: "the exporter panicked".into() }))
        })
        .await
    }

    fn delivered(&mut self, records: &[Waiting]) {
        self.tell(records, Fate::Delivered);
        self.taken(records);
    }

    fn tell(&self, records: &[Waiting], fate: Fate<'_>) {
        self.destination.tell(records.iter().map(|waiting| &waiting.record), fate);
    }

    /// Counts what the destination has.
    fn taken(&mut self, records: &[Waiting]) {
        if records.is_empty() {
            return;
        }
        self.destination.resolve(records, Outcome::Delivered);
        self.backoff.reset();
        self.immediate = 0;
        self.told.worked(Instant::now());
    }

    /// Resolves what was taken and what was refused; answers with what is worth another try.
    fn partial(&mut self, records: Vec<Waiting>, rejected: Vec<(usize, String)>, retry: &[usize]) -> Vec<Waiting> {
        let mut fates: Vec<Verdict> = records.iter().map(|_| Verdict::Taken).collect();
        let refused = rejected.into_iter().map(|(index, why)| (index, Verdict::Refused(why)));
        // What is in both lists is refused.
        for (index, fate) in retry.iter().map(|index| (*index, Verdict::Left)).chain(refused) {
            if let Some(known) = fates.get_mut(index) {
                *known = fate;
            }
        }
        let (mut taken, mut left) = (Vec::new(), Vec::new());
        for (waiting, fate) in records.into_iter().zip(fates) {
            match fate {
                Verdict::Taken => taken.push(waiting),
                Verdict::Left => left.push(waiting),
                Verdict::Refused(why) => self.refuse(&waiting, Outcome::Rejected, &why),
            }
        }
        self.delivered(&taken);
        left
    }

    /// One of the records is at fault: halves are tried, until it stands alone.
    fn isolate(&mut self, mut unit: Unit, outcome: Outcome, why: &str, units: &mut VecDeque<Unit>) {
        if let [single] = &unit.records[..] {
            return self.refuse(single, outcome, why);
        }
        let second = unit.records.split_off(unit.records.len() / 2);
        units.push_front(Unit { records: second, failing_since: unit.failing_since });
        units.push_front(unit);
    }

    /// None of the unit was taken: plans the next attempt, or gives up.
    fn failed(
        &mut self,
        mut unit: Unit,
        started: Instant,
        after: Option<Duration>,
        why: &str,
        units: &mut VecDeque<Unit>,
        flushing: bool,
    ) -> Flow {
        let now = Instant::now();
        self.destination.counters.retries.add(1);
        if after == Some(Duration::ZERO) && self.immediate < MAX_IMMEDIATE {
            self.immediate += 1;
            units.push_front(unit);
            return Flow::Continue;
        }
        self.told.failed(why, now);
        self.not_before = Some(now + self.backoff.pause(after));
        if flushing {
            units.push_front(unit);
            return Flow::Stop;
        }
        if now.duration_since(*unit.failing_since.get_or_insert(started)) >= self.retry.max_time {
            self.give_up(&unit.records, Outcome::Expired, &format!("not delivered within max_retry_time: {why}"));
        } else {
            units.push_front(unit);
        }
        Flow::Continue
    }

    /// A record that is at fault itself: put aside for people to look at.
    fn refuse(&mut self, waiting: &Waiting, outcome: Outcome, why: &str) {
        self.destination.bury(waiting, why);
        self.give_up(std::slice::from_ref(waiting), outcome, why);
    }

    /// Records that will not be delivered.
    fn give_up(&mut self, records: &[Waiting], outcome: Outcome, why: &str) {
        self.tell(records, if outcome == Outcome::Expired { Fate::Dropped(why) } else { Fate::Refused(why) });
        self.lost(records, outcome, why);
    }

    /// Counts what will not be delivered.
    fn lost(&mut self, records: &[Waiting], outcome: Outcome, why: &str) {
        self.destination.resolve(records, outcome);
        self.told.lost(records.len() as u64, why);
    }
}

/// What became of one record of a batch.
enum Verdict {
    Taken,
    Left,
    Refused(String),
}

#[cfg(test)]
mod tests;
