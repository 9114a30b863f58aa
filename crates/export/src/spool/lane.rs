//! What is known of a lane: how far it is, and a window of the records that come next.
//!
//! ```text
//!  resolved …  │ cursor … window … │ frontier …  ahead, counted by segment  … │ end
//! ```
//!
//! The window begins with the first record that is not resolved. While a lane keeps up it is filled by appending; one
//! that has fallen behind keeps a bounded window and finds what comes after by reading heads of entries again. So a
//! backlog of millions of records costs no memory.

use std::collections::VecDeque;

use ai_tracing_core::time::At;

use super::cursors::Slot;
use super::{LaneKey, Position};

/// Records that appending puts into a window at most. Few in tests, so that lanes fall behind in all of them.
pub(crate) const WINDOW: usize = if cfg!(test) { 8 } else { 4096 };

#[derive(Debug)]
pub(crate) struct Lane {
    pub key: LaneKey,
    pub label: String,
    /// Somebody asked for it since the spool was opened.
    pub claimed: bool,
    /// Everything of this lane before it is resolved.
    pub cursor: Position,
    /// Where the window ends; all records at or after it are unresolved.
    pub frontier: Position,
    pub window: VecDeque<Seen>,
    /// Unresolved records, and bytes of their payloads.
    pub records: u64,
    pub bytes: u64,
    /// Of the records: those after the frontier.
    pub ahead: u64,
    /// Of the last slot written.
    pub turn: u64,
    /// The file does not say yet what is said here.
    pub unsaved: bool,
}

/// A record in a window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub position: Position,
    pub at: At,
    /// Bytes of the head and of the payload.
    pub head: u32,
    pub payload: u32,
    pub resolved: bool,
}

impl Seen {
    /// Where the entry ends.
    pub fn end(&self) -> Position {
        let offset = self.position.offset + u64::from(self.head) + u64::from(self.payload);
        Position { segment: self.position.segment, offset }
    }
}

impl Lane {
    /// A lane that has nothing before `cursor`.
    pub fn new(key: LaneKey, label: &str, cursor: Position) -> Self {
        Self {
            key,
            label: label.to_owned(),
            claimed: false,
            cursor,
            frontier: cursor,
            window: VecDeque::new(),
            records: 0,
            bytes: 0,
            ahead: 0,
            turn: 0,
            unsaved: true,
        }
    }

    /// As its slot says.
    pub fn recovered(slot: Slot) -> Self {
        let lane = Self::new(slot.key, &slot.label, slot.cursor);
        Self { turn: slot.turn, unsaved: false, ..lane }
    }

    /// Whether a record that is appended now goes into the window.
    pub fn keeps_up(&self) -> bool {
        self.ahead == 0 && self.window.len() < WINDOW
    }

    /// One more record waits; `ahead`: outside of the window.
    pub fn add(&mut self, seen: Seen, ahead: bool) {
        self.records += 1;
        self.bytes += u64::from(seen.payload);
        if ahead {
            self.ahead += 1;
        } else {
            self.frontier = seen.end();
            self.window.push_back(seen);
        }
    }

    /// Marks a record of the window as resolved; its size, unless it was already or is not there.
    pub fn resolve(&mut self, position: Position) -> Option<u32> {
        let index = self.window.binary_search_by_key(&position, |seen| seen.position).ok()?;
        let seen = self.window.get_mut(index).filter(|seen| !seen.resolved)?;
        seen.resolved = true;
        self.records = self.records.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(u64::from(seen.payload));
        Some(seen.payload)
    }

    /// Lets go of what is resolved at the window's beginning.
    pub fn trim(&mut self) {
        while self.window.front().is_some_and(|seen| seen.resolved) {
            self.window.pop_front();
        }
    }

    /// Lets go of everything in segments up to `number`, resolved or not.
    pub fn cut_until(&mut self, number: u64) {
        while self.window.front().is_some_and(|seen| seen.position.segment <= number) {
            self.window.pop_front();
        }
        self.frontier = self.frontier.max(Position { segment: number + 1, offset: 0 });
    }

    /// Bytes of what the window holds unresolved of a segment.
    pub fn bytes_seen(&self, segment: u64) -> u64 {
        let of_it = self.window.iter().filter(|seen| seen.position.segment == segment && !seen.resolved);
        of_it.map(|seen| u64::from(seen.payload)).sum()
    }

    /// What the lane's slot should say.
    pub fn slot(&self) -> Slot {
        Slot { turn: self.turn, key: self.key, cursor: self.cursor, label: self.label.clone() }
    }
}
