//! A short run of the fuzzer's target `spool` that needs no fuzzer: its seeds and some mutations of them, the
//! same each time.

use std::fs;
use std::path::Path;

use super::any_bytes::{LANE, any_bytes};
use super::*;

/// Two segments' worth of entries, and cursors that are past the first of them.
fn made() -> Vec<u8> {
    let disk = Memory::default();
    let mut spool = open(&disk, Options { segment_bytes: 1 << 20, ..options() });
    let (a, b) = (spool.lane(LANE, "a").unwrap(), lane(&mut spool, "b"));
    append(&mut spool, &[a], 0..3, at(0));
    append(&mut spool, &[a, b], 3..6, at(1));
    resolve(&mut spool, a, &[0, 1]);
    let dir = spool.home.name.clone();
    let (segment, mut cursors) = (disk.bytes(&dir, &Segment::file_name(1)), disk.bytes(&dir, cursors::NAME));
    // The segment's number is 3 there.
    cursors.chunks_mut(512).filter(|slot| slot.iter().any(|byte| *byte != 0)).for_each(|slot| slot[32] = 3);
    let length = (segment.len() as u16).to_le_bytes();
    [&[1], &length[..], &segment, &cursors].concat()
}

fn seeds() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/spool");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).chain([made()]).collect()
}

#[test]
fn seeds_and_mutations_of_them_keep_what_is_promised() {
    let dir = tempfile::tempdir().unwrap();
    let mut state = 7_u64;
    let mut random = |limit: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % limit.max(1)
    };
    for seed in seeds() {
        any_bytes(dir.path(), &seed);
        for _ in 0..30 {
            let mut input = seed.clone();
            for _ in 0..=random(4) {
                let place = 3 + random(input.len() - 3);
                match random(4) {
                    0 => input[place] ^= 1 << random(8),
                    1 => input[place] = random(256) as u8,
                    2 => drop(input.drain(place..(place + random(40)).min(input.len()))),
                    _ => drop(input.splice(place..place, [0xFF, b'A', b'T', 1, 0, 0, 0, 0])),
                }
                input.resize(input.len().max(4), 0);
            }
            any_bytes(dir.path(), &input);
        }
    }
}

/// `cargo test -p ai-tracing-export the_seed -- --ignored` writes it anew after a change of the format.
#[test]
#[ignore = "writes a file of the repository"]
fn the_seed_is_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/spool");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("entries"), made()).unwrap();
    let mut damaged = made();
    damaged[60] ^= 4;
    damaged[0] = 0;
    fs::write(folder.join("damaged"), damaged).unwrap();
}
