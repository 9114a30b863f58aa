//! What holds for every record.

use std::collections::HashSet;
use std::sync::Arc;

use ai_tracing_config::ai_tracing::OtlpSemconv;
use ai_tracing_core::record::CallRecord;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::bounds::Bounds;
use super::super::encode;
use super::{request, span};
use crate::exporter::proto::any_value;
use crate::testing;
use crate::testing::any::{json_map, json_value, text};

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn spans_are_deterministic_and_say_nothing_empty(record in record(), which in 0..3_usize) {
        let semconv = [OtlpSemconv::Both, OtlpSemconv::Genai, OtlpSemconv::Openllmetry][which];
        let records = [record];
        let once = request(&records, semconv);
        prop_assert_eq!(&once, &request(&records, semconv));
        prop_assert!(!once.to_string().contains("u0000"), "{once:#}");
        let attributes = span(&once)["attributes"].as_object().unwrap();
        for (key, value) in attributes {
            prop_assert!(!value.is_null() && *value != json!("") && *value != json!([]), "{}", key);
        }
        // JSON stays JSON.
        for key in ["gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.tool.definitions"] {
            if let Some(text) = attributes.get(key) {
                prop_assert!(serde_json::from_str::<Value>(text.as_str().unwrap()).unwrap().is_array());
            }
        }
    }

    #[test]
    fn every_bound_holds(record in record(), value in 8..200_usize, items in 1..4_usize) {
        let bounds = Bounds { value, items };
        let request = encode::request(&[record], OtlpSemconv::Both, &[], bounds);
        let span = &request.resource_spans[0].scope_spans[0].spans[0];
        let mut keys = HashSet::new();
        for attribute in &span.attributes {
            prop_assert!(keys.insert(attribute.key.clone()), "{:?} twice", attribute.key);
            let value = attribute.value.as_ref().unwrap().value.as_ref().unwrap();
            if let any_value::Value::String(text) = value {
                prop_assert!(text.len() <= bounds.value && std::str::from_utf8(text).is_ok());
            }
        }
    }
}

fn record() -> impl Strategy<Value = Arc<CallRecord>> {
    let operation = prop_oneof![Just("chat"), Just("text_completion"), Just("embeddings"), Just("rerank")];
    let dialect = prop_oneof![Just("openai_chat"), Just("anthropic_messages"), Just("gemini_generate")];
    let role = prop_oneof![Just("system"), Just("user"), Just("assistant"), Just("tool"), Just("")];
    let messages = prop::collection::vec((role, text(), json_value()), 0..6);
    let texts = prop::collection::vec(text(), 10);
    let parts = (json_map(), json_map(), json_value());
    (operation, dialect, messages, texts, parts, any::<Option<u64>>()).prop_map(
        |(operation, dialect, messages, texts, (metadata, params, tool), number)| {
            let mut record = testing::minimal("0198c0de-0000-7000-8000-000000000001");
            record["operation"] = operation.into();
            record["dialect"] = dialect.into();
            record["context"]["user_id"] = texts[0].clone().into();
            record["context"]["environment"] = texts[1].clone().into();
            record["context"]["metadata"] = Value::Object(metadata);
            record["request"]["model"] = texts[2].clone().into();
            record["request"]["params"] = json!({"stop": [texts[3]], "response_format": Value::Object(params)});
            record["request"]["tools"] = json!([tool]);
            let message = |(role, text, value): (&str, String, Value)| {
                json!({"role": role, "content": [{"type": "text", "text": text}, {"type": "other", "value": value}],
                    "tool_calls": [{"id": text, "name": text, "arguments": text}]})
            };
            record["request"]["messages"] = messages.into_iter().map(message).collect();
            record["response"]["text"] = texts[4].clone().into();
            record["response"]["reasoning"] = texts[5].clone().into();
            record["response"]["tool_calls"] = json!([{"id": texts[6], "name": texts[7], "arguments": texts[8]}]);
            record["response"]["finish_reasons"] = json!([texts[9]]);
            record["usage"]["input"] = number.into();
            record["error"] = json!({"type": texts[1], "message": texts[2]});
            testing::from_json(record)
        },
    )
}
