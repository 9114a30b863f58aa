//! Files that were cut, overwritten or removed, while nobody had them open and under a running process.

use memchr::memmem;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Damage {
    Cut,
    Flip(u8),
    Overwrite(Vec<u8>),
    Insert(Vec<u8>),
    Drop(usize),
    Remove,
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        Just(Damage::Cut),
        (0..8u8).prop_map(Damage::Flip),
        vec(any::<u8>(), 1..200).prop_map(Damage::Overwrite),
        vec(0..1u8, 1..300).prop_map(Damage::Overwrite),
        vec(any::<u8>(), 1..50).prop_map(Damage::Insert),
        (1..200usize).prop_map(Damage::Drop),
        Just(Damage::Remove),
    ]
}

fn inflict(disk: &Memory, dir: &str, file: &str, place: usize, damage: &Damage) {
    if matches!(damage, Damage::Remove) {
        return disk.remove(dir, file).unwrap();
    }
    disk.edit(dir, file, |bytes| {
        if bytes.is_empty() {
            return;
        }
        let place = place % bytes.len();
        match damage {
            Damage::Cut => bytes.truncate(place),
            Damage::Flip(bit) => bytes[place] ^= 1 << bit,
            Damage::Overwrite(with) => bytes.iter_mut().skip(place).zip(with).for_each(|(old, new)| *old = *new),
            Damage::Insert(what) => drop(bytes.splice(place..place, what.iter().copied())),
            Damage::Drop(count) => drop(bytes.drain(place..(place + count).min(bytes.len()))),
            Damage::Remove => {}
        }
    });
}

/// The entries of a spool with two lanes, as they stand on disk.
fn filled(disk: &Memory) -> (String, Vec<(u64, Vec<u8>)>) {
    let mut spool = open(disk, options());
    let (a, b) = (lane(&mut spool, "a"), lane(&mut spool, "b"));
    for start in (0..36).step_by(3) {
        append(&mut spool, &[a, b], start..start + 3, at(0));
    }
    let dir = spool.home.name.clone();
    let entries = waiting(&mut spool, a).into_iter().map(|(position, id)| {
        let file = disk.bytes(&dir, &Segment::file_name(position.segment));
        let entry::Peek::Head(head) = entry::Head::peek(&file[position.offset as usize..]) else { panic!() };
        let start = position.offset as usize;
        (id, file[start..start + head.entry_len() as usize].to_vec())
    });
    let entries = entries.collect();
    (dir, entries)
}

/// Ids of the entries that are whole somewhere on disk.
fn intact(disk: &Memory, dir: &str, entries: &[(u64, Vec<u8>)]) -> Vec<u64> {
    let names: Vec<_> = disk.tree()[dir].iter().filter(|name| name.ends_with(".seg")).cloned().collect();
    let files: Vec<_> = names.iter().map(|name| disk.bytes(dir, name)).collect();
    let is_whole = |entry: &[u8]| files.iter().any(|file| memmem::find(file, entry).is_some());
    entries.iter().filter(|(_, entry)| is_whole(entry)).map(|(id, _)| *id).collect()
}

#[test]
fn damage_in_a_file_that_grows_hides_nothing_that_comes_after() {
    let disk = Memory::default();
    let mut spool = open(&disk, Options { segment_bytes: 1 << 30, max_bytes: 1 << 30, ..options() });
    let a = lane(&mut spool, "a");
    let window = lane::WINDOW as u64;
    let positions = append(&mut spool, &[a], 0..window + 50, at(0));
    let dir = spool.home.name.clone();
    let last = *positions.last().unwrap();
    disk.edit(&dir, &Segment::file_name(last.segment), |bytes| bytes[last.offset as usize + 8] ^= 1);
    let chunk = spool.read(a, Position::default(), 10_000, 1 << 30);
    assert_eq!((chunk.records.len() as u64, chunk.caught_up), (window + 49, true));
    assert_eq!(spool.stats().damaged, 1);
    // More, into the same file, and the window is full.
    append(&mut spool, &[a], 10_000..10_010, at(0));
    assert_eq!(spool.stats().segments, 1);
    let expected: Vec<_> = (0..window + 49).chain(10_000..10_010).collect();
    assert_eq!(ids(&mut spool, a), expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn recovery_goes_on_and_what_is_whole_survives_once(damages in vec((any::<usize>(), any::<usize>(), damage()), 1..6)) {
        let disk = Memory::default();
        let (dir, entries) = filled(&disk);
        for (file, place, damage) in &damages {
            let files: Vec<_> = disk.tree()[&dir].iter().filter(|name| *name != disk::LOCK).cloned().collect();
            if let Some(file) = files.get(file % files.len().max(1)) {
                inflict(&disk, &dir, file, *place, damage);
            }
        }
        let left = intact(&disk, &dir, &entries);
        let mut spool = open(&disk, options());
        for name in ["a", "b"] {
            let id = lane(&mut spool, name);
            prop_assert_eq!(ids(&mut spool, id), left.clone());
        }
        // And once more, with what was said about the damage before.
        drop(spool);
        let mut spool = open(&disk, options());
        let a = lane(&mut spool, "a");
        prop_assert_eq!(ids(&mut spool, a), left);
    }

    #[test]
    fn adoption_goes_on_over_damage(damages in vec((any::<usize>(), any::<usize>(), damage()), 1..6)) {
        let disk = Memory::default();
        // Opened first and dropped last: the next process takes this one over, and adopts the other.
        let first = open(&disk, options());
        let (dir, entries) = filled(&disk);
        drop(first);
        for (file, place, damage) in &damages {
            let files: Vec<_> = disk.tree()[&dir].iter().filter(|name| name.ends_with(".seg")).cloned().collect();
            if let Some(file) = files.get(file % files.len().max(1)) {
                inflict(&disk, &dir, file, *place, damage);
            }
        }
        let left = intact(&disk, &dir, &entries);
        let mut spool = open(&disk, options());
        prop_assert_ne!(&spool.home.name, &dir);
        (0..60).for_each(|step| drop(spool.keep_house(at(step))));
        for name in ["a", "b"] {
            let id = lane(&mut spool, name);
            prop_assert_eq!(ids(&mut spool, id), left.clone());
        }
        prop_assert_eq!(disk.tree().len(), 1);
    }

    #[test]
    fn damage_under_a_running_process_is_counted(
        damages in vec((any::<usize>(), any::<usize>(), damage()), 1..4),
        before in 0..36usize,
    ) {
        let disk = Memory::default();
        let mut spool = open(&disk, options());
        let (a, b) = (lane(&mut spool, "a"), lane(&mut spool, "b"));
        for start in (0..36).step_by(3) {
            append(&mut spool, &[a, b], start..start + 3, at(0));
        }
        // Lane a is on its way; lane b is as a lane is that has fallen behind: nothing of it is in its window.
        let chunk = spool.read(a, Position::default(), before, 1 << 20);
        let reading = &mut spool.lanes[b.index()];
        reading.window.clear();
        reading.frontier = Position::default();
        reading.ahead = reading.records;
        spool.segments.iter_mut().for_each(|segment| segment.all_ahead(b));
        spool.reading = None;
        let dir = spool.home.name.clone();
        for (file, place, damage) in &damages {
            let files: Vec<_> = disk.tree()[&dir].iter().filter(|name| name.ends_with(".seg")).cloned().collect();
            if let Some(file) = files.get(file % files.len().max(1)) {
                inflict(&disk, &dir, file, *place, damage);
            }
        }
        // Memory delivers what it has.
        let held: Vec<_> = chunk.records.iter().map(|(position, _)| *position).collect();
        prop_assert_eq!(spool.resolve(a, &held), held.len() as u64);
        append(&mut spool, &[a, b], 36..40, at(0));
        let (left_a, left_b) = (ids(&mut spool, a), ids(&mut spool, b));
        prop_assert!(left_a.ends_with(&[36, 37, 38, 39]) && left_b.ends_with(&[36, 37, 38, 39]));
        prop_assert!(left_a.is_sorted_by(|a, b| a < b) && left_b.is_sorted_by(|a, b| a < b));
        let events = spool.keep_house(at(0));
        let lost_by = |lane: LaneId| events.iter().map(|event| match event {
            Event::Lost { lane: of, records, why: Why::Damaged, before: None } if *of == lane => *records,
            _ => 0,
        }).sum::<u64>();
        prop_assert_eq!(lost_by(a), 40 - held.len() as u64 - left_a.len() as u64);
        prop_assert_eq!(lost_by(b), 40 - left_b.len() as u64);
        prop_assert_eq!(spool.stats().damaged, lost_by(a) + lost_by(b));
    }

    #[test]
    fn any_bytes_are_a_segment_and_a_cursor_file(segment in vec(any::<u8>(), 0..3000), cursors in vec(any::<u8>(), 0..3000)) {
        let disk = Memory::default();
        let dir = open(&disk, options()).home.name.clone();
        disk.begin(&dir, &Segment::file_name(3)).unwrap().write_at(0, &segment).unwrap();
        disk.edit(&dir, cursors::NAME, |bytes| *bytes = cursors);
        let mut spool = open(&disk, options());
        let a = lane(&mut spool, "a");
        append(&mut spool, &[a], 0..3, at(0));
        prop_assert_eq!(ids(&mut spool, a), [0, 1, 2]);
    }
}
