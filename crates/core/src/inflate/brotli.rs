//! `br` (RFC 7932).

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};

use super::Step;

pub(super) struct Brotli {
    state: BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>,
    complete: bool,
}

impl Default for Brotli {
    fn default() -> Self {
        let alloc = StandardAlloc::default;
        // Strict: without the extension for windows of up to 1 GiB, which a body could ask for in its first bytes.
        Self { state: BrotliState::new_strict(alloc(), alloc(), alloc()), complete: false }
    }
}

impl Brotli {
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    pub fn step(&mut self, input: &[u8], block: &mut [u8]) -> Step {
        if self.complete {
            return Step { read: input.len(), written: 0, corrupt: false };
        }
        let (mut available_in, mut read) = (input.len(), 0);
        let (mut available_out, mut written) = (block.len(), 0);
        let result = BrotliDecompressStream(
            &mut available_in,
            &mut read,
            input,
            &mut available_out,
            &mut written,
            block,
            &mut 0,
            &mut self.state,
        );
        self.complete = matches!(result, BrotliResult::ResultSuccess);
        Step { read, written, corrupt: matches!(result, BrotliResult::ResultFailure) }
    }
}
