//! What became of calls, as the store keeps it.

use ai_tracing_export::{Address, Deliveries, Fate};

use super::*;
use crate::calls::outcomes::{Recorder, State};
use crate::calls::query::Delivery as Known;

fn address(key: u8) -> Address {
    Address { key: [key; 16], label: format!("otlp http://{key}") }
}

/// A writer on a file of its own, and who tells it; nothing runs by itself.
struct Bench {
    dir: TempDir,
    writer: Writer,
    recorder: Recorder,
}

impl Bench {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join(FILE_NAME);
        let connection = file::open(&path).unwrap();
        let writer = Writer::new(path, Some(connection), FOREVER, Arc::new(Counters::default()));
        let (sender, _) = std::sync::mpsc::sync_channel(1);
        let recorder = Recorder { buffer: Arc::clone(writer.outcomes()), sender };
        Self { dir, writer, recorder }
    }

    fn store(&mut self, n: u64) {
        assert_eq!(self.writer.store(&[Row::new(&Arc::new(nth(n))).unwrap()]), Delivery::Accepted);
    }

    /// Tells of the `n`th call.
    fn tell(&self, n: u64, key: u8, fate: Fate<'_>) {
        self.recorder.told(&address(key), &nth(n).id, fate, ai_tracing_export::clock::now());
    }

    fn reader(&self) -> Reader {
        Reader::open(self.dir.path()).unwrap()
    }

    fn known(&self, n: u64) -> Vec<Known> {
        let reader = self.reader();
        let Found::Call(call) = reader.find(&nth(n).id).unwrap() else { panic!("no call {n}") };
        reader.deliveries(call.seq).unwrap()
    }

    fn states(&self, n: u64) -> Vec<(i64, State)> {
        self.known(n).into_iter().map(|known| (known.destination, known.outcome.state)).collect()
    }

    fn undelivered(&self) -> Vec<u64> {
        let filter = Filter { undelivered: true, ..Filter::default() };
        let calls = self.reader().page(&filter, Order::Newest, None, 100).unwrap().calls;
        calls.iter().map(|call| (call.started_at.0 - STARTED.0) / fixtures::SECOND).collect()
    }
}

#[test]
fn the_last_outcome_of_a_call_and_a_destination_is_kept() {
    let mut bench = Bench::new();
    bench.store(1);
    bench.tell(1, 7, Fate::Waiting);
    bench.tell(1, 7, Fate::Delivered);
    bench.tell(1, 8, Fate::Waiting);
    assert_eq!(bench.recorder.buffer.len(), 2);
    bench.writer.write_outcomes();
    assert_eq!(bench.states(1), [(1, State::Delivered), (2, State::Waiting)]);
    assert_eq!(bench.known(1)[0].label, "otlp http://7");

    let why = "ü".repeat(600);
    bench.tell(1, 8, Fate::Refused(&why));
    bench.writer.write_outcomes();
    let known = &bench.known(1)[1].outcome;
    assert_eq!((known.state, known.reason.as_deref()), (State::Failed, Some("ü".repeat(500).as_str())));
    assert_eq!(bench.reader().destination([8; 16]).unwrap(), Some(2));
    assert_eq!(bench.reader().destination([9; 16]).unwrap(), None);
}

#[test]
fn an_outcome_waits_for_its_call_unless_something_newer_is_known() {
    let mut bench = Bench::new();
    bench.tell(1, 7, Fate::Waiting);
    bench.tell(2, 7, Fate::Waiting);
    let long_ago = At(ai_tracing_export::clock::now().0 - 301 * fixtures::SECOND);
    bench.recorder.told(&address(7), &nth(3).id, Fate::Delivered, long_ago);
    bench.writer.write_outcomes();
    let buffer = Arc::clone(&bench.recorder.buffer);
    assert_eq!((buffer.len(), buffer.dropped()), (2, 1), "nobody expects the third call any more");
    assert!(!buffer.wants_writing(false) && buffer.wants_writing(true));

    // What comes while the writer has the others in hand is newer than what it brings back.
    let taken = buffer.take();
    bench.tell(1, 7, Fate::Delivered);
    assert_eq!(buffer.of(&nth(1).id)[0].1.state, State::Delivered);
    assert_eq!(buffer.of(&nth(2).id)[0].1.state, State::Waiting, "not in the store for certain");
    buffer.wrote((*taken).clone());
    bench.store(1);
    bench.store(2);
    bench.writer.write_outcomes();
    assert_eq!((bench.states(1), bench.states(2)), (vec![(1, State::Delivered)], vec![(1, State::Waiting)]));
    assert_eq!((buffer.len(), buffer.of(&nth(1).id)), (0, vec![]));
}

#[test]
fn calls_that_were_refused_or_given_up_are_found() {
    let mut bench = Bench::new();
    for (n, fate) in [
        (1, Fate::Waiting),
        (2, Fate::Refused("HTTP 400")),
        (3, Fate::Dropped("too many")),
        (4, Fate::Unclear("one of two")),
        (5, Fate::Delivered),
    ] {
        bench.store(n);
        bench.tell(n, 7, fate);
    }
    bench.tell(2, 8, Fate::Refused("HTTP 422"));
    bench.writer.write_outcomes();
    assert_eq!(bench.undelivered(), [3, 2]);
    bench.tell(2, 7, Fate::Delivered);
    bench.tell(3, 7, Fate::Waiting);
    bench.tell(1, 7, Fate::Dropped("too many"));
    bench.writer.write_outcomes();
    assert_eq!(bench.undelivered(), [2, 1], "another destination has refused the second");
    let both = Filter { undelivered: true, errors: true, user: chat().context.user_id, ..Filter::default() };
    assert!(bench.reader().page(&both, Order::Newest, None, 10).unwrap().calls.is_empty());
}

#[test]
fn what_became_of_a_call_goes_with_it_and_destinations_that_none_names_go_too() {
    let mut bench = Bench::new();
    bench.store(1);
    bench.tell(1, 7, Fate::Delivered);
    bench.writer.write_outcomes();
    let connection = Connection::open(bench.dir.path().join(FILE_NAME)).unwrap();
    connection.execute("DELETE FROM calls", []).unwrap();
    let count = |table: &str| -> i64 {
        connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    };
    assert_eq!((count("deliveries"), count("destinations")), (0, 1));
    for n in 0..300_u32 {
        let values = rusqlite::params![n.to_be_bytes(), "gone"];
        connection.execute("INSERT INTO destinations (key, label) VALUES (?, ?)", values).unwrap();
    }
    bench.store(2);
    bench.tell(2, 8, Fate::Delivered);
    bench.writer.write_outcomes();
    assert_eq!((bench.states(2).len(), count("destinations")), (1, 1));
}

#[test]
fn what_does_not_fit_is_counted_and_known_to_be_missing() {
    let bench = Bench::new();
    let buffer = &bench.recorder.buffer;
    let begun = buffer.complete_since();
    (0..20_000).for_each(|n| bench.tell(n, 7, Fate::Waiting));
    assert_eq!((buffer.len(), buffer.complete_since()), (20_000, begun));
    bench.tell(3, 7, Fate::Delivered);
    assert_eq!((buffer.dropped(), buffer.of(&nth(3).id)[0].1.state), (0, State::Delivered), "it has its place");
    let late = At(begun.0 + 3_600 * fixtures::SECOND);
    bench.recorder.told(&address(7), &nth(20_000).id, Fate::Waiting, late);
    assert_eq!((buffer.len(), buffer.dropped(), buffer.complete_since()), (20_000, 1, late));
    let taken = buffer.take();
    let later = At(late.0 + 3_600 * fixtures::SECOND);
    bench.recorder.told(&address(8), &nth(1).id, Fate::Waiting, later);
    bench.recorder.told(&address(7), &nth(1).id, Fate::Delivered, later);
    buffer.wrote((*taken).clone());
    assert_eq!((buffer.len(), buffer.dropped()), (20_000, 2), "what came meanwhile has its place");
    assert_eq!(buffer.complete_since(), late, "the last that is missing");
}

#[tokio::test]
async fn the_writer_is_told_and_writes_all_before_it_ends() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    put(&store, &[Arc::new(nth(1))]).await;
    let recorder = store.recorder();
    recorder.told(&address(7), &nth(1).id, Fate::Delivered, STARTED);
    store.close().unwrap();
    let reader = Reader::open(dir.path()).unwrap();
    let Found::Call(call) = reader.find(&nth(1).id).unwrap() else { panic!("no call") };
    assert_eq!(reader.deliveries(call.seq).unwrap()[0].outcome.state, State::Delivered);
    assert_eq!(recorder.buffer.len(), 0);
}
