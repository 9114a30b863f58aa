//! Sums over calls.

use ai_tracing_core::record::{Cost, Usage};

use super::*;
use crate::calls::query::{By, Facet, Span};

fn record(n: u64, model: &str, user: &str, session: Option<&str>, cost: Option<f64>) -> Arc<CallRecord> {
    with(n, |r| {
        r.request.model = Some(model.into());
        r.context.user_id = Some(user.into());
        r.context.session_id = session.map(str::to_owned);
        r.cost = cost.map(|total| Cost { input: 0.0, output: total, total });
        r.usage = Usage { input: Some(10), output: None, ..Usage::default() };
        r.timing.total_duration_ms = 100.0 * (n + 1) as f64;
        r.timing.time_to_first_token_ms = None;
        r.status = Some(if n == 3 { 500 } else { 200 });
    })
}

async fn filled(dir: &TempDir) -> Store {
    let store = open(dir);
    let records = [
        record(0, "a", "ann", Some("s1"), Some(0.5)),
        record(1, "a", "bob", Some("s2"), None),
        record(2, "b", "ann", Some("s1"), Some(0.25)),
        record(3, "a", "ann", None, None),
    ];
    put(&store, &records).await;
    store
}

#[tokio::test]
async fn the_overview_adds_up() {
    let dir = TempDir::new().unwrap();
    let _store = filled(&dir).await;
    let reader = Reader::open(dir.path()).unwrap();
    let span = Span { since: STARTED, until: At(STARTED.0 + 4 * fixtures::SECOND), parts: 2 };
    let overview = reader.overview(&Filter::default(), span, By::Model).unwrap();
    let totals = overview.sums.totals;
    assert_eq!((totals.calls, totals.errors, totals.tokens_in, totals.tokens_out), (4, 1, 40, 0));
    assert_eq!((totals.cost, totals.without_cost), (Some(0.75), 2));
    assert_eq!((overview.users, overview.sessions), (2, 2));
    assert_eq!(overview.parts.iter().map(|part| part.totals.calls).collect::<Vec<_>>(), [2, 2]);
    let lines: Vec<_> = overview.lines.iter().map(|line| (line.name.as_deref(), line.calls.clone())).collect();
    assert_eq!(lines, [(Some("a"), vec![2, 1]), (Some("b"), vec![0, 1])]);
    assert_eq!(overview.lines[0].cost, [0.5, 0.0]);
    let p50 = overview.sums.duration.p50.unwrap();
    assert!((p50 / 200.0 - 1.0).abs() < 0.011, "{p50}");
    assert_eq!(overview.sums.ttft.p50, None, "unknown is not 0");
    assert_eq!(overview.summed_since, None);

    let late = Span { since: At(STARTED.0 + 2 * fixtures::SECOND), ..span };
    assert_eq!(reader.overview(&Filter::default(), late, By::Project).unwrap().sums.totals.calls, 2);
    let words = Filter { text: Some("no-such-word".into()), ..Filter::default() };
    assert_eq!(reader.overview(&words, span, By::Model).unwrap().sums.totals.calls, 0);
}

#[tokio::test]
async fn small_groups_are_summed_as_one() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let models =
        ["m0", "m0", "m1", "m1", "m2", "m2", "m3", "m3", "m4", "m4", "m5", "m5", "m6", "m6", "m7", "m7", "m8", "m9"];
    let records: Vec<_> = models.iter().zip(0..).map(|(model, n)| record(n, model, "u", None, Some(1.0))).collect();
    put(&store, &records).await;
    let reader = Reader::open(dir.path()).unwrap();
    let span = Span { since: STARTED, until: At(STARTED.0 + 60 * fixtures::SECOND), parts: 1 };
    let lines = reader.overview(&Filter::default(), span, By::Model).unwrap().lines;
    assert_eq!(lines.len(), 9);
    let others = lines.last().unwrap();
    assert!(others.others && others.name.is_none());
    assert_eq!((others.calls.clone(), others.totals.cost), (vec![2], Some(2.0)));
}

#[tokio::test]
async fn users_and_sessions_add_up() {
    let dir = TempDir::new().unwrap();
    let _store = filled(&dir).await;
    let reader = Reader::open(dir.path()).unwrap();
    let mut users = reader.users(&Filter::default()).unwrap().users;
    users.sort_by(|a, b| a.id.cmp(&b.id));
    let found: Vec<_> = users.iter().map(|user| (user.id.as_str(), user.totals.calls, user.totals.errors)).collect();
    assert_eq!(found, [("ann", 3, 1), ("bob", 1, 0)]);
    assert_eq!(users[0].last, nth(3).timing.started_at);

    let session = reader.session("s1").unwrap().unwrap();
    assert_eq!((session.totals.calls, session.totals.cost), (2, Some(0.75)));
    assert_eq!((session.first, session.last), (STARTED, nth(2).timing.started_at));
    assert_eq!((session.users, session.models), (vec!["ann".to_owned()], vec!["b".to_owned(), "a".to_owned()]));
    assert_eq!(reader.session("none").unwrap(), None);
}

#[tokio::test]
async fn each_session_comes_once_whatever_the_pages() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let records: Vec<_> = (0..60).map(|n| record(n, "m", "u", Some(&format!("s{}", n % 7)), None)).collect();
    put(&store, &records).await;
    for (reach, limit) in [(1_000, 3), (10, 3), (10, 100), (1, 1)] {
        let reader = Reader::open(dir.path()).unwrap().with_reach(reach);
        let (mut ids, mut cursor) = (Vec::new(), None);
        loop {
            let page = reader.sessions(&Filter::default(), cursor, limit).unwrap();
            ids.extend(page.sessions.into_iter().map(|session| session.id));
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(ids, ["s3", "s2", "s1", "s0", "s6", "s5", "s4"], "{reach} {limit}");
    }
}

#[tokio::test]
async fn values_come_in_order_and_are_bounded() {
    let dir = TempDir::new().unwrap();
    let store = open(&dir);
    let records: Vec<_> = (0..30).map(|n| record(n, &format!("m{}", n % 5), "u", None, None)).collect();
    put(&store, &records).await;
    let reader = Reader::open(dir.path()).unwrap();
    assert_eq!(reader.values(Facet::Model, 10).unwrap(), ["m0", "m1", "m2", "m3", "m4"]);
    assert_eq!(reader.values(Facet::Model, 2).unwrap(), ["m0", "m1"]);
}
