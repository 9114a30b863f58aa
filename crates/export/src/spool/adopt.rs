//! Takes over what processes have left that ended: their entries are copied into our own log, step by step.
//!
//! What was copied is noted in the directory's cursors, and its segments are removed, once the copy is as safe as
//! [`super::Fsync`] makes our own entries. Should this process end before, the next one goes on from there: what was
//! copied and not noted comes twice, with the ids that it had.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ai_tracing_core::time::At;

use super::append::Timed;
use super::cursors::{self, Slot};
use super::disk::Disk;
use super::recover::{Home, directories, remove_directory, segments};
use super::scan::{Scanner, Step};
use super::segment::Segment;
use super::sync::Ticket;
use super::{Entry, Event, LaneId, LaneKey, Position, Spool, SpoolError, Why};

/// How often to look for directories, and how long to wait after a failure, in nanoseconds.
const LOOK_EVERY: u64 = 10_000_000_000;

/// Bytes of records that are copied at a time; one record at least.
const STEP: usize = 1 << 20;

/// Steps between two looks at anything else: a few milliseconds.
const STEPS: usize = 4;

/// The state between two steps.
#[derive(Default)]
pub(super) struct Adopter {
    /// When a look or a failure was last.
    looked: Option<At>,
    /// The directory that was looked at last; they take turns.
    last: String,
    estate: Option<Estate>,
    /// We could not write the last haul; the next try waits as long as a look.
    blocked: bool,
}

/// A directory whose process has ended.
struct Estate {
    home: Home,
    /// By key: the index of the lane's slots and what they say.
    lanes: HashMap<LaneKey, (usize, Slot)>,
    /// Segments that are there.
    segments: VecDeque<u64>,
    /// Reads on at `copied`.
    scanner: Option<Scanner>,
    /// Everything before this is copied.
    copied: Position,
    /// Everything before this is noted.
    noted: Position,
    /// Everything before this is copied and may be noted from then on.
    waits: Option<(Position, Ticket)>,
    records: u64,
}

/// How far the adoption of a directory is after a step.
enum Progress {
    More,
    /// Our own log does not take it.
    Blocked,
    /// All of it is ours, and it is gone.
    Removed,
    /// All of it is ours; it holds files that are not a spool's, and stays.
    Left,
}

/// What a step found to copy.
#[derive(Default)]
struct Haul {
    entries: Vec<(At, Vec<LaneKey>, Vec<u8>)>,
    damaged: u64,
    /// Where the haul ends.
    until: Position,
}

impl Spool {
    /// Some steps. What fails is counted and tried again later.
    pub(super) fn adopt(&mut self, now: At) -> Vec<Event> {
        let mut adopter = std::mem::take(&mut self.adopter);
        let due = adopter.looked.is_none_or(|looked| now.0.abs_diff(looked.0) >= LOOK_EVERY);
        let mut events = Vec::new();
        if due {
            adopter.looked = Some(now);
            adopter.blocked = false;
            adopter.estate = adopter.estate.take().or_else(|| self.find_estate(&adopter.last));
        }
        if let Some(mut estate) = adopter.estate.take_if(|_| !adopter.blocked) {
            adopter.last.clone_from(&estate.home.name);
            match self.adopt_from(&mut estate, now, &mut events) {
                Ok(Progress::Removed) => {
                    let (dir, records) = (&estate.home.name, estate.records);
                    tracing::info!(records, "AI Tracing: adopted what a process that ended has left in {dir}");
                    // There may be more.
                    adopter.looked = None;
                }
                Ok(Progress::Left) => {}
                Ok(Progress::More) => adopter.estate = Some(estate),
                Ok(Progress::Blocked) => {
                    adopter.estate = Some(estate);
                    adopter.looked = Some(now);
                    adopter.blocked = true;
                }
                // The others have their turn first.
                Err(error) => {
                    self.error("cannot adopt a directory", error);
                    adopter.looked = Some(now);
                }
            }
        }
        self.adopter = adopter;
        events
    }

    /// A directory that nobody holds: the first one after `last`.
    fn find_estate(&self, last: &str) -> Option<Estate> {
        let mut names = directories(&*self.disk).unwrap_or_default();
        names.retain(|name| *name != self.home.name);
        let turn = names.partition_point(|name| name.as_str() <= last);
        names.rotate_left(turn);
        names.iter().find_map(|name| Estate::open(&self.disk, name).ok().flatten())
    }

    fn adopt_from(&mut self, estate: &mut Estate, now: At, events: &mut Vec<Event>) -> io::Result<Progress> {
        for _ in 0..STEPS {
            if let Some((until, ticket)) = estate.waits
                && self.syncer.has_passed(ticket)
            {
                estate.note(&*self.disk, until)?;
            }
            if estate.waits.is_none() && estate.noted < estate.copied {
                estate.waits = Some((estate.copied, self.syncer.ticket()));
            }
            let Some(haul) = estate.haul(&*self.disk)? else {
                if estate.noted < estate.copied {
                    return Ok(Progress::More);
                }
                let removed = remove_directory(&*self.disk, &estate.home.name)?;
                return Ok(if removed { Progress::Removed } else { Progress::Left });
            };
            // What waits there is as old as what waits here: neither pushes the other out.
            let size: usize = haul.entries.iter().map(|(_, _, record)| record.len()).sum();
            if self.bytes + size as u64 + self.options.segment_bytes > self.options.max_bytes && self.bytes > 0 {
                estate.scanner = None;
                return Ok(Progress::More);
            }
            if self.take_over(estate, &haul, now, events).is_err() {
                estate.scanner = None;
                return Ok(Progress::Blocked);
            }
            self.watch.damaged.fetch_add(haul.damaged, Ordering::Relaxed);
            estate.copied = haul.until;
        }
        Ok(Progress::More)
    }

    /// Appends a haul to our own log.
    fn take_over(
        &mut self,
        estate: &mut Estate,
        haul: &Haul,
        now: At,
        events: &mut Vec<Event>,
    ) -> Result<(), SpoolError> {
        let max_age = self.options.max_age.as_nanos();
        let (mut fresh, mut aged) = (Vec::new(), Vec::new());
        for (at, keys, record) in &haul.entries {
            let mut lanes = Vec::with_capacity(keys.len());
            for key in keys {
                let label = estate.lanes.get(key).map_or("", |(_, slot)| slot.label.as_str());
                match self.lane_of(*key, label, self.end()) {
                    Ok(id) => lanes.push(id),
                    Err(error) => {
                        self.watch.damaged.fetch_add(1, Ordering::Relaxed);
                        tracing::error!("AI Tracing: a record of another process is lost: {error}");
                    }
                }
            }
            if u128::from(now.0.saturating_sub(at.0)) > max_age {
                aged.extend(lanes);
            } else if !lanes.is_empty() {
                fresh.push((*at, lanes, record));
            }
        }
        let entries: Vec<_> =
            fresh.iter().map(|(at, lanes, record)| Timed { at: *at, entry: Entry { lanes, record } }).collect();
        let positions = self.write(&entries, now)?;
        aged.into_iter().for_each(|lane| self.lose(lane, Why::Aged, 1, None));
        estate.records += positions.len() as u64;
        self.watch.adopted.fetch_add(positions.len() as u64, Ordering::Relaxed);
        let mut adopted: BTreeMap<LaneId, (Position, u64)> = BTreeMap::new();
        for ((_, lanes, _), position) in fresh.iter().zip(positions) {
            for lane in lanes {
                adopted.entry(*lane).or_insert((position, 0)).1 += 1;
            }
        }
        for lane in adopted.keys() {
            self.advance(*lane);
        }
        events.extend(adopted.into_iter().map(|(lane, (from, records))| Event::Adopted { lane, from, records }));
        Ok(())
    }
}

impl Estate {
    /// Locks a directory and looks at what there is; `None`: its process lives, or it is being removed.
    fn open(disk: &Arc<dyn Disk>, name: &str) -> io::Result<Option<Self>> {
        let Some(home) = Home::enter(disk, name)? else { return Ok(None) };
        let slots = cursors::load(&*home.cursors)?.into_iter().enumerate();
        let mut lanes: HashMap<LaneKey, (usize, Slot)> = HashMap::new();
        for (index, slot) in slots.filter_map(|(index, slot)| Some((index, slot?))) {
            let known = lanes.get(&slot.key).is_some_and(|(_, known)| known.cursor >= slot.cursor);
            if !known {
                lanes.insert(slot.key, (index, slot));
            }
        }
        let segments = segments(&**disk, name)?.into();
        let (copied, noted) = Default::default();
        Ok(Some(Self { home, lanes, segments, scanner: None, copied, noted, waits: None, records: 0 }))
    }

    /// Writes down how far the copy is, and removes the segments before.
    fn note(&mut self, disk: &dyn Disk, until: Position) -> io::Result<()> {
        while let Some(number) = self.segments.front().copied().filter(|number| *number < until.segment) {
            disk.remove(&self.home.name, &Segment::file_name(number))?;
            self.segments.pop_front();
        }
        for (index, slot) in self.lanes.values_mut().filter(|(_, slot)| slot.cursor < until) {
            slot.cursor = until;
            slot.turn = slot.turn.wrapping_add(1);
            cursors::save(&self.home.cursors, *index, slot)?;
        }
        self.noted = until;
        self.waits = None;
        Ok(())
    }

    /// The next entries that somebody waits for; `None` at the end.
    fn haul(&mut self, disk: &dyn Disk) -> io::Result<Option<Haul>> {
        let Some(number) = self.segments.iter().copied().find(|number| *number >= self.copied.segment) else {
            return Ok(None);
        };
        let name = Segment::file_name(number);
        let mut scanner = match self.scanner.take() {
            Some(scanner) => scanner,
            None => {
                let from = if self.copied.segment == number { self.copied.offset } else { 0 };
                Scanner::new(disk.open(&self.home.name, &name)?, from, u64::MAX)?
            }
        };
        let mut haul = Haul { until: Position { segment: number + 1, offset: 0 }, ..Haul::default() };
        let mut size = 0;
        let mut keys = Vec::new();
        loop {
            let (offset, at, len) = match scanner.step()? {
                Step::End => break,
                Step::Damage { from, until } => {
                    haul.damaged += 1;
                    let dir = &self.home.name;
                    tracing::error!("AI Tracing: the spool is damaged: {dir}/{name} from {from} to {until}");
                    continue;
                }
                Step::Entry { offset, head } => {
                    keys.clear();
                    keys.extend(head.lanes());
                    (offset, head.at, head.payload as usize)
                }
            };
            let position = Position { segment: number, offset };
            keys.retain(|key| self.lanes.get(key).is_none_or(|(_, slot)| slot.cursor <= position));
            if keys.is_empty() {
                continue;
            }
            if let Some(record) = scanner.record(offset)? {
                haul.entries.push((at, keys.clone(), record));
            }
            size += len;
            if size >= STEP {
                haul.until = Position { segment: number, offset: scanner.offset() };
                self.scanner = Some(scanner);
                break;
            }
        }
        Ok(Some(haul))
    }
}
