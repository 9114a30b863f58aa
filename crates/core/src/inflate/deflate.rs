//! `gzip` (RFC 1952, with any number of members) and `deflate` (RFC 1950, or RFC 1951 as some servers send it).

use flate2::{Decompress, FlushDecompress, Status};

use super::Step;

/// Window of 2^15 bytes, the largest there is.
const WINDOW_BITS: u8 = 15;

/// First byte of each gzip member.
const GZIP_MAGIC: u8 = 0x1f;

pub(super) struct Deflate {
    inner: Decompress,
    gzip: bool,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing has been read.
    Start,
    /// Inside a member.
    Open,
    /// Behind a member, where another may follow.
    Between,
    /// Behind the last one; the rest is ignored.
    Done,
}

impl Deflate {
    pub fn gzip() -> Self {
        Self { inner: Decompress::new_gzip(WINDOW_BITS), gzip: true, state: State::Start }
    }

    pub fn zlib_or_raw() -> Self {
        Self { inner: Decompress::new(true), gzip: false, state: State::Start }
    }

    pub fn name(&self) -> &'static str {
        if self.gzip { "gzip" } else { "deflate" }
    }

    pub fn is_complete(&self) -> bool {
        matches!(self.state, State::Between | State::Done)
    }

    pub fn step(&mut self, input: &[u8], block: &mut [u8]) -> Step {
        if let Some(&first) = input.first() {
            self.begin(first);
        }
        if self.state != State::Open {
            return Step { read: input.len(), written: 0, corrupt: false };
        }
        let (read, written) = (self.inner.total_in(), self.inner.total_out());
        let status = self.inner.decompress(input, block, FlushDecompress::None);
        let step = Step {
            read: (self.inner.total_in() - read) as usize,
            written: (self.inner.total_out() - written) as usize,
            corrupt: status.is_err(),
        };
        if matches!(status, Ok(Status::StreamEnd)) {
            self.state = if self.gzip { State::Between } else { State::Done };
        }
        step
    }

    /// Decides by the next byte what follows.
    fn begin(&mut self, first: u8) {
        match self.state {
            State::Start => {
                // A zlib header begins with compression method 8. Raw deflate would have to begin with a stored block
                // whose padding is not zero to look alike, which no encoder writes.
                if !self.gzip && first & 0x0f != 8 {
                    self.inner.reset(false);
                }
                self.state = State::Open;
            }
            State::Between if first == GZIP_MAGIC => {
                self.inner.reset(true);
                self.state = State::Open;
            }
            State::Between => self.state = State::Done,
            State::Open | State::Done => {}
        }
    }
}
