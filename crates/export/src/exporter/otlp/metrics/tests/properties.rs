//! What holds for every course of events.

use proptest::prelude::*;

use super::super::sums::{Aggregate, Key, MAX_SETS, Point};
use super::*;

/// What may happen to a meter.
#[derive(Clone, Debug)]
enum Event {
    /// A call: its model, tokens, and duration in quarters of a second, so that sums are exact.
    Call(u8, u16, u16),
    /// A sending: which of the points are not taken, by their index.
    Sending(Vec<bool>),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (0..5_u8, any::<u16>(), any::<u16>()).prop_map(|(model, tokens, time)| Event::Call(model, tokens, time)),
        1 => prop::collection::vec(any::<bool>(), 0..8).prop_map(Event::Sending),
    ]
}

fn measured(model: u8, tokens: u16, quarters: u16) -> Arc<CallRecord> {
    let mut record = testing::minimal("a");
    record["request"]["model"] = format!("model-{model}").into();
    record["usage"]["input"] = tokens.into();
    record["timing"]["total_duration_ms"] = (f64::from(quarters) * 250.0).into();
    record["response"]["finish_reasons"] = json!(["stop"]);
    testing::from_json(record)
}

/// A point in a form that can be compared and added.
fn told(point: &Point) -> (String, u64, Vec<u64>, f64) {
    let name = format!("{:?} {:?}", point.instrument, point.key);
    match &point.aggregate {
        Aggregate::Sum(sum) => (name, *sum, Vec::new(), 0.0),
        Aggregate::Distribution { histogram, .. } => {
            (name, 0, histogram.buckets().map(|(_, count)| count).collect(), histogram.sum())
        }
    }
}

/// Everything that some points counted, by metric and attributes.
fn added(points: &[Point]) -> std::collections::BTreeMap<String, (u64, Vec<u64>, f64)> {
    let mut all = std::collections::BTreeMap::new();
    for (name, sum, counts, total) in points.iter().map(told) {
        let entry = all.entry(name).or_insert((0, vec![0; counts.len()], 0.0));
        entry.0 += sum;
        entry.1.iter_mut().zip(counts).for_each(|(known, count)| *known += count);
        entry.2 += total;
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever fails on the way: all differences together are the total.
    #[test]
    fn deltas_add_up_to_the_total(events in prop::collection::vec(event(), 0..60)) {
        let (delta, total) = (meter(OtlpTemporality::Delta), meter(OtlpTemporality::Cumulative));
        let mut taken: Vec<Point> = Vec::new();
        let mut now = 1_000;
        for event in events {
            now += 1;
            match event {
                Event::Call(model, tokens, quarters) => {
                    let record = measured(model, tokens, quarters);
                    delta.observe(&record);
                    total.observe(&record);
                }
                Event::Sending(refused) => {
                    let (points, until) = delta.collect(At(now));
                    let mut refused = refused.into_iter().chain(std::iter::repeat(false));
                    let (back, sent): (Vec<_>, Vec<_>) = points.into_iter().partition(|_| refused.next().unwrap());
                    prop_assert!(back.iter().chain(&sent).all(|point| point.since <= until));
                    taken.extend(sent);
                    delta.give_back(back);
                    // A total is given away as often as one likes.
                    let (points, _) = total.collect(At(now));
                    prop_assert!(points.iter().all(|point| point.since == At(1_000)));
                    total.give_back(points);
                }
            }
        }
        taken.extend(delta.collect(At(now)).0);
        prop_assert_eq!(added(&taken), added(&total.collect(At(now)).0));
        prop_assert!(delta.collect(At(now)).0.is_empty());
    }
}

#[test]
fn what_comes_back_counts_from_its_old_start() {
    let meter = meter(OtlpTemporality::Delta);
    meter.observe(&call("m"));
    let (points, _) = meter.collect(At(2_000));
    meter.observe(&call("m"));
    meter.give_back(points);
    meter.observe(&call("n"));
    let (points, until) = meter.collect(At(3_000));
    assert_eq!(until, At(3_000));
    let starts: Vec<u64> = points.iter().map(|point| point.since.0).collect();
    assert_eq!(starts, [1_000, 2_000, 1_000, 2_000], "model m and model n, of two metrics");
}

#[test]
fn attribute_sets_are_bounded_and_nothing_is_lost() {
    for temporality in [OtlpTemporality::Delta, OtlpTemporality::Cumulative] {
        let meter = meter(temporality);
        let calls = 5_000_u64;
        (0..calls).for_each(|index| meter.observe(&call(&format!("model-{index}"))));
        // Those that came first keep their place.
        meter.observe(&call("model-0"));
        let (points, _) = meter.collect(At(2_000));
        let of_tokens: Vec<&Point> =
            points.iter().filter(|point| format!("{:?}", point.instrument) == "Tokens").collect();
        assert_eq!((of_tokens.len(), points.len()), (MAX_SETS, 2 * MAX_SETS));
        let count = |point: &Point| told(point).2.iter().sum::<u64>();
        let overflow = of_tokens.iter().find(|point| point.key == Key::Overflow).unwrap();
        assert_eq!(count(overflow), calls - (MAX_SETS as u64 - 1));
        assert_eq!(of_tokens.iter().map(|point| count(point)).sum::<u64>(), calls + 1);
        assert_eq!(meter.folded.get(), 2 * (calls - (MAX_SETS as u64 - 1)));

        // Given back into a meter that is full of others, they find room in the overflow.
        (calls..2 * calls).for_each(|index| meter.observe(&call(&format!("model-{index}"))));
        meter.give_back(points);
        let (points, _) = meter.collect(At(3_000));
        assert_eq!(points.len(), 2 * MAX_SETS);
        assert_eq!(points.iter().map(count).sum::<u64>(), 2 * (2 * calls + 1));
    }
}

#[test]
fn the_overflow_is_told_as_the_sdk_tells_it() {
    let meter = meter(OtlpTemporality::Delta);
    (0..MAX_SETS).for_each(|index| meter.observe(&call(&format!("model-{index}"))));
    let metrics = collected(&meter, 2_000);
    let points = metrics["gen_ai.client.token.usage"]["points"].as_array().unwrap();
    assert_eq!(points.last().unwrap()["attributes"], json!({"otel.metric.overflow": true}));
    assert_eq!(points.last().unwrap()["count"], 1);
}
