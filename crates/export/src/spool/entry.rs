//! One entry of a segment, all numbers little-endian:
//!
//! ```text
//!  0  magic            FF 'A' 'T' 01; FF never stands in UTF-8, so no record can look like the start of an entry
//!  4  CRC-32           of the rest of the head
//!  8  payload length   u32
//! 12  payload CRC-32
//! 16  time             u64, nanoseconds since the Unix epoch
//! 24  lanes            u16, how many
//! 26  lane keys        16 bytes each
//!  …  payload
//! ```
//!
//! The head names its lanes by key and not by a number from some table: an entry can be read without any other file.

use ai_tracing_core::time::At;

use super::LaneKey;

pub(crate) const MAGIC: [u8; 4] = [0xFF, b'A', b'T', 1];

/// The head's length without lane keys.
const FIXED: usize = 26;
const KEY: usize = 16;

/// An entry has at most so many lanes: more than a call has destinations.
pub(crate) const MAX_LANES: usize = 256;
/// The longest head.
pub(crate) const MAX_HEAD: usize = FIXED + MAX_LANES * KEY;
/// The longest payload; far above any record that a capture makes.
pub(crate) const MAX_PAYLOAD: usize = 256 << 20;

/// A head whose checksum is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head<'a> {
    pub at: At,
    /// Bytes of the payload.
    pub payload: u32,
    /// CRC-32 of the payload.
    pub payload_crc: u32,
    keys: &'a [u8],
}

/// What stands at the beginning of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Peek<'a> {
    Head(Head<'a>),
    /// It takes so many bytes to tell.
    More(usize),
    Damaged,
}

impl<'a> Head<'a> {
    /// Reads a head from the beginning of `bytes`.
    pub fn peek(bytes: &'a [u8]) -> Peek<'a> {
        let Some(fixed) = bytes.first_chunk::<FIXED>() else { return Peek::More(FIXED) };
        if !fixed.starts_with(&MAGIC) {
            return Peek::Damaged;
        }
        let count = usize::from(u16::from_le_bytes([fixed[24], fixed[25]]));
        let len = FIXED + count * KEY;
        if count > MAX_LANES {
            return Peek::Damaged;
        }
        let (Some(checked), Some(keys)) = (bytes.get(8..len), bytes.get(FIXED..len)) else { return Peek::More(len) };
        let head = Head { at: At(u64_at(fixed, 16)), payload: u32_at(fixed, 8), payload_crc: u32_at(fixed, 12), keys };
        if crc32fast::hash(checked) != u32_at(fixed, 4) || head.payload as usize > MAX_PAYLOAD {
            return Peek::Damaged;
        }
        Peek::Head(head)
    }

    /// Bytes of the head itself.
    pub fn len(&self) -> usize {
        FIXED + self.keys.len()
    }

    /// Bytes of the whole entry.
    pub fn entry_len(&self) -> u64 {
        self.len() as u64 + u64::from(self.payload)
    }

    /// The lanes that the entry is for.
    pub fn lanes(&self) -> impl Iterator<Item = LaneKey> + use<'a> {
        self.keys.as_chunks().0.iter().map(|key| LaneKey(*key))
    }
}

/// Bytes that an entry takes in a segment.
pub(crate) fn encoded_len(lanes: usize, payload: usize) -> u64 {
    (FIXED + lanes * KEY + payload) as u64
}

/// Appends an entry. The caller has checked [`MAX_LANES`] and [`MAX_PAYLOAD`].
pub(crate) fn encode(into: &mut Vec<u8>, at: At, lanes: impl ExactSizeIterator<Item = LaneKey>, payload: &[u8]) {
    let start = into.len();
    into.extend_from_slice(&MAGIC);
    into.extend_from_slice(&[0; 4]);
    into.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    into.extend_from_slice(&crc32fast::hash(payload).to_le_bytes());
    into.extend_from_slice(&at.0.to_le_bytes());
    into.extend_from_slice(&(lanes.len() as u16).to_le_bytes());
    for key in lanes {
        into.extend_from_slice(&key.0);
    }
    let crc = into.get(start + 8..).map_or(0, crc32fast::hash);
    if let Some(place) = into.get_mut(start + 4..start + 8) {
        place.copy_from_slice(&crc.to_le_bytes());
    }
    into.extend_from_slice(payload);
}

/// The number at `offset`; 0 where the bytes end before.
pub(super) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    bytes.get(offset..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// The number at `offset`; 0 where the bytes end before.
pub(super) fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    bytes.get(offset..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u64::from_le_bytes(*bytes))
}
