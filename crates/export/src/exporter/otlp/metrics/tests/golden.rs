//! The metrics of known calls, read back into JSON and compared with a snapshot.

use serde_json::json;

use super::*;

#[test]
fn the_metrics_of_known_calls() {
    for (name, semconv, temporality) in [
        ("both", OtlpSemconv::Both, OtlpTemporality::Cumulative),
        ("genai", OtlpSemconv::Genai, OtlpTemporality::Delta),
        ("openllmetry", OtlpSemconv::Openllmetry, OtlpTemporality::Delta),
    ] {
        let meter = Meter::new(semconv, temporality, At(1_000));
        testing::calls().iter().for_each(|record| meter.observe(record));
        insta::assert_json_snapshot!(name, collected(&meter, 2_000));
    }
}

#[test]
fn buckets_are_those_of_the_conventions() {
    use super::super::instruments::Instrument::{
        Choices, Duration, TimePerToken, TimeToFirstToken, Tokens, VectorSize,
    };
    let ends = [Duration, Tokens, TimeToFirstToken, TimePerToken].map(|instrument| {
        let bounds = instrument.bounds().unwrap();
        assert!(bounds.is_sorted() && instrument.name().starts_with("gen_ai."));
        (bounds.len(), bounds[0], *bounds.last().unwrap())
    });
    assert_eq!(ends, [(14, 0.01, 81.92), (14, 1.0, 67_108_864.0), (16, 0.001, 10.0), (13, 0.01, 2.5)]);
    let doubled = Duration.bounds().unwrap().windows(2).all(|pair| (pair[1] / pair[0] - 2.0).abs() < 1e-9);
    let fourfold = Tokens.bounds().unwrap().windows(2).all(|pair| pair[1] == pair[0] * 4.0);
    assert!(doubled && fourfold);
    assert_eq!([Choices, VectorSize].map(|it| it.bounds()), [None, None]);
}

/// What Dynatrace documents for gateways (observability of Kong AI Gateway).
#[test]
fn every_metric_that_dynatrace_lists() {
    let meter = meter(OtlpTemporality::Delta);
    testing::calls().iter().for_each(|record| meter.observe(record));
    let metrics = collected(&meter, 2_000);
    for (name, kind, unit) in [
        ("gen_ai.client.generation.choices", "sum", "choice"),
        ("gen_ai.client.operation.duration", "histogram", "s"),
        ("gen_ai.client.token.usage", "histogram", "{token}"),
        ("llm.openai.embeddings.vector_size", "sum", "element"),
    ] {
        assert_eq!((&metrics[name]["kind"], &metrics[name]["unit"]), (&json!(kind), &json!(unit)), "{name}");
    }
}

#[test]
fn what_is_unknown_is_not_counted_and_a_zero_is() {
    let meter = meter(OtlpTemporality::Delta);
    meter.observe(&testing::record("a"));
    let metrics = collected(&meter, 2_000);
    assert_eq!(metrics.as_object().unwrap().keys().collect::<Vec<_>>(), ["gen_ai.client.operation.duration"]);
    assert_eq!(metrics["gen_ai.client.operation.duration"]["points"][0]["buckets"], json!({"0.01": 1}));
    let mut record = testing::minimal("a");
    record["usage"]["output"] = 0.into();
    meter.observe(&testing::from_json(record));
    let tokens = &collected(&meter, 3_000)["gen_ai.client.token.usage"]["points"];
    assert_eq!((tokens.as_array().unwrap().len(), &tokens[0]["count"], &tokens[0]["sum"]), (1, &json!(1), &json!(0.0)));
}

#[test]
fn each_choice_counts_once() {
    let choices = |response: Value, length: Option<u64>, operation: &str| {
        let mut record = testing::minimal("a");
        record["operation"] = operation.into();
        record["response_length"] = length.into();
        for (key, value) in response.as_object().unwrap() {
            record["response"][key] = value.clone();
        }
        let meter = meter(OtlpTemporality::Delta);
        meter.observe(&testing::from_json(record));
        collected(&meter, 2_000)["gen_ai.client.generation.choices"]["points"][0]["value"].as_u64()
    };
    let second = json!([{"text": "b", "finish_reason": "stop"}]);
    assert_eq!(choices(json!({"text": "a", "finish_reasons": ["stop"]}), None, "chat"), Some(1));
    let two = json!({"text": "a", "finish_reasons": ["stop", "stop"], "more_choices": second});
    assert_eq!(choices(two, None, "chat"), Some(2));
    assert_eq!(choices(json!({"finish_reasons": ["stop", "length", "stop"]}), None, "text_completion"), Some(3));
    assert_eq!(choices(json!({}), Some(5), "chat"), Some(1), "content that must not leave");
    assert_eq!(choices(json!({"text": ""}), Some(0), "chat"), None, "no answer, no choice");
    assert_eq!(choices(json!({"finish_reasons": ["stop"]}), None, "embeddings"), None);
}

#[test]
fn failures_are_told_by_a_closed_set_of_kinds() {
    let kind = |changes: &[(&str, Value)]| {
        let mut record = testing::minimal("a");
        changes.iter().for_each(|(key, value)| record[*key] = value.clone());
        let meter = meter(OtlpTemporality::Delta);
        meter.observe(&testing::from_json(record));
        collected(&meter, 2_000)["gen_ai.client.operation.duration"]["points"][0]["attributes"]["error.type"].clone()
    };
    let error = ("error", json!({"type": "whatever it likes", "message": "m"}));
    assert_eq!(kind(&[("status", json!(429)), error.clone()]), "429");
    assert_eq!(kind(&[("status", json!(200)), error]), "provider_error");
    assert_eq!(kind(&[("end", json!("timeout"))]), "timeout");
    assert_eq!(kind(&[("end", json!("client_gone")), ("status", json!(200))]), Value::Null);
    assert_eq!(kind(&[("status", json!(200))]), Value::Null);
}

#[test]
fn texts_are_bounded_and_clean() {
    let meter = meter(OtlpTemporality::Delta);
    meter.observe(&call(&format!("a\0b{}", "ü".repeat(1_000))));
    let metrics = collected(&meter, 2_000);
    let model =
        metrics["gen_ai.client.token.usage"]["points"][0]["attributes"]["gen_ai.request.model"].as_str().unwrap();
    assert!(model.starts_with("a\u{fffd}bü") && model.len() <= 130, "{model}");
}

#[test]
fn a_clock_that_is_set_back_turns_no_interval_round() {
    let meter = meter(OtlpTemporality::Delta);
    for (now, expected) in [(5_000, (1_000, 5_000)), (2_000, (5_000, 5_000)), (6_000, (5_000, 6_000))] {
        meter.observe(&call("m"));
        let point = &collected(&meter, now)["gen_ai.client.token.usage"]["points"][0];
        assert_eq!((point["start"].as_u64().unwrap(), point["time"].as_u64().unwrap()), expected);
    }
}
