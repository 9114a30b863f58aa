//! redb: records by sequence number and a table of cursors. It writes nothing that survives the process without syncing
//! it: with `Durability::None` a commit is kept in memory until one with `Immediate` follows, every 100 ms here, or at
//! the end.

use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use redb::{
    Database, Durability, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition, WriteTransaction,
};

use crate::{INTERVAL, Policy, Store};

const ENTRIES: TableDefinition<u64, &[u8]> = TableDefinition::new("entries");
const CURSORS: TableDefinition<u64, u64> = TableDefinition::new("cursors");

pub struct Redb {
    database: Database,
    policy: Policy,
    synced: Instant,
    next: u64,
    last: [u64; 2],
}

impl Redb {
    pub fn open(policy: Policy, dir: &Path) -> Result<Self> {
        let database = Database::create(dir.join("spool.redb"))?;
        let transaction = database.begin_write()?;
        let (next, last) = {
            let entries = transaction.open_table(ENTRIES)?;
            let cursors = transaction.open_table(CURSORS)?;
            let next = entries.last()?.map_or(1, |(key, _)| key.value() + 1);
            let cursor = |reader| -> Result<u64> { Ok(cursors.get(reader)?.map_or(0, |value| value.value())) };
            (next, [cursor(0)?, cursor(1)?])
        };
        transaction.commit()?;
        Ok(Self { database, policy, synced: Instant::now(), next, last })
    }

    fn begin(&mut self) -> Result<WriteTransaction> {
        let mut transaction = self.database.begin_write()?;
        let due = self.policy == Policy::Interval && self.synced.elapsed() >= INTERVAL;
        if due {
            self.synced = Instant::now();
        }
        transaction.set_durability(if due { Durability::Immediate } else { Durability::None })?;
        Ok(transaction)
    }
}

impl Store for Redb {
    fn append(&mut self, records: &[Vec<u8>]) -> Result<()> {
        let transaction = self.begin()?;
        {
            let mut entries = transaction.open_table(ENTRIES)?;
            for record in records {
                entries.insert(self.next, record.as_slice())?;
                self.next += 1;
            }
        }
        Ok(transaction.commit()?)
    }

    fn read(&mut self, reader: usize, most: usize) -> Result<Vec<Vec<u8>>> {
        let entries = self.database.begin_read()?.open_table(ENTRIES)?;
        let mut records = Vec::new();
        for entry in entries.range(self.last[reader] + 1..)?.take(most) {
            let (key, record) = entry?;
            self.last[reader] = key.value();
            records.push(record.value().to_vec());
        }
        Ok(records)
    }

    fn take(&mut self, reader: usize) -> Result<()> {
        let transaction = self.begin()?;
        {
            transaction.open_table(CURSORS)?.insert(reader as u64, self.last[reader])?;
            let done = self.last[0].min(self.last[1]);
            transaction.open_table(ENTRIES)?.retain_in(..=done, |_, _| false)?;
        }
        Ok(transaction.commit()?)
    }

    fn waiting(&mut self, _: usize) -> Result<usize> {
        Ok(self.database.begin_read()?.open_table(ENTRIES)?.len()? as usize)
    }

    fn close(self: Box<Self>) -> Result<()> {
        let transaction = self.database.begin_write()?;
        Ok(transaction.commit()?)
    }
}
