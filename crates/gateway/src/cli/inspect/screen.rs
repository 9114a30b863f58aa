//! What the command prints: results, buffered; problems; and the line of progress, which gives way to both.

use std::io::{self, Write};
use std::time::Instant;

use anyhow::Result;

use crate::term::progress::{Done, Progress};
use crate::term::text;

/// Results are held back up to so many bytes.
const HELD: usize = 64 << 10;

/// The outputs.
pub struct Screen<'a> {
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
    progress: Option<Progress>,
    buffer: Vec<u8>,
    /// Nobody reads the results any more.
    gone: bool,
}

impl<'a> Screen<'a> {
    /// Results to `out`, everything else to `err`.
    pub fn new(out: &'a mut dyn Write, err: &'a mut dyn Write, progress: Option<Progress>) -> Self {
        Self { out, err, progress, buffer: Vec::new(), gone: false }
    }

    /// Where results are written to; they are printed by the other methods.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// True once whoever read the results has gone away.
    pub fn is_gone(&self) -> bool {
        self.gone
    }

    /// Prints the results so far.
    pub fn flush(&mut self) -> Result<()> {
        if self.buffer.is_empty() || self.gone {
            self.buffer.clear();
            return Ok(());
        }
        self.clear();
        let written = self.out.write_all(&self.buffer).and_then(|()| self.out.flush());
        self.buffer.clear();
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.gone = true,
            done => done?,
        }
        Ok(())
    }

    /// A problem, or what else is no result.
    pub fn say(&mut self, what: &str) -> Result<()> {
        self.flush()?;
        self.clear();
        // Nothing is left to be done about a stderr that cannot be written.
        let _ = writeln!(self.err, "ai-tracing: {}", text::line(what));
        Ok(())
    }

    /// Something has been done: time to print, perhaps.
    pub fn passed(&mut self, done: Done, now: Instant) -> Result<()> {
        if self.buffer.len() >= HELD {
            self.flush()?;
        }
        if let Some(line) = self.progress.as_mut().and_then(|progress| progress.update(done, now)) {
            let _ = write!(self.err, "{line}").and_then(|()| self.err.flush());
        }
        Ok(())
    }

    /// Prints what is left.
    pub fn close(mut self) -> Result<()> {
        self.flush()?;
        self.clear();
        Ok(())
    }

    fn clear(&mut self) {
        if let Some(clear) = self.progress.as_mut().and_then(Progress::clear) {
            let _ = write!(self.err, "{clear}").and_then(|()| self.err.flush());
        }
    }
}
