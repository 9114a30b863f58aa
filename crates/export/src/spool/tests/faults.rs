//! Disks that are full, directories that others work in.

use super::*;

#[test]
fn a_full_disk_refuses_a_chunk_whole_and_takes_the_next_when_there_is_room() {
    let disk = Memory::default();
    let mut spool = open(&disk, Options { segment_bytes: 1 << 20, ..options() });
    let (a, b) = (lane(&mut spool, "a"), lane(&mut spool, "b"));
    append(&mut spool, &[a, b], 0..5, at(0));
    let end = spool.end();
    disk.set_room(Some(3300));
    for _ in 0..3 {
        let error = try_append(&mut spool, &[a], 100..140, at(0)).unwrap_err();
        let expected = format!("cannot write in SPOOL/{}: no storage space", spool.home.name);
        assert_eq!(error.to_string(), expected);
        assert!(spool.end() > end);
    }
    assert_eq!(spool.stats().write_errors, 3);
    assert!(spool.stats().last_error.unwrap().contains("no storage space"));
    // Reading and resolving go on.
    assert_eq!(ids(&mut spool, a), (0..5).collect::<Vec<_>>());
    assert_eq!(resolve(&mut spool, b, &[0, 1]), 2);
    disk.set_room(None);
    append(&mut spool, &[a], 5..8, at(0));
    assert_eq!(ids(&mut spool, a), (0..8).collect::<Vec<_>>());
    drop(spool);
    let mut spool = open(&disk, options());
    let (a, b) = (lane(&mut spool, "a"), lane(&mut spool, "b"));
    assert_eq!(ids(&mut spool, a), (0..8).collect::<Vec<_>>());
    assert_eq!(ids(&mut spool, b), [2, 3, 4]);
    assert_eq!(spool.stats().damaged, 0);
}

#[test]
fn a_cursor_that_could_not_be_written_is_written_later() {
    let disk = Memory::default();
    let mut spool = open(&disk, options());
    disk.set_room(Some(0));
    let a = lane(&mut spool, "a");
    assert_eq!(spool.stats().write_errors, 1);
    disk.set_room(None);
    append(&mut spool, &[a], 0..3, at(0));
    spool.keep_house(at(0));
    drop(spool);
    let spool = open(&disk, options());
    assert_eq!(spool.lanes.iter().map(|lane| lane.label.as_str()).collect::<Vec<_>>(), ["a"]);
}

#[test]
fn who_loses_the_lock_locks_again_or_moves_out() {
    let disk = Memory::default();
    let mut first = open(&disk, options());
    let a = lane(&mut first, "a");
    append(&mut first, &[a], 0..3, at(0));
    let dir = first.home.name.clone();
    disk.remove(&dir, disk::LOCK).unwrap();
    first.keep_house(at(0));
    assert_eq!(first.home.name, dir);
    assert_eq!(open(&disk, options()).home.name.len(), dir.len());
    assert_eq!(ids(&mut first, a), [0, 1, 2]);
    // The same again, and another process is quicker.
    disk.remove(&dir, disk::LOCK).unwrap();
    let mut second = open(&disk, options());
    assert_eq!(second.home.name, dir);
    let a_of_second = lane(&mut second, "a");
    append(&mut second, &[a_of_second], 10..13, at(0));
    append(&mut first, &[a], 3..30, at(0));
    first.keep_house(at(0));
    assert_ne!(first.home.name, dir);
    assert_eq!(ids(&mut second, a_of_second), [0, 1, 2, 10, 11, 12]);
    append(&mut first, &[a], 30..33, at(0));
    drop((first, second));
    let mut third = open(&disk, options());
    (0..40).for_each(|step| drop(third.keep_house(at(step))));
    let a = lane(&mut third, "a");
    let found = ids(&mut third, a);
    for id in (0..3).chain(10..13).chain(30..33) {
        assert!(found.contains(&id), "{id} is not among {found:?}");
    }
}

#[test]
fn adoption_waits_for_room_and_leaves_out_what_is_too_old() {
    let disk = Memory::default();
    let options = Options { max_bytes: 8000, ..options() };
    let mut first = open(&disk, options.clone());
    let mut second = open(&disk, options.clone());
    let (mine, theirs) = (lane(&mut first, "mine"), lane(&mut second, "theirs"));
    append(&mut first, &[mine], 0..72, at(0));
    let old = at(0);
    let hour = 3_600_000;
    append(&mut second, &[theirs], 0..20, old);
    for id in 20..30 {
        append(&mut second, &[theirs], [id], at(10 * hour));
    }
    drop(second);
    // Full: what waits there pushes nothing out here.
    (0..20).for_each(|step| assert_eq!(first.keep_house(at(step)), []));
    assert_eq!((disk.tree().len(), first.pending(mine).records), (2, 72));
    resolve(&mut first, mine, &(0..72).collect::<Vec<_>>());
    let mut events = Vec::new();
    (0..40).for_each(|step| events.extend(first.keep_house(at(25 * hour + step))));
    let theirs = lane(&mut first, "theirs");
    assert_eq!(ids(&mut first, theirs), (20..30).collect::<Vec<_>>());
    assert_eq!(lost(&events, Why::Aged), 20);
    assert!(events.iter().any(|event| matches!(event, Event::Adopted { lane, .. } if *lane == theirs)), "{events:?}");
    assert_eq!(first.pending(theirs).oldest, Some(at(10 * hour)));
    assert_eq!(disk.tree().len(), 1);
}

#[test]
fn a_directory_with_files_of_others_is_emptied_and_left() {
    let disk = Memory::default();
    let first = open(&disk, options());
    let (dir, third) = {
        let mut second = open(&disk, options());
        let b = lane(&mut second, "b");
        append(&mut second, &[b], 0..3, at(0));
        disk.begin(&second.home.name, "notes.txt").unwrap();
        let mut third = open(&disk, options());
        let c = lane(&mut third, "c");
        append(&mut third, &[c], 10..12, at(0));
        (second.home.name.clone(), third)
    };
    drop(third);
    let mut first = first;
    (0..10).for_each(|step| drop(first.keep_house(at(step * 5000))));
    let (b, c) = (lane(&mut first, "b"), lane(&mut first, "c"));
    assert_eq!((ids(&mut first, b), ids(&mut first, c)), (vec![0, 1, 2], vec![10, 11]));
    let tree = disk.tree();
    assert_eq!((tree.len(), tree[&dir].contains(&"notes.txt".to_owned())), (2, true));
    assert!(!tree[&dir].iter().any(|name| name.ends_with(".seg")));
    assert_eq!(first.stats().write_errors, 0);
}

#[test]
fn adoption_that_meets_a_full_disk_goes_on_later_and_copies_nothing_twice() {
    let disk = Memory::default();
    let mut first = open(&disk, options());
    let mut second = open(&disk, options());
    let b = lane(&mut second, "b");
    append(&mut second, &[b], 0..20, at(0));
    for id in 20..40 {
        append(&mut second, &[b], [id], at(0));
    }
    drop(second);
    disk.set_room(Some(0));
    (0..5).for_each(|step| assert_eq!(first.keep_house(at(step * 250)), []));
    // One try, and then a pause.
    assert!(first.stats().write_errors > 0);
    assert_eq!(first.stats().adopted, 0);
    disk.set_room(None);
    assert_eq!(first.keep_house(at(9_000)), []);
    (0..20).for_each(|step| drop(first.keep_house(at(10_000 + step * 250))));
    let b = lane(&mut first, "b");
    assert_eq!(ids(&mut first, b), (0..40).collect::<Vec<_>>());
    assert_eq!((first.stats().adopted, disk.tree().len()), (40, 1));
}
