//! The worker against a destination that answers by script, on a paused clock.

use std::cell::RefCell;
use std::sync::Mutex;

use ai_tracing_core::record::CallRecord;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::*;
use crate::backlog::Backlog;
use crate::destination::{Lease, QueueOptions};
use crate::exporter::EncodeError;
use crate::exporter::identity::identity;
use crate::spool::dead::DeadLetters;
use crate::spool::{self, Entry};
use crate::storage::Storage;
use crate::testing;

const DELAY: Duration = Duration::from_secs(1);

/// When an attempt began, since the start, and what it carried.
type Attempts = Arc<Mutex<Vec<(Duration, Vec<String>)>>>;

/// Answers an attempt, told by its number and the ids in it.
type Script = Box<dyn Fn(usize, &[String]) -> Delivery + Send + Sync>;

struct Scripted {
    script: Script,
    attempts: Attempts,
    start: Instant,
    max_records: usize,
    max_requests: usize,
    takes: Duration,
}

impl Exporter for Scripted {
    type Payload = Vec<String>;

    fn name(&self) -> &'static str {
        "scripted"
    }

    fn limits(&self) -> BatchLimits {
        BatchLimits {
            max_records: self.max_records,
            max_bytes: usize::MAX,
            max_delay: DELAY,
            max_requests: self.max_requests,
        }
    }

    fn encode(&self, records: &[Arc<CallRecord>]) -> Result<Vec<String>, EncodeError> {
        let ids: Vec<_> = records.iter().map(|record| record.id.clone()).collect();
        assert!(!ids.contains(&"panics".to_owned()), "an encoder's defect");
        if ids.contains(&"unencodable".to_owned()) { Err(EncodeError("no".into())) } else { Ok(ids) }
    }

    async fn send(&self, ids: &Vec<String>) -> Delivery {
        let attempt = {
            let mut attempts = self.attempts.lock().unwrap();
            attempts.push((self.start.elapsed(), ids.clone()));
            attempts.len()
        };
        tokio::time::sleep(self.takes).await;
        (self.script)(attempt, ids)
    }
}

struct Bench {
    destination: Arc<Destination>,
    /// Keeps the destination open.
    lease: Lease,
    attempts: Attempts,
    worker: JoinHandle<()>,
}

const OPTIONS: QueueOptions = QueueOptions {
    max_entries: 100,
    max_bytes: usize::MAX,
    max_retry_time: Duration::from_secs(60),
    initial_retry_delay: Duration::from_secs(1),
    max_retry_delay: Duration::from_secs(10),
};

fn bench(max_records: usize, script: impl Fn(usize, &[String]) -> Delivery + Send + Sync + 'static) -> Bench {
    slow_bench(max_records, 1, Duration::ZERO, script)
}

fn slow_bench(
    max_records: usize,
    max_requests: usize,
    takes: Duration,
    script: impl Fn(usize, &[String]) -> Delivery + Send + Sync + 'static,
) -> Bench {
    let attempts = Attempts::default();
    let exporter = Scripted {
        script: Box::new(script),
        attempts: Arc::clone(&attempts),
        start: Instant::now(),
        max_records,
        max_requests,
        takes,
    };
    let destination = Arc::new(Destination::new("scripted".into(), max_records, &OPTIONS, None));
    let (lease, _) = Lease::new(&destination);
    let turn = destination.turns.next();
    let worker = tokio::spawn(run(exporter, Arc::clone(&destination), OPTIONS.retry(), turn, 1));
    Bench { destination, lease, attempts, worker }
}

impl Bench {
    fn offer(&self, ids: &[&str]) {
        ids.iter().for_each(|id| self.destination.offer(&testing::record(id), 100, None));
    }

    /// Nothing more comes: waits until everything is delivered or dropped.
    async fn close(self) -> (Vec<(Duration, Vec<String>)>, crate::DestinationStats) {
        drop(self.lease);
        self.worker.await.unwrap();
        (std::mem::take(&mut *self.attempts.lock().unwrap()), self.destination.stats())
    }

    /// The process ends: waits until everything has had its attempt.
    async fn flush(self) -> (Vec<(Duration, Vec<String>)>, crate::DestinationStats) {
        self.destination.turns.flush();
        self.worker.await.unwrap();
        (std::mem::take(&mut *self.attempts.lock().unwrap()), self.destination.stats())
    }
}

fn ids(attempts: &[(Duration, Vec<String>)]) -> Vec<String> {
    attempts.iter().map(|(_, ids)| ids.join(",")).collect()
}

fn refused(after: Option<Duration>) -> Delivery {
    Delivery::Retry { after, why: "no connection".into() }
}

#[tokio::test(start_paused = true)]
async fn a_batch_leaves_when_it_is_full_or_has_waited_long_enough() {
    let bench = bench(3, |_, _| Delivery::Accepted);
    bench.offer(&["a", "b", "c", "d"]);
    tokio::time::sleep(Duration::from_millis(500)).await;
    bench.offer(&["e"]);
    tokio::time::sleep(Duration::from_secs(2)).await;
    bench.offer(&["f"]);
    let (attempts, stats) = bench.close().await;
    assert_eq!(ids(&attempts), ["a,b,c", "d,e", "f"]);
    let at: Vec<_> = attempts.iter().map(|(at, _)| at.as_millis()).collect();
    assert_eq!(at, [0, 1000, 2500], "full at once; after the delay; at once when closing");
    assert_eq!((stats.offered, stats.delivered, stats.waiting, stats.requests), (6, 6, 0, 3));
}

#[tokio::test(start_paused = true)]
async fn a_failing_destination_gets_the_same_batch_until_it_takes_it() {
    let bench = bench(2, |attempt, _| if attempt < 5 { refused(None) } else { Delivery::Accepted });
    bench.offer(&["a", "b", "c"]);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(bench.destination.stats().failing.as_deref(), Some("no connection"));
    let (attempts, stats) = bench.close().await;
    assert_eq!(ids(&attempts), ["a,b", "a,b", "a,b", "a,b", "a,b", "c"]);
    for (pair, ceiling) in attempts.windows(2).zip([1, 2, 4, 8]) {
        assert!(pair[1].0 - pair[0].0 <= Duration::from_secs(ceiling), "{attempts:?}");
    }
    assert!(attempts[4].0 > Duration::from_secs(1), "there are pauses: {attempts:?}");
    assert_eq!((stats.delivered, stats.dropped.total(), stats.retries, stats.failing), (3, 0, 4, None));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_delivered_in_time_is_given_up_and_the_next_has_its_own_time() {
    let bench = bench(1, |_, _| refused(None));
    bench.offer(&["a", "b"]);
    let (attempts, stats) = bench.close().await;
    let last_a = attempts.iter().filter(|(_, ids)| ids == &["a"]).map(|(at, _)| *at).max().unwrap();
    let first_b = attempts.iter().filter(|(_, ids)| ids == &["b"]).map(|(at, _)| *at).min().unwrap();
    assert!((60..=70).contains(&last_a.as_secs()), "{last_a:?}");
    assert!(first_b >= last_a && attempts.len() > 10);
    assert_eq!((stats.dropped.expired, stats.delivered, stats.waiting), (2, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_honoured() {
    let bench =
        bench(1, |attempt, _| if attempt == 1 { refused(Some(Duration::from_secs(42))) } else { Delivery::Accepted });
    bench.offer(&["a"]);
    let (attempts, _) = bench.close().await;
    assert_eq!((attempts[1].0 - attempts[0].0).as_secs(), 42);
}

#[tokio::test(start_paused = true)]
async fn a_retry_at_once_is_at_once_but_not_for_ever() {
    let bench = bench(1, |attempt, _| if attempt < 6 { refused(Some(Duration::ZERO)) } else { Delivery::Accepted });
    bench.offer(&["a"]);
    let (attempts, stats) = bench.close().await;
    let at: Vec<_> = attempts.iter().map(|(at, _)| *at).collect();
    assert!(at[0] == at[1] && at[1] == at[2], "{at:?}");
    assert!(at[5] > at[2], "after {MAX_IMMEDIATE} of them there are pauses: {at:?}");
    assert_eq!(stats.delivered, 1);
}

#[tokio::test(start_paused = true)]
async fn only_the_part_worth_it_is_tried_again() {
    let bench = bench(4, |attempt, _| match attempt {
        1 => Delivery::Partial {
            rejected: vec![(1, "bad".into()), (1, "twice".into()), (9, "no such".into())],
            retry: vec![1, 3],
        },
        _ => Delivery::Accepted,
    });
    bench.offer(&["a", "b", "c", "d"]);
    let (attempts, stats) = bench.close().await;
    assert_eq!(ids(&attempts), ["a,b,c,d", "d"]);
    assert_eq!((stats.delivered, stats.dropped.rejected, stats.waiting), (3, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn splitting_isolates_the_record_at_fault() {
    let bench = bench(8, |_, ids| {
        if ids.iter().any(|id| id == "poison") {
            Delivery::Split { why: "HTTP 400".into() }
        } else {
            Delivery::Accepted
        }
    });
    bench.offer(&["a", "b", "c", "d", "e", "poison", "g", "h"]);
    let (attempts, stats) = bench.close().await;
    assert_eq!(ids(&attempts), ["a,b,c,d,e,poison,g,h", "a,b,c,d", "e,poison,g,h", "e,poison", "e", "poison", "g,h"]);
    assert_eq!((stats.delivered, stats.dropped.rejected), (7, 1));
}

#[tokio::test(start_paused = true)]
async fn a_poisonous_record_costs_itself_alone() {
    let bench = bench(100, |_, ids| {
        if ids.contains(&"41".to_owned()) { Delivery::Fatal { why: "HTTP 400".into() } } else { Delivery::Accepted }
    });
    let ids: Vec<_> = (0..100).map(|n| n.to_string()).collect();
    bench.offer(&ids.iter().map(String::as_str).collect::<Vec<_>>());
    let (attempts, stats) = bench.close().await;
    assert_eq!((stats.delivered, stats.dropped.rejected, stats.waiting), (99, 1, 0));
    assert!(attempts.len() < 20, "{}", attempts.len());
    assert_eq!(stats.last_loss.as_deref(), Some("HTTP 400"));
}

#[tokio::test(start_paused = true)]
async fn refusals_without_names_are_counted_and_nothing_is_sent_again() {
    let bench = bench(4, |_, _| Delivery::Short { refused: 3, why: "too old".into() });
    bench.offer(&["a", "b", "c", "d"]);
    let (attempts, stats) = bench.close().await;
    assert_eq!((attempts.len(), stats.delivered, stats.dropped.rejected, stats.waiting), (1, 1, 3, 0));
}

#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_be_encoded_costs_no_other() {
    let bench = bench(4, |_, _| Delivery::Accepted);
    bench.offer(&["a", "unencodable", "panics", "d"]);
    let (attempts, stats) = bench.close().await;
    assert_eq!(ids(&attempts), ["a", "d"]);
    assert_eq!((stats.delivered, stats.dropped.unencodable), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_dead_destination_keeps_the_newest() {
    let bench = bench(10, |attempt, _| if attempt < 4 { refused(None) } else { Delivery::Accepted });
    for n in 0..250 {
        bench.offer(&[&n.to_string()]);
        tokio::task::yield_now().await;
    }
    let (attempts, stats) = bench.close().await;
    assert_eq!((stats.offered, stats.delivered, stats.dropped.overflow), (250, 110, 140), "one batch and a full queue");
    assert_eq!(attempts.last().unwrap().1.last().unwrap(), "249");
}

#[tokio::test(start_paused = true)]
async fn a_flush_sends_everything_at_once() {
    let bench = bench(2, |_, _| Delivery::Accepted);
    bench.offer(&["a", "b", "c"]);
    let (attempts, stats) = bench.flush().await;
    assert_eq!(ids(&attempts), ["a,b", "c"]);
    assert!(attempts.iter().all(|(at, _)| at.is_zero()));
    assert_eq!((stats.delivered, stats.waiting), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn a_flush_cuts_a_pause_short_tries_once_and_leaves_the_rest_counted() {
    let bench = bench(2, |_, _| refused(Some(Duration::from_secs(100))));
    bench.offer(&["a", "b", "c", "d"]);
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (attempts, stats) = bench.flush().await;
    assert_eq!(ids(&attempts), ["a,b", "a,b"]);
    assert_eq!(attempts[1].0.as_secs(), 5);
    assert_eq!((stats.delivered, stats.dropped.total(), stats.waiting), (0, 0, 4));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_under_way_when_a_flush_begins_gets_one_more() {
    let bench = slow_bench(1, 1, Duration::from_secs(2), |attempt, _| match attempt {
        1 => refused(None),
        _ => Delivery::Accepted,
    });
    bench.offer(&["a"]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (attempts, stats) = bench.flush().await;
    assert_eq!((attempts.len(), stats.delivered), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_part_that_is_put_off_does_not_end_a_flush() {
    let bench = bench(2, |attempt, _| match attempt {
        1 => Delivery::Partial { rejected: Vec::new(), retry: vec![0] },
        _ => Delivery::Accepted,
    });
    bench.offer(&["a", "b", "c", "d"]);
    let (attempts, stats) = bench.flush().await;
    assert_eq!(ids(&attempts), ["a,b", "c,d"]);
    assert_eq!((stats.delivered, stats.waiting), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn a_defect_while_sending_costs_an_attempt() {
    let bench = bench(1, |attempt, _| {
        assert!(attempt > 1, "a sender's defect");
        Delivery::Accepted
    });
    bench.offer(&["a"]);
    let (attempts, stats) = bench.close().await;
    assert_eq!((attempts.len(), stats.delivered, stats.retries), (2, 1, 1));
}

thread_local! {
    /// The `lost` of the lines that this thread has logged.
    static LOST: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// Listens to the log. For the whole process: what is set for one thread can be missed, since all share one cache of
/// what is listened to.
struct Lost;

impl tracing::field::Visit for Lost {
    fn record_u64(&mut self, field: &tracing::field::Field, value: u64) {
        if field.name() == "lost" {
            LOST.with_borrow_mut(|lost| lost.push(value));
        }
    }

    fn record_debug(&mut self, _: &tracing::field::Field, _: &dyn std::fmt::Debug) {}
}

impl tracing::Subscriber for Lost {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut Lost);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[tokio::test(start_paused = true)]
async fn every_loss_is_logged_by_the_end() {
    tracing::subscriber::set_global_default(Lost).unwrap();
    let bench = bench(1, |_, _| Delivery::Fatal { why: "no".into() });
    for n in 0..150 {
        bench.offer(&[&n.to_string()]);
    }
    let (_, stats) = bench.close().await;
    assert_eq!((stats.dropped.overflow, stats.dropped.rejected), (50, 100));
    let told = LOST.take();
    assert_eq!(told, [50, 1, 99], "overflow and the first refusal at once, the others at the end");
}

/// Another worker of the same destination.
fn take_over(bench: &mut Bench, script: impl Fn(usize, &[String]) -> Delivery + Send + Sync + 'static) {
    let exporter = Scripted {
        script: Box::new(script),
        attempts: Arc::clone(&bench.attempts),
        start: Instant::now(),
        max_records: 10,
        max_requests: 1,
        takes: Duration::ZERO,
    };
    let turn = bench.destination.turns.next();
    let work = run(exporter, Arc::clone(&bench.destination), OPTIONS.retry(), turn, 1);
    let before = std::mem::replace(&mut bench.worker, tokio::spawn(async {}));
    bench.worker = tokio::spawn(async {
        before.await.unwrap();
        work.await;
    });
}

#[tokio::test(start_paused = true)]
async fn a_replaced_worker_leaves_everything_to_its_successor_in_order() {
    let mut bench = bench(2, |_, _| refused(Some(Duration::from_secs(50))));
    bench.offer(&["a", "b", "c"]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    take_over(&mut bench, |_, _| Delivery::Accepted);
    let (attempts, stats) = bench.close().await;
    assert_eq!(ids(&attempts), ["a,b", "a,b,c"], "the pause was the old worker's");
    assert_eq!((stats.delivered, stats.waiting, stats.failing), (3, 0, None));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_under_way_ends_before_the_successor_begins() {
    let mut bench = slow_bench(2, 1, Duration::from_secs(5), |_, _| Delivery::Accepted);
    bench.offer(&["a", "b", "c"]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    take_over(&mut bench, |_, _| Delivery::Accepted);
    let (attempts, stats) = bench.close().await;
    assert_eq!(ids(&attempts), ["a,b", "c"]);
    assert_eq!(stats.delivered, 3);
}

/// A bench whose destination is a lane of a spool in a directory, with room for three records in memory.
fn spooled_bench(
    storage: &Arc<Storage>,
    script: impl Fn(usize, &[String]) -> Delivery + Send + Sync + 'static,
) -> Bench {
    let options = QueueOptions { max_entries: 3, ..OPTIONS };
    let backlog = Backlog::new(Arc::clone(storage), identity(&["scripted"]));
    let destination = Arc::new(Destination::new("scripted".into(), 2, &options, Some(backlog)));
    let attempts = Attempts::default();
    let exporter = Scripted {
        script: Box::new(script),
        attempts: Arc::clone(&attempts),
        start: Instant::now(),
        max_records: 2,
        max_requests: 1,
        takes: Duration::ZERO,
    };
    let (lease, _) = Lease::new(&destination);
    let turn = destination.turns.next();
    let worker = tokio::spawn(run(exporter, Arc::clone(&destination), OPTIONS.retry(), turn, 1));
    Bench { destination, lease, attempts, worker }
}

impl Bench {
    /// Writes records to the spool and offers them.
    fn append(&self, storage: &Storage, ids: impl IntoIterator<Item = usize>) {
        let lane = self.destination.lane().unwrap();
        for id in ids {
            let record = testing::record(&id.to_string());
            let json = serde_json::to_vec(&*record).unwrap();
            let positions = storage.append(&[Entry { lanes: &[lane], record: &json }]).unwrap();
            self.destination.offer(&record, 100, Some(positions[0]));
        }
    }

    /// What the engine does now and then.
    fn keep_house(&self, storage: &Storage) {
        storage.keep_house().iter().for_each(|event| assert!(self.destination.hear(event)));
        self.destination.look();
    }
}

fn storage(dir: &TempDir, change: impl FnOnce(&mut spool::Options)) -> Arc<Storage> {
    let mut options = spool::Options::new(dir.path().to_owned());
    change(&mut options);
    let storage = Storage::new(options);
    storage.keep_house();
    Arc::new(storage)
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_has_fallen_behind_catches_up_in_order() {
    let dir = TempDir::new().unwrap();
    let storage = storage(&dir, |_| {});
    let bench = spooled_bench(&storage, |attempt, _| if attempt < 3 { refused(None) } else { Delivery::Accepted });
    bench.append(&storage, 0..20);
    assert_eq!(bench.destination.waiting().0, 3, "the others are on disk alone");
    tokio::time::sleep(Duration::from_millis(1)).await;
    bench.append(&storage, 20..40);
    bench.keep_house(&storage);
    let stats = bench.destination.stats();
    assert_eq!((stats.offered, stats.waiting, stats.memory_only), (40, 40, 0));
    assert!(stats.spooled_bytes > 40 * 500, "{}", stats.spooled_bytes);
    tokio::time::sleep(Duration::from_secs(10)).await;
    // It has caught up: what comes now is queued.
    bench.append(&storage, [40]);
    assert_eq!(bench.destination.waiting().0, 1);
    let (attempts, stats) = bench.close().await;
    let delivered: Vec<_> = attempts[2..].iter().flat_map(|(_, ids)| ids.clone()).collect();
    assert_eq!(delivered, (0..41).map(|id| id.to_string()).collect::<Vec<_>>());
    assert_eq!((stats.delivered, stats.dropped.total(), stats.waiting, stats.spooled_bytes), (41, 0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_successor_goes_on_with_what_is_in_memory_and_then_with_what_is_on_disk() {
    let dir = TempDir::new().unwrap();
    let storage = storage(&dir, |_| {});
    let mut bench = spooled_bench(&storage, |_, _| refused(Some(Duration::from_secs(50))));
    bench.append(&storage, 0..10);
    tokio::time::sleep(Duration::from_secs(1)).await;
    take_over(&mut bench, |_, _| Delivery::Accepted);
    let (attempts, stats) = bench.close().await;
    let delivered: Vec<_> = attempts[1..].iter().flat_map(|(_, ids)| ids.clone()).collect();
    assert_eq!(delivered, (0..10).map(|id| id.to_string()).collect::<Vec<_>>());
    assert_eq!((stats.delivered, stats.waiting), (10, 0));
}

#[tokio::test(start_paused = true)]
async fn the_numbers_add_up_when_the_spool_is_full() {
    let dir = TempDir::new().unwrap();
    let storage = storage(&dir, |options| (options.max_bytes, options.segment_bytes) = (64 << 10, 8 << 10));
    let bench = spooled_bench(&storage, |attempt, _| if attempt < 3 { refused(None) } else { Delivery::Accepted });
    for id in 0..200 {
        bench.append(&storage, [id]);
        tokio::task::yield_now().await;
    }
    bench.keep_house(&storage);
    let stats = bench.destination.stats();
    assert!(stats.dropped.overflow > 20 && stats.waiting > 20, "{stats:?}");
    assert_eq!(stats.offered, stats.dropped.overflow + stats.waiting);
    let (attempts, stats) = bench.close().await;
    assert_eq!((stats.offered, stats.delivered + stats.dropped.overflow, stats.waiting), (200, 200, 0));
    assert_eq!(attempts.last().unwrap().1.last().unwrap(), "199");
}

#[tokio::test(start_paused = true)]
async fn a_memory_that_is_full_drops_what_is_nowhere_else() {
    let dir = TempDir::new().unwrap();
    let storage = storage(&dir, |_| {});
    let bench = spooled_bench(&storage, |attempt, _| if attempt < 3 { refused(None) } else { Delivery::Accepted });
    bench.offer(&["a", "b", "c", "d", "e"]);
    let stats = bench.destination.stats();
    assert_eq!((stats.dropped.overflow, stats.memory_only, stats.waiting), (2, 3, 3));
    bench.append(&storage, 0..4);
    let (_, stats) = bench.close().await;
    assert_eq!((stats.delivered, stats.memory_only, stats.waiting), (7, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_on_disk_makes_room_for_what_is_nowhere_else_and_comes_back() {
    let dir = TempDir::new().unwrap();
    let storage = storage(&dir, |_| {});
    let bench = spooled_bench(&storage, |attempt, _| if attempt < 3 { refused(None) } else { Delivery::Accepted });
    bench.append(&storage, 0..2);
    tokio::time::sleep(Duration::from_millis(1)).await;
    // Two are being sent; three more in memory, one on disk alone.
    bench.append(&storage, 2..6);
    bench.offer(&["a", "b", "c", "d"]);
    let stats = bench.destination.stats();
    assert_eq!((stats.dropped.overflow, stats.memory_only, stats.waiting), (1, 3, 9), "{stats:?}");
    let (attempts, stats) = bench.close().await;
    let mut delivered: Vec<_> = attempts[2..].iter().flat_map(|(_, ids)| ids.clone()).collect();
    delivered.sort_unstable();
    assert_eq!(delivered, ["0", "1", "2", "3", "4", "5", "b", "c", "d"]);
    assert_eq!((stats.delivered, stats.waiting), (9, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_is_kept_as_a_dead_letter_alone() {
    let dir = TempDir::new().unwrap();
    let storage = storage(&dir, |_| {});
    let bench = spooled_bench(&storage, |_, ids| {
        if ids.contains(&"7".to_owned()) { Delivery::Fatal { why: "HTTP 400".into() } } else { Delivery::Accepted }
    });
    // One that is in memory alone, and at the end one that is no record of this version.
    bench.offer(&["unencodable"]);
    bench.append(&storage, 0..20);
    let lane = bench.destination.lane().unwrap();
    let position = storage.append(&[Entry { lanes: &[lane], record: br#"{"id": "from the future"}"# }]).unwrap()[0];
    bench.destination.offer(&testing::record("never queued: the destination is behind"), 100, Some(position));
    let (_, stats) = bench.close().await;
    let dropped = stats.dropped;
    assert_eq!((stats.delivered, dropped.rejected, dropped.unencodable, dropped.damaged), (19, 1, 1, 1));
    assert_eq!((stats.dead_lettered, stats.waiting), (3, 0));
    let mut letters = Vec::new();
    let unreadable = DeadLetters::new(dir.path(), u64::MAX, false).visit(|letter| {
        let record: serde_json::Value = serde_json::from_str(letter.record.get()).unwrap();
        assert_eq!((letter.lane, letter.label.as_str()), (identity(&["scripted"]), "scripted"));
        letters.push((record["id"].as_str().unwrap().to_owned(), letter.why.clone()));
    });
    assert_eq!(unreadable.unwrap(), 0);
    letters.sort();
    let ids: Vec<_> = letters.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids, ["7", "from the future", "unencodable"]);
    assert_eq!(letters[0].1, "HTTP 400");
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_works_gets_several_batches_at_once() {
    let bench = slow_bench(2, 3, Duration::from_secs(1), |_, _| Delivery::Accepted);
    bench.offer(&["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"]);
    let (attempts, stats) = bench.close().await;
    assert_eq!(ids(&attempts), ["a,b", "c,d", "e,f", "g,h", "i,j", "k"]);
    let at: Vec<_> = attempts.iter().map(|(at, _)| at.as_secs()).collect();
    assert_eq!(at, [0, 1, 1, 1, 2, 3], "one to see that it works, then three, then what is full, then the rest");
    assert_eq!((stats.delivered, stats.requests), (11, 6));
}

#[tokio::test(start_paused = true)]
async fn several_that_fail_are_one_failure_and_are_tried_again_one_by_one() {
    let bench = slow_bench(1, 4, Duration::from_secs(1), |attempt, _| match attempt {
        2..=5 => refused(Some(Duration::from_secs(attempt as u64 * 100))),
        _ => Delivery::Accepted,
    });
    bench.offer(&["a", "b", "c", "d", "e"]);
    let (attempts, stats) = bench.close().await;
    assert_eq!(ids(&attempts), ["a", "b", "c", "d", "e", "b", "c", "d", "e"]);
    let at: Vec<_> = attempts.iter().map(|(at, _)| at.as_secs()).collect();
    // The longest pause that is believed is 300 seconds.
    assert_eq!(at, [0, 1, 1, 1, 1, 302, 303, 303, 303], "one to see that it works again");
    assert_eq!((stats.delivered, stats.retries, stats.waiting), (5, 4, 0));
}

#[tokio::test(start_paused = true)]
async fn a_destination_that_takes_a_part_is_failing_until_it_takes_the_rest() {
    let bench = slow_bench(1, 4, Duration::from_secs(1), |attempt, _| match attempt {
        3 => refused(Some(Duration::from_secs(100))),
        _ => Delivery::Accepted,
    });
    bench.offer(&["a", "b", "c"]);
    tokio::time::sleep(Duration::from_secs(50)).await;
    assert_eq!((bench.destination.stats().delivered, bench.destination.stats().failing.is_some()), (2, true));
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!((bench.destination.stats().delivered, bench.destination.stats().failing), (3, None));
}

#[tokio::test(start_paused = true)]
async fn each_of_several_batches_has_its_own_fate() {
    let bench = slow_bench(2, 4, Duration::from_secs(1), |_, ids| match ids[0].as_str() {
        "bad" if ids.len() > 1 => Delivery::Fatal { why: "no".into() },
        "bad" => Delivery::Fatal { why: "bad".into() },
        "late" => Delivery::Partial { rejected: vec![], retry: vec![1] },
        "soon" => refused(Some(Duration::ZERO)),
        _ => Delivery::Accepted,
    });
    bench.offer(&["a", "b", "bad", "c", "late", "d", "soon", "e", "f", "g"]);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    bench.destination.turns.flush();
    let (attempts, stats) = bench.close().await;
    assert_eq!(ids(&attempts)[..5], ["a,b", "bad,c", "late,d", "soon,e", "f,g"]);
    assert_eq!((stats.delivered, stats.dropped.rejected), (7, 1), "{attempts:?}");
    assert_eq!(stats.waiting, 2, "soon, e");
}
