//! Our segment log.

use std::path::Path;

use ai_tracing_core::time::At;
use anyhow::Result;

use crate::spool::{Entry, Fsync, LaneId, LaneKey, Options, Position, Spool};
use crate::{INTERVAL, Policy, Store};

pub struct Segments {
    spool: Spool,
    lanes: [LaneId; 2],
    next: [Position; 2],
    read: [Vec<Position>; 2],
    now: At,
}

impl Segments {
    pub fn open(policy: Policy, dir: &Path) -> Result<Self> {
        let fsync = if policy == Policy::Never { Fsync::Never } else { Fsync::Interval(INTERVAL) };
        let now = At(1_767_225_600_000_000_000);
        let mut spool = Spool::open(Options { fsync, ..Options::new(dir.join("spool")) }, now)?;
        let lanes = [spool.lane(LaneKey([1; 16]), "a")?, spool.lane(LaneKey([2; 16]), "b")?];
        let next = lanes.map(|lane| spool.pending(lane).first);
        Ok(Self { spool, lanes, next, read: Default::default(), now })
    }
}

impl Store for Segments {
    fn append(&mut self, records: &[Vec<u8>]) -> Result<()> {
        let entries: Vec<_> = records.iter().map(|record| Entry { lanes: &self.lanes, record }).collect();
        self.spool.append(&entries, self.now)?;
        self.spool.keep_house(self.now);
        Ok(())
    }

    fn read(&mut self, reader: usize, most: usize) -> Result<Vec<Vec<u8>>> {
        let chunk = self.spool.read(self.lanes[reader], self.next[reader], most, usize::MAX);
        self.next[reader] = chunk.next;
        let (positions, records) = chunk.records.into_iter().map(|(at, record)| (at, record.to_vec())).unzip();
        self.read[reader] = positions;
        Ok(records)
    }

    fn take(&mut self, reader: usize) -> Result<()> {
        self.spool.resolve(self.lanes[reader], &self.read[reader]);
        Ok(())
    }

    fn waiting(&mut self, reader: usize) -> Result<usize> {
        Ok(self.spool.pending(self.lanes[reader]).records as usize)
    }

    fn close(mut self: Box<Self>) -> Result<()> {
        self.spool.sync();
        Ok(())
    }
}
