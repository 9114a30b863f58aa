use proptest::prelude::*;
use regex::Regex;
use serde_json::json;

use super::*;
use crate::time::At;

/// A record with `secret` in every string that can hold one.
fn record(secret: &str) -> CallRecord {
    let text = || secret.to_owned();
    let some = || Some(text());
    let map = || {
        let value = json!({"key": secret, secret: [secret, {"deep": [1, null, true, secret]}]});
        value.as_object().cloned().unwrap_or_default()
    };
    let calls = || vec![ToolCall { id: some(), name: some(), arguments: some() }];
    let media = Media {
        modality: text(),
        mime_type: some(),
        uri: some(),
        file_id: some(),
        bytes: Some(1),
        sha256: None,
        content: None,
    };
    let parts =
        vec![Part::Text { text: text() }, Part::Media(media.clone()), Part::Other { value: Value::Object(map()) }];
    let message = |content| Message {
        role: text(),
        content,
        name: some(),
        reasoning: some(),
        refusal: some(),
        tool_calls: calls(),
        tool_call_id: some(),
    };
    CallRecord {
        id: text(),
        detected: true,
        schema_version: SCHEMA_VERSION,
        provider: text(),
        dialect: text(),
        operation: Operation::Chat,
        stream: false,
        status: Some(200),
        trace_id: text(),
        span_id: text(),
        parent_span_id: some(),
        tracestate: some(),
        name: text(),
        method: text(),
        service: some(),
        route: some(),
        consumer: some(),
        server: Server { address: some(), port: Some(443) },
        context: Context {
            user_id: some(),
            session_id: some(),
            chat_id: some(),
            message_id: some(),
            organization_id: some(),
            project_id: some(),
            environment: some(),
            metadata: map(),
        },
        request: Request {
            model: some(),
            message_count: Some(2),
            params: Params { stop: Some(vec![text()]), other: map(), ..Params::default() },
            stream: false,
            messages: vec![message(Some(Content::Text(text()))), message(Some(Content::Parts(parts))), message(None)],
            tools: vec![Value::Object(map()), Value::String(text())],
        },
        response: Response {
            id: some(),
            model: some(),
            text: some(),
            reasoning: some(),
            refusal: some(),
            tool_calls: calls(),
            finish_reasons: vec![text()],
            more_choices: vec![Choice {
                text: some(),
                reasoning: some(),
                refusal: some(),
                tool_calls: calls(),
                finish_reason: some(),
            }],
            embedding_dims: Some(1),
            embedding_count: Some(1),
            system_fingerprint: some(),
            service_tier: some(),
            media: vec![media],
            request_id: some(),
            api_version: some(),
            extra: map(),
        },
        usage: Usage::default(),
        tokens_estimated: false,
        token_efficiency: None,
        prompt_length: None,
        response_length: None,
        cost: None,
        timing: Timing { started_at: At(1), ..Timing::default() },
        end: End::Complete,
        error: Some(CallError { kind: some(), message: some() }),
        issues: vec![text()],
        http: None,
    }
}

/// Paths of the keys and strings in `value` for which `matches` holds.
fn paths(value: &Value, at: &str, matches: &dyn Fn(&str) -> bool, found: &mut Vec<String>) {
    match value {
        Value::String(text) if matches(text) => found.push(at.to_owned()),
        Value::Array(values) => values.iter().for_each(|value| paths(value, &format!("{at}[]"), matches, found)),
        Value::Object(map) => {
            for (key, value) in map {
                if matches(key) {
                    found.push(format!("{at}.{key}"));
                }
                paths(value, &format!("{at}.{key}"), matches, found);
            }
        }
        _ => {}
    }
}

/// What may keep a match; everything else in the printed record must not.
const EXEMPT: [&str; 21] = [
    ".id",
    ".provider",
    ".dialect",
    ".trace_id",
    ".span_id",
    ".parent_span_id",
    ".method",
    ".service",
    ".route",
    ".consumer",
    ".server.address",
    ".context.environment",
    ".request.messages[].content[].modality",
    ".response.id",
    ".response.finish_reasons[]",
    ".response.more_choices[].finish_reason",
    ".response.system_fingerprint",
    ".response.service_tier",
    ".response.media[].modality",
    ".response.request_id",
    ".error.type",
];

fn matching(record: &CallRecord, matches: &dyn Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    paths(&serde_json::to_value(record).unwrap(), "", matches, &mut found);
    found
}

#[test]
fn no_string_of_the_exchange_is_forgotten() {
    let mut record = record("mail jo@example.com now");
    let redactor = Redactor::new([(r"\w+@[\w.]+", "[MAIL]")]).unwrap();
    redactor.apply(&mut record);
    assert_eq!(matching(&record, &|text| text.contains('@')), EXEMPT);
    assert_eq!(record.response.text.as_deref(), Some("mail [MAIL] now"));
    assert_eq!(record.context.metadata.keys().collect::<Vec<_>>(), ["key", "mail [MAIL] now"]);
}

#[test]
fn without_patterns_nothing_changes() {
    let original = record("jo@example.com");
    let mut redacted = original.clone();
    Redactor::default().apply(&mut redacted);
    Redactor::new([("nowhere", "x"), ("", "x"), (r"\b", "x"), ("z*", "x")]).unwrap().apply(&mut redacted);
    assert_eq!(redacted, original);
}

#[test]
fn patterns_apply_in_order_and_replacements_are_literal() {
    let redactor = Redactor::new([("a", "$0b"), ("b+", "")]).unwrap();
    let mut text = "abba".to_owned();
    redactor.text(&mut text);
    assert_eq!(text, "$0$0");
}

#[test]
fn numbers_are_replaced_as_text() {
    let redactor = Redactor::new([(r"\d{16}", "[CARD]")]).unwrap();
    let mut value = json!({"card": 4111111111111111_u64, "4111111111111111": 1.5, "nested": [4111111111111111_u64]});
    redactor.value("", &mut value);
    assert_eq!(value, json!({"card": "[CARD]", "[CARD]": 1.5, "nested": ["[CARD]"]}));
}

#[test]
fn a_bad_pattern_is_named_in_one_line() {
    let error = |pattern: &str| Redactor::new([("fine", "x"), (pattern, "x")]).unwrap_err();
    assert_eq!(error("(open"), (1, "unclosed group".to_owned()));
    assert_eq!(error("(?=ahead)").0, 1);
    assert_eq!(error(r"(\pL{50}){50}"), (1, "compiles to more than 2097152 bytes".to_owned()));
    for pattern in ["(open", "(?=ahead)", "[z-a]"] {
        assert_eq!(error(pattern).1.lines().count(), 1);
    }
}

#[test]
fn a_text_that_replacements_would_blow_up_is_replaced_as_a_whole() {
    let replacement = "x".repeat(1 << 20);
    let redactor = Redactor::new([("a", replacement.clone())]).unwrap();
    let mut text = "a-".repeat(100);
    redactor.text(&mut text);
    assert_eq!(text, replacement);
}

proptest! {
    #[test]
    fn nothing_that_matches_is_left(
        pattern in prop::sample::select(vec!["[a-d]+", "ab", r"[a-d]\d", r"\d{2,4}", "[a-c]+@", "é.?", "\"", "c*d"]),
        secret in "[a-d0-9@é \"]{0,30}",
    ) {
        let redactor = Redactor::new([(pattern, "#")]).unwrap();
        let mut record = record(&secret);
        redactor.apply(&mut record);
        let regex = Regex::new(pattern).unwrap();
        // Field names are ours.
        let mut left = matching(&record, &|text| regex.is_match(text) && (text == secret || text.contains('#')));
        left.retain(|path| !EXEMPT.contains(&path.as_str()));
        prop_assert!(left.is_empty(), "{:?} {:?} {:?}", pattern, secret, left);
    }
}
