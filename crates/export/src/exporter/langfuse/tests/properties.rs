//! What holds for every record.

use std::sync::Arc;

use ai_tracing_config::ai_tracing::LangfuseObservations;
use ai_tracing_core::record::CallRecord;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::super::payloads;
use crate::testing::any::{json_map, json_value, text};
use crate::testing::{self, readable};

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn encoding_is_deterministic_and_lets_no_nul_through(record in record(), compact in any::<bool>()) {
        let observations = if compact { LangfuseObservations::Compact } else { LangfuseObservations::Full };
        let records = [record];
        let (otlp, batch) = payloads(&records, observations).unwrap();
        prop_assert_eq!(&payloads(&records, observations).unwrap(), &(otlp.clone(), batch.clone()));
        let batch: Value = serde_json::from_slice(&batch).unwrap();
        let otlp = readable(&otlp);
        for payload in [&otlp, &batch] {
            prop_assert!(!has_nul(payload), "{payload:#}");
        }
        prop_assert!(!has_null(&batch), "{batch:#}");
        prop_assert!(otlp.to_string().contains("langfuse.trace.name"));
    }
}

/// A NUL, or JSON text that would bring one back once it is parsed.
fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => {
            let nested =
                serde_json::from_str::<Value>(text).ok().filter(|nested| nested.is_object() || nested.is_array());
            text.contains('\0') || nested.is_some_and(|nested| has_nul(&nested))
        }
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(map) => map.iter().any(|(key, value)| key.contains('\0') || has_nul(value)),
        _ => false,
    }
}

/// Null anywhere but in what the caller itself sent.
fn has_null(batch: &Value) -> bool {
    let bodies = batch["batch"].as_array().unwrap().iter().map(|event| &event["body"]);
    bodies.flat_map(|body| body.as_object().unwrap().values()).any(Value::is_null)
}

fn record() -> impl Strategy<Value = Arc<CallRecord>> {
    let operation = prop_oneof![Just("chat"), Just("text_completion"), Just("embeddings"), Just("other")];
    let end = prop_oneof![Just("complete"), Just("client_gone"), Just("timeout"), Just("rejected")];
    let texts = prop::collection::vec(text(), 12);
    let numbers = prop::collection::vec(prop::option::of(any::<u64>()), 6);
    (operation, end, texts, numbers, json_map(), json_map(), json_value()).prop_map(
        |(operation, end, texts, numbers, metadata, params, tool)| {
            let mut record = testing::minimal("0198c0de-0000-7000-8000-000000000001");
            record["operation"] = operation.into();
            record["end"] = end.into();
            record["name"] = texts[0].clone().into();
            record["tracestate"] = texts[1].clone().into();
            record["context"]["user_id"] = texts[2].clone().into();
            record["context"]["session_id"] = texts[3].clone().into();
            record["context"]["environment"] = texts[4].clone().into();
            record["context"]["metadata"] = Value::Object(metadata);
            record["request"]["model"] = texts[5].clone().into();
            record["request"]["params"] = json!({"other": Value::Object(params), "stop": [texts[6]]});
            record["request"]["tools"] = json!([tool]);
            record["request"]["messages"] = json!([{"role": texts[7], "content": texts[8]}]);
            record["response"]["text"] = texts[9].clone().into();
            record["response"]["tool_calls"] = json!([{"id": texts[10], "name": texts[11], "arguments": texts[0]}]);
            record["error"] = json!({"type": texts[1], "message": texts[2]});
            let names = ["input", "output", "total", "cache_read", "cache_write", "reasoning"];
            record["usage"] = names
                .into_iter()
                .zip(numbers)
                .map(|(name, number)| (name.to_owned(), number.into()))
                .collect::<Map<_, _>>()
                .into();
            testing::from_json(record)
        },
    )
}
