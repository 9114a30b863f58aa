//! Walks through a segment from entry to entry, and over what is damaged to the next one.

use std::io;
use std::sync::Arc;

use memchr::memmem;

use super::disk::File;
use super::entry::{Head, MAGIC, MAX_HEAD, Peek};

/// What is read at a time.
const BLOCK: usize = 64 << 10;

/// Reads a segment's entries in order, with one block of it in memory. Any bytes will do; it always comes to an end.
pub(crate) struct Scanner {
    file: Arc<dyn File>,
    /// Where the scan ends.
    end: u64,
    /// Where the next step looks.
    offset: u64,
    block: Vec<u8>,
    block_at: u64,
}

/// What a step met.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step<'a> {
    /// A head, and its payload is no longer than what is left of the file.
    Entry {
        offset: u64,
        head: Head<'a>,
    },
    /// No entry can be read from here up to `until`. At the end of the file this may be what a torn write left.
    Damage {
        from: u64,
        until: u64,
    },
    End,
}

impl Scanner {
    /// Starts at `offset`, which is the file's beginning, an entry's or its end, and goes no further than `end`.
    pub fn new(file: Arc<dyn File>, offset: u64, end: u64) -> io::Result<Self> {
        let end = file.state()?.len.min(end);
        Ok(Self { file, end, offset, block: Vec::new(), block_at: 0 })
    }

    /// Where the next step begins.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The next entry or damage. The payload is not looked at.
    pub fn step(&mut self) -> io::Result<Step<'_>> {
        let from = self.offset;
        if from >= self.end {
            return Ok(Step::End);
        }
        if let Some(len) = self.entry_at(from)? {
            self.offset = from + len;
            return match Head::peek(self.bytes(from, MAX_HEAD)?) {
                Peek::Head(head) => Ok(Step::Entry { offset: from, head }),
                // The same bytes a moment ago were a head; the file changes under us.
                Peek::More(_) | Peek::Damaged => Ok(Step::Damage { from, until: from + len }),
            };
        }
        let mut at = from + 1;
        loop {
            let bytes = self.bytes(at, MAX_HEAD)?;
            let read = bytes.len() as u64;
            match memmem::find(bytes, &MAGIC) {
                Some(found) => {
                    at += found as u64;
                    if self.entry_at(at)?.is_some() {
                        break;
                    }
                    at += 1;
                }
                // The magic may lie across two blocks.
                None if at + read < self.end && read >= MAGIC.len() as u64 => at += read - (MAGIC.len() as u64 - 1),
                None => {
                    at = self.end;
                    break;
                }
            }
        }
        self.offset = at;
        Ok(Step::Damage { from, until: at })
    }

    /// Whether the payload of the entry at `offset` is as it was written.
    pub fn verify(&mut self, offset: u64) -> io::Result<bool> {
        let Peek::Head(head) = Head::peek(self.bytes(offset, MAX_HEAD)?) else { return Ok(false) };
        let (mut at, end, expected) = (offset + head.len() as u64, offset + head.entry_len(), head.payload_crc);
        let mut crc = crc32fast::Hasher::new();
        while at < end {
            let wanted = usize::try_from(end - at).unwrap_or(BLOCK).min(BLOCK);
            let bytes = self.bytes(at, 1)?;
            let bytes = bytes.get(..wanted.min(bytes.len())).unwrap_or_default();
            if bytes.is_empty() {
                return Ok(false);
            }
            crc.update(bytes);
            at += bytes.len() as u64;
        }
        Ok(crc.finalize() == expected)
    }

    /// The payload of the entry at `offset`, if it is as it was written.
    pub fn record(&mut self, offset: u64) -> io::Result<Option<Vec<u8>>> {
        let Peek::Head(head) = Head::peek(self.bytes(offset, MAX_HEAD)?) else { return Ok(None) };
        let (start, expected, mut record) = (head.len() as u64, head.payload_crc, vec![0; head.payload as usize]);
        let read = self.file.read_at(offset + start, &mut record)?;
        Ok((read == record.len() && crc32fast::hash(&record) == expected).then_some(record))
    }

    /// The length of the entry at `at`, if there is a whole one.
    fn entry_at(&mut self, at: u64) -> io::Result<Option<u64>> {
        let end = self.end;
        Ok(match Head::peek(self.bytes(at, MAX_HEAD)?) {
            Peek::Head(head) => Some(head.entry_len()).filter(|len| *len <= end - at),
            Peek::More(_) | Peek::Damaged => None,
        })
    }

    /// What is in memory from `at` on: `least` bytes or more, fewer only where the file ends.
    fn bytes(&mut self, at: u64, least: usize) -> io::Result<&[u8]> {
        let least = usize::try_from(self.end.saturating_sub(at)).unwrap_or(least).min(least);
        let held = |block: &[u8], block_at: u64| {
            let skip = usize::try_from(at.checked_sub(block_at)?).ok()?;
            block.len().checked_sub(skip).filter(|rest| *rest >= least).map(|_| skip)
        };
        if held(&self.block, self.block_at).is_none() {
            let room = usize::try_from(self.end.saturating_sub(at)).unwrap_or(BLOCK).min(BLOCK.max(least));
            self.block.resize(room, 0);
            self.block_at = at;
            let read = self.file.read_at(at, &mut self.block)?;
            self.block.truncate(read);
        }
        let skip = usize::try_from(at - self.block_at).unwrap_or(usize::MAX);
        Ok(self.block.get(skip..).unwrap_or_default())
    }
}
