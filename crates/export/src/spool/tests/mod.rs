//! The spool on a disk in memory; one test each runs it on a real one.

mod any_bytes;
mod behaviour;
mod crash;
mod damage;
mod dead;
mod faults;
mod memory;
mod model;
mod operations;
mod real;
mod seeds;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ai_tracing_core::time::At;

use super::*;
use memory::Memory;

/// The first of January 2026.
const START: u64 = 1_767_225_600_000_000_000;

fn at(ms: u64) -> At {
    At(START + ms * 1_000_000)
}

/// Small segments, so that a few records fill several.
fn options() -> Options {
    Options { fsync: Fsync::Never, segment_bytes: 700, max_bytes: 1 << 20, ..Options::new(PathBuf::from("SPOOL")) }
}

fn open(disk: &Memory, options: Options) -> Spool {
    Spool::open_on(Arc::new(disk.clone()), options, at(0)).unwrap()
}

fn key(name: &str) -> LaneKey {
    let mut key = LaneKey::default();
    key.0.iter_mut().zip(name.bytes()).for_each(|(place, byte)| *place = byte);
    key
}

fn lane(spool: &mut Spool, name: &str) -> LaneId {
    spool.lane(key(name), name).unwrap()
}

/// A record that tells which it is.
fn record(id: u64) -> Vec<u8> {
    format!("{{\"id\":{id},\"text\":\"{}\"}}", "x".repeat((id * 37 % 90) as usize)).into_bytes()
}

fn id_of(bytes: &[u8]) -> u64 {
    let value: serde_json::Value = serde_json::from_slice(bytes).unwrap();
    let id = value["id"].as_u64().unwrap();
    assert_eq!(bytes, record(id), "a record is not as it was written");
    id
}

/// Appends one record with each id.
fn append(spool: &mut Spool, lanes: &[LaneId], ids: impl IntoIterator<Item = u64>, now: At) -> Vec<Position> {
    try_append(spool, lanes, ids, now).unwrap()
}

fn try_append(
    spool: &mut Spool,
    lanes: &[LaneId],
    ids: impl IntoIterator<Item = u64>,
    now: At,
) -> Result<Vec<Position>, SpoolError> {
    let records: Vec<_> = ids.into_iter().map(record).collect();
    let entries: Vec<_> = records.iter().map(|record| Entry { lanes, record }).collect();
    spool.append(&entries, now)
}

/// Everything that waits for a lane, read in small chunks.
fn waiting(spool: &mut Spool, lane: LaneId) -> Vec<(Position, u64)> {
    let mut all = Vec::new();
    let mut from = Position::default();
    loop {
        let chunk = spool.read(lane, from, 3, 1 << 20);
        assert!(chunk.caught_up || !chunk.records.is_empty() || chunk.next > from, "reading does not get on");
        all.extend(chunk.records.iter().map(|(position, bytes)| (*position, id_of(bytes))));
        if chunk.caught_up {
            break;
        }
        from = chunk.next;
    }
    let pending = spool.pending(lane);
    assert_eq!(pending.records, all.len() as u64);
    assert_eq!(pending.bytes, all.iter().map(|(_, id)| record(*id).len() as u64).sum::<u64>());
    assert_eq!(pending.oldest.is_some(), !all.is_empty());
    all
}

fn ids(spool: &mut Spool, lane: LaneId) -> Vec<u64> {
    waiting(spool, lane).into_iter().map(|(_, id)| id).collect()
}

/// Resolves the records with these ids.
fn resolve(spool: &mut Spool, lane: LaneId, ids: &[u64]) -> u64 {
    let positions: Vec<_> =
        waiting(spool, lane).into_iter().filter(|(_, id)| ids.contains(id)).map(|(position, _)| position).collect();
    spool.resolve(lane, &positions)
}

fn lost(events: &[Event], why: Why) -> u64 {
    let lost = events.iter().filter_map(|event| match event {
        Event::Lost { records, why: told, .. } if *told == why => Some(*records),
        _ => None,
    });
    lost.sum()
}

fn hours(count: u64) -> Duration {
    Duration::from_secs(count * 3600)
}
