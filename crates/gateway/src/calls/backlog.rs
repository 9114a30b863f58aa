//! Makes the calls of a file of version 1 known to searches: a little at a time, the newest first.

use ai_tracing_core::record::CallRecord;
use rusqlite::{Connection, OptionalExtension};

use super::{row, text};

/// Calls that one step takes at most.
const CALLS_A_STEP: usize = 64;

/// One step; false once nothing is left. A record that cannot be read is left out: nothing else would ever read it.
pub(super) fn step(connection: &mut Connection) -> rusqlite::Result<bool> {
    let transaction = connection.transaction()?;
    let mut taken = 0;
    while taken < CALLS_A_STEP {
        let next = "SELECT seq, record FROM records WHERE seq = (SELECT max(seq) FROM unsearchable)";
        let next: Option<(i64, String)> =
            transaction.prepare_cached(next)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let Some((seq, json)) = next else { break };
        if let Ok(record) = serde_json::from_str::<CallRecord>(&json) {
            row::insert_text(&transaction, seq, &text::of(&record))?;
        }
        transaction.prepare_cached("DELETE FROM unsearchable WHERE seq = ?")?.execute([seq])?;
        taken += 1;
    }
    transaction.commit()?;
    Ok(taken == CALLS_A_STEP)
}
