//! Compares what a spool could be made of, under one load: JSON records of 4 KiB in chunks of 64, two readers of which
//! one lags 10 000 records behind, and records deleted once both are done with them.
//!
//!     cargo run --release -- DIR [STORE...]       a table in Markdown; DIR lies on the disk to measure
//!
//! Every measurement has a process of its own, for its memory and CPU time.

mod fjall;
mod redb;
mod segments;
#[allow(dead_code, unused_imports)]
#[path = "../../../crates/export/src/spool/mod.rs"]
mod spool;
mod sqlite;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

const RECORD: usize = 4096;
const CHUNK: usize = 64;
const FLOW: usize = 200_000;
const LAG: usize = 10_000;
const BACKLOG: usize = (1 << 30) / RECORD;
const STORES: [&str; 5] = ["segments", "sqlite", "fjall", "fjall-blobs", "redb"];

/// When what is written is synced.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    Never,
    /// Every 100 ms.
    Interval,
}

pub const INTERVAL: Duration = Duration::from_millis(100);

/// A queue on disk with two readers, 0 and 1.
pub trait Store {
    fn append(&mut self, records: &[Vec<u8>]) -> Result<()>;
    /// The next records of a reader; `take` deletes them for it.
    fn read(&mut self, reader: usize, most: usize) -> Result<Vec<Vec<u8>>>;
    /// The reader is done with what it has read last.
    fn take(&mut self, reader: usize) -> Result<()>;
    /// Records that wait for a reader.
    fn waiting(&mut self, reader: usize) -> Result<usize>;
    fn close(self: Box<Self>) -> Result<()>;
}

fn open(store: &str, policy: Policy, dir: &Path) -> Result<Box<dyn Store>> {
    Ok(match store {
        "segments" => Box::new(segments::Segments::open(policy, dir)?),
        "sqlite" => Box::new(sqlite::Sqlite::open(policy, dir)?),
        "fjall" => Box::new(fjall::Fjall::open(policy, dir, false)?),
        "fjall-blobs" => Box::new(fjall::Fjall::open(policy, dir, true)?),
        "redb" => Box::new(redb::Redb::open(policy, dir)?),
        other => bail!("no store {other}"),
    })
}

/// Records like ours: JSON, mostly text, not too easy to compress.
fn records() -> Vec<Vec<u8>> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..CHUNK * 16)
        .map(|_| {
            let mut record = format!("{{\"id\":\"{:016x}\",\"messages\":[{{\"content\":\"", random());
            while record.len() < RECORD - 64 {
                record.push_str(&format!("{:x} ", random() >> (16 + random() % 32)));
            }
            record.push_str("\"}]}");
            record.into_bytes()
        })
        .collect()
}

fn flow(store: &str, policy: Policy, dir: &Path) -> Result<()> {
    let records = records();
    let mut store = open(store, policy, dir)?;
    let mut appended = 0;
    let mut taken = [0; 2];
    let mut take = |store: &mut dyn Store, reader: usize| -> Result<usize> {
        let read = store.read(reader, CHUNK)?;
        ensure!(!read.is_empty() && read.iter().all(|record| record.len() > RECORD / 2), "nothing to read");
        store.take(reader)?;
        taken[reader] += read.len();
        Ok(taken[reader])
    };
    let mut slow = 0;
    let started = Instant::now();
    while appended < FLOW {
        let at = appended % records.len();
        store.append(&records[at..at + CHUNK])?;
        appended += CHUNK;
        take(&mut *store, 0)?;
        if appended > LAG {
            slow = take(&mut *store, 1)?;
        }
    }
    while slow < appended {
        slow = take(&mut *store, 1)?;
    }
    let wall = started.elapsed();
    store.close()?;
    let written = appended * records.iter().map(Vec::len).sum::<usize>() / records.len();
    let seconds = cpu_seconds()?;
    println!(
        "{:.0} {:.0} {:.2} {:.2} {}",
        appended as f64 / seconds,
        appended as f64 / wall.as_secs_f64(),
        status("io", "wchar:")? as f64 / written as f64,
        status("io", "write_bytes:")?.saturating_sub(status("io", "cancelled_write_bytes:")?) as f64 / written as f64,
        status("status", "VmHWM:")? / 1024
    );
    Ok(())
}

fn fill(store: &str, policy: Policy, dir: &Path) -> Result<()> {
    let records = records();
    let mut store = open(store, policy, dir)?;
    for start in (0..BACKLOG).step_by(CHUNK) {
        let at = start % records.len();
        store.append(&records[at..at + CHUNK])?;
    }
    store.close()
}

fn recover(store: &str, policy: Policy, dir: &Path) -> Result<()> {
    let started = Instant::now();
    let mut store = open(store, policy, dir)?;
    ensure!(store.waiting(0)? == BACKLOG && store.waiting(1)? == BACKLOG, "not all is there");
    ensure!(store.read(0, 1)?.len() == 1, "nothing to read");
    println!("{:.2} {}", started.elapsed().as_secs_f64(), status("status", "VmHWM:")? / 1024);
    Ok(())
}

/// User and system time of this process, all threads.
fn cpu_seconds() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
    Ok(ticks / 100.0)
}

/// A number of `/proc/self`.
fn status(file: &str, name: &str) -> Result<u64> {
    let text = std::fs::read_to_string(Path::new("/proc/self").join(file))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)).context("no such line")?;
    Ok(line.split_whitespace().next().context("no number")?.parse()?)
}

/// One measurement in a process of its own.
fn measure(what: &str, store: &str, policy: &str, dir: &Path) -> Result<Vec<String>> {
    let output = Command::new(std::env::current_exe()?).args([what, store, policy]).arg(dir).output()?;
    ensure!(output.status.success(), "{store}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.split_whitespace().map(str::to_owned).collect())
}

fn main() -> Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if let [what, store, policy, dir] = arguments.as_slice()
        && ["flow", "fill", "recover"].contains(&what.as_str())
    {
        let policy = if policy == "never" { Policy::Never } else { Policy::Interval };
        let run = [flow, fill, recover][["flow", "fill", "recover"].iter().position(|it| it == what).unwrap_or(0)];
        return run(store, policy, Path::new(dir));
    }
    let (dir, chosen) = arguments.split_first().context("usage: stores DIR [STORE...]")?;
    let dir = PathBuf::from(dir);
    println!(
        "| store | sync | records/s per core | records/s | written per byte | to disk per byte | peak RSS, MiB | recovery of 1 GiB, s | RSS then, MiB |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for store in STORES.iter().filter(|store| chosen.is_empty() || chosen.iter().any(|name| name == *store)) {
        for policy in ["interval", "never"] {
            let place = dir.join(format!("{store}-{policy}"));
            let fresh = || -> Result<()> {
                let _ = std::fs::remove_dir_all(&place);
                Ok(std::fs::create_dir_all(&place)?)
            };
            fresh()?;
            let flow = measure("flow", store, policy, &place)?;
            fresh()?;
            measure("fill", store, policy, &place)?;
            let recovery = measure("recover", store, policy, &place)?;
            std::fs::remove_dir_all(&place)?;
            println!("| {store} | {policy} | {} | {} |", flow.join(" | "), recovery.join(" | "));
        }
    }
    Ok(())
}
