//! A bounded copy of a body with the times at which its pieces passed.

use crate::time::At;

/// Bytes kept of the end of a body that is longer than its limit. A stream's usage and finish reason stand in its last
/// few events; 64 KiB hold hundreds of them.
const TAIL: usize = 64 << 10;

/// A piece of a body: `bytes` passed at `at`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// The bytes.
    pub bytes: &'a [u8],
    /// When they passed; 0 where the body is not timed.
    pub at: At,
}

/// The beginning of a body, its end where wanted, and how much there was.
#[derive(Debug)]
pub struct Body {
    head: Timed,
    tail: Timed,
    head_limit: usize,
    tail_limit: usize,
    total: u64,
    starved: bool,
}

/// Bytes and marks: the bytes up to `end` (from the mark before) passed at `at`.
#[derive(Debug, Default)]
struct Timed {
    bytes: Vec<u8>,
    marks: Vec<Mark>,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    end: usize,
    at: At,
}

impl Body {
    /// Keeps the first `limit` bytes.
    pub fn head_only(limit: usize) -> Self {
        Self {
            head: Timed::default(),
            tail: Timed::default(),
            head_limit: limit,
            tail_limit: 0,
            total: 0,
            starved: false,
        }
    }

    /// Keeps `limit` bytes: the beginning and, where there are more, the last 64 KiB (at most half of the limit).
    pub fn head_and_tail(limit: usize) -> Self {
        let tail_limit = TAIL.min(limit / 2);
        Self { head_limit: limit - tail_limit, tail_limit, ..Self::head_only(limit) }
    }

    /// Adds bytes whose time does not matter.
    pub fn push_untimed(&mut self, bytes: &[u8]) {
        self.push(bytes, At::default());
    }

    /// Adds bytes that passed at `at`.
    pub fn push(&mut self, bytes: &[u8], at: At) {
        self.total = self.total.saturating_add(bytes.len() as u64);
        let room = self.head_limit.saturating_sub(self.head.bytes.len());
        let (head, rest) = bytes.split_at(room.min(bytes.len()));
        self.head.push(head, at);
        // Only the last `tail_limit` bytes of a huge piece can survive: copy no more than those.
        if rest.len() > self.tail_limit {
            self.tail.clear();
        }
        let rest = rest.get(rest.len().saturating_sub(self.tail_limit)..).unwrap_or_default();
        self.tail.push(rest, at);
        // Trimming at twice the limit makes each byte move at most once more.
        if self.tail.bytes.len() > 2 * self.tail_limit {
            self.tail.drop_front(self.tail.bytes.len() - self.tail_limit);
        }
    }

    /// So many bytes passed that nobody saw; like what is too long, they count and are not kept, and nothing behind them.
    pub fn lost(&mut self, bytes: u64) {
        if bytes > 0 {
            self.total = self.total.saturating_add(bytes);
            self.head_limit = self.head.bytes.len();
            self.tail_limit = 0;
        }
    }

    /// Keeps nothing of what comes from now on; it is counted still.
    pub fn keep_no_more(&mut self) {
        self.head_limit = self.head.bytes.len();
        self.tail_limit = 0;
        self.tail = Timed::default();
        self.starved = true;
    }

    /// True when the host told to keep no more.
    pub fn starved(&self) -> bool {
        self.starved
    }

    /// Length of the whole body, kept or not.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Bytes missing between [`Self::head`] and [`Self::tail`].
    pub fn gap(&self) -> u64 {
        self.total - (self.head.bytes.len() + self.tail.bytes.len()) as u64
    }

    /// The kept beginning. With no gap, the body is `head` followed by `tail`.
    pub fn head(&self) -> impl Iterator<Item = Chunk<'_>> {
        self.head.chunks()
    }

    /// The kept end; empty unless the body outgrew the limit of its head.
    pub fn tail(&self) -> impl Iterator<Item = Chunk<'_>> {
        self.tail.chunks()
    }

    /// The kept beginning as one slice.
    pub fn head_bytes(&self) -> &[u8] {
        &self.head.bytes
    }

    /// The kept end as one slice.
    pub fn tail_bytes(&self) -> &[u8] {
        &self.tail.bytes
    }

    /// Bytes of memory held.
    pub fn weight(&self) -> usize {
        self.head.weight() + self.tail.weight()
    }
}

impl Timed {
    fn push(&mut self, bytes: &[u8], at: At) {
        if bytes.is_empty() {
            return;
        }
        self.bytes.extend_from_slice(bytes);
        let end = self.bytes.len();
        match self.marks.last_mut() {
            // A mark for each byte of a body sent byte by byte would weigh more than the body: pieces that passed
            // within the same 100 us share one.
            Some(last) if at.0.saturating_sub(last.at.0) < 100_000 => last.end = end,
            _ => self.marks.push(Mark { end, at }),
        }
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.marks.clear();
    }

    fn drop_front(&mut self, count: usize) {
        self.bytes.drain(..count);
        self.marks.retain_mut(|mark| {
            let keep = mark.end > count;
            mark.end = mark.end.saturating_sub(count);
            keep
        });
    }

    fn chunks(&self) -> impl Iterator<Item = Chunk<'_>> {
        let mut start = 0;
        self.marks.iter().map(move |mark| {
            let bytes = self.bytes.get(start..mark.end).unwrap_or_default();
            start = mark.end;
            Chunk { bytes, at: mark.at }
        })
    }

    fn weight(&self) -> usize {
        self.bytes.capacity() + self.marks.capacity() * size_of::<Mark>()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn keeps_the_beginning_and_the_end_of_a_long_body() {
        let mut body = Body::head_and_tail(8);
        for (index, piece) in [b"abc", b"def", b"ghi", b"jkl"].iter().enumerate() {
            body.push(*piece, At(index as u64 * MS));
        }
        assert_eq!((body.head_bytes(), body.total()), (b"abcd".as_slice(), 12));
        assert!(b"abcdefghijkl".ends_with(body.tail_bytes()));
        assert_eq!(body.gap() as usize, 12 - 4 - body.tail_bytes().len());
        let last = body.tail().last().map(|chunk| (chunk.bytes.to_vec(), chunk.at));
        assert_eq!(last, Some((b"jkl".to_vec(), At(3 * MS))));
    }

    #[test]
    fn counts_on_when_it_keeps_no_more() {
        let mut body = Body::head_and_tail(100);
        body.push(b"abc", At(0));
        body.keep_no_more();
        body.push(b"def", At(MS));
        assert_eq!((body.head_bytes(), body.tail_bytes(), body.total()), (b"abc".as_slice(), b"".as_slice(), 6));
    }

    #[test]
    fn lost_bytes_are_a_gap() {
        let mut body = Body::head_and_tail(100);
        body.push(b"abc", At(0));
        body.lost(0);
        body.push(b"def", At(0));
        assert_eq!((body.total(), body.gap()), (6, 0));
        body.lost(4);
        body.push(b"ghi", At(0));
        assert_eq!((body.head_bytes(), body.total(), body.gap()), (b"abcdef".as_slice(), 13, 7));
    }

    proptest! {
        #[test]
        fn never_keeps_more_than_its_limit_and_a_half(
            limit in 0usize..200,
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..50),
        ) {
            let mut body = Body::head_and_tail(limit);
            let whole: Vec<u8> = pieces.concat();
            for (index, piece) in pieces.iter().enumerate() {
                body.push(piece, At(index as u64 * MS));
                prop_assert!(body.head_bytes().len() + body.tail_bytes().len() <= limit + limit / 2);
            }
            prop_assert_eq!(body.total(), whole.len() as u64);
            prop_assert!(whole.starts_with(body.head_bytes()));
            prop_assert!(whole.ends_with(body.tail_bytes()));
            if body.gap() == 0 {
                prop_assert_eq!([body.head_bytes(), body.tail_bytes()].concat(), whole);
            }
            let chunks: Vec<u8> = body.head().chain(body.tail()).flat_map(|chunk| chunk.bytes.to_vec()).collect();
            prop_assert_eq!(chunks, [body.head_bytes(), body.tail_bytes()].concat());
        }
    }
}
