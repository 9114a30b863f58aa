//! Opening: takes over a directory or makes one, and reads what is there.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ai_tracing_core::time::At;
use uuid::Uuid;

use super::adopt::Adopter;
use super::disk::{Directory, Disk, File, LOCK};
use super::lane::Lane;
use super::scan::{Scanner, Step};
use super::segment::Segment;
use super::sync::Syncer;
use super::{LaneId, LaneKey, Options, Position, Spool, SpoolError, Watch, cursors};

const PREFIX: &str = "w-";

/// A directory that this process has locked.
pub(super) struct Home {
    pub name: String,
    lock: Arc<dyn File>,
    /// The directory as a file.
    pub names: Arc<dyn File>,
    pub cursors: Arc<dyn File>,
}

impl Home {
    /// Locks a directory; `None`: another process has it.
    pub fn enter(disk: &Arc<dyn Disk>, name: &str) -> io::Result<Option<Self>> {
        let Some(lock) = disk.lock(name)? else { return Ok(None) };
        let (names, cursors) = (disk.names(name)?, disk.create(name, cursors::NAME)?);
        Ok(Some(Self { name: name.to_owned(), lock, names, cursors }))
    }

    /// Makes a directory.
    pub fn make(disk: &Arc<dyn Disk>) -> io::Result<Self> {
        // Another process may take a new directory before we have locked it.
        for _ in 0..16 {
            let name = format!("{PREFIX}{}", Uuid::now_v7());
            disk.make_dir(&name)?;
            match Self::enter(disk, &name) {
                Ok(Some(home)) => {
                    disk.names("")?.sync()?;
                    return Ok(home);
                }
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other("other processes take every directory that is made"))
    }

    /// A directory that nobody has, or a new one.
    fn find_or_make(disk: &Arc<dyn Disk>) -> io::Result<Self> {
        for name in directories(&**disk)? {
            match Self::enter(disk, &name) {
                Ok(Some(home)) => return Ok(home),
                Ok(None) => {}
                // It is another's trouble, or has just been removed.
                Err(error) => tracing::debug!("AI Tracing: spool directory {name}: {error}"),
            }
        }
        Self::make(disk)
    }

    /// Whether the lock still means something.
    pub fn is_ours(&self) -> bool {
        self.lock.state().is_ok_and(|state| state.linked)
    }
}

/// Names of all processes' directories, the oldest first.
pub(super) fn directories(disk: &dyn Disk) -> io::Result<Vec<String>> {
    let mut names = disk.list("")?;
    names.retain(|name| name.strip_prefix(PREFIX).is_some_and(|id| Uuid::try_parse(id).is_ok()));
    names.sort_unstable();
    Ok(names)
}

/// Numbers of a directory's segments, in order.
pub(super) fn segments(disk: &dyn Disk, dir: &str) -> io::Result<Vec<u64>> {
    let mut numbers: Vec<_> = disk.list(dir)?.iter().filter_map(|name| Segment::number_of(name)).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Removes what a directory consists of, and it. Files that are not the spool's stay, and the directory with them:
/// false then.
pub(super) fn remove_directory(disk: &dyn Disk, dir: &str) -> io::Result<bool> {
    for number in segments(disk, dir)? {
        disk.remove(dir, &Segment::file_name(number))?;
    }
    disk.remove(dir, cursors::NAME)?;
    disk.remove(dir, LOCK)?;
    match disk.remove_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(false),
        done => done.map(|()| true),
    }
}

/// What was found in a directory.
#[derive(Default)]
struct Found {
    records: u64,
    /// Places of damage.
    damaged: u64,
    /// Bytes of an entry whose writing was interrupted.
    torn: u64,
}

impl Spool {
    /// Opens the spool in a directory that nobody holds, or in a new one, and says in the log what was found.
    ///
    /// # Errors
    /// When there is no directory to be had. What lies in it is no reason.
    pub fn open(options: Options, now: At) -> Result<Self, SpoolError> {
        let disk = Arc::new(Directory(options.dir.clone()));
        Self::open_on(disk, options, now)
    }

    /// The same on any disk.
    pub(super) fn open_on(disk: Arc<dyn Disk>, options: Options, now: At) -> Result<Self, SpoolError> {
        let home = disk.make_dir("").and_then(|()| Home::find_or_make(&disk));
        Self::start(disk, options, home, now)
    }

    /// Opens the spool in a new directory, whatever others there are.
    pub(super) fn open_fresh(disk: Arc<dyn Disk>, options: Options, now: At) -> Result<Self, SpoolError> {
        let home = disk.make_dir("").and_then(|()| Home::make(&disk));
        Self::start(disk, options, home, now)
    }

    fn start(disk: Arc<dyn Disk>, options: Options, home: io::Result<Home>, now: At) -> Result<Self, SpoolError> {
        let failed = |what, source| SpoolError::Io { what, dir: options.dir.clone(), source };
        let home = home.map_err(|error| failed("cannot make the spool's directory", error))?;
        let watch = Arc::new(Watch::default());
        let syncer = Syncer::start(options.fsync, Arc::clone(&watch)).map_err(|error| failed("no thread", error))?;
        let mut spool = Self {
            disk,
            options,
            home,
            segments: VecDeque::new(),
            active: None,
            next: 1,
            bytes: 0,
            lanes: Vec::new(),
            keys: HashMap::new(),
            reading: None,
            lost: BTreeMap::new(),
            adopter: Adopter::default(),
            last_append: now,
            buffer: Vec::new(),
            syncer,
            watch,
        };
        spool.recover();
        Ok(spool)
    }

    fn recover(&mut self) {
        self.recover_lanes();
        let numbers = segments(&*self.disk, &self.home.name).unwrap_or_else(|error| {
            self.error("cannot list", error);
            Vec::new()
        });
        // Numbers are never used twice: a cursor in a segment that is gone must not hide a new one.
        let used = self.lanes.iter().map(|lane| lane.cursor.segment).chain(numbers.iter().copied()).max();
        self.next = used.unwrap_or(0) + 1;
        let mut found = Found::default();
        for number in &numbers {
            if let Err(error) = self.recover_segment(*number, Some(number) == numbers.last(), &mut found) {
                found.damaged += 1;
                let error = self.error("cannot read", error);
                tracing::error!("AI Tracing: {}: {error}", self.describe(*number));
            }
        }
        self.watch.damaged.fetch_add(found.damaged, Ordering::Relaxed);
        self.remove_done();
        for id in self.lane_ids().filter(|id| self.pending(*id).records > 0).collect::<Vec<_>>() {
            self.advance(id);
        }
        if found.records > 0 || found.damaged > 0 {
            let Found { records, damaged, torn } = found;
            let dir = &self.home.name;
            tracing::info!(records, damaged, torn, "AI Tracing: the spool goes on with what was left in {dir}");
        }
    }

    fn recover_lanes(&mut self) {
        let slots = cursors::load(&*self.home.cursors).unwrap_or_else(|error| {
            self.error("cannot read cursors", error);
            Vec::new()
        });
        for (index, slot) in slots.into_iter().enumerate() {
            let Ok(id) = u16::try_from(index).map(LaneId) else { break };
            let mut lane = match slot {
                Some(slot) => Lane::recovered(slot),
                // A gap: its number is kept, and taken when a lane is needed.
                None => Lane { unsaved: false, ..Lane::new(LaneKey::default(), "", Position::default()) },
            };
            if let Some(twin) = self.keys.get(&lane.key).and_then(|id| self.lanes.get_mut(id.index())) {
                // Both say what is resolved.
                twin.cursor = twin.cursor.max(lane.cursor);
                twin.frontier = twin.cursor;
                lane.key = LaneKey::default();
            }
            if lane.key != LaneKey::default() {
                self.keys.insert(lane.key, id);
            }
            self.lanes.push(lane);
        }
    }

    /// Counts what waits in a segment, and checks every record of it.
    fn recover_segment(&mut self, number: u64, is_last: bool, found: &mut Found) -> io::Result<()> {
        let file = self.disk.open(&self.home.name, &Segment::file_name(number))?;
        let len = file.state()?.len;
        let mut scanner = Scanner::new(Arc::clone(&file), 0, len)?;
        let mut segment = Segment::new(number);
        segment.len = len;
        let mut keys = Vec::new();
        loop {
            let step = match scanner.step() {
                Ok(step) => step,
                // What was found before is kept.
                Err(error) => {
                    found.damaged += 1;
                    let place = self.describe(number);
                    tracing::error!("AI Tracing: the spool cannot be read further: {place}: {error}");
                    break;
                }
            };
            let (offset, payload) = match step {
                Step::End => break,
                // What the last write of a killed process left was never acknowledged.
                Step::Damage { from, until } if until == len && is_last => {
                    found.torn += until - from;
                    if file.cut(from).is_ok() {
                        segment.len = from;
                    }
                    break;
                }
                Step::Damage { from, until } => {
                    found.damaged += 1;
                    let place = self.describe(number);
                    tracing::error!("AI Tracing: the spool is damaged: {place} from {from} to {until}");
                    continue;
                }
                Step::Entry { offset, head } => {
                    keys.clear();
                    keys.extend(head.lanes());
                    segment.saw(head.at);
                    (offset, head.payload)
                }
            };
            let position = Position { segment: number, offset };
            let mut waits = false;
            for key in &keys {
                // A lane whose slots are lost begins anew: rather twice than never.
                let Ok(id) = self.lane_of(*key, "", Position::default()) else {
                    found.damaged += 1;
                    continue;
                };
                let Some(lane) = self.lanes.get_mut(id.index()).filter(|lane| lane.cursor <= position) else {
                    continue;
                };
                segment.add(id, payload, true);
                lane.records += 1;
                lane.bytes += u64::from(payload);
                lane.ahead += 1;
                waits = true;
            }
            found.records += u64::from(waits);
        }
        self.bytes += segment.len;
        self.segments.push_back(segment);
        Ok(())
    }
}
