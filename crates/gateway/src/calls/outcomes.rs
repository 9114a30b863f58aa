//! What becomes of calls at their destinations, between the engine's thread and the writer's.
//!
//! ```text
//! engine thread: Recorder::told ─► Buffer: the last outcome of each call and destination ◄─ the console looks here first
//!                                     │ taken together, a moment later
//! writer thread:                      └─► one transaction; what has no call yet goes back
//! ```
//!
//! Most calls are delivered within a moment: their waiting and their delivery are one row, written once. The buffer is
//! bounded; what does not fit is dropped and counted, and from then on nobody concludes from a call's row that it was
//! lost ([`Buffer::complete_since`]).

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ai_tracing_core::time::At;
use ai_tracing_export::{Address, Deliveries, Fate};

use super::row::micros;
use super::writer::Message;

/// Outcomes that may wait for the writer: with their ids and most reasons about 3 MiB.
const MAX: usize = 20_000;
/// Characters that are kept of a reason.
const MAX_REASON: usize = 500;

/// What a call has come to at a destination, as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Handed to the destination.
    Waiting = 0,
    /// The destination has it.
    Delivered = 1,
    /// The destination may have it or not.
    Unknown = 2,
    /// Refused.
    Failed = 3,
    /// Given up.
    Dropped = 4,
}

impl State {
    /// From the column; what a later build may have written is unknown.
    pub fn of(stored: i64) -> Self {
        [Self::Waiting, Self::Delivered, Self::Failed, Self::Dropped]
            .into_iter()
            .find(|state| *state as i64 == stored)
            .unwrap_or(Self::Unknown)
    }
}

/// The last that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What the call has come to.
    pub state: State,
    /// Since when, in microseconds since the epoch.
    pub at: i64,
    /// Why, where there is something to say.
    pub reason: Option<Box<str>>,
}

impl Outcome {
    fn new(fate: Fate<'_>, at: At) -> Self {
        let (state, reason) = match fate {
            Fate::Waiting => (State::Waiting, None),
            Fate::Delivered => (State::Delivered, None),
            Fate::Unclear(why) => (State::Unknown, Some(why)),
            Fate::Refused(why) => (State::Failed, Some(why)),
            Fate::Dropped(why) => (State::Dropped, Some(why)),
        };
        let cut = |why: &str| why.chars().take(MAX_REASON).collect::<String>().into_boxed_str();
        Self { state, at: micros(at.0), reason: reason.map(cut) }
    }
}

/// Outcomes by the destinations' keys.
#[derive(Clone, Debug, Default)]
pub(super) struct Batch(pub BTreeMap<[u8; 16], Told>);

/// What was told of one destination.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub address: Address,
    /// By the calls' ids.
    pub calls: HashMap<Box<str>, Outcome>,
}

impl Batch {
    /// The calls of a destination; a new one has none.
    pub fn at(&mut self, to: &Address) -> &mut HashMap<Box<str>, Outcome> {
        let told = self.0.entry(to.key).or_insert_with(|| Told { address: to.clone(), calls: HashMap::new() });
        &mut told.calls
    }
}

/// What the writer has not written yet.
#[derive(Debug)]
pub struct Buffer {
    inner: Mutex<Inner>,
    dropped: AtomicU64,
}

#[derive(Debug)]
struct Inner {
    pending: Batch,
    /// Outcomes in `pending`.
    len: usize,
    /// What the writer has in hand: not in the store for certain.
    writing: Arc<Batch>,
    /// The writer knows that there is something to do.
    asked: bool,
    complete_since: At,
}

impl Buffer {
    /// Empty; `now` is when telling begins.
    pub(super) fn new(now: At) -> Self {
        let inner =
            Inner { pending: Batch::default(), len: 0, writing: Arc::default(), asked: false, complete_since: now };
        Self { inner: Mutex::new(inner), dropped: AtomicU64::new(0) }
    }

    /// Notes an outcome; true when the writer is to be told.
    fn note(&self, to: &Address, call: &str, outcome: Outcome, at: At) -> bool {
        let mut inner = self.inner();
        let room = inner.len < MAX;
        let calls = inner.pending.at(to);
        match calls.get_mut(call) {
            Some(known) => *known = outcome,
            None if room => {
                calls.insert(call.into(), outcome);
                inner.len += 1;
            }
            None => {
                inner.complete_since = inner.complete_since.max(at);
                self.dropped.fetch_add(1, Relaxed);
            }
        }
        !std::mem::replace(&mut inner.asked, true)
    }

    /// Whether there is something for the writer to do; `others`: also what was left the last time.
    pub(super) fn wants_writing(&self, others: bool) -> bool {
        let inner = self.inner();
        inner.asked || others && inner.len > 0
    }

    /// Everything, for the writer, which calls [`Self::wrote`] next.
    pub(super) fn take(&self) -> Arc<Batch> {
        let mut inner = self.inner();
        inner.asked = false;
        inner.len = 0;
        inner.writing = Arc::new(std::mem::take(&mut inner.pending));
        Arc::clone(&inner.writing)
    }

    /// What was taken is in the store, but for what is `left`: that waits for the next time, unless something newer is
    /// known.
    pub(super) fn wrote(&self, left: Batch) {
        let mut inner = self.inner();
        inner.writing = Arc::default();
        for Told { address, calls } in left.0.into_values() {
            for (call, outcome) in calls {
                let room = inner.len < MAX;
                let known = inner.pending.at(&address);
                if known.contains_key(&call) {
                    continue;
                }
                if room {
                    known.insert(call, outcome);
                    inner.len += 1;
                } else {
                    inner.complete_since =
                        inner.complete_since.max(At(outcome.at.unsigned_abs().saturating_mul(1_000)));
                    self.lost(1);
                }
            }
        }
    }

    /// Counts outcomes that will not be stored.
    pub(super) fn lost(&self, outcomes: u64) {
        self.dropped.fetch_add(outcomes, Relaxed);
    }

    /// The last that is known of a call where that may not be in the store yet.
    pub fn of(&self, call: &str) -> Vec<(Address, Outcome)> {
        let inner = self.inner();
        let mut found: BTreeMap<[u8; 16], (Address, Outcome)> = BTreeMap::new();
        // The newer ones come last.
        for told in inner.writing.0.values().chain(inner.pending.0.values()) {
            if let Some(outcome) = told.calls.get(call) {
                found.insert(told.address.key, (told.address.clone(), outcome.clone()));
            }
        }
        found.into_values().collect()
    }

    /// Since when every outcome was kept: the start, or the time of the last that was dropped for want of room.
    pub fn complete_since(&self) -> At {
        self.inner().complete_since
    }

    /// Outcomes that were not stored: there was no room, or no call for them.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Relaxed)
    }

    /// Outcomes that wait for the writer.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let inner = self.inner();
        assert_eq!(inner.len, inner.pending.0.values().map(|told| told.calls.len()).sum::<usize>());
        inner.len
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes down what becomes of calls, on the engine's thread.
#[derive(Debug)]
pub struct Recorder {
    pub(super) buffer: Arc<Buffer>,
    pub(super) sender: SyncSender<Message>,
}

impl Deliveries for Recorder {
    fn told(&self, to: &Address, record_id: &str, fate: Fate<'_>, at: At) {
        if self.buffer.note(to, record_id, Outcome::new(fate, at), at) {
            // Where there is no room the writer is at work, and looks by itself before it rests.
            let _ = self.sender.try_send(Message::Outcomes);
        }
    }
}
