//! The way out: what a lane reads, and what it has resolved.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::cursors;
use super::disk::File;
use super::entry::{Head, Peek};
use super::lane::{Seen, WINDOW};
use super::scan::{Scanner, Step};
use super::segment::Segment;
use super::{Chunk, LaneId, Position, Spool, Why};

/// Records by which a window grows when it is empty.
const LOOK: usize = WINDOW / 4;

impl Spool {
    /// Unresolved records of a lane from a position on: up to so many, with up to so many bytes, and at least one if
    /// there is any. What cannot be read is counted, resolved and left out.
    pub fn read(&mut self, id: LaneId, from: Position, max_records: usize, max_bytes: usize) -> Chunk {
        let mut chunk = Chunk { records: Vec::new(), next: from, caught_up: false };
        if self.lanes.get(id.index()).is_none() {
            return Chunk { caught_up: true, ..chunk };
        }
        let mut bytes = 0;
        let mut damaged = 0;
        let mut index = None;
        while let Some(lane) = self.lanes.get(id.index()) {
            let at = index.unwrap_or_else(|| lane.window.partition_point(|seen| seen.position < from));
            let Some(seen) = lane.window.get(at).copied() else {
                if lane.ahead == 0 {
                    chunk.next = self.end().max(from);
                    chunk.caught_up = true;
                    break;
                }
                self.look_ahead(id, max_records.clamp(1, WINDOW));
                continue;
            };
            if !seen.resolved {
                if chunk.records.len() >= max_records
                    || (!chunk.records.is_empty() && bytes + seen.payload as usize > max_bytes)
                {
                    break;
                }
                if let Some(record) = self.load(&seen) {
                    bytes += record.len();
                    chunk.records.push((seen.position, record));
                } else {
                    damaged += u64::from(self.resolve_one(id, seen.position));
                }
            }
            chunk.next = seen.end();
            index = Some(at + 1);
        }
        if damaged > 0 {
            self.damage(id, damaged);
            self.advance(id);
            self.remove_done();
        }
        chunk
    }

    /// A lane is done with these records, in whatever order. How many of them it had not resolved before and were not
    /// lost: those count.
    pub fn resolve(&mut self, id: LaneId, positions: &[Position]) -> u64 {
        let mut resolved = 0;
        for position in positions {
            while self.lanes.get(id.index()).is_some_and(|lane| *position >= lane.frontier && lane.ahead > 0) {
                self.look_ahead(id, LOOK);
            }
            resolved += u64::from(self.resolve_one(id, *position));
        }
        if resolved > 0 {
            self.advance(id);
            self.remove_done();
        }
        resolved
    }

    /// True when it was unresolved.
    fn resolve_one(&mut self, id: LaneId, position: Position) -> bool {
        let Some(payload) = self.lanes.get_mut(id.index()).and_then(|lane| lane.resolve(position)) else {
            return false;
        };
        let index = self.index_of(position.segment);
        if let Some(segment) = self.segments.get_mut(index).filter(|segment| segment.number == position.segment) {
            segment.resolve(id, payload);
        }
        true
    }

    /// Moves a lane's cursor to its first unresolved record, or to the end, and writes it down.
    pub(super) fn advance(&mut self, id: LaneId) {
        let cursor = loop {
            let Some(lane) = self.lanes.get_mut(id.index()) else { return };
            lane.trim();
            match lane.window.front() {
                Some(seen) => break seen.position,
                None if lane.ahead == 0 => break self.end(),
                None => self.look_ahead(id, LOOK),
            }
        };
        if let Some(lane) = self.lanes.get_mut(id.index()).filter(|lane| lane.cursor != cursor) {
            lane.cursor = cursor;
            lane.unsaved = true;
        }
        self.save(id);
    }

    /// Writes a lane's slot if it says anything new; where that fails, later.
    pub(super) fn save(&mut self, id: LaneId) {
        let Some(lane) = self.lanes.get_mut(id.index()).filter(|lane| lane.unsaved) else { return };
        lane.turn = lane.turn.wrapping_add(1);
        let saved = cursors::save(&self.home.cursors, id.index(), &lane.slot());
        match saved.and_then(|()| self.syncer.wrote(&self.home.cursors)) {
            Ok(()) => lane.unsaved = false,
            Err(error) => {
                self.error("cannot write cursors", error);
            }
        }
    }

    /// Extends a lane's window by up to `most` records.
    fn look_ahead(&mut self, id: LaneId, most: usize) {
        let mut found = 0;
        while found < most {
            let Some(lane) = self.lanes.get_mut(id.index()).filter(|lane| lane.ahead > 0) else { return };
            let frontier = lane.frontier;
            let rest = self.segments.range(self.segments.partition_point(|it| it.number < frontier.segment)..);
            let waits = |segment: &&Segment| segment.waiting(id).ahead > 0;
            let Some(number) = rest.into_iter().find(waits).map(|segment| segment.number) else {
                // The counts of segments and lanes are changed together; should they ever differ, the segments' hold.
                let lost = std::mem::take(&mut lane.ahead);
                lane.records = lane.records.saturating_sub(lost);
                lane.bytes = lane.window.iter().filter(|it| !it.resolved).map(|it| u64::from(it.payload)).sum();
                self.damage(id, lost);
                return;
            };
            let from = frontier.max(Position { segment: number, offset: 0 });
            let ahead = usize::try_from(self.segment(number).map_or(0, |it| it.waiting(id).ahead)).unwrap_or(most);
            let wanted = ahead.min(most - found);
            let seen = self.find(id, from, wanted).unwrap_or_else(|(seen, error)| {
                tracing::error!("AI Tracing: a spool file cannot be read: {}: {error}", self.describe(number));
                seen
            });
            found += self.reach(id, number, &seen, seen.len() < wanted);
        }
    }

    /// Up to `most` records of a lane in the segment of `from`; with an error, those before it.
    fn find(&mut self, id: LaneId, from: Position, most: usize) -> Result<Vec<Seen>, (Vec<Seen>, io::Error)> {
        let mut found = Vec::new();
        let (Some(key), Some(len)) =
            (self.lanes.get(id.index()).map(|lane| lane.key), self.segment(from.segment).map(|segment| segment.len))
        else {
            return Ok(found);
        };
        let file = self.file(from.segment).and_then(|file| Scanner::new(file, from.offset, len));
        let mut scanner = file.map_err(|error| (Vec::new(), error))?;
        while found.len() < most {
            match scanner.step() {
                Ok(Step::Entry { offset, head }) => {
                    if head.lanes().any(|it| it == key) {
                        let position = Position { segment: from.segment, offset };
                        let (at, payload) = (head.at, head.payload);
                        found.push(Seen { position, at, head: head.len() as u32, payload, resolved: false });
                    }
                }
                Ok(Step::Damage { .. }) => {}
                Ok(Step::End) => break,
                Err(error) => return Err((found, error)),
            }
        }
        Ok(found)
    }

    /// Puts what was found of a segment into the lane's window; with `ended` there is no more of it, and what was
    /// counted besides is lost. How many are in the window now that were not.
    fn reach(&mut self, id: LaneId, number: u64, seen: &[Seen], ended: bool) -> usize {
        let index = self.index_of(number);
        let (Some(lane), Some(segment)) = (self.lanes.get_mut(id.index()), self.segments.get_mut(index)) else {
            return 0;
        };
        let reached = seen.len() as u64;
        segment.reached(id, reached);
        lane.ahead = lane.ahead.saturating_sub(reached);
        lane.window.extend(seen);
        if let Some(last) = seen.last() {
            lane.frontier = last.end();
        }
        if ended {
            // Not the next segment: this one may grow.
            lane.frontier = Position { segment: number, offset: segment.len };
            let lost = segment.forget_ahead(id, lane.bytes_seen(number));
            lane.records = lane.records.saturating_sub(lost.records);
            lane.bytes = lane.bytes.saturating_sub(lost.bytes);
            lane.ahead = lane.ahead.saturating_sub(lost.ahead);
            if lost.records > 0 {
                let place = self.describe(number);
                tracing::error!(records = lost.records, "AI Tracing: records in the spool are damaged: {place}");
                self.damage(id, lost.records);
            }
        }
        seen.len()
    }

    /// The record of an entry, if it is as it was written.
    fn load(&mut self, seen: &Seen) -> Option<Bytes> {
        let mut bytes = vec![0; seen.head as usize + seen.payload as usize];
        let problem = match self.file(seen.position.segment).and_then(|it| it.read_at(seen.position.offset, &mut bytes))
        {
            Ok(read) if read < bytes.len() => "the file has been cut".to_owned(),
            Ok(_) => match Head::peek(&bytes) {
                Peek::Head(head)
                    if head.entry_len() == bytes.len() as u64
                        && bytes.get(head.len()..).is_some_and(|it| crc32fast::hash(it) == head.payload_crc) =>
                {
                    let start = head.len();
                    return Some(Bytes::from(bytes).slice(start..));
                }
                _ => "the checksum does not match".to_owned(),
            },
            Err(error) => error.to_string(),
        };
        let Position { segment, offset } = seen.position;
        let place = self.describe(segment);
        tracing::error!("AI Tracing: a record in the spool is damaged: {place} at {offset}: {problem}");
        None
    }

    /// A segment's file, open.
    fn file(&mut self, number: u64) -> io::Result<Arc<dyn File>> {
        if let (Some(file), Some(segment)) = (&self.active, self.segments.back())
            && segment.number == number
        {
            return Ok(Arc::clone(file));
        }
        if let Some((open, file)) = &self.reading
            && *open == number
        {
            return Ok(Arc::clone(file));
        }
        let file = self.disk.open(&self.home.name, &Segment::file_name(number))?;
        self.reading = Some((number, Arc::clone(&file)));
        Ok(file)
    }

    fn segment(&self, number: u64) -> Option<&Segment> {
        self.segments.get(self.index_of(number)).filter(|segment| segment.number == number)
    }

    fn damage(&mut self, id: LaneId, records: u64) {
        self.watch.damaged.fetch_add(records, Ordering::Relaxed);
        self.lose(id, Why::Damaged, records, None);
    }

    /// A segment's file, for the log.
    pub(super) fn describe(&self, number: u64) -> String {
        self.options.dir.join(&self.home.name).join(Segment::file_name(number)).display().to_string()
    }
}
