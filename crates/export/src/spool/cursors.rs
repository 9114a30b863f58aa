//! The file `cursors` of a directory: its lanes, and how far each is.
//!
//! A lane has two slots of 512 bytes, one sector each, which are written in turn. What a torn write leaves of one is
//! seen by its checksum; the other then says where the lane was one write earlier, so that records come again with the
//! ids that they had, and none is lost. A slot, little-endian:
//!
//! ```text
//!   0  CRC-32  of the rest of the slot
//!   4  magic   'c' 'u' 'r' 01
//!   8  turn    u64; the higher one of two counts
//!  16  key     16 bytes
//!  32  segment u64, offset u64: everything of this lane before it is resolved
//!  48  length of the label u16, label (UTF-8)
//! ```

use std::io;
use std::sync::Arc;

use super::disk::{Disk, File};
use super::entry::{u32_at, u64_at};
use super::segment::MAX_NUMBER;
use super::{LaneKey, Position};

pub(crate) const NAME: &str = "cursors";
/// Lanes of one directory at most: 4 MiB of slots.
pub(crate) const MAX_LANES: usize = 4096;
/// Labels are cut to so many bytes.
pub(crate) const MAX_LABEL: usize = SLOT - 50;

const SLOT: usize = 512;
const MAGIC: [u8; 4] = *b"cur\x01";

/// What a lane's slots say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub turn: u64,
    pub key: LaneKey,
    pub cursor: Position,
    pub label: String,
}

/// The lanes in a file by the index of their slots. What cannot be read is no lane: its entries name it all the same.
pub(crate) fn load(file: &dyn File) -> io::Result<Vec<Option<Slot>>> {
    let most = MAX_LANES * 2 * SLOT;
    let mut bytes = vec![0; usize::try_from(file.state()?.len).unwrap_or(most).min(most)];
    let len = file.read_at(0, &mut bytes)?;
    bytes.truncate(len);
    let slots: Vec<_> = bytes.as_chunks().0.iter().map(decode).collect();
    let newer = |pair: &[Option<Slot>]| pair.iter().flatten().max_by_key(|slot| slot.turn).cloned();
    Ok(slots.chunks(2).map(newer).collect())
}

/// The same for a directory; a file that is not there has no lanes.
pub(crate) fn load_from(disk: &dyn Disk, dir: &str) -> io::Result<Vec<Option<Slot>>> {
    match disk.open(dir, NAME) {
        Ok(file) => load(&*file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Writes one of a lane's slots; `turn` says which.
pub(crate) fn save(file: &Arc<dyn File>, index: usize, slot: &Slot) -> io::Result<()> {
    let place = (index * 2) as u64 + slot.turn % 2;
    file.write_at(place * SLOT as u64, &encode(slot))
}

fn encode(slot: &Slot) -> [u8; SLOT] {
    let mut label = slot.label.as_str();
    label = label.get(..label.floor_char_boundary(MAX_LABEL)).unwrap_or_default();
    let mut bytes = Vec::with_capacity(SLOT);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&slot.turn.to_le_bytes());
    bytes.extend_from_slice(&slot.key.0);
    bytes.extend_from_slice(&slot.cursor.segment.to_le_bytes());
    bytes.extend_from_slice(&slot.cursor.offset.to_le_bytes());
    bytes.extend_from_slice(&(label.len() as u16).to_le_bytes());
    bytes.extend_from_slice(label.as_bytes());
    bytes.resize(SLOT - 4, 0);
    let mut whole = [0; SLOT];
    let crc = crc32fast::hash(&bytes).to_le_bytes();
    for (place, byte) in whole.iter_mut().zip(crc.iter().chain(&bytes)) {
        *place = *byte;
    }
    whole
}

fn decode(bytes: &[u8; SLOT]) -> Option<Slot> {
    let (_, checked) = bytes.split_first_chunk::<4>()?;
    if crc32fast::hash(checked) != u32_at(bytes, 0) || !checked.starts_with(&MAGIC) {
        return None;
    }
    let cursor = Position { segment: u64_at(bytes, 32), offset: u64_at(bytes, 40) };
    let length = usize::from(u16::from_le_bytes([bytes[48], bytes[49]]));
    let label = String::from_utf8_lossy(bytes.get(50..50 + length)?).into_owned();
    let key = LaneKey(*bytes.get(16..)?.first_chunk()?);
    (cursor.segment <= MAX_NUMBER).then_some(Slot { turn: u64_at(bytes, 8), key, cursor, label })
}
