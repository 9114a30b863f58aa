//! fjall: records by sequence number, cursors in a keyspace of their own. Its journal is handed to the operating system
//! with every batch; a thread of ours syncs it every 100 ms. With `blobs` large values lie in files of their own.

use std::path::Path;

use anyhow::Result;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions, PersistMode};

use crate::{INTERVAL, Policy, Store};

pub struct Fjall {
    database: Database,
    entries: Keyspace,
    cursors: Keyspace,
    next: u64,
    last: [u64; 2],
    deleted: u64,
}

impl Fjall {
    pub fn open(policy: Policy, dir: &Path, blobs: bool) -> Result<Self> {
        let database = Database::builder(dir.join("fjall")).open()?;
        let separation = blobs.then(KvSeparationOptions::default);
        let entries =
            database.keyspace("entries", || KeyspaceCreateOptions::default().with_kv_separation(separation.clone()))?;
        let cursors = database.keyspace("cursors", KeyspaceCreateOptions::default)?;
        if policy == Policy::Interval {
            let database = database.clone();
            std::thread::spawn(move || {
                loop {
                    std::thread::sleep(INTERVAL);
                    let _ = database.persist(PersistMode::SyncData);
                }
            });
        }
        let number = |bytes: &[u8]| bytes.try_into().map(u64::from_be_bytes).unwrap_or_default();
        let next = match entries.last_key_value() {
            Some(last) => number(&last.key()?) + 1,
            None => 1,
        };
        let mut last = [0; 2];
        for (reader, last) in last.iter_mut().enumerate() {
            *last = cursors.get([reader as u8])?.map_or(0, |value| number(&value));
        }
        Ok(Self { database, entries, cursors, next, last, deleted: last[0].min(last[1]) })
    }
}

impl Store for Fjall {
    fn append(&mut self, records: &[Vec<u8>]) -> Result<()> {
        let mut batch = self.database.batch();
        for record in records {
            batch.insert(&self.entries, self.next.to_be_bytes(), record.as_slice());
            self.next += 1;
        }
        Ok(batch.commit()?)
    }

    fn read(&mut self, reader: usize, most: usize) -> Result<Vec<Vec<u8>>> {
        let mut records = Vec::new();
        for guard in self.entries.range((self.last[reader] + 1).to_be_bytes()..).take(most) {
            records.push(guard.value()?.to_vec());
        }
        self.last[reader] += records.len() as u64;
        Ok(records)
    }

    fn take(&mut self, reader: usize) -> Result<()> {
        let mut batch = self.database.batch();
        batch.insert(&self.cursors, [reader as u8], self.last[reader].to_be_bytes());
        let done = self.last[0].min(self.last[1]);
        while self.deleted < done {
            self.deleted += 1;
            batch.remove_weak(&self.entries, self.deleted.to_be_bytes());
        }
        Ok(batch.commit()?)
    }

    fn waiting(&mut self, reader: usize) -> Result<usize> {
        Ok((self.next - 1 - self.last[reader]) as usize)
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.database.persist(PersistMode::SyncData)?)
    }
}
