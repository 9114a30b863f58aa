//! The way in: entries to the end of the last segment, and room for them.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ai_tracing_core::time::At;

use super::disk::File;
use super::entry::{self, MAX_LANES, MAX_PAYLOAD};
use super::lane::Seen;
use super::segment::Segment;
use super::{Entry, LaneId, LaneKey, Position, Spool, SpoolError, Why};

/// Memory that the buffer keeps between two chunks.
const KEEP: usize = 4 << 20;

/// Segments take entries of so much of the age that they may reach: whole segments go, and none much too late.
const SPANS: u128 = 16;

/// An entry and when its record was first appended.
pub(super) struct Timed<'a> {
    pub at: At,
    pub entry: Entry<'a>,
}

impl Spool {
    /// Appends records, all or none, and says where each is. One write, whatever their number.
    ///
    /// # Errors
    /// When the disk does not take them (it is full, the file is gone): the spool is as before, and may be asked again.
    pub fn append(&mut self, entries: &[Entry<'_>], now: At) -> Result<Vec<Position>, SpoolError> {
        let entries: Vec<_> = entries.iter().map(|entry| Timed { at: now, entry: *entry }).collect();
        self.last_append = now;
        self.write(&entries, now)
    }

    /// The same for records of different times.
    pub(super) fn write(&mut self, entries: &[Timed<'_>], now: At) -> Result<Vec<Position>, SpoolError> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        let done = self.encode(entries, &mut buffer).and_then(|()| self.write_bytes(&buffer, now));
        let written = buffer.len() as u64;
        buffer.clear();
        buffer.shrink_to(KEEP);
        self.buffer = buffer;
        let start = done?;
        self.watch.appended.fetch_add(entries.len() as u64, Ordering::Relaxed);
        self.watch.appended_bytes.fetch_add(written, Ordering::Relaxed);
        Ok(self.account(entries, start))
    }

    fn encode(&self, entries: &[Timed<'_>], into: &mut Vec<u8>) -> Result<(), SpoolError> {
        for Timed { at, entry } in entries {
            if entry.lanes.len() > MAX_LANES {
                return Err(SpoolError::TooManyLanes);
            }
            if entry.record.len() > MAX_PAYLOAD {
                return Err(SpoolError::TooLarge(MAX_PAYLOAD as u64));
            }
            let keys: Vec<LaneKey> =
                entry.lanes.iter().filter_map(|id| Some(self.lanes.get(id.index())?.key)).collect();
            entry::encode(into, *at, keys.into_iter(), entry.record);
        }
        Ok(())
    }

    /// Writes a chunk; the position of its beginning.
    fn write_bytes(&mut self, bytes: &[u8], now: At) -> Result<Position, SpoolError> {
        let len = bytes.len() as u64;
        self.make_room(len)?;
        let file = self.growing(len, now)?;
        let start = self.end();
        let written = file.write_at(start.offset, bytes).and_then(|()| self.syncer.wrote(&file));
        if let Err(error) = written {
            // Part of it may be there. Where cutting fails too, the rest lies beyond what this segment is known to hold.
            let _ = file.cut(start.offset);
            self.seal();
            return Err(self.error("cannot write", error));
        }
        if let Some(segment) = self.segments.back_mut() {
            segment.len += len;
        }
        self.bytes += len;
        self.publish_size();
        Ok(start)
    }

    /// Counts what was written from `start` on.
    fn account(&mut self, entries: &[Timed<'_>], start: Position) -> Vec<Position> {
        let mut position = start;
        let mut positions = Vec::with_capacity(entries.len());
        for Timed { at, entry } in entries {
            let known = entry.lanes.iter().filter(|id| self.lanes.get(id.index()).is_some()).count();
            let size = entry::encoded_len(known, entry.record.len());
            let payload = entry.record.len() as u32;
            let seen = Seen { position, at: *at, head: size as u32 - payload, payload, resolved: false };
            if let Some(segment) = self.segments.back_mut() {
                segment.saw(*at);
            }
            for (index, id) in entry.lanes.iter().enumerate() {
                // Named twice is waited for once.
                if entry.lanes.get(..index).is_none_or(|before| !before.contains(id)) {
                    self.wait(*id, seen);
                }
            }
            positions.push(position);
            position.offset += size;
        }
        positions
    }

    /// An entry of the last segment waits for a lane.
    fn wait(&mut self, id: LaneId, seen: Seen) {
        let (Some(lane), Some(segment)) = (self.lanes.get_mut(id.index()), self.segments.back_mut()) else { return };
        let ahead = !lane.keeps_up();
        segment.add(id, seen.payload, ahead);
        lane.add(seen, ahead);
    }

    /// The file that takes the next `len` bytes.
    fn growing(&mut self, len: u64, now: At) -> Result<Arc<dyn File>, SpoolError> {
        if let (Some(file), Some(segment)) = (&self.active, self.segments.back()) {
            let full = segment.len > 0 && segment.len + len > self.options.segment_bytes;
            let span = u128::from(now.0.saturating_sub(segment.oldest.0));
            let old = span * SPANS > self.options.max_age.as_nanos();
            // Somebody may have removed or cut the file.
            let as_we_left_it = file.state().is_ok_and(|state| state.linked && state.len == segment.len);
            if !full && !old && as_we_left_it && !self.syncer.take_failure() {
                return Ok(Arc::clone(file));
            }
            self.seal();
        }
        let number = self.next;
        let name = Segment::file_name(number);
        let mut made = self.disk.begin(&self.home.name, &name);
        // The directory is gone, or somebody else works in it.
        let homeless = |error: &io::Error| matches!(error.kind(), ErrorKind::NotFound | ErrorKind::AlreadyExists);
        if made.as_ref().is_err_and(homeless) {
            self.move_house()?;
            made = self.disk.begin(&self.home.name, &name);
        }
        let file = made.map_err(|error| self.error("cannot begin a file", error))?;
        self.next += 1;
        self.segments.push_back(Segment::new(number));
        self.active = Some(Arc::clone(&file));
        if let Err(error) = self.syncer.wrote(&self.home.names) {
            self.seal();
            return Err(self.error("cannot begin a file", error));
        }
        Ok(file)
    }

    /// The last segment grows no more.
    pub(super) fn seal(&mut self) {
        if self.active.take().is_some() && self.segments.back().is_some_and(Segment::is_done) {
            self.remove_done();
        }
    }

    /// Lets the oldest segments go until there is room for `len` bytes.
    fn make_room(&mut self, len: u64) -> Result<(), SpoolError> {
        if len > self.options.max_bytes {
            return Err(SpoolError::TooLarge(self.options.max_bytes));
        }
        while self.bytes + len > self.options.max_bytes && self.drop_oldest(Why::Full) {}
        Ok(())
    }

    /// Lets the oldest segment go, with what waits in it; false when there is none.
    pub(super) fn drop_oldest(&mut self, why: Why) -> bool {
        if self.segments.len() == 1 {
            self.seal();
        }
        let Some(segment) = self.segments.pop_front() else { return false };
        let before = Position { segment: segment.number + 1, offset: 0 };
        let waiting: Vec<_> = segment.lanes().collect();
        for (id, count) in &waiting {
            if let Some(lane) = self.lanes.get_mut(id.index()) {
                lane.records = lane.records.saturating_sub(count.records);
                lane.bytes = lane.bytes.saturating_sub(count.bytes);
                lane.ahead = lane.ahead.saturating_sub(count.ahead);
                lane.cut_until(segment.number);
            }
            self.lose(*id, why, count.records, Some(before));
        }
        self.delete(&segment);
        for (id, _) in waiting {
            self.advance(id);
        }
        true
    }
}
