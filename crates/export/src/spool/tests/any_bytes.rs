//! Any bytes as a segment and a file of cursors: the fuzzer (`fuzz/targets/spool.rs`) and the crate's tests run this.
//!
//! An input: one byte, of which the lowest bit asks for all checksums to be made right, so that what is behind them is
//! reached; the length of the segment (u16, little-endian); the segment; the cursors.

use std::fs;
use std::path::Path;

use ai_tracing_core::time::At;

use crate::spool::operate;
use crate::spool::{Entry, Fsync, LaneKey, Options, Position, Spool};

/// The lane that seeds name.
pub const LANE: LaneKey = LaneKey([b'a'; 16]);

const SLOT: usize = 512;

/// Opens a spool of these bytes below `dir`, which is the test's own, and panics when it breaks a promise.
pub fn any_bytes(dir: &Path, input: &[u8]) {
    let Some(([mode, low, high], rest)) = input.split_first_chunk() else { return };
    let (segment, cursors) = rest.split_at(rest.len().min(usize::from(u16::from_le_bytes([*low, *high]))));
    let (mut segment, mut cursors) = (segment.to_vec(), cursors.to_vec());
    if mode & 1 == 1 {
        repair_entries(&mut segment);
        cursors.chunks_exact_mut(SLOT).for_each(|slot| {
            let crc = crc32fast::hash(&slot[4..]);
            slot[..4].copy_from_slice(&crc.to_le_bytes());
        });
    }
    let _ = fs::remove_dir_all(dir);
    let home = dir.join("w-00000000-0000-7000-8000-000000000000");
    fs::create_dir_all(&home).unwrap();
    fs::write(home.join("0000000000000003.seg"), &segment).unwrap();
    fs::write(home.join("cursors"), &cursors).unwrap();
    let seen: u64 = operate::waiting(dir).unwrap().iter().map(|waiting| waiting.records).sum();

    let options = Options { fsync: Fsync::Never, segment_bytes: 1 << 10, ..Options::new(dir.to_owned()) };
    let mut spool = Spool::open(options.clone(), At(1)).unwrap();
    let lane = spool.lane(LANE, "a").unwrap();
    let found = read_all(&mut spool, |record| {
        assert!(record.is_empty() || memchr::memmem::find(&segment, record).is_some(), "a record was made up");
    });
    assert!(found.len() as u64 <= seen, "from outside fewer are seen than there are");
    let added = spool.append(&[Entry { lanes: &[lane], record: b"{}" }], At(2)).unwrap();
    let all = read_all(&mut spool, |_| ());
    assert_eq!(all, [found, added].concat());
    assert_eq!(spool.resolve(lane, &all), all.len() as u64);
    assert_eq!(spool.pending(lane).records, 0);
    spool.keep_house(At(3));
    drop(spool);
    let mut spool = Spool::open(options, At(4)).unwrap();
    assert_eq!(read_all(&mut spool, |_| ()), [], "what was resolved comes again");
}

fn read_all(spool: &mut Spool, mut see: impl FnMut(&[u8])) -> Vec<Position> {
    let lane = spool.lane(LANE, "a").unwrap();
    let (mut all, mut from) = (Vec::new(), Position::default());
    loop {
        let chunk = spool.read(lane, from, 5, 1 << 16);
        chunk.records.iter().for_each(|(position, record)| {
            see(record);
            all.push(*position);
        });
        if chunk.caught_up {
            break;
        }
        assert!(chunk.next > from, "reading does not get on");
        from = chunk.next;
    }
    assert!(all.is_sorted_by(|one, other| one < other));
    assert_eq!(spool.pending(lane).records, all.len() as u64);
    all
}

/// Makes the checksums right of everything that looks like the start of an entry.
fn repair_entries(segment: &mut [u8]) {
    let starts: Vec<_> = memchr::memmem::find_iter(segment, b"\xffAT\x01").collect();
    for start in starts {
        let entry = &mut segment[start..];
        if entry.len() < 26 {
            continue;
        }
        let head = 26 + 16 * usize::from(u16::from_le_bytes([entry[24], entry[25]]));
        let payload = u32::from_le_bytes([entry[8], entry[9], entry[10], entry[11]]) as usize;
        if let Some(payload) = head.checked_add(payload).and_then(|end| entry.get(head..end)) {
            let crc = crc32fast::hash(payload);
            entry[12..16].copy_from_slice(&crc.to_le_bytes());
        }
        if let Some(checked) = entry.get(8..head) {
            let crc = crc32fast::hash(checked);
            entry[4..8].copy_from_slice(&crc.to_le_bytes());
        }
    }
}
