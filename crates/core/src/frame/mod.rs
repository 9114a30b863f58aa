//! Framing: from pieces of a body to the events in it.
//!
//! Push parsers: bytes go in as they came, events come out through a callback. Any chunking of the same bytes gives the
//! same events (property-tested), and memory is bounded by [`MAX_FRAME`].

mod json_stream;
mod sse;

pub use json_stream::JsonStream;
pub use sse::{Event, Sse};

/// Bytes of one event; the rest of a longer one is passed over and counted.
pub const MAX_FRAME: usize = 8 << 20;
