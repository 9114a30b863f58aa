//! Every read of the local store: [`list`] for lists and what is new, [`overview`] and [`groups`] for sums; here: opening
//! it, and one call.
//!
//! A [`Reader`] opens the file read-only, so it works while the gateway writes and when it does not run. Each query is
//! its own short read: nothing holds up the writer's checkpoints.

mod deliveries;
mod filter;
mod groups;
mod histogram;
mod list;
mod overview;
mod sums;
mod words;

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::file::{self, FILE_NAME, VERSION};
use super::http;
use super::row::micros;
use list::{COLUMNS, limit_value};

pub use deliveries::Delivery;
pub use filter::Filter;
pub use groups::{Facet, User};
pub use list::{Cursor, Order, Page, Position, Summary};
pub use overview::{By, Span};

/// How long a read waits for the moments in which even a reader must.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
/// Calls that are looked at for one page where no index answers the filter: reading them takes some tens of
/// milliseconds.
const IN_REACH: usize = 20_000;
/// Candidates named at most for an id that fits several calls.
const CANDIDATES: usize = 10;

/// What is said of a call without an HTTP exchange. Which of the reasons it was is not stored.
pub const NO_HTTP: &str = "Nothing is kept of this call's HTTP exchange: capture_http was none, or the call had to wait on \
                           disk for the local store, or an earlier version stored it";

/// Why the store cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no file.
    #[error(
        "no traces at {path}: start the gateway with `ai-tracing start` and send it a call, \
         or name its data directory with --data-dir"
    )]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The file is of an earlier version.
    #[error(
        "{path} has tables of version {found}: `ai-tracing start` brings them to version {VERSION}, \
         which takes a minute for a large file"
    )]
    Older {
        /// The file.
        path: PathBuf,
        /// Its `user_version`.
        found: i64,
    },
    /// The file is of a later version.
    #[error(
        "{path} has tables of version {found}, this ai-tracing reads version {VERSION}: \
         use the version of the gateway that writes it"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its `user_version`.
        found: i64,
    },
    /// The file cannot be opened, or is no database.
    #[error("cannot read {path}: {source}")]
    Open {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// A search for the beginning of a word that says too little.
    #[error("more than {most} words begin with {begin}: add a letter or two")]
    TooManyWords {
        /// The beginning.
        begin: String,
        /// As many are searched for.
        most: usize,
    },
    /// A query failed.
    #[error("cannot read the local store: {0}")]
    Sqlite(#[from] rusqlite::Error),
}

/// What an id, a trace id or the beginning of one stands for.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// One call.
    Call(Box<Summary>),
    /// A trace: its first call. The others are found by [`Filter::trace`].
    Trace(Box<Summary>),
    /// Several; some of them.
    Ambiguous(Vec<Summary>),
}

/// A read-only connection to the store.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
    /// Calls that are looked at for one page.
    in_reach: usize,
}

impl Reader {
    /// Opens the store in a data directory.
    ///
    /// # Errors
    /// No file, a file of another version, or one that cannot be read.
    pub fn open(data_dir: &Path) -> Result<Self, ReadError> {
        let path = data_dir.join(FILE_NAME);
        if !path.exists() {
            return Err(ReadError::Missing { path });
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let opened = Connection::open_with_flags(&path, flags).and_then(|connection| {
            connection.busy_timeout(BUSY_TIMEOUT)?;
            Ok((file::version(&connection)?, connection))
        });
        match opened {
            Ok((VERSION, connection)) => Ok(Self { connection, in_reach: IN_REACH }),
            // A file without tables: the gateway is making it at this moment, or has never got further.
            Ok((0, _)) => Err(ReadError::Missing { path }),
            Ok((found, _)) if found < VERSION => Err(ReadError::Older { path, found }),
            Ok((found, _)) => Err(ReadError::Newer { path, found }),
            Err(source) => Err(ReadError::Open { path, source }),
        }
    }

    /// Looks at fewer calls for one page.
    #[cfg(test)]
    pub(super) fn with_reach(mut self, calls: usize) -> Self {
        self.in_reach = calls;
        self
    }

    /// The record's JSON, as it was stored; `None` when retention has deleted it meanwhile.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn record(&self, seq: i64) -> Result<Option<String>, ReadError> {
        let mut statement = self.connection.prepare_cached("SELECT record FROM records WHERE seq = ?")?;
        Ok(statement.query_row([seq], |row| row.get(0)).optional()?)
    }

    /// The JSON of what is kept of a call's HTTP exchange; `None` where nothing is.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn http(&self, seq: i64) -> Result<Option<String>, ReadError> {
        Ok(http::read(&self.connection, seq)?)
    }

    /// Looks an id up: a call's id, a trace id, or the beginning of either.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn find(&self, id: &str) -> Result<Found, ReadError> {
        let id = id.trim().to_ascii_lowercase();
        if id.is_empty() {
            return Ok(Found::Nothing);
        }
        let sql = format!("SELECT {COLUMNS} FROM calls WHERE id = ?");
        if let Some(call) = self.summaries(&sql, vec![Value::Text(id.clone())])?.pop() {
            return Ok(Found::Call(Box::new(call)));
        }
        // A range, because LIKE and GLOB use no index for a bound pattern.
        let end = format!("{id}\u{10ffff}");
        let sql = format!("SELECT {COLUMNS} FROM calls WHERE id >= ? AND id < ? ORDER BY id LIMIT ?");
        let range = vec![Value::Text(id.clone()), Value::Text(end.clone()), limit_value(CANDIDATES)];
        let (mut by_id, by_trace) = (self.summaries(&sql, range)?, self.traces(&id, &end)?);
        Ok(match (by_id.as_slice(), by_trace.as_slice()) {
            (_, [trace, ..]) if trace.trace_id == id => Found::Trace(Box::new(trace.clone())),
            ([], []) => Found::Nothing,
            ([call], []) => Found::Call(Box::new(call.clone())),
            ([], [trace]) => Found::Trace(Box::new(trace.clone())),
            _ => {
                by_id.extend(by_trace.into_iter().filter(|call| !call.id.starts_with(&id)));
                by_id.truncate(CANDIDATES);
                Found::Ambiguous(by_id)
            }
        })
    }

    /// The first call of each trace whose id lies in a range, some of them.
    fn traces(&self, from: &str, end: &str) -> Result<Vec<Summary>, ReadError> {
        let mut traces: Vec<Summary> = Vec::new();
        // From one to the next: a trace may have any number of calls.
        while traces.len() < CANDIDATES {
            let (after, from) = traces.last().map_or((">=", from), |call| (">", &call.trace_id));
            let sql = format!(
                "SELECT {COLUMNS} FROM calls WHERE trace_id {after} ? AND trace_id < ?
                    ORDER BY trace_id, started_at, seq LIMIT 1"
            );
            match self.summaries(&sql, vec![Value::Text(from.to_owned()), Value::Text(end.to_owned())])?.pop() {
                Some(call) => traces.push(call),
                None => break,
            }
        }
        Ok(traces)
    }
}
