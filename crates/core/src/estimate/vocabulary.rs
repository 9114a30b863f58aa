//! A vocabulary, read in place from tables that the build script wrote, and byte pair encoding over it.

use super::hash::{self, MAX_TOKEN};

/// Longer pieces are cut: the time to merge one grows with the square of its length. Text in any language has shorter
/// ones, as a rule; where a cut does hit, it costs a token or two.
const MAX_PIECE: usize = MAX_TOKEN;

/// No such token. Ranks are far below.
const NONE: u32 = u32::MAX;

/// Tokens and their ranks; the lower the rank, the earlier a pair is merged. Numbers are little-endian `u32`.
pub(super) struct Vocabulary {
    /// All tokens, by rank.
    bytes: &'static [u8],
    /// Where each token begins in `bytes`, and where the last one ends.
    starts: &'static [u8],
    /// Hash table with open addressing: rank + 1, or 0 for an empty slot.
    slots: &'static [u8],
}

macro_rules! vocabulary {
    ($name:literal) => {
        Vocabulary {
            bytes: include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".bytes")),
            starts: include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".starts")),
            slots: include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".slots")),
        }
    };
}

pub(super) static O200K: Vocabulary = vocabulary!("o200k");
pub(super) static CL100K: Vocabulary = vocabulary!("cl100k");

impl Vocabulary {
    /// Tokens in one piece of text.
    pub fn count(&self, piece: &str) -> usize {
        piece.as_bytes().chunks(MAX_PIECE).map(|piece| self.count_chunk(piece)).sum()
    }

    fn count_chunk(&self, piece: &[u8]) -> usize {
        // Most words are one token.
        if self.rank(piece) != NONE {
            return 1;
        }
        // Where each token begins, and where the last one ends; at first every byte is one.
        let mut bounds: Vec<usize> = (0..=piece.len()).collect();
        // The rank of what each token would make with the one after it.
        let pair = |bounds: &[usize], at: usize| match (bounds.get(at), bounds.get(at + 2)) {
            (Some(&start), Some(&end)) => piece.get(start..end).map_or(NONE, |token| self.rank(token)),
            _ => NONE,
        };
        let mut ranks: Vec<u32> = (0..piece.len().saturating_sub(1)).map(|at| pair(&bounds, at)).collect();
        // The lowest rank is merged first, of equal ones the leftmost.
        while let Some((at, rank)) = ranks.iter().copied().enumerate().min_by_key(|&(_, rank)| rank)
            && rank != NONE
        {
            bounds.remove(at + 1);
            ranks.remove(at);
            for at in [Some(at), at.checked_sub(1)].into_iter().flatten() {
                if let Some(rank) = ranks.get_mut(at) {
                    *rank = pair(&bounds, at);
                }
            }
        }
        bounds.len() - 1
    }

    /// The rank of `token`, or [`NONE`].
    fn rank(&self, token: &[u8]) -> u32 {
        if token.len() > MAX_TOKEN {
            return NONE;
        }
        for slot in hash::probe(token, self.slots.len() / 4) {
            // An empty slot ends the search.
            let Some(rank) = number(self.slots, slot).and_then(|entry| entry.checked_sub(1)) else { break };
            if self.token(rank as usize) == Some(token) {
                return rank;
            }
        }
        NONE
    }

    fn token(&self, rank: usize) -> Option<&[u8]> {
        self.bytes.get(number(self.starts, rank)? as usize..number(self.starts, rank + 1)? as usize)
    }
}

fn number(table: &[u8], at: usize) -> Option<u32> {
    table.get(4 * at..)?.first_chunk().copied().map(u32::from_le_bytes)
}
