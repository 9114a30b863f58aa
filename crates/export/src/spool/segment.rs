//! What is known of a segment without reading it: its size, its times, and how much of it each lane still waits for.

use std::collections::BTreeMap;

use ai_tracing_core::time::At;

use super::LaneId;

/// Numbers above this are nobody's: no spool writes so many segments.
pub(crate) const MAX_NUMBER: u64 = 1 << 48;

const SUFFIX: &str = ".seg";

/// A file of entries. Only the last segment of a spool grows.
#[derive(Debug)]
pub(crate) struct Segment {
    pub number: u64,
    /// Bytes written.
    pub len: u64,
    /// Time of the first entry.
    pub oldest: At,
    /// The latest time of an entry.
    pub newest: At,
    waiting: BTreeMap<LaneId, Count>,
}

/// What a lane has not resolved yet of one segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub records: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
    /// Of the records: those that the lane's window has not come to.
    pub ahead: u64,
}

impl Segment {
    pub fn new(number: u64) -> Self {
        Self { number, len: 0, oldest: At(u64::MAX), newest: At(0), waiting: BTreeMap::new() }
    }

    pub fn file_name(number: u64) -> String {
        format!("{number:016}{SUFFIX}")
    }

    /// The number of a segment's file; `None` for other files.
    pub fn number_of(file_name: &str) -> Option<u64> {
        let digits = file_name.strip_suffix(SUFFIX).filter(|digits| digits.len() == 16)?;
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse().ok().filter(|number| plain && *number > 0 && *number <= MAX_NUMBER)
    }

    /// An entry of this time was written.
    pub fn saw(&mut self, at: At) {
        self.oldest = self.oldest.min(at);
        self.newest = self.newest.max(at);
    }

    /// One more record waits for a lane.
    pub fn add(&mut self, lane: LaneId, bytes: u32, ahead: bool) {
        let count = self.waiting.entry(lane).or_default();
        count.records += 1;
        count.bytes += u64::from(bytes);
        count.ahead += u64::from(ahead);
    }

    /// What waits for a lane.
    pub fn waiting(&self, lane: LaneId) -> Count {
        self.waiting.get(&lane).copied().unwrap_or_default()
    }

    /// Every lane that something waits for.
    pub fn lanes(&self) -> impl Iterator<Item = (LaneId, Count)> {
        self.waiting.iter().map(|(lane, count)| (*lane, *count))
    }

    /// The lane's window has come to so many more records.
    pub fn reached(&mut self, lane: LaneId, records: u64) {
        if let Some(count) = self.waiting.get_mut(&lane) {
            count.ahead = count.ahead.saturating_sub(records);
        }
    }

    /// A record in the lane's window is resolved. True when the lane waits for nothing more.
    pub fn resolve(&mut self, lane: LaneId, bytes: u32) -> bool {
        let Some(count) = self.waiting.get_mut(&lane) else { return false };
        count.records = count.records.saturating_sub(1);
        count.bytes = count.bytes.saturating_sub(u64::from(bytes));
        let done = count.records == 0;
        if done {
            self.waiting.remove(&lane);
        }
        done
    }

    /// Forgets the records that the lane's window has not come to; their number and bytes, as far as these are known:
    /// `seen` is what the window holds of this segment.
    pub fn forget_ahead(&mut self, lane: LaneId, seen: u64) -> Count {
        let Some(count) = self.waiting.get_mut(&lane) else { return Count::default() };
        let lost = Count { records: count.ahead, bytes: count.bytes.saturating_sub(seen), ahead: count.ahead };
        count.records = count.records.saturating_sub(lost.records);
        count.bytes -= lost.bytes;
        count.ahead = 0;
        if count.records == 0 {
            self.waiting.remove(&lane);
        }
        lost
    }

    /// As if the lane's window had come to nothing of this.
    #[cfg(test)]
    pub fn all_ahead(&mut self, lane: LaneId) {
        self.waiting.entry(lane).and_modify(|count| count.ahead = count.records);
    }

    /// Whether nobody waits for anything in it.
    pub fn is_done(&self) -> bool {
        self.waiting.is_empty()
    }
}
