//! The engine's loop: finished calls in, records out to the spool and to every destination.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use ai_tracing_core::record::CallRecord;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::{Observer, Shared, ShutdownReport};
use crate::destination::{Destination, Lease};
use crate::lanes::Lane;
use crate::log::Throttle;
use crate::priority::pause;
use crate::sampling;
use crate::sink::Waiting;
use crate::spool::{Entry, Event, LaneId, Position, Spool};
use crate::tracer::Tracer;
use crate::weight::weigh;

/// How often the engine looks into the sink while there is traffic.
const TICK: Duration = Duration::from_millis(25);
/// How long after the last call the engine keeps looking by itself, before it asks to be woken.
const LINGER: Duration = Duration::from_secs(1);
/// What the engine takes out of the sink at a time; it no longer counts against the sink's bounds.
const CHUNK_ENTRIES: usize = 64;
const CHUNK_BYTES: usize = 1 << 20;

/// How often the spool is looked after.
const HOUSE_EVERY: Duration = Duration::from_millis(250);

/// What the engine's thread runs.
pub(super) struct Reader {
    shared: Arc<Shared>,
    observers: Vec<Box<dyn Observer>>,
    /// When the spool is to be looked after.
    house_at: Instant,
    drops_seen: u64,
    drops: Throttle,
    defects: Throttle,
}

/// A record on its way, and whose configuration it was made under.
struct Kept {
    record: Arc<CallRecord>,
    tracer: Arc<Tracer>,
}

impl Reader {
    pub fn new(shared: Arc<Shared>, observers: Vec<Box<dyn Observer>>) -> Self {
        Self {
            shared,
            observers,
            house_at: Instant::now(),
            drops_seen: 0,
            drops: Throttle::new(Duration::from_secs(1)),
            defects: Throttle::new(Duration::from_secs(1)),
        }
    }

    /// Runs until it is told to stop, or until nobody can tell it any more.
    pub async fn run(mut self, mut stopped: oneshot::Receiver<Duration>) -> ShutdownReport {
        // Opens the spool, whatever comes next.
        self.keep_house();
        let mut awake_until = Instant::now();
        let budget = loop {
            match stopped.try_recv() {
                Ok(budget) => break budget,
                Err(oneshot::error::TryRecvError::Closed) => break Duration::ZERO,
                Err(oneshot::error::TryRecvError::Empty) => {}
            }
            self.keep_house();
            let any = self.read_some().await;
            self.log_drops();
            if any {
                awake_until = Instant::now() + LINGER;
                continue;
            }
            let idle = Instant::now() >= awake_until && self.shared.sink.park();
            tokio::select! {
                biased;
                asked = &mut stopped => break asked.unwrap_or_default(),
                () = self.shared.sink.woken(), if idle => {}
                () = sleep_until(self.house_at), if idle && self.shared.storage.is_some() => {}
                () = sleep(TICK), if !idle => {}
            }
        };
        self.shut_down(budget).await
    }

    /// Reads the next few calls and keeps their records; false when there are none. Exporters have their turn after that:
    /// what is on disk can wait.
    async fn read_some(&mut self) -> bool {
        let waiting = self.shared.sink.take(CHUNK_ENTRIES, CHUNK_BYTES);
        let any = !waiting.is_empty();
        let mut chunk = Vec::new();
        for call in waiting {
            chunk.extend(self.read(call));
            pause();
        }
        self.hand_out(&chunk);
        tokio::task::yield_now().await;
        any
    }

    /// Reads one call; `None` when there is nothing to keep of it.
    fn read(&mut self, Waiting { call, tracer, .. }: Waiting) -> Option<Kept> {
        let Some(record) = guarded(|| call.into_record()) else {
            self.shared.unreadable.add(1);
            if let Some(count) = self.defects.admit(1, Instant::now()) {
                tracing::error!(count, "AI Tracing: a call could not be read (a defect), its trace is lost");
            }
            return None;
        };
        // Some paths are anybody's: this was no LLM traffic after all.
        let Some(mut record) = record else {
            self.shared.ignored.add(1);
            return None;
        };
        self.shared.records.add(1);
        self.shared.metrics.observe(&record);
        tracer.measure(&record);
        if !sampling::keep(&mut record, &tracer.settings) {
            self.shared.sampled_out.add(1);
            return None;
        }
        let record = Arc::new(record);
        for observer in &self.observers {
            if guarded(|| observer.observe(&record, &tracer)).is_none()
                && let Some(count) = self.defects.admit(1, Instant::now())
            {
                tracing::error!(count, "AI Tracing: an observer of records failed (a defect)");
            }
        }
        Some(Kept { record, tracer })
    }

    /// Writes records to the spool, in one go, and hands them to their destinations.
    fn hand_out(&self, chunk: &[Kept]) {
        if chunk.is_empty() {
            return;
        }
        let always: Vec<_> = self.shared.always().iter().map(|lease| Arc::clone(lease.destination())).collect();
        let positions = self.spool(chunk, &always);
        for (kept, position) in chunk.iter().zip(positions) {
            let weight = weigh(&kept.record);
            for destination in destinations(kept, &always) {
                destination.offer(&kept.record, weight, position.filter(|_| destination.lane().is_some()));
            }
        }
    }

    /// Where each record is in the spool; `None` for those that are not.
    fn spool(&self, chunk: &[Kept], always: &[Arc<Destination>]) -> Vec<Option<Position>> {
        let mut positions = vec![None; chunk.len()];
        let Some(storage) = &self.shared.storage else { return positions };
        let mut written: Vec<(&mut Option<Position>, Vec<LaneId>, Vec<u8>)> = Vec::new();
        let mut memory_only = 0;
        for (kept, position) in chunk.iter().zip(&mut positions) {
            let lanes: Vec<_> = destinations(kept, always).filter_map(|destination| destination.lane()).collect();
            match serde_json::to_vec(&*kept.record) {
                Ok(json) if !lanes.is_empty() => written.push((position, lanes, json)),
                _ => memory_only += u64::from(destinations(kept, always).next().is_some()),
            }
            pause();
        }
        let entries: Vec<_> = written.iter().map(|(_, lanes, json)| Entry { lanes, record: json }).collect();
        match storage.append(&entries) {
            Some(places) => written.into_iter().zip(places).for_each(|((position, ..), place)| *position = Some(place)),
            None => memory_only += entries.len() as u64,
        }
        storage.memory_only.add(memory_only);
        positions
    }

    /// What the spool needs now and then.
    fn keep_house(&mut self) {
        let Some(storage) = &self.shared.storage else { return };
        if Instant::now() < self.house_at {
            return;
        }
        self.house_at = Instant::now() + HOUSE_EVERY;
        let destinations = self.shared.lanes.all();
        for event in storage.keep_house() {
            let heard = destinations.iter().any(|destination| destination.hear(&event));
            if let (false, Event::Lost { records, why, .. }) = (heard, &event) {
                let why = why.as_str();
                tracing::error!(lost = records, "AI Tracing: a destination that is no more lost records: {why}");
            }
        }
        destinations.iter().for_each(|destination| destination.look());
    }

    fn log_drops(&mut self) {
        let dropped = self.shared.sink.stats().dropped();
        if let Some(count) = self.drops.admit(dropped - self.drops_seen, Instant::now()) {
            tracing::warn!(count, "AI Tracing: calls dropped, more arrive than can be read");
        }
        self.drops_seen = dropped;
    }

    async fn shut_down(mut self, budget: Duration) -> ShutdownReport {
        let begun = Instant::now();
        self.shared.sink.close();
        let before = self.delivered();
        // Half of the time for reading at most, the rest for sending.
        let read_until = begun + budget / 2;
        while Instant::now() < read_until && self.read_some().await {}
        self.log_drops();
        let lanes = self.shared.lanes.take();
        for lane in &lanes {
            lane.destination.turns.flush();
        }
        let meters = self.shared.meters.flush();
        let mut report = ShutdownReport::default();
        for Lane { destination, mut worker, .. } in lanes {
            if timeout_at(begun + budget, &mut worker).await.is_err() {
                worker.abort();
            }
            let stats = destination.stats();
            report.add_undelivered(&stats);
            self.shared.lanes.retire(&stats);
        }
        meters.wait(begun + budget).await;
        report.left += self.shared.sink.stats().undone();
        if let Some(storage) = &self.shared.storage {
            storage.with(Spool::sync);
        }
        if let Some(count) = self.drops.rest() {
            tracing::warn!(count, "AI Tracing: calls dropped, more arrive than can be read");
        }
        report.delivered = self.delivered().saturating_sub(before);
        report
    }

    /// Records delivered so far, to all destinations.
    fn delivered(&self) -> u64 {
        let stats = self.shared.stats();
        stats.retired.delivered + stats.destinations.iter().map(|it| it.delivered).sum::<u64>()
    }
}

/// Where a record goes.
fn destinations<'a>(kept: &'a Kept, always: &'a [Arc<Destination>]) -> impl Iterator<Item = &'a Arc<Destination>> {
    kept.tracer.destinations().iter().map(Lease::destination).chain(always)
}

/// Runs `work`; `None` when it panics.
pub(super) fn guarded<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}
