//! Any order of what a process does with its spool, against lists in memory.

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const LANES: [&str; 3] = ["a", "b", "c"];

#[derive(Clone, Debug)]
enum Act {
    /// To the lanes of a bit mask.
    Append {
        lanes: u8,
        records: u64,
    },
    /// Reads some from a place in what waits, and resolves those of a bit mask, the first one last.
    Deliver {
        lane: usize,
        skip: usize,
        most: usize,
        mask: u32,
    },
    KeepHouse,
    Reopen,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0..8u8, 1..12u64).prop_map(|(lanes, records)| Act::Append { lanes, records }),
        5 => (0..3usize, prop_oneof![Just(0), 0..40usize], 1..20usize, any::<u32>(), any::<bool>()).prop_map(
            |(lane, skip, most, mask, all)| Act::Deliver { lane, skip, most, mask: if all { u32::MAX } else { mask } }
        ),
        1 => Just(Act::KeepHouse),
        1 => Just(Act::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_lane_has_what_it_did_not_resolve(acts in vec(act(), 1..60)) {
        let disk = Memory::default();
        let mut spool = open(&disk, options());
        let mut waits: [BTreeSet<u64>; 3] = Default::default();
        let mut appended: [Vec<u64>; 3] = Default::default();
        let (mut next, mut now) = (0, 0);
        for act in acts {
            now += 400;
            let all: Vec<_> = LANES.iter().map(|name| lane(&mut spool, name)).collect();
            match act {
                Act::Append { lanes, records } => {
                    let chosen: Vec<_> = (0..3).filter(|index| lanes & (1 << index) != 0).collect();
                    let ids: Vec<_> = chosen.iter().map(|index| all[*index]).collect();
                    append(&mut spool, &ids, next..next + records, at(now));
                    for index in chosen {
                        waits[index].extend(next..next + records);
                        appended[index].extend(next..next + records);
                    }
                    next += records;
                }
                Act::Deliver { lane, skip, most, mask } => {
                    let from = waiting(&mut spool, all[lane]).get(skip).map_or_else(|| spool.end(), |(from, _)| *from);
                    let chunk = spool.read(all[lane], from, most, 1 << 20);
                    let read: Vec<_> = chunk.records.iter().map(|(_, record)| id_of(record)).collect();
                    let expected: Vec<_> = waits[lane].iter().copied().skip(skip).take(most).collect();
                    prop_assert_eq!(&read, &expected);
                    let mut done: Vec<_> = (0..read.len()).filter(|index| mask & (1 << index) != 0).collect();
                    done.reverse();
                    let positions: Vec<_> = done.iter().map(|index| chunk.records[*index].0).collect();
                    prop_assert_eq!(spool.resolve(all[lane], &positions), positions.len() as u64);
                    prop_assert_eq!(spool.resolve(all[lane], &positions), 0);
                    waits[lane].retain(|id| !done.iter().any(|index| read[*index] == *id));
                }
                Act::KeepHouse => prop_assert_eq!(spool.keep_house(at(now)), []),
                Act::Reopen => {
                    drop(spool);
                    spool = open(&disk, options());
                    for (index, name) in LANES.iter().enumerate() {
                        let id = lane(&mut spool, name);
                        let found: BTreeSet<_> = ids(&mut spool, id).into_iter().collect();
                        prop_assert!(found.is_superset(&waits[index]));
                        // What was resolved after the first that was not may come again.
                        let first = waits[index].first().copied().unwrap_or(u64::MAX);
                        prop_assert!(found.iter().all(|id| *id >= first && appended[index].contains(id)));
                        waits[index] = found;
                    }
                }
            }
            let all: Vec<_> = LANES.iter().map(|name| lane(&mut spool, name)).collect();
            for (id, waits) in all.into_iter().zip(&waits) {
                prop_assert_eq!(ids(&mut spool, id), waits.iter().copied().collect::<Vec<_>>());
            }
            let on_disk: u64 = spool.segments.iter().map(|segment| segment.len).sum();
            prop_assert_eq!(spool.stats().bytes, on_disk);
            if waits.iter().all(BTreeSet::is_empty) {
                prop_assert!(spool.segments.len() <= 1, "nothing waits in {:?}", spool.segments);
            }
        }
        prop_assert_eq!((spool.stats().damaged, spool.stats().write_errors), (0, 0));
    }
}
