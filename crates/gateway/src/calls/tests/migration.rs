//! Files of version 1.

use super::*;
use crate::calls::backlog;

/// A file as version 1 wrote it.
fn version_1(path: &Path, records: &[Arc<CallRecord>]) {
    let connection = Connection::open(path).unwrap();
    connection.execute_batch(include_str!("../v1.sql")).unwrap();
    connection.pragma_update(None, "user_version", 1).unwrap();
    for record in records {
        let values = rusqlite::params![
            record.id,
            record.trace_id,
            (record.timing.started_at.0 / 1_000) as i64,
            record.name,
            record.provider,
            record.request.model,
            record.timing.total_duration_ms,
            serde_json::to_string(record.as_ref()).unwrap(),
        ];
        let sql = "INSERT INTO calls (id, trace_id, started_at, name, provider, model, duration_ms, record, operation,
                stream, end, is_error, has_error, estimated)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'chat', 0, 'complete', 0, 0, 0)";
        connection.execute(sql, values).unwrap();
    }
    // Its newest call is gone: the next one must not get its number.
    let last = records.len() as i64;
    connection.execute("DELETE FROM calls WHERE seq = ?", [last]).unwrap();
}

#[test]
fn an_older_file_is_brought_up_to_date() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join(FILE_NAME);
    let records: Vec<_> = (1..=200).map(|n| with(n, |r| r.response.text = Some(format!("answer{n}")))).collect();
    version_1(&path, &records);
    assert!(matches!(Reader::open(dir.path()), Err(ReadError::Older { found: 1, .. })));

    let mut connection = file::open(&path).unwrap();
    assert_eq!(file::version(&connection).unwrap(), VERSION);
    assert_eq!(times(dir.path()).len(), 199);
    let reader = Reader::open(dir.path()).unwrap();
    assert_eq!(reader.record(7).unwrap().unwrap(), serde_json::to_string(records[6].as_ref()).unwrap());

    let found = |text: &str| {
        let filter = Filter { text: Some(text.into()), ..Filter::default() };
        reader
            .page(&filter, Order::Newest, None, 10)
            .unwrap()
            .calls
            .into_iter()
            .map(|call| call.seq)
            .collect::<Vec<_>>()
    };
    assert_eq!(found("answer199"), [0i64; 0], "not yet");
    assert!(backlog::step(&mut connection).unwrap());
    assert_eq!((found("answer199"), found("answer7")), (vec![199], vec![]), "the newest come first");
    while backlog::step(&mut connection).unwrap() {}
    assert_eq!(found("answer7"), [7]);

    insert(&connection, &Arc::new(nth(300)));
    assert_eq!(reader.position().unwrap(), Position(201));
}

#[test]
fn what_is_deleted_is_gone_everywhere() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join(FILE_NAME);
    version_1(&path, &[Arc::new(nth(1)), Arc::new(nth(2)), Arc::new(nth(3))]);
    let mut connection = file::open(&path).unwrap();
    insert(&connection, &with(4, |record| record.http = Some(Box::new(fixtures::http()))));
    let kept = |connection: &Connection| {
        connection.query_row("SELECT count(*) FROM exchanges", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    assert_eq!(kept(&connection), 1);
    connection.execute("DELETE FROM calls", []).unwrap();
    assert!(!backlog::step(&mut connection).unwrap());
    for table in ["calls", "records", "unsearchable", "exchanges"] {
        let rows: i64 = connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 0, "{table}");
    }
    let words = chat().response.text.unwrap();
    let word = words.split_whitespace().next().unwrap();
    let hits: i64 = connection
        .query_row("SELECT count(*) FROM search WHERE search MATCH ?", [format!("\"{word}\"")], |row| row.get(0))
        .unwrap();
    assert_eq!(hits, 0);
}

#[tokio::test]
async fn the_start_does_not_wait_for_an_older_file() {
    let dir = TempDir::new().unwrap();
    version_1(&dir.path().join(FILE_NAME), &[Arc::new(nth(1)), Arc::new(nth(2))]);
    let other = Connection::open(dir.path().join(FILE_NAME)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    // Nobody could bring the file up to date now, and the store is open all the same.
    let store = open(&dir);
    other.execute_batch("ROLLBACK").unwrap();
    let rows = [Arc::new(nth(3))];
    for _ in 0..100 {
        if put(&store, &rows).await == Delivery::Accepted {
            assert_eq!(times(dir.path()), [3, 1]);
            return;
        }
    }
    panic!("{:?}", store.stats());
}
