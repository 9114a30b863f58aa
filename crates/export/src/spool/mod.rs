//! The spool: records on disk until every destination has them.
//!
//! # What it promises
//!
//! - What [`Spool::append`] has acknowledged is read back once, in order, by every lane that it is for, until that lane
//!   has resolved it. That holds when the process is killed at any moment; how much of it a power cut may cost says
//!   [`Fsync`].
//! - Records that a lane has resolved do not come again, unless the machine lost the last write of the lane's cursor:
//!   then they come with the ids that they had.
//! - Damage costs the entries that it hit. What cannot be read is counted and said; opening never fails because of it,
//!   and no bytes, whoever wrote them, make it panic or take memory without bound.
//! - It is bounded: above [`Options::max_bytes`] and after [`Options::max_age`] the oldest segment goes, and each lane
//!   is told how many records that has cost it.
//!
//! # On disk
//!
//! ```text
//! SPOOL/                        0700, one for all processes of a node
//!   w-<uuid v7>/                a process's own
//!     lock                      held (flock) as long as the process lives
//!     cursors                   the lanes and how far each is            (`cursors`)
//!     0000000000000001.seg      entries, one after another, 8 MiB        (`entry`)
//!     0000000000000002.seg      the last one grows
//!   dead/                       what destinations refused                (`dead`)
//! ```
//!
//! A *lane* is a destination's identity, a key that outlives processes and configurations. An entry is written once and
//! names the lanes that it is for. A segment goes when no lane waits for anything in it. Segments that an earlier
//! process left are read and never written again.
//!
//! A process takes over a directory that nobody holds, or makes one. Others that nobody holds are *adopted*: what waits
//! in them is copied into our own in small steps, and they are removed.
//!
//! # In memory
//!
//! Counts by segment and lane, and a window of records for each lane (`lane`); no index. All of it belongs to one owner
//! that calls in from one thread; only [`Spool::watch`] is for others.

mod adopt;
mod append;
mod cursors;
pub(crate) mod dead;
mod disk;
mod entry;
mod house;
mod lane;
pub mod operate;
mod read;
mod recover;
mod scan;
mod segment;
mod stats;
mod sync;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::io;
use std::num::ParseIntError;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use ai_tracing_core::text::hex;
use ai_tracing_core::time::At;
use bytes::Bytes;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use stats::SpoolStats;
pub(crate) use stats::Watch;

use adopt::Adopter;
use disk::{Disk, File};
use lane::Lane;
use recover::Home;
use segment::Segment;
use sync::Syncer;

/// Where the spool lies, and its bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Directory for all processes of this node; made if it is not there.
    pub dir: PathBuf,
    /// Bytes on disk that this process may take for records that wait; above it the oldest segment goes.
    pub max_bytes: u64,
    /// How long records wait at most, by the wall clock; within a sixteenth, because whole segments go.
    pub max_age: Duration,
    /// When what is written is made to last.
    pub fsync: Fsync,
    /// Size in bytes that a segment is filled to. A chunk that is larger gets a segment of its own.
    pub segment_bytes: u64,
}

impl Options {
    /// The defaults: 2 GiB, 24 hours, synced every 100 ms, segments of 8 MiB.
    pub fn new(dir: PathBuf) -> Self {
        Self {
            dir,
            max_bytes: 2 << 30,
            max_age: Duration::from_secs(24 * 3600),
            fsync: Fsync::default(),
            segment_bytes: 8 << 20,
        }
    }
}

/// When what was written is made to survive a power cut. A process that dies loses nothing under any of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fsync {
    /// When the operating system sees fit, commonly within 30 seconds.
    Never,
    /// So long after a write at most, plus the time that the disk takes; by a thread of its own.
    Interval(Duration),
    /// Before [`Spool::append`] and [`Spool::resolve`] return.
    Always,
}

impl Default for Fsync {
    fn default() -> Self {
        Self::Interval(Duration::from_millis(100))
    }
}

/// Where an entry begins; their order is that of writing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Position {
    segment: u64,
    offset: u64,
}

/// A lane of this spool, as long as it is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct LaneId(u16);

impl LaneId {
    fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// What a lane is known by across processes: a hash of what makes a destination that destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct LaneKey(pub [u8; 16]);

impl fmt::Display for LaneKey {
    /// 32 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl FromStr for LaneKey {
    type Err = ParseIntError;

    fn from_str(digits: &str) -> Result<Self, ParseIntError> {
        u128::from_str_radix(digits, 16).map(|number| Self(number.to_be_bytes()))
    }
}

impl Serialize for LaneKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LaneKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// A record to append.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    /// The lanes that it is for.
    pub lanes: &'a [LaneId],
    /// Its JSON.
    pub record: &'a [u8],
}

/// What a lane has not resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pending {
    pub records: u64,
    /// Bytes of the records' JSON.
    pub bytes: u64,
    /// When the first of them was appended.
    pub oldest: Option<At>,
    /// Where reading begins.
    pub first: Position,
}

/// Some records of a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub records: Vec<(Position, Bytes)>,
    /// Where the next chunk begins.
    pub next: Position,
    /// Nothing of this lane comes after.
    pub caught_up: bool,
}

/// What [`Spool::keep_house`] has to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Records that a lane had not resolved are gone from disk.
    Lost {
        lane: LaneId,
        records: u64,
        why: Why,
        /// All of this lane before it is gone, also what may still be in somebody's memory: resolving that counts for
        /// nothing. `None`: single records, wherever they were.
        before: Option<Position>,
    },
    /// Records of a process that has ended were appended for a lane, the first of them here.
    Adopted { lane: LaneId, from: Position, records: u64 },
}

/// Why records are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Why {
    /// They were the oldest, and there was no room.
    Full,
    /// They waited too long.
    Aged,
    /// They could not be read back.
    Damaged,
}

impl Why {
    /// In words, for the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "the spool is full, the oldest made room",
            Self::Aged => "they are older than the spool keeps them",
            Self::Damaged => "the spool cannot read them back",
        }
    }
}

/// What the spool could not do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpoolError {
    #[error("{what} in {}: {source}", dir.display())]
    Io { what: &'static str, dir: PathBuf, source: io::Error },
    #[error("the records are larger than the spool may become ({0} bytes)")]
    TooLarge(u64),
    #[error("a record is for more than {} destinations", entry::MAX_LANES)]
    TooManyLanes,
    #[error("the spool knows {} destinations and takes no more", cursors::MAX_LANES)]
    LanesFull,
}

/// See the [module](self).
pub(crate) struct Spool {
    disk: Arc<dyn Disk>,
    options: Options,
    home: Home,
    /// In order of their numbers.
    segments: VecDeque<Segment>,
    /// The file of the last segment, while it grows.
    active: Option<Arc<dyn File>>,
    /// Number of the next segment.
    next: u64,
    /// Size of all segments.
    bytes: u64,
    lanes: Vec<Lane>,
    keys: HashMap<LaneKey, LaneId>,
    /// The file that was read last, by its segment's number.
    reading: Option<(u64, Arc<dyn File>)>,
    /// Losses that nobody was told of yet.
    lost: BTreeMap<(LaneId, Why), (u64, Option<Position>)>,
    adopter: Adopter,
    last_append: At,
    buffer: Vec<u8>,
    syncer: Syncer,
    watch: Arc<Watch>,
}

impl Spool {
    /// The lane of a key; a new one waits for nothing. The label says for people what it is and holds no secret.
    pub fn lane(&mut self, key: LaneKey, label: &str) -> Result<LaneId, SpoolError> {
        let id = self.lane_of(key, label, self.end())?;
        let Some(lane) = self.lanes.get_mut(id.index()) else { return Err(SpoolError::LanesFull) };
        lane.claimed = true;
        if lane.label != label {
            label.clone_into(&mut lane.label);
            lane.unsaved = true;
        }
        self.save(id);
        Ok(id)
    }

    /// What a lane has not resolved.
    pub fn pending(&self, lane: LaneId) -> Pending {
        match self.lanes.get(lane.index()) {
            Some(lane) => Pending {
                records: lane.records,
                bytes: lane.bytes,
                oldest: lane.window.front().map(|seen| seen.at),
                first: lane.cursor,
            },
            None => Pending { records: 0, bytes: 0, oldest: None, first: self.end() },
        }
    }

    /// Where the next record goes, or before that.
    pub fn end(&self) -> Position {
        match (&self.active, self.segments.back()) {
            (Some(_), Some(segment)) => Position { segment: segment.number, offset: segment.len },
            _ => Position { segment: self.next, offset: 0 },
        }
    }

    /// The counters, for any thread.
    pub fn watch(&self) -> Arc<Watch> {
        Arc::clone(&self.watch)
    }

    /// A snapshot of the counters.
    #[cfg(test)]
    pub fn stats(&self) -> SpoolStats {
        self.watch.stats()
    }

    /// The lane of a key; one that is not known yet has nothing before `cursor`.
    fn lane_of(&mut self, key: LaneKey, label: &str, cursor: Position) -> Result<LaneId, SpoolError> {
        if let Some(id) = self.keys.get(&key) {
            return Ok(*id);
        }
        let mut lane = Lane::new(key, label, cursor);
        let index = if self.lanes.len() < cursors::MAX_LANES {
            self.lanes.push(lane);
            self.lanes.len() - 1
        } else {
            // One of an earlier process that nobody waits for makes room.
            let unused = |lane: &Lane| !lane.claimed && lane.records == 0;
            let index = self.lanes.iter().position(unused).ok_or(SpoolError::LanesFull)?;
            if let Some(old) = self.lanes.get_mut(index) {
                self.keys.remove(&old.key);
                lane.turn = old.turn;
                *old = lane;
            }
            index
        };
        let id = LaneId(u16::try_from(index).map_err(|_| SpoolError::LanesFull)?);
        self.keys.insert(key, id);
        Ok(id)
    }

    /// The index in `segments` of the first one with this number or a higher one.
    fn index_of(&self, number: u64) -> usize {
        self.segments.partition_point(|segment| segment.number < number)
    }

    fn error(&self, what: &'static str, source: io::Error) -> SpoolError {
        let error = SpoolError::Io { what, dir: self.options.dir.join(&self.home.name), source };
        self.watch.failed(&error.to_string());
        error
    }

    /// Keeps a loss for the next [`Self::keep_house`].
    fn lose(&mut self, lane: LaneId, why: Why, records: u64, before: Option<Position>) {
        if records > 0 {
            let lost = self.lost.entry((lane, why)).or_default();
            lost.0 += records;
            lost.1 = lost.1.max(before);
        }
    }
}
