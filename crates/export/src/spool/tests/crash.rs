//! Stops the spool at every change that it makes to the disk, and within each write, and looks at what the next process
//! finds.

use std::collections::{BTreeMap, BTreeSet};

use super::memory::{Crash, Loss, Torn};
use super::*;

const LANES: [&str; 2] = ["a", "b"];

const TORN: [Torn; 6] = [Torn::Bytes(0), Torn::Bytes(1), Torn::Bytes(13), Torn::Half, Torn::But(60), Torn::But(1)];

/// What a process asked of its spool until it was stopped.
#[derive(Clone, Debug, Default)]
struct Journal {
    /// By id: the lanes of a record whose append began, and the moment of its acknowledgement.
    appended: BTreeMap<u64, (Vec<&'static str>, Option<u64>)>,
    /// Records whose resolving began, and the moment at which it had returned.
    resolved: BTreeMap<(&'static str, u64), Option<u64>>,
    /// The moment that the last sync returned.
    synced: u64,
    /// Moments are counted.
    moment: u64,
}

impl Journal {
    fn append(&mut self, disk: &Memory, spool: &mut Spool, lanes: &[&'static str], new: u64) {
        let ids: Vec<_> = lanes.iter().map(|name| lane(spool, name)).collect();
        let first = self.appended.len() as u64;
        let new = first..first + new;
        for id in new.clone() {
            self.appended.insert(id, (lanes.to_vec(), None));
        }
        let done = try_append(spool, &ids, new.clone(), at(first));
        // A disk that has stopped fails; everything else is a defect.
        assert!(done.is_ok() || disk.crashed(), "{done:?}");
        self.moment += 1;
        if done.is_ok() {
            for id in new {
                self.appended.get_mut(&id).unwrap().1 = Some(self.moment);
            }
        }
    }

    fn resolve(&mut self, disk: &Memory, spool: &mut Spool, name: &'static str, ids: &[u64]) {
        if disk.crashed() {
            return;
        }
        let id = lane(spool, name);
        let records = waiting(spool, id);
        let chosen: Vec<_> = records.into_iter().filter(|(_, record)| ids.contains(record)).collect();
        chosen.iter().for_each(|(_, record)| {
            self.resolved.insert((name, *record), None);
        });
        let positions: Vec<_> = chosen.iter().map(|(position, _)| *position).collect();
        spool.resolve(id, &positions);
        self.moment += 1;
        if !disk.crashed() {
            chosen.iter().for_each(|(_, record)| {
                self.resolved.insert((name, *record), Some(self.moment));
            });
        }
    }

    fn sync(&mut self, disk: &Memory, spool: &mut Spool) {
        spool.sync();
        self.moment += 1;
        if !disk.crashed() {
            self.synced = self.moment;
        }
    }
}

/// A process's life: two lanes of which one is behind, chunks of several sizes, files begun, finished and removed.
fn live(disk: &Memory, options: Options, journal: &mut Journal) {
    let Ok(mut spool) = Spool::open_on(Arc::new(disk.clone()), options, at(0)) else {
        assert!(disk.crashed(), "opening fails only with the disk");
        return;
    };
    journal.append(disk, &mut spool, &["a", "b"], 3);
    journal.append(disk, &mut spool, &["a"], 1);
    journal.resolve(disk, &mut spool, "a", &[0, 1]);
    journal.append(disk, &mut spool, &["a", "b"], 6);
    journal.sync(disk, &mut spool);
    journal.resolve(disk, &mut spool, "b", &[0, 1, 2, 4, 5]);
    journal.append(disk, &mut spool, &["b"], 4);
    spool.keep_house(at(5000));
    journal.resolve(disk, &mut spool, "a", &[3, 2, 5, 9]);
    journal.append(disk, &mut spool, &["a", "b"], 12);
    journal.resolve(disk, &mut spool, "a", &[4, 6, 7, 8, 10, 11, 12, 13, 14, 15, 16]);
    journal.resolve(disk, &mut spool, "b", &(0..20).collect::<Vec<_>>());
    journal.sync(disk, &mut spool);
    journal.append(disk, &mut spool, &["a"], 2);
    journal.resolve(disk, &mut spool, "a", &(0..100).collect::<Vec<_>>());
    journal.resolve(disk, &mut spool, "b", &(0..100).collect::<Vec<_>>());
    spool.keep_house(at(10_000));
    for _ in 0..5 {
        journal.append(disk, &mut spool, &["a", "b"], 2);
        journal.append(disk, &mut spool, &["b"], 1);
        let newest = journal.appended.len() as u64;
        journal.resolve(disk, &mut spool, "b", &[newest - 3, newest - 2]);
    }
    journal.sync(disk, &mut spool);
    journal.append(disk, &mut spool, &["a", "b"], 2);
    journal.resolve(disk, &mut spool, "a", &[31, 32]);
}

/// What the journal says, up to a moment, must be there, and only that.
fn check(spool: &mut Spool, journal: &Journal, lasting: u64, case: &dyn Fn() -> String) {
    for name in LANES {
        let id = lane(spool, name);
        let found = ids(spool, id);
        assert!(found.is_sorted_by(|a, b| a < b), "{}: {name}: twice or in no order: {found:?}", case());
        let found: BTreeSet<_> = found.into_iter().collect();
        for id in &found {
            let known = journal.appended.get(id).is_some_and(|(lanes, _)| lanes.contains(&name));
            assert!(known, "{}: {name}: {id} was never appended", case());
        }
        let lasts = |moment: &Option<u64>| moment.is_some_and(|moment| moment <= lasting);
        let mut before_first_unresolved = true;
        for (id, (lanes, acknowledged)) in &journal.appended {
            if !lanes.contains(&name) {
                continue;
            }
            let resolved = journal.resolved.get(&(name, *id));
            if lasts(acknowledged) && resolved.is_none() {
                assert!(found.contains(id), "{}: {name}: {id} is lost; there are {found:?}", case());
            }
            before_first_unresolved &= resolved.is_some_and(lasts);
            if before_first_unresolved {
                assert!(!found.contains(id), "{}: {name}: {id} comes again", case());
            }
        }
    }
}

/// The next process finds what is due, and can go on.
fn survives(disk: &Memory, options: &Options, journal: &Journal, lasting: u64, case: &dyn Fn() -> String) {
    let mut spool = open(disk, options.clone());
    check(&mut spool, journal, lasting, case);
    let mut journal = journal.clone();
    let a = lane(&mut spool, "a");
    append(&mut spool, &[a], 1000..1003, at(0));
    (1000..1003).for_each(|id| {
        journal.appended.insert(id, (vec!["a"], Some(0)));
    });
    drop(spool);
    check(&mut open(disk, options.clone()), &journal, lasting, case);
}

fn at_every_point(options: &Options, loss: Loss, lasting: impl Fn(&Journal) -> u64) -> u64 {
    for change in 0.. {
        let mut finished = false;
        for torn in TORN {
            let crash = Crash { change, torn };
            let disk = Memory::crashing(crash);
            let mut journal = Journal::default();
            live(&disk, options.clone(), &mut journal);
            finished = !disk.crashed();
            let case = || format!("{:?}, {loss:?}, {crash:?}", options.fsync);
            survives(&disk.reboot(loss), options, &journal, lasting(&journal), &case);
        }
        if finished {
            return change;
        }
    }
    unreachable!("it ends")
}

#[test]
fn a_killed_process_loses_nothing_that_was_acknowledged() {
    for fsync in [Fsync::Never, Fsync::Always] {
        let points = at_every_point(&Options { fsync, ..options() }, Loss::Nothing, |_| u64::MAX);
        assert!(points > 40, "{points} points are too few to mean anything");
    }
}

#[test]
fn a_power_cut_loses_nothing_when_every_append_is_synced() {
    for loss in [Loss::Unsynced, Loss::Zeroed] {
        at_every_point(&Options { fsync: Fsync::Always, ..options() }, loss, |_| u64::MAX);
    }
}

#[test]
fn a_power_cut_loses_nothing_that_came_before_the_last_sync() {
    // The thread that syncs would do so within the interval; here it never does, so that each run is the same.
    let options = Options { fsync: Fsync::Interval(hours(1)), ..options() };
    for loss in [Loss::Unsynced, Loss::Zeroed] {
        at_every_point(&options, loss, |journal| journal.synced);
    }
}

#[test]
fn recovery_itself_can_be_stopped_at_every_point() {
    let options = options();
    let mut tried = 0;
    for change in (10..).step_by(3) {
        let disk = Memory::crashing(Crash { change, torn: Torn::Half });
        let mut journal = Journal::default();
        live(&disk, options.clone(), &mut journal);
        if !disk.crashed() {
            break;
        }
        let disk = disk.reboot(Loss::Nothing);
        for change in 0.. {
            let disk = disk.reboot(Loss::Nothing);
            disk.crash_at(Crash { change, torn: Torn::Half });
            let opened = Spool::open_on(Arc::new(disk.clone()), options.clone(), at(0));
            drop(opened);
            let finished = !disk.crashed();
            let case = || format!("stopped again at {change}");
            survives(&disk.reboot(Loss::Nothing), &options, &journal, u64::MAX, &case);
            tried += 1;
            if finished {
                break;
            }
        }
    }
    assert!(tried > 20, "{tried}");
}

/// Two directories are left behind; a process takes one over and adopts the other, and is stopped on the way.
#[test]
fn adoption_can_be_stopped_at_every_point() {
    let options = options();
    let disk = Memory::default();
    let mut first = open(&disk, options.clone());
    let mut second = open(&disk, options.clone());
    for (spool, start) in [(&mut first, 0), (&mut second, 100)] {
        let (a, b) = (lane(spool, "a"), lane(spool, "b"));
        for id in start..start + 20 {
            let lanes = if id % 3 == 0 { vec![a, b] } else { vec![a] };
            append(spool, &lanes, [id], at(id));
        }
        resolve(spool, a, &[start, start + 1, start + 2]);
    }
    drop((first, second));
    let left = disk.reboot(Loss::Nothing);
    let due_a: BTreeSet<u64> = (3..20).chain(103..120).collect();
    let due_b: BTreeSet<u64> = (0..20).chain(100..120).filter(|id| id % 3 == 0).collect();

    let mut adopted_at_once = 0;
    for change in 0.. {
        let disk = left.reboot(Loss::Nothing);
        disk.crash_at(Crash { change, torn: Torn::Half });
        if let Ok(mut spool) = Spool::open_on(Arc::new(disk.clone()), options.clone(), at(0)) {
            (0..40).for_each(|step| drop(spool.keep_house(at(step * 250))));
        }
        let finished = !disk.crashed();
        let disk = disk.reboot(Loss::Nothing);
        let mut spool = open(&disk, options.clone());
        (0..40).for_each(|step| drop(spool.keep_house(at(step * 250))));
        assert_eq!(disk.tree().len(), 1, "stopped at {change}: all are adopted");
        for (name, due) in [("a", &due_a), ("b", &due_b)] {
            let id = lane(&mut spool, name);
            let found = ids(&mut spool, id);
            // What one step copied may come twice, with the ids that it had.
            let once: BTreeSet<_> = found.iter().copied().collect();
            assert_eq!(&once, due, "stopped at {change}, lane {name}");
            adopted_at_once += u64::from(finished && found.len() == due.len());
        }
        if finished {
            break;
        }
    }
    assert_eq!(adopted_at_once, 2, "without a stop nothing comes twice");
}
