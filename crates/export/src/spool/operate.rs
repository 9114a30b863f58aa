//! What operators do with a spool from outside, also while processes work in it: look, send again, throw away.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::Path;
use std::sync::Arc;

use ai_tracing_core::time::{At, rfc3339};
use serde::Serialize;

use super::cursors::{self, Slot};
use super::dead::{self, DeadLetter, DeadLetters};
use super::disk::{Directory, Disk, LOCK};
use super::recover::{Home, directories, remove_directory, segments};
use super::scan::{Scanner, Step};
use super::segment::Segment;
use super::{Entry, Fsync, LaneKey, Options, Position, Spool};

/// What waits for a destination in one directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Waiting {
    /// The destination.
    pub destination: String,
    /// The directory's name.
    pub directory: String,
    /// Whether the process lives that works in it; else the next one, or another that runs, takes it over.
    pub lives: bool,
    /// Records not resolved.
    pub records: u64,
    /// Bytes of their JSON.
    pub bytes: u64,
    /// When the first of them was written; null when there is none.
    #[serde(serialize_with = "rfc3339_or_null")]
    pub oldest: Option<At>,
}

/// Dead letters of one destination and reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Dead {
    /// The destination.
    pub destination: String,
    /// What it said.
    pub reason: String,
    /// How many.
    pub records: u64,
    /// Bytes of their JSON.
    pub bytes: u64,
    /// When the first of them was refused.
    #[serde(with = "rfc3339")]
    pub oldest: At,
}

fn rfc3339_or_null<S: serde::Serializer>(at: &Option<At>, serializer: S) -> Result<S::Ok, S::Error> {
    at.map(At::to_rfc3339).serialize(serializer)
}

/// What waits, by directory and destination. A spool that is not there is empty.
///
/// # Errors
/// When a directory cannot be read; one that is removed meanwhile is no error.
pub fn waiting(spool: &Path) -> io::Result<Vec<Waiting>> {
    let disk = Directory(spool.to_owned());
    let mut all = Vec::new();
    for dir in or_empty(directories(&disk))? {
        let lives = lives(spool, &dir);
        let lanes = or_empty(counts(&disk, &dir))?;
        all.extend(lanes.into_values().map(|lane| Waiting {
            destination: lane.slot.label,
            directory: dir.clone(),
            lives,
            records: lane.records,
            bytes: lane.bytes,
            oldest: lane.oldest,
        }));
    }
    all.sort_by(|a, b| (&a.destination, &a.directory).cmp(&(&b.destination, &b.directory)));
    Ok(all)
}

/// Dead letters by destination and reason, and how many lines could not be read.
///
/// # Errors
/// When a file cannot be read.
pub fn dead(spool: &Path) -> io::Result<(Vec<Dead>, u64)> {
    let mut all: BTreeMap<(String, String), (u64, u64, At)> = BTreeMap::new();
    let unreadable = letters(spool).visit(|letter| {
        let sum = all.entry((letter.label.clone(), letter.why.clone())).or_insert((0, 0, letter.at));
        *sum = (sum.0 + 1, sum.1 + letter.record.get().len() as u64, sum.2.min(letter.at));
    })?;
    let dead = all.into_iter().map(|((destination, reason), (records, bytes, oldest))| Dead {
        destination,
        reason,
        records,
        bytes,
        oldest,
    });
    Ok((dead.collect(), unreadable))
}

/// Moves dead letters, of one destination or of all, into a directory of their own, which a process that runs adopts
/// within seconds, and else the next one. How many those were.
///
/// # Errors
/// When a file cannot be read or written. What has been moved before stays moved.
pub fn retry(spool: &Path, destination: Option<&str>, now: At) -> io::Result<u64> {
    let mut fresh: Option<Spool> = None;
    let moved = letters(spool).take(chosen(destination), |letters| {
        let to = match &mut fresh {
            Some(fresh) => fresh,
            none => none.insert(open_fresh(spool, now).map_err(io::Error::other)?),
        };
        deposit(to, &letters, now).map_err(io::Error::other)
    })?;
    Ok(moved)
}

/// Deletes dead letters, of one destination or of all. How many.
///
/// # Errors
/// When a file cannot be read or written.
pub fn purge_dead(spool: &Path, destination: Option<&str>) -> io::Result<u64> {
    letters(spool).take(chosen(destination), |_| Ok(()))
}

/// Deletes what waits in directories that no process holds, for one destination or for all. How many records; one that
/// waits for two destinations counts twice.
///
/// # Errors
/// When a file cannot be read or written.
pub fn purge_waiting(spool: &Path, destination: Option<&str>) -> io::Result<u64> {
    let disk: Arc<dyn Disk> = Arc::new(Directory(spool.to_owned()));
    let mut purged = 0;
    for dir in or_empty(directories(&*disk))? {
        let Some(home) = Home::enter(&disk, &dir)? else { continue };
        let lanes = counts(&*disk, &dir)?;
        let (chosen, rest): (Vec<_>, Vec<_>) =
            lanes.into_values().partition(|lane| destination.is_none_or(|label| lane.slot.label == label));
        purged += chosen.iter().map(|lane| lane.records).sum::<u64>();
        if rest.iter().all(|lane| lane.records == 0) {
            remove_directory(&*disk, &dir)?;
            continue;
        }
        let end = Position { segment: segments(&*disk, &dir)?.last().map_or(0, |last| last + 1), offset: 0 };
        for Lane { index, mut slot, .. } in chosen {
            slot.cursor = end;
            slot.turn = slot.turn.wrapping_add(1);
            cursors::save(&home.cursors, index, &slot)?;
        }
    }
    Ok(purged)
}

/// A lane of a directory, for counting.
struct Lane {
    index: usize,
    slot: Slot,
    records: u64,
    bytes: u64,
    oldest: Option<At>,
}

/// What waits in a directory by lane. Somebody may be working in it.
fn counts(disk: &dyn Disk, dir: &str) -> io::Result<BTreeMap<LaneKey, Lane>> {
    let mut lanes: BTreeMap<LaneKey, Lane> = BTreeMap::new();
    let new = |index, slot| Lane { index, slot, records: 0, bytes: 0, oldest: None };
    for (index, slot) in cursors::load_from(disk, dir)?.into_iter().enumerate() {
        let Some(slot) = slot else { continue };
        let known = lanes.get(&slot.key).is_some_and(|known| known.slot.cursor >= slot.cursor);
        if !known {
            lanes.insert(slot.key, new(index, slot));
        }
    }
    for number in segments(disk, dir)? {
        let file = match disk.open(dir, &Segment::file_name(number)) {
            // Resolved a moment ago.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            file => file?,
        };
        let mut scanner = Scanner::new(file, 0, u64::MAX)?;
        loop {
            match scanner.step()? {
                Step::End => break,
                Step::Damage { .. } => {}
                Step::Entry { offset, head } => {
                    let position = Position { segment: number, offset };
                    for key in head.lanes() {
                        let unnamed = || {
                            let slot = Slot { turn: 0, key, cursor: Position::default(), label: key.to_string() };
                            new(cursors::MAX_LANES, slot)
                        };
                        let lane = lanes.entry(key).or_insert_with(unnamed);
                        if lane.slot.cursor <= position {
                            lane.records += 1;
                            lane.bytes += u64::from(head.payload);
                            lane.oldest = Some(lane.oldest.map_or(head.at, |oldest| oldest.min(head.at)));
                        }
                    }
                }
            }
        }
    }
    Ok(lanes)
}

/// Whether a process holds the directory. Asked without taking anything from anybody.
fn lives(spool: &Path, dir: &str) -> bool {
    let lock = fs::File::open(spool.join(dir).join(LOCK));
    lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(fs::TryLockError::WouldBlock)))
}

fn letters(spool: &Path) -> DeadLetters {
    DeadLetters::new(spool, dead::MAX_BYTES, true)
}

fn chosen(destination: Option<&str>) -> impl Fn(&DeadLetter) -> bool {
    move |letter| destination.is_none_or(|label| letter.label == label)
}

fn open_fresh(spool: &Path, now: At) -> Result<Spool, super::SpoolError> {
    let options = Options { fsync: Fsync::Always, max_bytes: u64::MAX, ..Options::new(spool.to_owned()) };
    Spool::open_fresh(Arc::new(Directory(spool.to_owned())), options, now)
}

fn deposit(spool: &mut Spool, letters: &[DeadLetter], now: At) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    for letter in letters {
        let lane = spool.lane(letter.lane, &letter.label)?;
        spool.append(&[Entry { lanes: &[lane], record: letter.record.get().as_bytes() }], now)?;
    }
    // Whoever owns the spool has to be able to take it over from a root who called this.
    let owner = fs::metadata(&spool.options.dir)?;
    let home = spool.options.dir.join(&spool.home.name);
    if fs::metadata(&home)?.uid() != owner.uid() {
        for entry in fs::read_dir(&home)? {
            chown(entry?.path(), Some(owner.uid()), Some(owner.gid()))?;
        }
        chown(&home, Some(owner.uid()), Some(owner.gid()))?;
    }
    Ok(())
}

/// What is not there is empty.
fn or_empty<T: Default>(found: io::Result<T>) -> io::Result<T> {
    match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(T::default()),
        found => found,
    }
}
