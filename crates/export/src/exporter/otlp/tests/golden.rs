//! The spans of known calls, read back into JSON and compared with a snapshot.

use std::borrow::Cow;
use std::sync::Arc;

use ai_tracing_config::ai_tracing::OtlpSemconv;
use ai_tracing_core::capture::{Capture, Headers, Ids, RequestHead};
use ai_tracing_core::record::{CallRecord, End};
use ai_tracing_core::settings::{ContentPolicy, HttpPolicy, Settings};
use ai_tracing_core::time::At;
use serde_json::{Value, json};

use super::{request, span};
use crate::testing::{self, calls, named_calls};

#[test]
fn both_conventions() {
    for (name, record) in named_calls() {
        let mut request = request(&[record], OtlpSemconv::Both);
        // Its place is here, its number changes.
        assert_eq!(request[0]["resource"]["service.version"], env!("CARGO_PKG_VERSION"));
        request[0]["resource"].as_object_mut().unwrap().remove("service.version");
        insta::assert_json_snapshot!(name, request);
    }
}

#[test]
fn each_convention_by_itself() {
    let records = calls();
    let both = span(&request(&records[..1], OtlpSemconv::Both)).clone();
    let mut together = serde_json::Map::new();
    for (semconv, name, foreign) in [
        (
            OtlpSemconv::Genai,
            "chat gpt-4o",
            ["gen_ai.system", "llm.", "traceloop.", "gen_ai.prompt.", "gen_ai.completion."],
        ),
        (
            OtlpSemconv::Openllmetry,
            "openai.chat",
            [
                "gen_ai.provider.name",
                "gen_ai.operation.name",
                "gen_ai.input.",
                "gen_ai.output.",
                "gen_ai.usage.input_tokens",
            ],
        ),
    ] {
        let request = request(&records[..1], semconv);
        assert_eq!(span(&request)["name"], name);
        let attributes = span(&request)["attributes"].as_object().unwrap();
        for key in attributes.keys() {
            assert!(!foreign.iter().any(|foreign| key.starts_with(foreign)), "{key}");
        }
        together.extend(attributes.clone());
    }
    let mut keys: Vec<_> = together.keys().collect();
    let mut expected: Vec<_> = both["attributes"].as_object().unwrap().keys().collect();
    keys.sort();
    expected.sort();
    assert_eq!(keys, expected);
}

/// What Dynatrace documents for gateways (observability of Kong AI Gateway), with the type of each.
#[test]
fn every_attribute_that_dynatrace_lists() {
    let mut record = serde_json::to_value(&*calls()[0]).unwrap();
    record["response"]["api_version"] = json!("2024-10-21");
    record["response"]["extra"] = json!({
        "content_filter_results": {"hate": {"filtered": false}},
        "prompt_filter_results": [{"prompt_index": 0}],
    });
    record["request"]["messages"][0]["content"] = json!("Hello");
    for semconv in [OtlpSemconv::Both, OtlpSemconv::Openllmetry] {
        let request = request(&[testing::from_json(record.clone())], semconv);
        let attributes = &span(&request)["attributes"];
        for (key, expected) in [
            ("gen_ai.completion.0.content", json!("A cat.")),
            ("gen_ai.completion.0.content_filter_results", json!(r#"{"hate":{"filtered":false}}"#)),
            ("gen_ai.completion.0.finish_reason", json!("stop")),
            ("gen_ai.completion.0.role", json!("assistant")),
            ("gen_ai.openai.api_base", json!("https://api.openai.com")),
            ("gen_ai.openai.api_version", json!("2024-10-21")),
            ("gen_ai.openai.system_fingerprint", json!("fp_1")),
            ("gen_ai.prompt.0.content", json!("Hello")),
            ("gen_ai.prompt.0.role", json!("system")),
            ("gen_ai.prompt.prompt_filter_results", json!(r#"[{"prompt_index":0}]"#)),
            ("gen_ai.request.max_tokens", json!(500)),
            ("gen_ai.request.model", json!("gpt-4o")),
            ("gen_ai.request.temperature", json!(0.7)),
            ("gen_ai.request.top_p", json!(0.9)),
            ("gen_ai.response.model", json!("gpt-4o-2024-08-06")),
            ("gen_ai.system", json!("openai")),
            ("gen_ai.usage.completion_tokens", json!(40)),
            ("gen_ai.usage.prompt_tokens", json!(1200)),
            ("llm.request.type", json!("chat")),
        ] {
            assert_eq!(attributes[key], expected, "{key}");
        }
    }
}

#[test]
fn anthropic() {
    let mut record = testing::minimal("0198c0de-0000-7000-8000-000000000009");
    record["provider"] = json!("anthropic");
    record["dialect"] = json!("anthropic_messages");
    record["status"] = json!(200);
    record["request"] = json!({
        "model": "claude-sonnet-4", "message_count": 4, "params": {"max_tokens": 100, "top_k": 5, "stop": ["###"]},
        "stream": true,
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Look"},
                {"type": "media", "modality": "image", "mime_type": "image/png", "bytes": 4, "content": "iVBORw=="}]},
            {"role": "assistant", "content": null, "reasoning": "hm",
                "tool_calls": [{"id": "t1", "name": "look", "arguments": "{\"at\":1}"}]},
            {"role": "tool", "content": "a cat", "tool_call_id": "t1"},
        ],
        "tools": [{"name": "look", "description": "Looks.", "input_schema": {"type": "object"}}],
    });
    record["response"]["text"] = json!("A cat.");
    record["response"]["reasoning"] = json!("It has whiskers.");
    record["response"]["finish_reasons"] = json!(["end_turn"]);
    record["response"]["media"] = json!([{"modality": "image", "mime_type": "image/png", "bytes": 9, "sha256": "ab"}]);
    record["usage"] = json!({"input": 1200, "output": 40, "total": 1240, "cache_read": 1000, "cache_write": 100,
        "reasoning": null});
    insta::assert_json_snapshot!(span(&request(&[testing::from_json(record)], OtlpSemconv::Both))["attributes"]);
}

struct Json;

impl Headers for Json {
    fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        (name == "content-type").then_some("application/json".into())
    }

    fn each(&self, see: &mut dyn FnMut(&[u8], &[u8])) {
        see(b"x-note", b"canary-header");
    }
}

/// A call as the capture reads it, under a policy.
fn captured(content: ContentPolicy) -> Arc<CallRecord> {
    let settings = Arc::new(Settings { content, http: HttpPolicy::Full, sampling_ratio: 1.0, ..Settings::default() });
    let head = RequestHead {
        method: "POST",
        path: "/v1/chat/completions",
        query: None,
        host: "api.openai.com",
        headers: &Json,
        upstream: None,
        service: None,
        route: None,
        consumer: None,
    };
    let ids = Ids { call: "0198c0de-0000-7000-8000-000000000001".into(), trace: 1, span: 2 };
    let mut capture = Capture::start(&settings, &head, ids, At(1_767_323_045_678_901_000)).unwrap();
    let body = json!({
        "model": "gpt-4o", "temperature": 0.5, "user": "user-1", "stop": "canary-stop",
        "messages": [{"role": "system", "content": "canary-system"}, {"role": "user", "content": "canary-prompt"}],
        "tools": [{"type": "function", "function": {"name": "f", "description": "canary-tool"}}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {"title": "canary-schema"}}},
    });
    capture.request_body(body.to_string().as_bytes());
    capture.response_head(200, &Json, At(1_767_323_046_000_000_000));
    let call = json!({"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":\"canary-arguments\"}"}});
    let body = json!({
        "id": "chatcmpl-1", "object": "chat.completion", "model": "gpt-4o-2024-08-06",
        "choices": [{"index": 0, "finish_reason": "tool_calls",
            "message": {"role": "assistant", "content": "canary-answer", "tool_calls": [call]},
            "content_filter_results": {"custom": "canary-filter"}}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    });
    capture.response_body(body.to_string().as_bytes(), At(1_767_323_046_000_000_000));
    Arc::new(capture.finish(End::Complete, At(1_767_323_046_000_000_000)).into_record().unwrap())
}

#[test]
fn the_http_exchange_stays_at_home() {
    let record = captured(ContentPolicy::Full);
    assert!(serde_json::to_string(&record.http).unwrap().contains("canary-header"));
    assert!(!request(&[record], OtlpSemconv::Both).to_string().contains("canary-header"));
}

#[test]
fn metadata_only_leaves_no_content() {
    let full = request(&[captured(ContentPolicy::Full)], OtlpSemconv::Both).to_string();
    for canary in ["system", "prompt", "tool", "schema", "arguments", "answer", "filter"] {
        assert!(full.contains(&format!("canary-{canary}")), "{canary}");
    }
    let request = request(&[captured(ContentPolicy::MetadataOnly)], OtlpSemconv::Both);
    for canary in ["system", "prompt", "tool", "schema", "arguments", "answer", "filter"] {
        assert!(!request.to_string().contains(&format!("canary-{canary}")), "{canary}");
    }
    insta::assert_json_snapshot!("metadata_only", span(&request)["attributes"]);
}

#[test]
fn environments_are_resources_of_their_own() {
    let in_environment = |name: Option<&str>| {
        let mut record = testing::minimal("a");
        record["context"]["environment"] = json!(name);
        testing::from_json(record)
    };
    let records = [Some("a"), Some("b"), None, Some("a")].map(in_environment);
    let resource = [("service.name", "gateway"), ("deployment.environment.name", "said")]
        .map(|(k, v)| (k.to_owned(), v.to_owned()));
    let super::Encoded::Fits(bytes) = super::encode(&records, OtlpSemconv::Both, &resource, super::MAX) else {
        panic!()
    };
    let request = testing::readable(&bytes);
    let told: Vec<(Value, usize)> = request
        .as_array()
        .unwrap()
        .iter()
        .map(|group| {
            let spans = group["scope_spans"][0]["spans"].as_array().unwrap().len();
            (group["resource"]["deployment.environment.name"].clone(), spans)
        })
        .collect();
    assert_eq!(told, [(json!("a"), 2), (json!("b"), 1), (json!("said"), 1)]);
}
