//! Framing: from pieces of a body to the events in it.
//!
//! Push parsers: bytes go in as they came, frames come out through a callback. Any chunking of the same bytes gives the
//! same frames (property-tested), and memory is bounded by [`MAX_FRAME`].

mod aws_event;
mod json_stream;
mod payload;
mod sse;

pub use aws_event::AwsEvents;
pub use json_stream::JsonStream;
pub use payload::Payloads;
pub use sse::Sse;

/// Bytes of one event; the rest of a longer one is passed over and counted.
pub const MAX_FRAME: usize = 8 << 20;

/// One event of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What kind of event it says it is: the `event` field of server-sent events, the type of an AWS event or exception.
    /// Empty where there is none.
    pub name: &'a [u8],
    /// Its content.
    pub data: &'a [u8],
    /// True when it tells an error: an AWS exception.
    pub exception: bool,
}

/// A push parser.
pub trait Framing {
    /// Reads a piece of the stream; calls `on_frame` for each frame that it completes.
    fn push(&mut self, bytes: &[u8], on_frame: &mut dyn FnMut(Frame<'_>));

    /// The stream has ended: reports the frame that its end cut, where it has something to say.
    fn finish(&mut self, on_frame: &mut dyn FnMut(Frame<'_>));

    /// Bytes follow that are not the continuation of what came before: forgets the unfinished frame and goes on with
    /// the next that begins.
    fn resync(&mut self);

    /// What was passed over, in plain words.
    fn issues(&self) -> Vec<String>;
}

/// The issue of bytes passed over for their length.
fn too_long(skipped: u64) -> Vec<String> {
    let issue = || format!("{skipped} bytes of events longer than {MAX_FRAME} bytes not read");
    (skipped > 0).then(issue).into_iter().collect()
}
