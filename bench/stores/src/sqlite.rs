//! SQLite: one table, a row for each reader's cursor. WAL; `synchronous=OFF` with the WAL synced by a thread every
//! 100 ms, so that a commit waits for no disk under either policy.

use std::fs::File;
use std::path::Path;

use anyhow::Result;
use rusqlite::{Connection, params};

use crate::{INTERVAL, Policy, Store};

pub struct Sqlite {
    connection: Connection,
    last: [i64; 2],
}

impl Sqlite {
    pub fn open(policy: Policy, dir: &Path) -> Result<Self> {
        let path = dir.join("spool.db");
        let connection = Connection::open(&path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "OFF")?;
        connection.execute_batch(
            "CREATE TABLE IF NOT EXISTS entry (seq INTEGER PRIMARY KEY AUTOINCREMENT, record BLOB NOT NULL);
             CREATE TABLE IF NOT EXISTS cursor (reader INTEGER PRIMARY KEY, seq INTEGER NOT NULL);
             INSERT OR IGNORE INTO cursor VALUES (0, 0), (1, 0);",
        )?;
        if policy == Policy::Interval {
            let wal = dir.join("spool.db-wal");
            std::thread::spawn(move || {
                loop {
                    std::thread::sleep(INTERVAL);
                    if let Ok(file) = File::open(&wal) {
                        let _ = file.sync_data();
                    }
                }
            });
        }
        let cursor =
            |reader: i64| connection.query_row("SELECT seq FROM cursor WHERE reader = ?", [reader], |row| row.get(0));
        let last = [cursor(0)?, cursor(1)?];
        Ok(Self { connection, last })
    }
}

impl Store for Sqlite {
    fn append(&mut self, records: &[Vec<u8>]) -> Result<()> {
        let transaction = self.connection.transaction()?;
        {
            let mut insert = transaction.prepare_cached("INSERT INTO entry (record) VALUES (?)")?;
            for record in records {
                insert.execute([record])?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn read(&mut self, reader: usize, most: usize) -> Result<Vec<Vec<u8>>> {
        let mut select =
            self.connection.prepare_cached("SELECT seq, record FROM entry WHERE seq > ? ORDER BY seq LIMIT ?")?;
        let mut rows = select.query(params![self.last[reader], most as i64])?;
        let mut records = Vec::new();
        while let Some(row) = rows.next()? {
            self.last[reader] = row.get(0)?;
            records.push(row.get(1)?);
        }
        Ok(records)
    }

    fn take(&mut self, reader: usize) -> Result<()> {
        let transaction = self.connection.transaction()?;
        transaction
            .prepare_cached("UPDATE cursor SET seq = ? WHERE reader = ?")?
            .execute(params![self.last[reader], reader as i64])?;
        transaction.prepare_cached("DELETE FROM entry WHERE seq <= (SELECT min(seq) FROM cursor)")?.execute([])?;
        Ok(transaction.commit()?)
    }

    fn waiting(&mut self, reader: usize) -> Result<usize> {
        let count = "SELECT count(*) FROM entry WHERE seq > (SELECT seq FROM cursor WHERE reader = ?)";
        Ok(self.connection.query_row(count, [reader as i64], |row| row.get::<_, i64>(0))? as usize)
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.connection.close().map_err(|(_, error)| error.into())
    }
}
