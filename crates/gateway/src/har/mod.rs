//! HAR 1.2 (<http://www.softwareishard.com/blog/har-12-spec/>), as browsers and proxies save it: entry by entry.
//!
//! In: any reader. Out: [`Entry`] values, one in memory at a time, bounded by [`MAX_BODY`] and its siblings. What is cut
//! says how much is missing. A field of the wrong type is as good as absent; only a document that is no JSON, or ends
//! too early, is a problem, and what was read before it counts.

mod entry;
mod json;
mod replay;
mod target;
#[cfg(test)]
mod tests;

use std::io::BufRead;

pub use entry::{Entry, MAX_BODY};
use json::{Lexer, Problem};
pub use replay::replay;

/// Why a file cannot be read any further.
#[derive(Debug, thiserror::Error)]
pub enum HarError {
    /// The document is no JSON, ends too early, or its reader failed.
    #[error("{place}, byte {at}: {problem}")]
    Broken {
        /// Which entry.
        place: Place,
        /// Bytes of the (uncompressed) document before the problem.
        at: u64,
        /// What is wrong.
        problem: String,
    },
    /// A document with no `log.entries`.
    #[error("not a HAR file: it has no log.entries")]
    NotHar,
}

/// Where in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Outside of all entries, behind so many.
    After(u64),
    /// Inside of the entry with this index.
    Entry(u64),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::After(0) => f.write_str("before the first entry"),
            Self::After(1) => f.write_str("after 1 entry"),
            Self::After(count) => write!(f, "after {count} entries"),
            Self::Entry(index) => write!(f, "entry {index}"),
        }
    }
}

/// Reads the entries of one file.
pub struct Har<R> {
    lexer: Lexer<R>,
    level: Level,
    /// Whether the bracket that [`Self::level`] stands for has just been opened.
    first: bool,
    entries: u64,
    /// Whether there was a `log.entries`.
    found: bool,
}

/// Which bracket is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Start,
    Document,
    Log,
    Entries,
    End,
}

impl<R: BufRead> Har<R> {
    /// Begins to read.
    ///
    /// # Errors
    /// The reader's.
    pub fn new(input: R) -> Result<Self, HarError> {
        let broken =
            |problem: std::io::Error| HarError::Broken { place: Place::After(0), at: 0, problem: problem.to_string() };
        let lexer = Lexer::new(input).map_err(broken)?;
        Ok(Self { lexer, level: Level::Start, first: true, entries: 0, found: false })
    }

    /// The next entry; `None` when there are no more.
    ///
    /// # Errors
    /// The first problem of the document; after it, nothing more can be read.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, HarError> {
        while self.level != Level::End {
            let before = self.entries;
            match self.step() {
                Ok(None) => {}
                Ok(Some(entry)) => return Ok(Some(entry)),
                Err(problem) => {
                    self.level = Level::End;
                    let place = if self.entries > before { Place::Entry(before) } else { Place::After(before) };
                    return Err(HarError::Broken { place, at: self.lexer.position(), problem: problem.to_string() });
                }
            }
        }
        if self.found { Ok(None) } else { Err(HarError::NotHar) }
    }

    fn step(&mut self) -> Result<Option<Entry>, Problem> {
        match self.level {
            Level::Start => self.open(b'{', Level::Document)?,
            Level::Document => match self.lexer.key(&mut self.first)?.as_deref() {
                Some("log") => self.open(b'{', Level::Log)?,
                Some(_) => self.lexer.skip()?,
                None => {
                    if self.lexer.peek()?.is_some() {
                        return Err(Problem::Expected("the end of the file"));
                    }
                    self.level = Level::End;
                }
            },
            Level::Log => match self.lexer.key(&mut self.first)?.as_deref() {
                Some("entries") => {
                    self.open(b'[', Level::Entries)?;
                    self.found |= self.level == Level::Entries;
                }
                Some(_) => self.lexer.skip()?,
                None => self.close(Level::Document),
            },
            Level::Entries => {
                if self.lexer.item(&mut self.first)? {
                    self.entries += 1;
                    return Entry::read(&mut self.lexer).map(Some);
                }
                self.close(Level::Log);
            }
            Level::End => {}
        }
        Ok(None)
    }

    /// Enters a level where its bracket comes next; passes anything else over.
    fn open(&mut self, bracket: u8, level: Level) -> Result<(), Problem> {
        if self.lexer.opens(bracket)? {
            (self.level, self.first) = (level, true);
            return Ok(());
        }
        self.lexer.skip()?;
        if self.level == Level::Start {
            self.level = Level::End;
        }
        Ok(())
    }

    fn close(&mut self, level: Level) {
        (self.level, self.first) = (level, false);
    }
}
