//! Pages that end before they are full, in either order.

use super::*;
use crate::calls::query::Cursor;

/// Every tenth call is slow, the user and the words alternate.
async fn hundred(dir: &TempDir) -> Store {
    let store = open(dir);
    let records: Vec<_> = (0..100)
        .map(|n| {
            with(n, |r| {
                r.timing.total_duration_ms = if n % 10 == 0 { 9_000.0 } else { 1.0 };
                r.context.user_id = Some(if n % 2 == 0 { "even".into() } else { "odd".into() });
                r.response.text = Some(format!("common word{n}"));
            })
        })
        .collect();
    put(&store, &records).await;
    store
}

/// All pages, as the times of their calls.
fn pages(reader: &Reader, filter: &Filter, order: Order, limit: usize) -> Vec<Vec<u64>> {
    let (mut pages, mut cursor) = (Vec::new(), None);
    loop {
        let page = reader.page(filter, order, cursor, limit).unwrap();
        pages.push(page.calls.iter().map(|call| (call.started_at.0 - STARTED.0) / fixtures::SECOND).collect());
        // As it comes back in a URL.
        cursor = page.next.map(|next| Cursor::parse(&next.to_string()).unwrap());
        if cursor.is_none() {
            return pages;
        }
        assert!(pages.len() < 100, "{pages:?}");
    }
}

#[tokio::test]
async fn a_page_ends_where_its_reach_does() {
    let dir = TempDir::new().unwrap();
    let _store = hundred(&dir).await;
    let reader = Reader::open(dir.path()).unwrap().with_reach(24);
    let slow = Filter { slower_than_ms: Some(5_000.0), ..Filter::default() };
    let found = pages(&reader, &slow, Order::Newest, 10);
    assert_eq!(found, [vec![90, 80], vec![70, 60, 50], vec![40, 30], vec![20, 10, 0], vec![]][..found.len()]);
    assert_eq!(found.concat(), [90, 80, 70, 60, 50, 40, 30, 20, 10, 0]);
    assert_eq!(pages(&reader, &slow, Order::Oldest, 10).concat(), [0, 10, 20, 30, 40, 50, 60, 70, 80, 90]);
    assert_eq!(pages(&reader, &slow, Order::Newest, 1).concat(), [90, 80, 70, 60, 50, 40, 30, 20, 10, 0]);
}

#[tokio::test]
async fn what_an_index_answers_has_no_bound() {
    let dir = TempDir::new().unwrap();
    let _store = hundred(&dir).await;
    let reader = Reader::open(dir.path()).unwrap().with_reach(3);
    let odd = Filter { user: Some("odd".into()), ..Filter::default() };
    assert_eq!(pages(&reader, &odd, Order::Newest, 40).iter().map(Vec::len).collect::<Vec<_>>(), [40, 10]);
}

#[tokio::test]
async fn searches_have_a_reach_too() {
    let dir = TempDir::new().unwrap();
    let _store = hundred(&dir).await;
    let reader = Reader::open(dir.path()).unwrap().with_reach(30);
    let common = Filter { text: Some("common".into()), slower_than_ms: Some(5_000.0), ..Filter::default() };
    assert_eq!(pages(&reader, &common, Order::Newest, 10).concat(), [90, 80, 70, 60, 50, 40, 30, 20, 10, 0]);
    assert_eq!(pages(&reader, &common, Order::Oldest, 2).concat(), [0, 10, 20, 30, 40, 50, 60, 70, 80, 90]);
    let since = Some(nth(75).timing.started_at);
    assert_eq!(pages(&reader, &Filter { since, ..common.clone() }, Order::Newest, 10).concat(), [90, 80]);
    let one = Filter { text: Some("word42".into()), user: Some("even".into()), ..Filter::default() };
    assert_eq!(pages(&reader, &one, Order::Newest, 10).concat(), [42]);
}

#[tokio::test]
async fn the_beginning_of_a_word_stands_for_the_words_that_begin_so() {
    let dir = TempDir::new().unwrap();
    let store = hundred(&dir).await;
    let reader = Reader::open(dir.path()).unwrap();
    let found = |text: &str| {
        let filter = Filter { text: Some(text.into()), ..Filter::default() };
        pages(&reader, &filter, Order::Newest, 100).concat()
    };
    assert_eq!(found("word4*"), [49, 48, 47, 46, 45, 44, 43, 42, 41, 40, 4]);
    assert_eq!(found("WÖRD42* common"), [42]);
    assert_eq!(found("\"common word4*\" word42"), [42]);
    assert_eq!(found("common-word42*"), [42]);
    assert_eq!(found("word4* word5*"), [0u64; 0]);
    assert_eq!(found("nowhere*"), [0u64; 0]);
    // Once more than can be searched for begin so.
    let many = |n| (0..n).map(|word| format!("many{word} ")).collect::<String>();
    put(&store, &[with(200, |r| r.response.text = Some(many(300)))]).await;
    assert_eq!(found("many*"), [200]);
    put(&store, &[with(201, |r| r.response.text = Some(many(301)))]).await;
    let filter = Filter { text: Some("common many*".into()), ..Filter::default() };
    let error = reader.page(&filter, Order::Newest, None, 1).unwrap_err();
    assert_eq!(error.to_string(), "more than 300 words begin with many: add a letter or two");
    assert_eq!(found("many3*").len(), 2);
}

#[test]
fn cursors_are_read_as_written() {
    assert_eq!(Cursor::parse("1767323045678901.42").unwrap().to_string(), "1767323045678901.42");
    for wrong in ["", ".", "1", "1.", ".1", "-1.1", "1.x", "1.1.1", "99999999999999999999.1"] {
        assert_eq!(Cursor::parse(wrong), None, "{wrong}");
    }
}
