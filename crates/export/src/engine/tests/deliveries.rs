//! What is told of records in a whole engine, over restarts, and sending one again.

use super::testing::server::{Reply, Server};
use super::*;
use crate::deliveries::tests::Book;

const ID: &str = "0198c0de-0000-7000-8000-000000000001";

fn start(dir: &tempfile::TempDir, book: &Arc<Book>) -> Engine {
    let spool = Some(spool::Options::new(dir.path().to_owned()));
    let deliveries: Arc<dyn Deliveries> = Arc::clone(book) as _;
    Engine::start(Options { spool, ..Options::default() }, Vec::new(), Some(deliveries)).unwrap()
}

async fn shut_down(engine: Engine) -> ShutdownReport {
    tokio::task::spawn_blocking(move || engine.shutdown(LONG)).await.unwrap()
}

/// Waits until so much was told.
async fn hear(book: &Book, lines: usize) -> Vec<String> {
    let until = std::time::Instant::now() + LONG;
    while book.lines().len() < lines {
        assert!(std::time::Instant::now() < until, "{:?}", book.lines());
        tokio::task::yield_now().await;
    }
    book.lines()
}

#[tokio::test]
async fn a_record_that_was_refused_is_sent_again_with_its_ids() {
    let (dir, book) = (tempfile::TempDir::new().unwrap(), Arc::new(Book::default()));
    let server = Server::start([Reply::Says(400, "no".into())], |_| (200, String::new())).await;
    let engine = start(&dir, &book);
    let tracer = engine.tracer(&otlp(&format!("http://{}", server.address), json!({})), &|_| None).unwrap();
    // Of this one nothing is told.
    let (all, hears) = telling(Some(Delivery::Accepted));
    engine.always(Prompt(all), QueueOptions::default());
    engine.sink().offer(testing::finished(b"{}"), &tracer);
    assert_eq!(hears.recv_timeout(LONG).unwrap(), ID);
    let told = hear(&book, 2).await;
    assert!(
        told[0] == format!("{ID}: Waiting") && told[1].starts_with(&format!("{ID}: Refused(\"HTTP 400")),
        "{told:?}"
    );

    let key = engine.stats().destinations[0].key.unwrap();
    let record = testing::record(ID);
    engine.resend(key, Arc::clone(&record)).unwrap().await.unwrap();
    assert_eq!(hear(&book, 4).await[2..], [format!("{ID}: Waiting"), format!("{ID}: Delivered")]);
    assert_eq!(server.seen().len(), 2);
    assert!(engine.resend([0; 16], record).is_none(), "no such destination");
    // Told first, counted next.
    let until = std::time::Instant::now() + LONG;
    while engine.stats().destinations[0].waiting > 0 {
        assert!(std::time::Instant::now() < until);
        tokio::task::yield_now().await;
    }
    let stats = &engine.stats().destinations[0];
    assert_eq!((stats.offered, stats.delivered, stats.dropped.rejected, stats.memory_only), (2, 1, 1, 0));
    drop(tracer);
    assert_eq!(shut_down(engine).await.kept, 0);
}

#[tokio::test]
async fn what_is_delivered_after_a_restart_is_told() {
    let (dir, book) = (tempfile::TempDir::new().unwrap(), Arc::new(Book::default()));
    let put_off = |_: &testing::server::Seen| (503, String::new());
    let server = Server::start([], put_off).await;
    let config = otlp(&format!("http://{}", server.address), json!({}));
    let first = start(&dir, &book);
    let tracer = first.tracer(&config, &|_| None).unwrap();
    first.sink().offer(testing::finished(b"{}"), &tracer);
    tokio::time::timeout(LONG, server.wait(1)).await.unwrap();
    drop(tracer);
    assert_eq!(shut_down(first).await.kept, 1);
    assert_eq!(book.lines(), [format!("{ID}: Waiting")]);

    server.then(Reply::Says(200, String::new()));
    let second = start(&dir, &book);
    let tracer = second.tracer(&config, &|_| None).unwrap();
    // The spool's lane is opened with the first record of the destination.
    second.sink().offer(testing::numbered(2, b"{}"), &tracer);
    server.then(Reply::Says(200, String::new()));
    let told = hear(&book, 4).await;
    assert!(told.contains(&format!("{ID}: Delivered")), "{told:?}");
    drop(tracer);
    shut_down(second).await;
}
