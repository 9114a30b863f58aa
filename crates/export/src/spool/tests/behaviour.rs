use super::*;

#[test]
fn what_is_appended_is_read_by_its_lanes_in_order() {
    let disk = Memory::default();
    let mut spool = open(&disk, options());
    let (a, b) = (lane(&mut spool, "a"), lane(&mut spool, "b"));
    let positions = append(&mut spool, &[a, b], 0..10, at(1));
    append(&mut spool, &[b], 10..15, at(2));
    append(&mut spool, &[a], 15..20, at(3));
    assert!(positions.is_sorted() && positions.len() == 10);
    assert_eq!(ids(&mut spool, a), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 18, 19]);
    assert_eq!(ids(&mut spool, b), (0..15).collect::<Vec<_>>());
    assert_eq!(spool.pending(a).oldest, Some(at(1)));
    assert_eq!(spool.pending(a).first, positions[0]);
    assert!(spool.stats().segments > 1, "the test needs several segments");
    assert_eq!(spool.stats().appended, 20);
}

#[test]
fn resolved_records_go_in_whatever_order_and_do_not_come_again() {
    let disk = Memory::default();
    let mut spool = open(&disk, options());
    let (a, b) = (lane(&mut spool, "a"), lane(&mut spool, "b"));
    append(&mut spool, &[a, b], 0..20, at(1));
    assert_eq!(resolve(&mut spool, a, &[3, 1, 0, 15]), 4);
    assert_eq!(resolve(&mut spool, a, &[3]), 0);
    assert_eq!(ids(&mut spool, a), [2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16, 17, 18, 19]);
    assert_eq!(ids(&mut spool, b).len(), 20);
    drop(spool);

    // The cursor is before 2: what was resolved after it comes again, what was resolved before does not.
    let mut spool = open(&disk, options());
    let (b, a) = (lane(&mut spool, "b"), lane(&mut spool, "a"));
    assert_eq!(ids(&mut spool, a), (2..20).collect::<Vec<_>>());
    assert_eq!(ids(&mut spool, b).len(), 20);
    append(&mut spool, &[a], 20..22, at(2));
    assert_eq!(ids(&mut spool, a), (2..22).collect::<Vec<_>>());
}

#[test]
fn a_segment_goes_when_no_lane_waits_for_it() {
    let disk = Memory::default();
    let mut spool = open(&disk, options());
    let (a, b) = (lane(&mut spool, "a"), lane(&mut spool, "b"));
    for id in 0..30 {
        append(&mut spool, &[a, b], [id], at(id));
    }
    let all: Vec<_> = (0..30).collect();
    let before = spool.stats();
    assert!(before.segments >= 4);
    resolve(&mut spool, a, &all);
    assert_eq!(spool.stats().segments, before.segments);
    resolve(&mut spool, b, &all[..29]);
    assert_eq!(spool.stats().segments, 1);
    resolve(&mut spool, b, &[29]);
    // The last one still grows, until nothing has been appended for a while.
    assert_eq!(spool.stats().segments, 1);
    assert_eq!(spool.keep_house(at(500)), []);
    assert_eq!(spool.stats().segments, 1);
    spool.keep_house(at(2000));
    assert_eq!((spool.stats().segments, spool.stats().bytes), (0, 0));
    assert_eq!(disk.tree().values().next().unwrap(), &["cursors", "lock"]);
    // Numbers are not used again, also not by the next process.
    let end = spool.end();
    drop(spool);
    let mut spool = open(&disk, options());
    let a = lane(&mut spool, "a");
    assert!(append(&mut spool, &[a], [1], at(0))[0] >= end);
    assert_eq!(ids(&mut spool, a), [1]);
}

#[test]
fn a_lane_that_fell_far_behind_keeps_a_bounded_window() {
    let disk = Memory::default();
    let mut spool = open(&disk, Options { max_bytes: 1 << 30, ..options() });
    let (a, b) = (lane(&mut spool, "a"), lane(&mut spool, "b"));
    let total = lane::WINDOW as u64 * 20 + 3;
    for start in (0..total).step_by(5) {
        append(&mut spool, &[a, b], start..(start + 5).min(total), at(start));
    }
    assert_eq!(spool.lanes[a.index()].window.len(), lane::WINDOW);
    assert_eq!(spool.pending(a).records, total);
    // Resolved as a worker does, chunk by chunk.
    let (mut from, mut next) = (spool.pending(a).first, 0);
    while spool.pending(a).records > 0 {
        let chunk = spool.read(a, from, lane::WINDOW, 1 << 20);
        let positions: Vec<_> = chunk.records.iter().map(|(position, _)| *position).collect();
        for (_, record) in &chunk.records {
            assert_eq!(id_of(record), next);
            next += 1;
        }
        assert_eq!(spool.resolve(a, &positions), positions.len() as u64);
        from = chunk.next;
        assert!(spool.lanes[a.index()].window.len() <= lane::WINDOW);
    }
    assert_eq!(next, total);
    assert_eq!(spool.pending(b).records, total);
    // One that resolves from the far end gets there as well.
    let end = waiting(&mut spool, b).last().unwrap().0;
    assert_eq!(spool.resolve(b, &[end]), 1);
    assert_eq!(spool.pending(b).records, total - 1);
}

#[test]
fn chunks_are_bounded_by_records_and_by_bytes() {
    let mut spool = open(&Memory::default(), options());
    let a = lane(&mut spool, "a");
    append(&mut spool, &[a], 0..10, at(0));
    let first = spool.read(a, Position::default(), 4, 1 << 20);
    assert_eq!((first.records.len(), first.caught_up), (4, false));
    let one = spool.read(a, first.next, 4, 1);
    assert_eq!(id_of(&one.records[0].1), 4);
    assert_eq!(one.records.len(), 1);
    let rest = spool.read(a, one.next, 100, 1 << 20);
    assert_eq!((rest.records.len(), rest.caught_up, rest.next), (5, true, spool.end()));
    let none = spool.read(a, rest.next, 100, 1 << 20);
    assert_eq!((none.records.len(), none.caught_up, none.next), (0, true, spool.end()));
}

#[test]
fn records_larger_than_a_segment_have_one_of_their_own() {
    let disk = Memory::default();
    let mut spool = open(&disk, options());
    let a = lane(&mut spool, "a");
    append(&mut spool, &[a], [1], at(0));
    let large = format!("\"{}\"", "y".repeat(200_000)).into_bytes();
    spool.append(&[Entry { lanes: &[a], record: &large }], at(0)).unwrap();
    append(&mut spool, &[a], [2], at(0));
    assert_eq!(spool.stats().segments, 3);
    drop(spool);
    let mut spool = open(&disk, options());
    let a = lane(&mut spool, "a");
    let chunk = spool.read(a, Position::default(), 10, 1 << 20);
    assert_eq!(chunk.records[1].1, large);
    assert_eq!(id_of(&chunk.records[2].1), 2);
    let huge = vec![b' '; options().max_bytes as usize];
    let refused = spool.append(&[Entry { lanes: &[a], record: &huge }], at(0)).unwrap_err();
    assert_eq!(refused.to_string(), "the records are larger than the spool may become (1048576 bytes)");
    assert_eq!(spool.pending(a).records, 3);
}

#[test]
fn above_its_size_the_oldest_segment_goes_and_each_lane_is_told() {
    let mut spool = open(&Memory::default(), Options { max_bytes: 2800, ..options() });
    let (a, b) = (lane(&mut spool, "a"), lane(&mut spool, "b"));
    for id in 0..40 {
        append(&mut spool, &[a, b], [id], at(id));
        if id == 2 {
            resolve(&mut spool, b, &[0, 1, 2]);
        }
        assert!(spool.stats().bytes <= 2800);
    }
    let left = ids(&mut spool, a);
    assert_eq!(left, (40 - left.len() as u64..40).collect::<Vec<_>>());
    assert_eq!(ids(&mut spool, b), left);
    let gone = 40 - left.len() as u64;
    let first = spool.pending(a).first;
    let events = spool.keep_house(at(50));
    let Event::Lost { lane: of, records, why: Why::Full, before: Some(before) } = events[0] else {
        panic!("{events:?}")
    };
    assert_eq!((of, records), (a, gone));
    assert!(before <= first);
    assert_eq!(lost(&events, Why::Full), gone + gone - 3);
    assert_eq!(spool.keep_house(at(50)), []);
    // What was lost is nobody's to resolve.
    assert_eq!(spool.resolve(a, &[Position { segment: 1, offset: 0 }]), 0);
}

#[test]
fn what_is_too_old_goes_but_not_because_of_a_clock_that_was_set_back() {
    let mut spool = open(&Memory::default(), Options { max_age: hours(24), ..options() });
    let a = lane(&mut spool, "a");
    let hour = 3_600_000;
    append(&mut spool, &[a], 0..20, at(100 * hour));
    append(&mut spool, &[a], 20..40, at(110 * hour));
    assert_eq!(spool.keep_house(at(0)), []);
    append(&mut spool, &[a], 40..45, at(0));
    assert_eq!(spool.keep_house(at(124 * hour)), []);
    assert_eq!(lost(&spool.keep_house(at(124 * hour + 1)), Why::Aged), 20);
    assert_eq!(lost(&spool.keep_house(at(134 * hour + 1)), Why::Aged), 25);
    assert_eq!(spool.pending(a).records, 0);
    assert_eq!(spool.stats().bytes, 0);
}

#[test]
fn a_slow_trickle_ages_too() {
    let mut spool = open(&Memory::default(), Options { max_age: hours(24), segment_bytes: 1 << 20, ..options() });
    let a = lane(&mut spool, "a");
    let minute = 60_000;
    for id in 0..200 {
        append(&mut spool, &[a], [id], at(id * 30 * minute));
        spool.keep_house(at(id * 30 * minute));
    }
    // 24 hours are 48 records; within a sixteenth.
    let left = ids(&mut spool, a).len();
    assert!((48..=52).contains(&left), "{left}");
}

#[test]
fn lanes_keep_their_place_and_are_made_once() {
    let disk = Memory::default();
    let mut spool = open(&disk, options());
    let a = lane(&mut spool, "a");
    append(&mut spool, &[a], 0..3, at(0));
    assert_eq!(spool.lane(key("a"), "a better label").unwrap(), a);
    drop(spool);
    let mut spool = open(&disk, options());
    // Before anybody asks for it.
    let known: Vec<_> = spool.lanes.iter().map(|lane| (lane.label.clone(), lane.records)).collect();
    assert_eq!(known, [("a better label".to_owned(), 3)]);
    let (new, a) = (lane(&mut spool, "new"), lane(&mut spool, "a"));
    assert_eq!((ids(&mut spool, new), ids(&mut spool, a)), (vec![], vec![0, 1, 2]));
    // A long label is cut at a character.
    let id = spool.lane(key("long"), &"ö".repeat(400)).unwrap();
    append(&mut spool, &[id], [1], at(0));
    drop(spool);
    let spool = open(&disk, options());
    let label = &spool.lanes.iter().find(|lane| lane.key == key("long")).unwrap().label;
    assert_eq!(label, &"ö".repeat(cursors::MAX_LABEL / 2));
}

#[test]
fn lanes_are_bounded_and_those_of_earlier_processes_make_room() {
    let disk = Memory::default();
    let mut spool = open(&disk, options());
    for index in 0..cursors::MAX_LANES {
        lane(&mut spool, &format!("l{index}"));
    }
    let error = spool.lane(key("more"), "more").unwrap_err();
    assert_eq!(error.to_string(), "the spool knows 4096 destinations and takes no more");
    let last = lane(&mut spool, "l4095");
    append(&mut spool, &[last], [7], at(0));
    drop(spool);
    let mut spool = open(&disk, options());
    let more = lane(&mut spool, "more");
    append(&mut spool, &[more], [8], at(0));
    drop(spool);
    let mut spool = open(&disk, options());
    let (more, last) = (lane(&mut spool, "more"), lane(&mut spool, "l4095"));
    assert_eq!((ids(&mut spool, more), ids(&mut spool, last)), (vec![8], vec![7]));
}

#[test]
fn an_entry_for_no_lane_or_twice_for_one_is_no_trouble() {
    let mut spool = open(&Memory::default(), options());
    let a = lane(&mut spool, "a");
    append(&mut spool, &[], [1], at(0));
    append(&mut spool, &[a, a], [2], at(0));
    append(&mut spool, &[a, LaneId(999)], [3], at(0));
    assert_eq!(ids(&mut spool, a), [2, 3]);
    assert_eq!(resolve(&mut spool, a, &[2, 3]), 2);
    assert_eq!(append(&mut spool, &[a], [], at(0)), []);
    let many = vec![a; entry::MAX_LANES + 1];
    assert!(matches!(try_append(&mut spool, &many, [4], at(0)), Err(SpoolError::TooManyLanes)));
    assert_eq!(spool.read(LaneId(999), Position::default(), 1, 1).records, []);
}
