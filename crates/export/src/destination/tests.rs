//! The queue of a destination by itself.

use super::*;
use crate::testing;

fn destination(max_entries: usize, max_bytes: usize) -> Destination {
    Destination::new("test".into(), 10, &QueueOptions { max_entries, max_bytes, ..QueueOptions::default() }, None)
}

fn ids(destination: &Destination) -> Vec<String> {
    destination.take(100, usize::MAX).iter().map(|waiting| waiting.record.id.clone()).collect()
}

#[test]
fn a_full_queue_drops_its_oldest() {
    let destination = destination(2, 100);
    for (id, weight) in [("a", 40), ("b", 40), ("c", 40), ("d", 90)] {
        destination.offer(&testing::record(id), weight, None);
    }
    let stats = destination.stats();
    assert_eq!((stats.offered, stats.dropped.overflow, stats.waiting, stats.waiting_bytes), (4, 3, 1, 90));
    assert_eq!(ids(&destination), ["d"]);
}

#[test]
fn a_record_larger_than_the_queue_is_dropped() {
    let destination = destination(10, 100);
    destination.offer(&testing::record("a"), 40, None);
    destination.offer(&testing::record("b"), 101, None);
    assert_eq!((destination.stats().dropped.overflow, destination.stats().waiting), (1, 1));
    assert_eq!(ids(&destination), ["a"], "and takes no other with it");
}

#[tokio::test(start_paused = true)]
async fn the_oldest_tells_how_long_it_waits() {
    let destination = destination(10, 100);
    assert_eq!(destination.stats().oldest_seconds, 0.0);
    for id in ["a", "b"] {
        destination.offer(&testing::record(id), 1, None);
        tokio::time::advance(Duration::from_secs(2)).await;
    }
    assert_eq!(destination.stats().oldest_seconds, 4.0);
    destination.take(1, 1);
    assert_eq!(destination.stats().oldest_seconds, 2.0);
}

#[test]
fn who_may_wait_waits_for_room() {
    let destination = destination(1, 100);
    let offer = |id| destination.offer_patiently(&testing::record(id), 40, &|| false);
    assert!(offer("a"));
    std::thread::scope(|scope| {
        let second = scope.spawn(|| offer("b"));
        while ids(&destination).is_empty() {
            std::thread::yield_now();
        }
        assert!(second.join().unwrap());
    });
    assert!(!destination.offer_patiently(&testing::record("c"), 40, &|| destination.stats().offered == 2), "given up");
    assert!(destination.offer_patiently(&testing::record("d"), 101, &|| true), "no waiting would help");
    let stats = destination.stats();
    assert_eq!((stats.offered, stats.dropped.overflow, ids(&destination).concat()), (3, 1, "b".to_owned()));
}

#[test]
fn what_is_given_back_comes_first_again() {
    let destination = destination(2, 100);
    destination.offer(&testing::record("a"), 40, None);
    destination.offer(&testing::record("b"), 40, None);
    let taken = destination.take(2, usize::MAX);
    destination.offer(&testing::record("c"), 40, None);
    destination.give_back(taken);
    assert_eq!(destination.stats().waiting_bytes, 120, "more than its bounds, for a while");
    assert_eq!(ids(&destination), ["a", "b", "c"]);
}
