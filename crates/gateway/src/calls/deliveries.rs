//! Outcomes as rows: what became of a call at a destination, and the destinations' numbers.

use std::time::Duration;

use ai_tracing_core::time::At;
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use super::outcomes::{Batch, Told};
use super::row::micros;

/// How long an outcome waits for its call: the local store takes calls later than this only where it has failed.
const PATIENCE: Duration = Duration::from_secs(300);
/// Destinations above which those go that no call names any more.
const DESTINATIONS: i64 = 256;

const FIND: &str = "SELECT id, label FROM destinations WHERE key = ?";
const ADD: &str = "INSERT INTO destinations (key, label) VALUES (?, ?)";
const RENAME: &str = "UPDATE destinations SET label = ? WHERE id = ?";
const SWEEP: &str = "DELETE FROM destinations
    WHERE (SELECT count(*) FROM destinations) > ? AND id NOT IN (SELECT destination FROM deliveries)";
const WRITE: &str = "
    INSERT INTO deliveries (seq, destination, state, at, reason) SELECT seq, ?2, ?3, ?4, ?5 FROM calls WHERE id = ?1
    ON CONFLICT (seq, destination) DO UPDATE SET state = excluded.state, at = excluded.at, reason = excluded.reason";

/// What could not be written.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// Their calls may still come.
    pub later: Batch,
    /// Outcomes whose calls are not expected any more.
    pub lost: u64,
}

/// Writes outcomes in one transaction, each over the one before.
pub(super) fn write(connection: &mut Connection, batch: &Batch, now: At) -> rusqlite::Result<Left> {
    let mut left = Left::default();
    let oldest = micros(now.0).saturating_sub(i64::try_from(PATIENCE.as_micros()).unwrap_or(i64::MAX));
    let transaction = connection.transaction()?;
    for Told { address, calls } in batch.0.values() {
        let destination = number(&transaction, address.key, &address.label)?;
        let mut statement = transaction.prepare_cached(WRITE)?;
        for (call, outcome) in calls {
            let values = params![call, destination, outcome.state as i64, outcome.at, outcome.reason];
            if statement.execute(values)? > 0 {
                continue;
            }
            if outcome.at < oldest {
                left.lost += 1;
            } else {
                left.later.at(address).insert(call.clone(), outcome.clone());
            }
        }
    }
    transaction.commit()?;
    Ok(left)
}

/// The number of a destination; a new one gets the next.
fn number(transaction: &Transaction<'_>, key: [u8; 16], label: &str) -> rusqlite::Result<i64> {
    let mut find = transaction.prepare_cached(FIND)?;
    let known: Option<(i64, String)> = find.query_row([&key[..]], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
    match known {
        Some((id, known)) => {
            if known != label {
                transaction.execute(RENAME, params![label, id])?;
            }
            Ok(id)
        }
        None => {
            transaction.execute(SWEEP, [DESTINATIONS])?;
            transaction.execute(ADD, params![&key[..], label])?;
            Ok(transaction.last_insert_rowid())
        }
    }
}
