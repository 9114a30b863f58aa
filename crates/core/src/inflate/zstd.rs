//! `zstd` (RFC 8878, with any number of frames).

use std::io;

use zstd::stream::raw::{DParameter, Decoder, Operation};

use super::Step;

/// RFC 9659: a frame sent over HTTP must not need a window above 8 MiB. Without this, a frame header could ask for much
/// more memory.
const WINDOW_LOG_MAX: u32 = 23;

pub(super) struct Zstd {
    inner: Decoder<'static>,
    /// True behind the end of a frame.
    complete: bool,
    /// True where the next byte begins a frame.
    at_start: bool,
}

impl Zstd {
    pub fn new() -> io::Result<Self> {
        let mut inner = Decoder::new()?;
        inner.set_parameter(DParameter::WindowLogMax(WINDOW_LOG_MAX))?;
        Ok(Self { inner, complete: false, at_start: true })
    }

    pub fn is_complete(&self) -> bool {
        self.complete
    }

    pub fn step(&mut self, input: &[u8], block: &mut [u8]) -> Step {
        if self.complete && input.is_empty() {
            return Step { read: 0, written: 0, corrupt: false };
        }
        // A frame that is all there takes a shortcut in the library, which checks the announced size, as the long way
        // does not: without it, what is told of a damaged body does not depend on the pieces that it came in.
        let input = if self.at_start { input.get(..1).unwrap_or_default() } else { input };
        match self.inner.run_on_buffers(input, block) {
            Ok(status) => {
                self.complete = status.remaining == 0;
                self.at_start = self.complete;
                Step { read: status.bytes_read, written: status.bytes_written, corrupt: false }
            }
            // What this very call had decoded before it met the damage is lost: the library does not tell how much it
            // was. At most one block.
            Err(_) => Step { read: 0, written: 0, corrupt: true },
        }
    }
}
