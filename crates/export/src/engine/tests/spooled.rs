//! The engine with a spool in a real directory: what outlives it, and what happens where there is no disk.

use std::path::Path;
use std::sync::mpsc;

use tempfile::TempDir;

use super::*;
use crate::stats::Stats;

/// Tells the number of every record that it takes; takes those alone that it is told to.
struct Picky {
    told: mpsc::Sender<u32>,
    takes: fn(u32) -> Delivery,
}

impl Exporter for Picky {
    type Payload = Vec<u32>;

    fn name(&self) -> &'static str {
        "picky"
    }

    fn limits(&self) -> BatchLimits {
        BatchLimits { max_records: 1, max_bytes: usize::MAX, max_delay: Duration::ZERO, max_requests: 1 }
    }

    fn encode(&self, records: &[Arc<CallRecord>]) -> Result<Vec<u32>, EncodeError> {
        Ok(records.iter().map(|record| record.id[24..].parse().unwrap()).collect())
    }

    async fn send(&self, numbers: &Vec<u32>) -> Delivery {
        let delivery = (self.takes)(numbers[0]);
        if delivery == Delivery::Accepted {
            numbers.iter().for_each(|number| self.told.send(*number).unwrap());
        }
        delivery
    }
}

fn not_now() -> Delivery {
    Delivery::Retry { after: Some(LONG * 10), why: "no connection".into() }
}

/// An engine with its spool in a directory, and one destination.
struct Run {
    engine: Engine,
    hears: mpsc::Receiver<u32>,
}

impl Run {
    fn start(dir: &Path, takes: fn(u32) -> Delivery) -> Self {
        let spool = Some(spool::Options::new(dir.to_owned()));
        let engine = Engine::start(Options { spool, ..Options::default() }, Vec::new(), None).unwrap();
        let (told, hears) = mpsc::channel();
        engine.always(Picky { told, takes }, QueueOptions { max_entries: 3, ..QueueOptions::default() });
        Self { engine, hears }
    }

    fn offer(&self, numbers: impl IntoIterator<Item = u32>) {
        numbers.into_iter().for_each(|it| self.engine.sink().offer(testing::numbered(it, b"{}"), &tracer()));
    }

    /// The next numbers that arrive.
    fn hear(&self, count: usize) -> Vec<u32> {
        (0..count).map(|_| self.hears.recv_timeout(LONG).unwrap()).collect()
    }

    /// What was counted, once it fits.
    fn stats(&self, fits: impl Fn(&Stats) -> bool) -> Stats {
        let until = std::time::Instant::now() + LONG;
        loop {
            let stats = self.engine.stats();
            if fits(&stats) {
                return stats;
            }
            assert!(std::time::Instant::now() < until, "{stats:?}");
            std::thread::yield_now();
        }
    }

    fn stop(self) -> (ShutdownReport, Vec<u32>) {
        (self.engine.shutdown(LONG), self.hears.try_iter().collect())
    }
}

fn kept(kept: u64) -> ShutdownReport {
    ShutdownReport { kept, ..ShutdownReport::default() }
}

#[test]
fn what_one_engine_could_not_deliver_the_next_one_does_once_and_in_order() {
    let dir = TempDir::new().unwrap();
    let first = Run::start(dir.path(), |number| if number < 3 { Delivery::Accepted } else { not_now() });
    first.offer(1..=20);
    assert_eq!(first.hear(2), [1, 2]);
    first.stats(|stats| stats.destinations[0].offered == 20);
    assert_eq!(first.stop(), (kept(18), vec![]));

    let second = Run::start(dir.path(), |_| Delivery::Accepted);
    second.offer([21]);
    assert_eq!(second.hear(19), (3..=21).collect::<Vec<_>>());
    let stats = second.stats(|stats| stats.destinations[0].delivered == 19);
    let stats = &stats.destinations[0];
    assert_eq!((stats.offered, stats.recovered, stats.waiting, stats.dropped.total()), (19, 18, 0, 0));
    assert_eq!(second.stop(), (kept(0), vec![]));

    let third = Run::start(dir.path(), |_| Delivery::Accepted);
    assert_eq!(third.stop(), (kept(0), vec![]), "nothing comes twice");
}

#[test]
fn a_shutdown_delivers_what_waits_on_disk_as_well() {
    let dir = TempDir::new().unwrap();
    let first = Run::start(dir.path(), |_| not_now());
    first.offer(1..=100);
    first.stats(|stats| stats.destinations[0].offered == 100);
    assert_eq!(first.stop().0, kept(100));
    let second = Run::start(dir.path(), |_| Delivery::Accepted);
    let (report, heard) = second.stop();
    assert_eq!((report.kept, report.left, heard), (0, 0, (1..=100).collect::<Vec<_>>()));
}

#[test]
fn a_dead_destination_holds_up_no_other_whatever_waits_for_it() {
    let dir = TempDir::new().unwrap();
    let run = Run::start(dir.path(), |_| not_now());
    let (told, hears_live) = mpsc::channel();
    let live = Picky { told, takes: |_| Delivery::Accepted };
    run.engine.always(live, QueueOptions::default());
    run.offer(1..=500);
    let heard: Vec<_> = (0..500).map(|_| hears_live.recv_timeout(LONG).unwrap()).collect();
    assert_eq!(heard, (1..=500).collect::<Vec<_>>());
    let stats = run.stats(|stats| stats.destinations[1].delivered == 500 && stats.destinations[0].offered == 500);
    let dead = &stats.destinations[0];
    assert_eq!((dead.waiting, dead.memory_only, dead.dropped.total()), (500, 0, 0));
    assert_eq!(run.stop().0, kept(500));
}

#[test]
fn without_a_disk_records_are_delivered_from_memory_and_it_is_told() {
    let dir = TempDir::new().unwrap();
    let no_directory = dir.path().join("file");
    std::fs::write(&no_directory, "").unwrap();
    let run = Run::start(&no_directory, |number| if number < 3 { Delivery::Accepted } else { not_now() });
    run.offer(1..=3);
    assert_eq!(run.hear(2), [1, 2]);
    let stats = run.stats(|stats| stats.destinations[0].memory_only == 1 && stats.destinations[0].delivered == 2);
    let spool = stats.spool.unwrap();
    assert_eq!(spool.memory_only, 3);
    assert!(spool.failing.is_some_and(|why| why.contains("file")));
    assert_eq!(run.stop().0, ShutdownReport { left: 1, ..ShutdownReport::default() }, "not kept: lost");
}

#[test]
fn a_directory_that_is_deleted_costs_nothing_that_is_still_in_memory() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("spool");
    let run = Run::start(&path, |_| Delivery::Accepted);
    run.offer([1]);
    assert_eq!(run.hear(1), [1]);
    std::fs::remove_dir_all(&path).unwrap();
    run.offer(2..=3);
    assert_eq!(run.hear(2), [2, 3]);
    assert_eq!(run.stop().0.left, 0);
}

#[test]
fn what_lies_in_the_spool_is_for_the_destination_that_it_was_for() {
    let dir = TempDir::new().unwrap();
    let spool = || Some(spool::Options::new(dir.path().to_owned()));
    let none = |_: &str| None;
    let first = Engine::start(Options { spool: spool(), ..Options::default() }, Vec::new(), None).unwrap();
    // Nobody listens there.
    let tracer = first.tracer(&langfuse("sk-lf-1"), &none).unwrap();
    first.sink().offer(testing::finished(b"{}"), &tracer);
    drop(tracer);
    assert_eq!(first.shutdown(LONG).kept, 1);

    let second = Engine::start(Options { spool: spool(), ..Options::default() }, Vec::new(), None).unwrap();
    let other = AiTracing { langfuse_public_key: Some("pk-lf-2".into()), ..langfuse("sk-lf-1") };
    let other = second.tracer(&other, &none).unwrap();
    let same = second.tracer(&langfuse("sk-lf-2"), &none).unwrap();
    assert_eq!(second.shutdown(LONG).kept, 1);
    let recovered = |tracer: &Tracer| destination(tracer).stats().recovered;
    assert_eq!((recovered(&other), recovered(&same)), (0, 1));
}
