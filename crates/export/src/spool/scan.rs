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
    /// The head that was read last.
    head: Vec<u8>,
}

/// What a step met.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step<'a> {
    /// An entry that is as it was written.
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
        Ok(Self { file, end, offset, block: Vec::new(), block_at: 0, head: Vec::new() })
    }

    /// Where the next step begins.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The next entry or damage.
    pub fn step(&mut self) -> io::Result<Step<'_>> {
        let from = self.offset;
        if from >= self.end {
            return Ok(Step::End);
        }
        if let Some(len) = self.entry_at(from)?
            && self.verify(from)?
        {
            let until = from + len;
            self.offset = until;
            return Ok(match Head::peek(&self.head) {
                Peek::Head(head) => Step::Entry { offset: from, head },
                Peek::More(_) | Peek::Damaged => Step::Damage { from, until },
            });
        }
        // Where the payload is damaged the length is not to be trusted either: bytes may be missing in the middle.
        let until = self.next_head(from + 1)?;
        self.offset = until;
        Ok(Step::Damage { from, until })
    }

    /// Where the first head at `at` or later is, or the end.
    fn next_head(&mut self, mut at: u64) -> io::Result<u64> {
        loop {
            let bytes = self.bytes(at, MAX_HEAD)?;
            let read = bytes.len() as u64;
            match memmem::find(bytes, &MAGIC) {
                Some(found) => {
                    at += found as u64;
                    if self.entry_at(at)?.is_some() {
                        return Ok(at);
                    }
                    at += 1;
                }
                // The magic may lie across two blocks.
                None if at + read < self.end && read >= MAGIC.len() as u64 => at += read - (MAGIC.len() as u64 - 1),
                None => return Ok(self.end),
            }
        }
    }

    /// The payload of the entry at `offset`; `None` if it is not any more what the scan has met there.
    pub fn record(&self, offset: u64) -> io::Result<Option<Vec<u8>>> {
        let Peek::Head(head) = Head::peek(&self.head) else { return Ok(None) };
        let mut record = vec![0; head.payload as usize];
        let read = self.file.read_at(offset + head.len() as u64, &mut record)?;
        Ok((read == record.len() && crc32fast::hash(&record) == head.payload_crc).then_some(record))
    }

    /// Whether the payload is as it was written, of the entry at `offset`, whose head was read last.
    fn verify(&mut self, offset: u64) -> io::Result<bool> {
        let Peek::Head(head) = Head::peek(&self.head) else { return Ok(false) };
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

    /// Reads the head at `at`; the entry's length, if that is not more than what is left.
    fn entry_at(&mut self, at: u64) -> io::Result<Option<u64>> {
        let mut copy = std::mem::take(&mut self.head);
        copy.clear();
        let end = self.end;
        let bytes = self.bytes(at, MAX_HEAD)?;
        let Peek::Head(head) = Head::peek(bytes) else { return Ok(None) };
        let len = head.entry_len();
        copy.extend_from_slice(bytes.get(..head.len()).unwrap_or_default());
        self.head = copy;
        Ok(Some(len).filter(|len| *len <= end - at))
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
