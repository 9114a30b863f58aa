//! The worker of one destination: batches, encodes, sends, and does what the answer asks for.
//!
//! ```text
//! queue ─► batch ─► encode ─► send ─┬─ Accepted: done
//!                     ▲             ├─ Partial, Retry: pause, then once more with what is left ─┐
//!                     │             ├─ Split: both halves ──────────────────────────────────────┤
//!                     └─────────────┴───────────────────────────────────────────────────────────┘
//!                                   └─ Fatal, a single record that cannot be split, out of time: dropped, counted
//! ```
//!
//! Every attempt encodes anew: encoding is deterministic, so a retry sends the same bytes, and nothing encoded lies
//! around during a pause. While a batch is retried, later records wait in the queue up to its bounds.

use std::collections::VecDeque;
use std::future::{Future as _, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use ai_tracing_core::record::CallRecord;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::destination::{Destination, Mode};
use crate::exporter::{BatchLimits, Delivery, Exporter};
use crate::log::Throttle;
use crate::retry::{Backoff, RetryOptions};

/// How often a state that lasts is logged.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// Why a queue drops.
const OVERFLOW: &str = "more wait than may, the oldest made room";

/// Retries at once (`after` = 0) in a row; what asks for more of them pauses like any other failure.
const MAX_IMMEDIATE: u32 = 2;

/// Runs until the destination is closed and its queue is empty, or a flush has ended.
pub(crate) async fn run<E: Exporter>(exporter: E, destination: Arc<Destination>, retry: RetryOptions, seed: u64) {
    let mut worker = Worker {
        limits: exporter.limits(),
        mode: destination.mode(),
        backoff: Backoff::new(retry, seed),
        retry,
        not_before: None,
        immediate: 0,
        health: Health::default(),
        losses: Throttle::new(LOG_EVERY),
        overflow: Throttle::new(LOG_EVERY),
        overflow_seen: 0,
        exporter,
        destination,
    };
    while let Some(batch) = worker.next_batch().await {
        if worker.deliver(batch).await == Flow::Stop {
            break;
        }
    }
    worker.log_rest();
}

struct Worker<E> {
    exporter: E,
    limits: BatchLimits,
    destination: Arc<Destination>,
    mode: watch::Receiver<Mode>,
    retry: RetryOptions,
    backoff: Backoff,
    /// The pause after a failure; it holds for every later batch as well.
    not_before: Option<Instant>,
    immediate: u32,
    health: Health,
    losses: Throttle,
    overflow: Throttle,
    /// Overflow that was looked at for the log.
    overflow_seen: u64,
}

/// Records that share their fate for now.
struct Unit {
    records: Vec<Arc<CallRecord>>,
    /// When the first attempt began that failed.
    failing_since: Option<Instant>,
}

/// Whether to go on.
#[derive(PartialEq, Eq)]
enum Flow {
    Continue,
    /// A flush met a failure: what is left stays undelivered.
    Stop,
}

impl<E: Exporter> Worker<E> {
    /// Waits for a full batch, or for the oldest record to have waited long enough. `None`: closed and empty.
    async fn next_batch(&mut self) -> Option<Vec<Arc<CallRecord>>> {
        loop {
            let closing = *self.mode.borrow_and_update() > Mode::Run;
            let (len, oldest) = self.destination.waiting();
            let due = oldest.map(|since| since + self.limits.max_delay);
            match due {
                None if closing => return None,
                None => tokio::select! {
                    () = self.destination.arrived() => {}
                    _ = self.mode.changed() => {}
                },
                Some(due) if closing || len >= self.limits.max_records || due <= Instant::now() => {
                    return Some(self.destination.take(self.limits.max_records, self.limits.max_bytes));
                }
                Some(due) => tokio::select! {
                    () = self.destination.arrived() => {}
                    () = sleep_until(due) => {}
                    _ = self.mode.changed() => {}
                },
            }
        }
    }

    /// Delivers a batch, or drops and counts what cannot be delivered.
    async fn deliver(&mut self, batch: Vec<Arc<CallRecord>>) -> Flow {
        let mut units = VecDeque::from([Unit { records: batch, failing_since: None }]);
        while let Some(mut unit) = units.pop_front() {
            self.log_overflow();
            if unit.records.is_empty() {
                continue;
            }
            self.pause().await;
            let flushing = self.flushing();
            let started = Instant::now();
            let delivery = match self.encode(&unit.records) {
                Ok(payload) => {
                    self.destination.counters.requests.add(1);
                    self.send(&payload).await
                }
                Err(why) => {
                    if unit.records.len() > 1 {
                        halves(unit, &mut units);
                    } else {
                        self.destination.counters.unencodable.add(1);
                        self.log_loss(1, &why);
                    }
                    continue;
                }
            };
            let count = unit.records.len() as u64;
            match delivery {
                Delivery::Accepted => self.delivered(count),
                Delivery::Partial { rejected, retry } => {
                    let left = self.partial(&unit, &rejected, &retry);
                    if left.is_empty() {
                        continue;
                    }
                    if flushing {
                        // The destination works: the rest of the queue has its one attempt as well.
                        self.destination.counters.retries.add(1);
                        continue;
                    }
                    unit.records = left;
                    if self.failed(unit, started, None, "part of the batch was put off", &mut units, flushing)
                        == Flow::Stop
                    {
                        return Flow::Stop;
                    }
                }
                Delivery::Retry { after, why } => {
                    if self.failed(unit, started, after, &why, &mut units, flushing) == Flow::Stop {
                        return Flow::Stop;
                    }
                }
                Delivery::Split { why } if unit.records.len() == 1 => self.rejected(1, &why),
                Delivery::Split { .. } => halves(unit, &mut units),
                Delivery::Fatal { why } => self.rejected(count, &why),
            }
        }
        Flow::Continue
    }

    fn flushing(&self) -> bool {
        *self.mode.borrow() == Mode::Flush
    }

    /// Waits until the destination may be tried again, or until a flush asks for everything now.
    async fn pause(&mut self) {
        while let Some(until) = self.not_before {
            if self.flushing() || until <= Instant::now() {
                self.not_before = None;
                return;
            }
            tokio::select! {
                () = sleep_until(until) => {}
                _ = self.mode.changed() => {}
            }
        }
    }

    /// A defect while encoding costs the records that it cannot encode, not the destination.
    fn encode(&self, records: &[Arc<CallRecord>]) -> Result<E::Payload, String> {
        match catch_unwind(AssertUnwindSafe(|| self.exporter.encode(records))) {
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

    fn delivered(&mut self, count: u64) {
        self.destination.counters.delivered.add(count);
        self.backoff.reset();
        self.immediate = 0;
        self.destination.set_failing(None);
        if let Some(lasted) = self.health.recovered(Instant::now()) {
            tracing::info!("AI Tracing: {} takes records again after {lasted} s", self.destination.name);
        }
    }

    /// Counts what was taken and what was refused; answers with what is worth another try.
    fn partial(&mut self, unit: &Unit, rejected: &[(usize, String)], retry: &[usize]) -> Vec<Arc<CallRecord>> {
        let is_rejected = |index: &usize| rejected.iter().any(|(refused, _)| refused == index);
        let mut refused: Vec<usize> =
            rejected.iter().map(|(index, _)| *index).filter(|index| *index < unit.records.len()).collect();
        refused.sort_unstable();
        refused.dedup();
        let left: Vec<_> = unit
            .records
            .iter()
            .enumerate()
            .filter(|(index, _)| retry.contains(index) && !is_rejected(index))
            .map(|(_, record)| Arc::clone(record))
            .collect();
        let accepted = unit.records.len().saturating_sub(refused.len() + left.len());
        if accepted > 0 {
            self.delivered(accepted as u64);
        }
        if let Some((_, why)) = rejected.first() {
            self.rejected(refused.len() as u64, why);
        }
        left
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
        self.destination.set_failing(Some(why.to_owned()));
        if let Some(failures) = self.health.failed(now) {
            let waiting = self.destination.counters.stats().waiting;
            tracing::warn!(failures, waiting, "AI Tracing: {} does not take records: {why}", self.destination.name);
        }
        if flushing {
            return Flow::Stop;
        }
        self.not_before = Some(now + self.backoff.pause(after));
        if now.duration_since(*unit.failing_since.get_or_insert(started)) >= self.retry.max_time {
            let count = unit.records.len() as u64;
            self.destination.counters.expired.add(count);
            self.log_loss(count, &format!("not delivered within max_retry_time: {why}"));
        } else {
            units.push_front(unit);
        }
        Flow::Continue
    }

    fn rejected(&mut self, count: u64, why: &str) {
        self.destination.counters.rejected.add(count);
        self.log_loss(count, why);
    }

    /// The queue drops by itself; what it dropped is told here.
    fn log_overflow(&mut self) {
        let dropped = self.destination.counters.overflow.get();
        let lost = self.overflow.admit(dropped.saturating_sub(self.overflow_seen), Instant::now());
        self.overflow_seen = dropped;
        if let Some(lost) = lost {
            tracing::error!(lost, "AI Tracing: {} lost records: {OVERFLOW}", self.destination.name);
        }
    }

    /// The last lines: what was held back since the ones before.
    fn log_rest(&mut self) {
        self.log_overflow();
        if let Some(lost) = self.overflow.rest() {
            tracing::error!(lost, "AI Tracing: {} lost records: {OVERFLOW}", self.destination.name);
        }
        if let Some(lost) = self.losses.rest() {
            tracing::error!(lost, "AI Tracing: {} lost records", self.destination.name);
        }
    }

    fn log_loss(&mut self, count: u64, why: &str) {
        self.destination.set_lost(why);
        if let Some(lost) = self.losses.admit(count, Instant::now()) {
            tracing::error!(lost, "AI Tracing: {} lost records: {why}", self.destination.name);
        }
    }
}

/// Puts both halves of a unit in front of the line.
fn halves(mut unit: Unit, units: &mut VecDeque<Unit>) {
    let second = unit.records.split_off(unit.records.len() / 2);
    units.push_front(Unit { records: second, failing_since: unit.failing_since });
    units.push_front(unit);
}

/// Whether the destination works, for the log: a failure when it begins and once a minute while it lasts, and its end.
/// Of failures that come and go within a minute, one is told.
struct Health {
    failing_since: Option<Instant>,
    told: bool,
    throttle: Throttle,
}

impl Default for Health {
    fn default() -> Self {
        Self { failing_since: None, told: false, throttle: Throttle::new(LOG_EVERY) }
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
mod tests;
