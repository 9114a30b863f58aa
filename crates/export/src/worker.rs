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
//! A destination that works gets several batches at once where more than one is complete: one that answers after half a
//! second would fall behind otherwise. After a failure it gets one at a time until it takes one.
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

use futures_util::future::join_all;
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
        works: false,
        not_before: None,
        immediate: 0,
        told: Told::new(Arc::clone(&destination)),
        exporter,
        destination,
    };
    while let Some(batches) = worker.next_batches().await {
        if worker.deliver(batches).await == Flow::Stop {
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
    /// It took what it got the last time.
    works: bool,
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

/// What is tried together.
struct Round<'a> {
    /// What is to be tried after it.
    units: &'a mut VecDeque<Unit>,
    started: Instant,
    /// The process ends: every record has one attempt.
    flushing: bool,
    /// Some were taken.
    took: bool,
    /// Some want to be tried again at once.
    hurries: bool,
    /// Some failed; the longest pause that was asked for.
    failed: Option<Option<Duration>>,
}

/// Whether to go on.
#[derive(PartialEq, Eq)]
enum Flow {
    Continue,
    /// Another worker's turn, or a flush that met a failure: what is left stays undelivered.
    Stop,
}

impl<E: Exporter> Worker<E> {
    /// Waits for a full batch, or for the oldest record to have waited long enough; with it come those that are full as
    /// well, where the destination works. `None`: closed and empty, or over.
    async fn next_batches(&mut self) -> Option<VecDeque<Unit>> {
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
                    return Some(self.take());
                }
                Some(due) => tokio::select! {
                    () = self.destination.arrived() => {}
                    () = sleep_until(due) => {}
                    () = self.turn.changed() => {}
                },
            }
        }
    }

    /// The next batch, whether it is full or not, and those behind it that are full.
    fn take(&self) -> VecDeque<Unit> {
        let BatchLimits { max_records, max_bytes, .. } = self.limits;
        let mut units = VecDeque::new();
        while units.is_empty() || (units.len() < self.at_once() && self.destination.waiting().0 >= max_records) {
            units.push_back(Unit { records: self.destination.take(max_records, max_bytes), failing_since: None });
            self.destination.refill(max_records, max_bytes);
        }
        units
    }

    /// Requests that may be under way together.
    fn at_once(&self) -> usize {
        if self.works { self.limits.max_requests } else { 1 }
    }

    /// Delivers batches, or drops and counts what cannot be delivered. What it stops before goes back into the queue.
    async fn deliver(&mut self, mut units: VecDeque<Unit>) -> Flow {
        while !units.is_empty() {
            self.told.overflow();
            let mode = self.pause().await;
            let flow =
                if mode == Mode::HandOver { Flow::Stop } else { self.attempt(&mut units, mode == Mode::Flush).await };
            if flow == Flow::Stop {
                self.destination.give_back(units.into_iter().flat_map(|unit| unit.records).collect());
                return Flow::Stop;
            }
        }
        Flow::Continue
    }

    /// One attempt at the first units; what is left of them goes in front of the others.
    async fn attempt(&mut self, units: &mut VecDeque<Unit>, flushing: bool) -> Flow {
        let started = Instant::now();
        let others = units.split_off(units.len().min(self.at_once()));
        let tried = std::mem::replace(units, others);
        let answers = join_all(tried.iter().map(|unit| self.ask(&unit.records))).await;
        let mut round = Round { units, started, flushing, took: false, hurries: false, failed: None };
        // From the last to the first, so that they are in order again.
        for (unit, answer) in tried.into_iter().zip(answers).rev() {
            match answer {
                Ok(delivery) => self.judge(unit, delivery, &mut round),
                Err(why) => self.isolate(unit, Outcome::Unencodable, &why, round.units),
            }
        }
        // However many failed together, it is one failure, whatever the others came to.
        self.immediate += u32::from(round.hurries);
        self.works = round.failed.is_none();
        let Some(after) = round.failed else {
            if round.took {
                self.told.worked(Instant::now());
            }
            return Flow::Continue;
        };
        self.not_before = Some(Instant::now() + self.backoff.pause(after));
        if flushing { Flow::Stop } else { Flow::Continue }
    }

    /// Encodes records and sends them.
    async fn ask(&self, records: &[Waiting]) -> Result<Delivery, String> {
        if records.is_empty() {
            return Ok(Delivery::Accepted);
        }
        let payload = self.encode(records)?;
        self.destination.counters.requests.add(1);
        Ok(self.send(&payload).await)
    }

    /// Does what an answer asks for.
    fn judge(&mut self, mut unit: Unit, answer: Delivery, round: &mut Round<'_>) {
        match answer {
            Delivery::Accepted => self.delivered(&unit.records, round),
            Delivery::Partial { rejected, retry } => {
                unit.records = self.partial(unit.records, rejected, &retry, round);
                if unit.records.is_empty() {
                    return;
                }
                if round.flushing {
                    // The destination works: the rest of the queue has its one attempt as well.
                    self.destination.counters.retries.add(1);
                    return;
                }
                self.failed(unit, None, "part of the batch was put off", round);
            }
            Delivery::Short { refused, why } => {
                // Any of them may be the ones: none becomes a dead letter, to be sent again.
                self.tell(&unit.records, Fate::Unclear(&why));
                let taken = unit.records.len().saturating_sub(refused);
                let refused = unit.records.split_off(taken);
                self.taken(&unit.records, round);
                self.lost(&refused, Outcome::Rejected, &why);
            }
            Delivery::Retry { after, why } => self.failed(unit, after, &why, round),
            Delivery::Split { why } | Delivery::Fatal { why } => {
                self.isolate(unit, Outcome::Rejected, &why, round.units);
            }
        }
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

    fn delivered(&mut self, records: &[Waiting], round: &mut Round<'_>) {
        self.tell(records, Fate::Delivered);
        self.taken(records, round);
    }

    fn tell(&self, records: &[Waiting], fate: Fate<'_>) {
        self.destination.tell(records.iter().map(|waiting| &waiting.record), fate);
    }

    /// Counts what the destination has.
    fn taken(&mut self, records: &[Waiting], round: &mut Round<'_>) {
        if records.is_empty() {
            return;
        }
        self.destination.resolve(records, Outcome::Delivered);
        self.backoff.reset();
        self.immediate = 0;
        round.took = true;
    }

    /// Resolves what was taken and what was refused; answers with what is worth another try.
    fn partial(
        &mut self,
        records: Vec<Waiting>,
        rejected: Vec<(usize, String)>,
        retry: &[usize],
        round: &mut Round<'_>,
    ) -> Vec<Waiting> {
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
        self.delivered(&taken, round);
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

    /// None of the unit was taken: another attempt, or none.
    fn failed(&mut self, mut unit: Unit, after: Option<Duration>, why: &str, round: &mut Round<'_>) {
        let now = Instant::now();
        self.destination.counters.retries.add(1);
        if after == Some(Duration::ZERO) && self.immediate < MAX_IMMEDIATE {
            round.hurries = true;
            round.units.push_front(unit);
            return;
        }
        self.told.failed(why, now);
        round.failed = Some(round.failed.flatten().max(after));
        let since = *unit.failing_since.get_or_insert(round.started);
        if !round.flushing && now.duration_since(since) >= self.retry.max_time {
            self.give_up(&unit.records, Outcome::Expired, &format!("not delivered within max_retry_time: {why}"));
        } else {
            round.units.push_front(unit);
        }
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
