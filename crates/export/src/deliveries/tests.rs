//! What is told of records, destination by destination.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ai_tracing_core::record::CallRecord;

use super::*;
use crate::destination::{Destination, Lease, QueueOptions};
use crate::exporter::{BatchLimits, Delivery, EncodeError, Exporter};
use crate::testing;
use crate::worker;

/// Writes down what it is told, as `id: fate`.
#[derive(Default)]
pub(crate) struct Book(Mutex<Vec<String>>);

impl Book {
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Deliveries for Book {
    fn told(&self, _to: &Address, record_id: &str, fate: Fate<'_>, _at: At) {
        assert_ne!(record_id, "defect", "a defect of who hears it");
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{record_id}: {fate:?}"));
    }
}

/// Answers as the first record of a batch says.
struct Scripted;

impl Exporter for Scripted {
    type Payload = Vec<String>;

    fn name(&self) -> &'static str {
        "scripted"
    }

    fn limits(&self) -> BatchLimits {
        BatchLimits { max_records: 2, max_bytes: usize::MAX, max_delay: Duration::ZERO, max_requests: 1 }
    }

    fn encode(&self, records: &[Arc<CallRecord>]) -> Result<Vec<String>, EncodeError> {
        let ids: Vec<_> = records.iter().map(|record| record.id.clone()).collect();
        if ids.contains(&"unencodable".to_owned()) { Err(EncodeError("no number".into())) } else { Ok(ids) }
    }

    async fn send(&self, ids: &Vec<String>) -> Delivery {
        match ids[0].as_str() {
            "refused" => Delivery::Fatal { why: "HTTP 400".into() },
            "short" => Delivery::Short { refused: 1, why: "1 of 2 refused".into() },
            "never" => Delivery::Retry { after: None, why: "no connection".into() },
            "partial" => Delivery::Partial { rejected: vec![(1, "too old".into())], retry: Vec::new() },
            _ => Delivery::Accepted,
        }
    }
}

fn witnessed(options: &QueueOptions) -> (Destination, Arc<Book>) {
    let book = Arc::new(Book::default());
    let address = Address { key: [1; 16], label: "scripted".into() };
    let witness = Witness::new(address, Arc::clone(&book) as Arc<dyn Deliveries>);
    (Destination::new("scripted".into(), 2, options, None).witnessed(Some(witness)), book)
}

async fn deliver(ids: &[&str]) -> Vec<String> {
    let options = QueueOptions { max_retry_time: Duration::from_secs(60), ..QueueOptions::default() };
    let (destination, book) = witnessed(&options);
    let destination = Arc::new(destination);
    let (lease, _) = Lease::new(&destination);
    let turn = destination.turns.next();
    ids.iter().for_each(|id| destination.offer(&testing::record(id), 1, None));
    drop(lease);
    worker::run(Scripted, destination, options.retry(), turn, 1).await;
    book.lines()
}

#[tokio::test(start_paused = true)]
async fn every_end_of_a_record_is_told() {
    let ended = async |ids: &[&str]| deliver(ids).await.split_off(ids.len());
    assert_eq!(deliver(&["a", "b"]).await, ["a: Waiting", "b: Waiting", "a: Delivered", "b: Delivered"]);
    assert_eq!(ended(&["refused", "a"]).await, ["refused: Refused(\"HTTP 400\")", "a: Delivered"]);
    assert_eq!(ended(&["unencodable"]).await, ["unencodable: Refused(\"no number\")"]);
    assert_eq!(ended(&["partial", "b"]).await, ["b: Refused(\"too old\")", "partial: Delivered"]);
    let unclear = ["short: Unclear(\"1 of 2 refused\")", "b: Unclear(\"1 of 2 refused\")"];
    assert_eq!(ended(&["short", "b"]).await, unclear, "nobody says which");
    let expired = "never: Dropped(\"not delivered within max_retry_time: no connection\")";
    assert_eq!(ended(&["never"]).await, [expired]);
}

#[test]
fn what_makes_room_is_told() {
    let (destination, book) = witnessed(&QueueOptions { max_entries: 1, max_bytes: 10, ..QueueOptions::default() });
    for (id, weight) in [("a", 1), ("b", 1), ("large", 11)] {
        destination.offer(&testing::record(id), weight, None);
    }
    let dropped = "Dropped(\"more wait than may, the oldest made room\")";
    let told = [
        "a: Waiting".into(),
        "b: Waiting".into(),
        format!("a: {dropped}"),
        "large: Waiting".into(),
        format!("large: {dropped}"),
    ];
    assert_eq!(book.lines(), told);
    assert_eq!(destination.stats().key, Some([1; 16]));
}

#[tokio::test(start_paused = true)]
async fn a_defect_of_who_hears_it_costs_no_delivery() {
    assert_eq!(deliver(&["defect", "a"]).await, ["a: Waiting"]);
    assert_eq!(deliver(&["a"]).await, ["a: Waiting", "a: Delivered"]);
}
