mod deliveries;
mod lists;
mod migration;
mod sums;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ai_tracing_core::record::{CallError, CallRecord, End};
use ai_tracing_core::time::At;
use ai_tracing_export::exporter::{Delivery, Exporter};
use rusqlite::Connection;
use tempfile::TempDir;

use super::file::{self, FILE_NAME, OpenError, VERSION};
use super::fixtures::{STARTED, chat, nth, with};
use super::query::{Filter, Found, Order, Position, ReadError, Reader};
use super::retention::{Retainer, Space, Step};
use super::row::Row;
use super::writer::{Counters, Writer};
use super::*;

/// Longer than any fixture's age: the fixtures' dates lie in the past of the machine that runs the tests, or not.
const FOREVER: Retention = Retention { max_age: Duration::from_secs(1 << 40), max_bytes: u64::MAX };

fn open(dir: &TempDir) -> Store {
    Store::open(dir.path(), FOREVER).unwrap()
}

async fn put(store: &Store, records: &[Arc<CallRecord>]) -> Delivery {
    let exporter = store.exporter();
    exporter.send(&exporter.encode(records).unwrap()).await
}

fn insert(connection: &Connection, record: &Arc<CallRecord>) {
    assert!(Row::new(record).unwrap().insert(connection).unwrap());
}

fn times(dir: &Path) -> Vec<u64> {
    let page = Reader::open(dir).unwrap().page(&Filter::default(), Order::Newest, None, 10_000).unwrap();
    page.calls.iter().map(|call| (call.started_at.0 - STARTED.0) / fixtures::SECOND).collect()
}

#[tokio::test]
async fn what_is_stored_is_the_records_json_and_its_columns() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    assert_eq!(put(&store, &[Arc::new(chat())]).await, Delivery::Accepted);

    let reader = Reader::open(dir.path()).unwrap();
    let page = reader.page(&Filter::default(), Order::Newest, None, 10).unwrap();
    let [call] = page.calls.as_slice() else { panic!("one call: {page:?}") };
    assert_eq!(reader.record(call.seq).unwrap().unwrap(), serde_json::to_string(&chat()).unwrap());
    assert_eq!(page.next, None);
    insta::assert_debug_snapshot!(call);
}

#[tokio::test]
async fn the_http_exchange_is_stored_beside_the_record() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let kept = with(1, |record| record.http = Some(Box::new(fixtures::http())));
    // Sent again after a retry, from disk: what was stored first stays.
    assert_eq!(put(&store, &[kept, Arc::new(nth(1)), Arc::new(nth(2))]).await, Delivery::Accepted);
    let reader = Reader::open(dir.path()).unwrap();
    let stored: ai_tracing_core::http::Http = serde_json::from_str(&reader.http(1).unwrap().unwrap()).unwrap();
    assert_eq!(stored, fixtures::http());
    assert_eq!(reader.record(1).unwrap().unwrap(), serde_json::to_string(&nth(1)).unwrap(), "no part of the record");
    assert_eq!(reader.http(2).unwrap(), None);
}

#[tokio::test]
async fn a_retry_never_duplicates() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let (first, second) = (Arc::new(nth(1)), Arc::new(nth(2)));
    put(&store, &[Arc::clone(&first), Arc::clone(&first)]).await;
    assert_eq!(put(&store, &[first, second]).await, Delivery::Accepted);
    assert_eq!(times(dir.path()), [2, 1]);
    let stats = store.stats();
    assert_eq!((stats.stored, stats.duplicates, stats.rows), (2, 2, 2));

    store.close().unwrap();
    let again = open(&dir);
    put(&again, &[Arc::new(nth(3))]).await;
    assert_eq!((again.stats().stored, again.stats().rows), (1, 3), "what was there before is counted");
}

#[tokio::test]
async fn the_file_is_its_owners_alone_and_outlives_the_store() {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("made/on/demand");
    let store = Store::open(&data, FOREVER).unwrap();
    put(&store, &[Arc::new(nth(1))]).await;
    for name in [FILE_NAME, "traces.db-wal", "traces.db-shm"] {
        let mode = fs::metadata(data.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    store.close().unwrap();
    // Closed: no companion file is left, and a reader needs none.
    assert!(!data.join("traces.db-wal").exists());
    assert_eq!(times(&data), [1]);

    let again = Store::open(&data, FOREVER).unwrap();
    put(&again, &[Arc::new(nth(2))]).await;
    assert_eq!(times(&data), [2, 1]);
}

#[tokio::test]
async fn closing_stores_what_was_sent_and_refuses_what_comes_later() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let exporter = store.exporter();
    let rows = exporter.encode(&[Arc::new(nth(1))]).unwrap();
    assert_eq!(exporter.send(&rows).await, Delivery::Accepted);
    store.close().unwrap();
    assert!(matches!(exporter.send(&rows).await, Delivery::Retry { .. }));
    assert_eq!(times(dir.path()), [1]);
}

#[tokio::test]
async fn reading_goes_on_while_writing() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    put(&store, &[Arc::new(nth(1))]).await;
    let reader = Reader::open(dir.path()).unwrap();
    let mut position = reader.position().unwrap();
    let mut quiet = position;
    let nobody = Filter { user: Some("nobody".into()), ..Filter::default() };
    for n in 2..50 {
        put(&store, &[Arc::new(nth(n))]).await;
        let new = reader.follow(&mut position, &Filter::default()).unwrap();
        assert_eq!(new.len(), 1, "call {n}");
        assert_eq!(new[0].id, nth(n).id);
        assert!(position.covers(&new[0]) && !quiet.covers(&new[0]));
        assert!(reader.follow(&mut quiet, &nobody).unwrap().is_empty());
        assert_eq!(quiet, position, "what the filter refuses is passed over");
    }
    assert_eq!(times(dir.path()).len(), 49);
}

#[tokio::test]
async fn a_locked_file_is_a_retry_and_the_batch_arrives_afterwards() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let other = Connection::open(dir.path().join(FILE_NAME)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let Delivery::Retry { why, .. } = put(&store, &[Arc::new(nth(1))]).await else { panic!("a retry") };
    assert!(why.contains("another process holds it locked"), "{why}");
    assert_eq!(store.stats().last_error, Some(why));
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(put(&store, &[Arc::new(nth(1))]).await, Delivery::Accepted);
    assert_eq!(store.stats().last_error, None);
}

#[tokio::test]
async fn a_file_that_is_locked_at_the_start_is_opened_later() {
    let dir = TempDir::new().unwrap();
    open(&dir).close().unwrap();
    let other = Connection::open(dir.path().join(FILE_NAME)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let store = open(&dir);
    let Delivery::Retry { why, .. } = put(&store, &[Arc::new(nth(1))]).await else { panic!("a retry") };
    assert!(why.contains("locked"), "{why}");
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(put(&store, &[Arc::new(nth(1))]).await, Delivery::Accepted);
    assert_eq!((store.stats().last_error, store.stats().rows), (None, 1));
}

#[test]
fn a_full_disk_is_a_retry() {
    // SQLite's own page limit gives the error that a full disk gives.
    let dir = TempDir::new().unwrap();
    let connection = file::open(&dir.path().join(FILE_NAME)).unwrap();
    let pages = connection.query_row("PRAGMA page_count", [], |row| row.get::<_, i64>(0)).unwrap();
    connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(())).unwrap();
    let record = with(1, |record| record.response.text = Some("x".repeat(100_000)));
    let mut writer = Writer::new(dir.path().join(FILE_NAME), Some(connection), FOREVER, Arc::default());
    let delivery = writer.store(&[Row::new(&record).unwrap()]);
    let Delivery::Retry { why, .. } = delivery else { panic!("a retry: {delivery:?}") };
    assert!(why.contains("no space left on the disk"), "{why}");
}

#[test]
fn a_damaged_file_is_moved_aside() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join(FILE_NAME);
    let garbage = "this is no database ".repeat(1_000);
    fs::write(&path, &garbage).unwrap();
    let error = Reader::open(dir.path()).unwrap_err().to_string();
    assert_eq!(error, format!("cannot read {}: file is not a database", path.display()));
    let (_, moved) = file::open_or_replace(&path, STARTED).unwrap();
    let moved = moved.unwrap();
    assert_eq!(moved, dir.path().join("traces.db.corrupt-20260102T030405Z"));
    assert_eq!(fs::read_to_string(moved).unwrap(), garbage);
    assert!(times(dir.path()).is_empty());
}

#[test]
fn damage_met_while_running_is_survived() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join(FILE_NAME);
    let connection = file::open(&path).unwrap();
    (1..200).for_each(|n| insert(&connection, &Arc::new(nth(n))));
    let counters = Arc::new(Counters::default());
    let mut writer = Writer::new(path.clone(), Some(connection), FOREVER, Arc::clone(&counters));

    // Damage the file behind the writer's back: all pages but the first.
    let other = Connection::open(&path).unwrap();
    other.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[4096..].fill(0xA5);
    fs::write(&path, bytes).unwrap();
    // Another process' write makes the writer drop what it has cached.
    other.pragma_update(None, "user_version", VERSION).unwrap();
    drop(other);

    let rows = [Row::new(&Arc::new(nth(1_000))).unwrap()];
    let delivery = writer.store(&rows);
    let Delivery::Retry { why, .. } = delivery else { panic!("a retry: {delivery:?}") };
    assert!(why.contains("it is damaged"), "{why}");
    assert_eq!(writer.store(&rows), Delivery::Accepted);
    assert_eq!(times(dir.path()), [1_000]);
    assert_eq!(counters.snapshot().replaced, 1);
}

#[test]
fn a_newer_file_is_refused_and_left_alone() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join(FILE_NAME);
    let connection = Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", VERSION + 1).unwrap();
    drop(connection);
    let before = fs::read(&path).unwrap();

    let error = Store::open(dir.path(), FOREVER).unwrap_err();
    assert!(matches!(error, OpenError::Newer { found, .. } if found == VERSION + 1));
    assert!(error.to_string().contains("written by a newer ai-tracing"), "{error}");
    assert!(matches!(Reader::open(dir.path()), Err(ReadError::Newer { .. })));
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn an_empty_file_is_migrated_and_a_migrated_one_left_as_it_is() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join(FILE_NAME);
    fs::write(&path, "").unwrap();
    assert!(matches!(Reader::open(dir.path()), Err(ReadError::Missing { .. })));
    let connection = file::open(&path).unwrap();
    insert(&connection, &Arc::new(nth(1)));
    assert_eq!(file::version(&connection).unwrap(), VERSION);
    let auto_vacuum: i64 = connection.query_row("PRAGMA auto_vacuum", [], |row| row.get(0)).unwrap();
    assert_eq!(auto_vacuum, 2, "incremental");
    drop(connection);
    file::open(&path).unwrap();
    assert_eq!(times(dir.path()), [1]);
}

/// Steps until nothing is left to do.
fn retain(connection: &Connection, retention: Retention, now: At) -> Step {
    let (mut retainer, mut all) = (Retainer::new(retention), Step::default());
    for _ in 0..10_000 {
        let step = retainer.step(connection, now).unwrap();
        all.aged_out += step.aged_out;
        all.crowded_out += step.crowded_out;
        if !step.more {
            while retainer.shrink(connection).unwrap() {}
            return all;
        }
    }
    panic!("retention does not come to an end: {all:?}");
}

#[test]
fn old_calls_go_and_the_file_shrinks() {
    let dir = TempDir::new().unwrap();
    let connection = file::open(&dir.path().join(FILE_NAME)).unwrap();
    (0..1_000).for_each(|n| insert(&connection, &Arc::new(nth(n))));
    let before = Space::of(&connection).unwrap().file_bytes();

    let retention = Retention { max_age: Duration::from_secs(100), max_bytes: u64::MAX };
    let step = retain(&connection, retention, At(STARTED.0 + 1_000 * fixtures::SECOND));
    assert_eq!((step.aged_out, step.crowded_out), (900, 0));
    assert_eq!(times(dir.path()).last(), Some(&900));
    assert!(Space::of(&connection).unwrap().file_bytes() < before / 4);
    assert_eq!(retain(&connection, retention, STARTED), Step::default());
}

#[test]
fn the_oldest_go_when_the_file_is_too_large() {
    let dir = TempDir::new().unwrap();
    let connection = file::open(&dir.path().join(FILE_NAME)).unwrap();
    // The oldest is stored last: age decides, not the order of storing.
    (0..1_000).rev().for_each(|n| insert(&connection, &Arc::new(nth(n))));
    let max_bytes = Space::of(&connection).unwrap().file_bytes() / 2;

    let retention = Retention { max_bytes, ..FOREVER };
    let step = retain(&connection, retention, STARTED);
    assert_eq!(step.aged_out, 0);
    let kept = times(dir.path());
    assert_eq!(kept, (step.crowded_out as u64..1_000).rev().collect::<Vec<_>>());
    assert!((400..600).contains(&kept.len()), "{}", kept.len());
    assert!(Space::of(&connection).unwrap().file_bytes() <= max_bytes);
}

#[test]
fn deletions_are_counted() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join(FILE_NAME);
    let counters = Arc::new(Counters::default());
    let retention = Retention { max_bytes: 0, ..FOREVER };
    let mut writer = Writer::new(path.clone(), Some(file::open(&path).unwrap()), retention, Arc::clone(&counters));
    assert_eq!(writer.store(&[Row::new(&Arc::new(nth(1))).unwrap()]), Delivery::Accepted);
    writer.retain(&mut std::time::Instant::now());
    let stats = counters.snapshot();
    assert_eq!((stats.stored, stats.aged_out, stats.crowded_out, stats.rows), (1, 0, 1, 0));
    assert!(stats.file_bytes > 0);
}

#[tokio::test]
async fn following_reads_everything_in_batches() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    put(&store, &(0..1_200).map(|n| Arc::new(nth(n))).collect::<Vec<_>>()).await;
    let (reader, mut position) = (Reader::open(dir.path()).unwrap(), Position::default());
    let sizes = [(); 4].map(|()| reader.follow(&mut position, &Filter::default()).unwrap().len());
    assert_eq!(sizes, [500, 500, 200, 0]);
}

#[tokio::test]
async fn pages_follow_each_other_while_calls_arrive() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    // Two calls began in the same microsecond: their order of storing decides.
    let twin = with(7, |record| record.timing.started_at = nth(6).timing.started_at);
    put(&store, &[Arc::new(nth(1)), Arc::new(nth(2)), Arc::new(nth(6)), twin, Arc::new(nth(9))]).await;
    let reader = Reader::open(dir.path()).unwrap();
    let (mut ids, mut cursor) = (Vec::new(), None);
    loop {
        let page = reader.page(&Filter::default(), Order::Newest, cursor, 2).unwrap();
        ids.extend(page.calls.into_iter().map(|call| call.id));
        put(&store, &[Arc::new(nth(100 + ids.len() as u64))]).await;
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(ids, [9, 7, 6, 2, 1].map(|n| nth(n).id));
}

#[tokio::test]
async fn each_filter_selects() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let records = [
        with(1, |r| r.context.user_id = Some("u".into())),
        with(2, |r| r.context.session_id = Some("s".into())),
        with(3, |r| r.context.chat_id = Some("c".into())),
        with(4, |r| {
            r.request.model = Some("claude-x[1]".into());
            r.response.model = None;
        }),
        with(5, |r| r.provider = "vllm".into()),
        with(6, |r| r.service = Some("svc".into())),
        with(7, |r| {
            r.route = None;
            r.name = "/generate".into();
        }),
        with(8, |r| {
            r.status = Some(429);
            r.error = Some(CallError::default());
        }),
        with(9, |r| r.end = End::ClientGone),
        with(10, |r| r.timing.total_duration_ms = 60_000.0),
        with(11, |r| r.error = Some(CallError::default())),
        with(12, |r| {
            r.context.organization_id = Some("o".into());
            r.timing.time_to_first_token_ms = Some(60_000.0);
        }),
        with(13, |r| r.context.project_id = Some("p".into())),
        with(14, |r| r.context.environment = Some("staging".into())),
        with(15, |r| r.response.text = Some("Ein Gruß aus Lissabon, \"zum Beispiel\"".into())),
        with(16, |r| r.status = Some(302)),
    ];
    put(&store, &records).await;
    let reader = Reader::open(dir.path()).unwrap();
    let found = |filter: Filter| {
        let calls = reader.page(&filter, Order::Newest, None, 100).unwrap().calls;
        let followed = reader.follow(&mut Position::default(), &filter).unwrap();
        assert_eq!(calls.len(), followed.len());
        followed.into_iter().map(|call| call.seq).collect::<Vec<_>>()
    };
    let all = || Filter::default();
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(found(all()).len(), 16);
    assert_eq!(found(Filter { user: some("u"), ..all() }), [1]);
    assert_eq!(found(Filter { session: some("s"), ..all() }), [2]);
    assert_eq!(found(Filter { chat: some("c"), ..all() }), [3]);
    assert_eq!(found(Filter { model: some("claude-x[1]"), ..all() }), [4]);
    assert_eq!(found(Filter { model: some("claude-?"), ..all() }), [0i64; 0]);
    assert_eq!(found(Filter { model: some("claude*"), ..all() }), [4]);
    assert_eq!(found(Filter { model: some("gpt-4o-mini-2024-07-18"), ..all() }).len(), 15);
    assert_eq!(found(Filter { provider: some("vllm"), ..all() }), [5]);
    assert_eq!(found(Filter { service: some("svc"), ..all() }), [6]);
    assert_eq!(found(Filter { route: some("/generate"), ..all() }), [7]);
    assert_eq!(found(Filter { route: some("chat"), ..all() }).len(), 15);
    assert_eq!(found(Filter { status: Some((400, 499)), ..all() }), [8]);
    assert_eq!(found(Filter { errors: true, ..all() }), [8, 9, 11]);
    assert_eq!(found(Filter { slower_than_ms: Some(59_999.0), ..all() }), [10]);
    assert_eq!(found(Filter { first_token_slower_than_ms: Some(59_999.0), ..all() }), [12]);
    assert_eq!(found(Filter { organization: some("o"), ..all() }), [12]);
    assert_eq!(found(Filter { project: some("p"), ..all() }), [13]);
    assert_eq!(found(Filter { environment: some("staging"), ..all() }), [14]);
    assert_eq!(found(Filter { status: Some((300, 499)), ..all() }), [8, 16]);
    for text in ["lissabon", "GRUSS", "gruß aus", "lissabon \"ein gruß\"", "liss*", "\"zum Beispiel\""] {
        let expected: &[i64] = if text == "GRUSS" { &[] } else { &[15] };
        assert_eq!(found(Filter { text: some(text), ..all() }), expected, "{text}");
    }
    for text in ["liss", "\"gruß ein\"", "lissabon nowhere", "!?", "\"", "lissabon OR nowhere"] {
        assert_eq!(found(Filter { text: some(text), ..all() }), [0i64; 0], "{text}");
    }
    assert_eq!(found(Filter { text: some("lissabon"), status: Some((200, 299)), ..all() }), [15]);
    assert_eq!(found(Filter { text: some("lissabon"), user: some("u"), ..all() }), [0i64; 0]);
    let (since, until) = (Some(nth(3).timing.started_at), Some(nth(5).timing.started_at));
    assert_eq!(found(Filter { since, until, ..all() }), [3, 4]);
    assert_eq!(found(Filter { user: some("u"), errors: true, ..all() }), [0i64; 0]);
}

#[tokio::test]
async fn lists_use_their_indexes() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    put(&store, &[Arc::new(nth(1))]).await;
    let connection = Connection::open(dir.path().join(FILE_NAME)).unwrap();
    let plan = |sql: &str| -> String {
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let rows = statement.query_map([], |row| row.get::<_, String>(3)).unwrap();
        rows.collect::<Result<Vec<_>, _>>().unwrap().join("; ")
    };
    for (condition, index) in [
        ("", "calls_started"),
        ("WHERE (started_at, seq) < (1, 2)", "calls_started"),
        ("WHERE user_id = 'u'", "calls_user"),
        ("WHERE session_id = 's'", "calls_session"),
        ("WHERE is_error = 1", "calls_errors"),
    ] {
        let plan = plan(&format!("SELECT * FROM calls {condition} ORDER BY started_at DESC, seq DESC LIMIT 9"));
        assert!(plan.contains(index) && !plan.contains("TEMP B-TREE"), "{condition}: {plan}");
    }
    assert!(plan("SELECT * FROM calls WHERE trace_id >= 'a' AND trace_id < 'b'").contains("calls_trace"));
}

#[tokio::test]
async fn calls_are_found_by_id_trace_and_beginning() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let trace = |id: &str| id.to_owned() + &"0".repeat(32 - id.len());
    let records = [
        with(1, |r| r.trace_id = trace("aaaa1")),
        with(2, |r| r.trace_id = trace("aaaa2")),
        with(3, |r| r.trace_id = trace("bbbb")),
        with(4, |r| r.trace_id = trace("bbbb")),
    ];
    put(&store, &records).await;
    let reader = Reader::open(dir.path()).unwrap();
    let find = |id: &str| match reader.find(id).unwrap() {
        Found::Nothing => Vec::new(),
        Found::Call(call) => vec![call.seq],
        Found::Trace(first) => {
            let of_trace = Filter { trace: Some(first.trace_id), ..Filter::default() };
            let page = reader.page(&of_trace, Order::Oldest, None, 100).unwrap();
            page.calls.into_iter().map(|call| call.seq).collect()
        }
        Found::Ambiguous(calls) => calls.into_iter().map(|call| -call.seq).collect(),
    };
    assert_eq!(find(&records[2].id), [3], "a call of a trace with several");
    assert_eq!(find(&records[2].id.to_uppercase()), [3]);
    assert_eq!(find("bbb"), [3, 4], "the calls of one trace");
    assert_eq!(find(&trace("bbbb")), [3, 4]);
    assert_eq!(find("aaaa1"), [1]);
    assert_eq!(find("aaaa"), [-1, -2]);
    assert_eq!(find("019b7da0"), [-1, -2, -3, -4]);
    assert_eq!(find("cccc"), [0i64; 0]);
    assert_eq!(find(""), [0i64; 0]);
    assert_eq!(find("%"), [0i64; 0]);
}

#[test]
fn no_file_says_what_to_do() {
    let dir = TempDir::new().unwrap();
    let error = Reader::open(dir.path()).unwrap_err();
    assert!(error.to_string().contains("start the gateway with `ai-tracing start`"), "{error}");
    assert!(fs::read_dir(dir.path()).unwrap().next().is_none(), "reading makes no file");
}

/// Every key of the value, without those below keys whose content is anybody's.
fn keys(value: &serde_json::Value, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(map) => map.iter().for_each(|(key, value)| {
            found.push(key.clone());
            if !["metadata", "tools", "response_format"].contains(&key.as_str()) {
                keys(value, found);
            }
        }),
        serde_json::Value::Array(list) => list.iter().for_each(|value| keys(value, found)),
        _ => {}
    }
}

#[test]
fn the_documentation_names_every_field() {
    let documentation = include_str!("../../../../../docs/record.md");
    let mut found = Vec::new();
    keys(&serde_json::to_value(chat()).unwrap(), &mut found);
    assert!(found.len() > 60, "{found:?}");
    for key in found {
        let named = [format!("`{key}`"), format!(".{key}`"), format!("`{key}.")];
        assert!(named.iter().any(|name| documentation.contains(name)), "{key}");
    }
}
