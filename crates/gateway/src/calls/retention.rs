//! Keeping the file small: what is too old goes, and when the file is too large the oldest go.
//!
//! Work comes in steps of a few milliseconds, so that the writer thread takes the next batch between two of them.
//! Time is passed in.

use std::time::Duration;

use ai_tracing_core::time::At;
use rusqlite::{Connection, params};

use super::row::micros;

/// Rows that one step deletes at most.
const ROWS_A_STEP: i64 = 64;
/// Pages that one step gives back to the file system at most.
const PAGES_A_STEP: u64 = 512;

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Calls that began longer ago are deleted.
    pub max_age: Duration,
    /// Size in bytes that the database file may reach; above it the oldest calls are deleted.
    pub max_bytes: u64,
}

/// What a step did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Step {
    /// Calls deleted because they were too old.
    pub aged_out: usize,
    /// Calls deleted because the file was too large.
    pub crowded_out: usize,
    /// True when there is more to do at once.
    pub more: bool,
}

/// The job's state between steps.
#[derive(Debug)]
pub(super) struct Retainer {
    retention: Retention,
    /// The file was found too large and has not been brought back below the lower mark yet.
    crowded: bool,
}

impl Retainer {
    pub fn new(retention: Retention) -> Self {
        Self { retention, crowded: false }
    }

    /// Deletes what is too old or too much: one step.
    pub fn step(&mut self, connection: &Connection, now: At) -> rusqlite::Result<Step> {
        let aged_out = self.delete_aged(connection, now)?;
        if aged_out > 0 {
            return Ok(Step { aged_out, more: true, ..Step::default() });
        }
        let space = Space::of(connection)?;
        // Deletion goes on to 95 %, or every batch at the limit would start it again.
        let limit = if self.crowded { self.retention.max_bytes / 20 * 19 } else { self.retention.max_bytes };
        self.crowded = space.used_bytes() > limit;
        if self.crowded {
            let crowded_out = delete_oldest(connection)?;
            self.crowded = crowded_out > 0;
            return Ok(Step { crowded_out, more: crowded_out > 0, ..Step::default() });
        }
        Ok(Step::default())
    }

    /// Gives free pages back to the file system: one step; false once nothing is left to give. Pages are filled by the
    /// next calls, so they are given back only where they are many or the file is too large.
    pub fn shrink(&self, connection: &Connection) -> rusqlite::Result<bool> {
        let space = Space::of(connection)?;
        let wasteful = space.free > space.pages / 4 || space.file_bytes() > self.retention.max_bytes;
        if !wasteful || space.free == 0 {
            return Ok(false);
        }
        connection.execute_batch(&format!("PRAGMA incremental_vacuum({PAGES_A_STEP})"))?;
        Ok(Space::of(connection)?.free < space.free)
    }

    fn delete_aged(&self, connection: &Connection, now: At) -> rusqlite::Result<usize> {
        let age = u64::try_from(self.retention.max_age.as_nanos()).unwrap_or(u64::MAX);
        let oldest = micros(now.0.saturating_sub(age));
        connection
            .prepare_cached(
                "DELETE FROM calls WHERE seq IN
                    (SELECT seq FROM calls WHERE started_at < ?1 ORDER BY started_at LIMIT ?2)",
            )?
            .execute(params![oldest, ROWS_A_STEP])
    }
}

fn delete_oldest(connection: &Connection) -> rusqlite::Result<usize> {
    connection
        .prepare_cached("DELETE FROM calls WHERE seq IN (SELECT seq FROM calls ORDER BY started_at LIMIT ?1)")?
        .execute([ROWS_A_STEP])
}

/// How the file's pages are used. All three are kept in memory by SQLite: asking costs microseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Space {
    pages: u64,
    free: u64,
    page_size: u64,
}

impl Space {
    pub fn of(connection: &Connection) -> rusqlite::Result<Self> {
        let pragma = |sql| {
            connection.prepare_cached(sql)?.query_row([], |row| row.get(0)).map(|value: i64| value.unsigned_abs())
        };
        Ok(Self {
            pages: pragma("PRAGMA page_count")?,
            free: pragma("PRAGMA freelist_count")?,
            page_size: pragma("PRAGMA page_size")?,
        })
    }

    /// Bytes of the whole file.
    pub fn file_bytes(self) -> u64 {
        self.pages.saturating_mul(self.page_size)
    }

    /// Bytes that hold something.
    pub fn used_bytes(self) -> u64 {
        self.pages.saturating_sub(self.free).saturating_mul(self.page_size)
    }
}
