//! What became of a call at its destinations.

use rusqlite::OptionalExtension;

use super::super::outcomes::{Outcome, State};
use super::{ReadError, Reader};

/// A call at a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The destination's number in this store.
    pub destination: i64,
    /// What the engine knows it by; not to be shown.
    pub key: [u8; 16],
    /// Name and address.
    pub label: String,
    /// What the call has come to.
    pub outcome: Outcome,
}

impl Reader {
    /// What the store knows of a call, by the destinations' numbers.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn deliveries(&self, seq: i64) -> Result<Vec<Delivery>, ReadError> {
        let sql = "SELECT id, key, label, state, at, reason
            FROM deliveries JOIN destinations ON id = destination WHERE seq = ? ORDER BY id";
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map([seq], |row| {
            let reason: Option<String> = row.get(5)?;
            let outcome = Outcome { state: State::of(row.get(3)?), at: row.get(4)?, reason: reason.map(Into::into) };
            Ok(Delivery { destination: row.get(0)?, key: row.get(1)?, label: row.get(2)?, outcome })
        })?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// The number of a destination; `None` until something was stored of it.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn destination(&self, key: [u8; 16]) -> Result<Option<i64>, ReadError> {
        let mut statement = self.connection.prepare_cached("SELECT id FROM destinations WHERE key = ?")?;
        Ok(statement.query_row([&key[..]], |row| row.get(0)).optional()?)
    }
}
