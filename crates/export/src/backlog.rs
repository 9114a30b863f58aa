//! A destination's part of the spool: the lane that it is, and how far it has fallen behind.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use ai_tracing_core::record::CallRecord;
use ai_tracing_core::time::At;
use bytes::Bytes;

use crate::clock::now;
use crate::spool::dead::DeadLetter;
use crate::spool::{Event, LaneId, LaneKey, Pending, Position, Why};
use crate::storage::Storage;

/// One lane of the spool.
pub(crate) struct Backlog {
    storage: Arc<Storage>,
    key: LaneKey,
    lane: OnceLock<LaneId>,
    /// Bytes on disk, and since when the first of them waits; as of the last look.
    seen: Mutex<(u64, Option<At>)>,
}

/// Records read back.
pub(crate) struct Read {
    /// A record, unless what was written is none: another version may have written it.
    pub records: Vec<(Position, Result<CallRecord, Unreadable>)>,
    /// Where to go on; `None`: this was all.
    pub next: Option<Position>,
}

/// What was written, and why it is no record.
pub(crate) struct Unreadable {
    pub json: Bytes,
    pub why: String,
}

/// Something happened to a lane's records on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// So many will not come any more; all before the position are among them.
    Lost { records: u64, why: Why, before: Option<Position> },
    /// More than was offered waits from here on.
    More { from: Position, records: u64 },
}

impl Backlog {
    pub fn new(storage: Arc<Storage>, key: LaneKey) -> Self {
        Self { storage, key, lane: OnceLock::new(), seen: Mutex::default() }
    }

    /// The lane; with what waits in it, the first time.
    pub fn lane(&self, label: &str) -> Option<(LaneId, Option<Pending>)> {
        if let Some(lane) = self.lane.get() {
            return Some((*lane, None));
        }
        let (lane, pending) = self.storage.lane(self.key, label)?;
        let _ = self.lane.set(lane);
        Some((lane, Some(pending)))
    }

    /// The next records from a position on.
    pub fn read(&self, from: Position, max_records: usize, max_bytes: usize) -> Read {
        let read = self.lane.get().and_then(|lane| {
            self.storage.with(|spool| {
                let chunk = spool.read(*lane, from, max_records, max_bytes);
                // A chunk without records that does not move on would be asked for without end.
                let over = chunk.caught_up || (chunk.records.is_empty() && chunk.next <= from);
                (chunk.records, (!over).then_some(chunk.next))
            })
        });
        let (records, next) = read.unwrap_or_default();
        let parsed = records.into_iter().map(|(position, json)| {
            crate::pause();
            let record = serde_json::from_slice(&json);
            (position, record.map_err(|error| Unreadable { json, why: error.to_string() }))
        });
        Read { records: parsed.collect(), next }
    }

    /// The lane is done with these; how many of them had not been lost before.
    pub fn resolve(&self, positions: &[Position]) -> u64 {
        let Some(lane) = self.lane.get() else { return 0 };
        self.storage.with(|spool| spool.resolve(*lane, positions)).unwrap_or(0)
    }

    /// Puts a record aside that will never be taken; false where that is not possible.
    pub fn bury(&self, label: &str, json: &[u8], why: &str) -> bool {
        let Ok(record) = serde_json::from_slice(json) else { return false };
        let (at, label, why) = (now(), label.to_owned(), why.to_owned());
        self.storage.bury(&DeadLetter { at, lane: self.key, label, why, record })
    }

    /// What an event means for this lane.
    pub fn hear(&self, event: &Event) -> Option<News> {
        let own = *self.lane.get()?;
        match *event {
            Event::Lost { lane, records, why, before } if lane == own => Some(News::Lost { records, why, before }),
            Event::Adopted { lane, from, records } if lane == own => Some(News::More { from, records }),
            _ => None,
        }
    }

    /// Notes how much waits on disk, for [`Self::waiting`].
    pub fn look(&self) {
        let pending = self.lane.get().and_then(|lane| self.storage.with(|spool| spool.pending(*lane)));
        let seen = pending.map_or((0, None), |pending| (pending.bytes, pending.oldest));
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
    }

    /// Bytes on disk, and since when the first of them waits; as of the last look, from any thread.
    pub fn waiting(&self) -> (u64, Option<At>) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
