//! Nothing of what must not leave is in a record: a marker is put into each string of each wire fixture's bodies, one after
//! the other, values and names of members alike, and must not be found where the settings forbid it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)] // a test that fails should say so at once

mod fixture;

use std::ops::Range;

use ai_tracing_core::record::{CallRecord, End};
use ai_tracing_core::redact::{Builtin, Redactor};
use ai_tracing_core::settings::{ContentPolicy, HttpPolicy, Settings};
use fixture::Fixture;
use serde_json::Value;

/// Where the bodies' strings stand in the text of a fixture, without their quotes; whether each is a member's name. Of
/// forms, the contents of their fields and the names of their files.
fn strings(text: &str) -> Vec<(Range<usize>, bool)> {
    let request = text.find("POST ").unwrap();
    let body = request + text[request..].find("\n\n").unwrap();
    let answer = text.find("\n=== ").unwrap();
    let answered = text[answer..].find("\n\n").map_or(text.len(), |at| answer + at);
    let mut found = Vec::new();
    for part in [body..answer, answered..text.len()] {
        let is_form = text[part.clone()].contains("form-data; name=");
        let mut at = part.start;
        while let Some(open) = text[at..part.end].find('"').map(|quote| at + quote) {
            let mut close = open + 1;
            while close < part.end && text.as_bytes()[close] != b'"' {
                close += if text.as_bytes()[close] == b'\\' { 2 } else { 1 };
            }
            if close >= part.end {
                break;
            }
            let named = text[close + 1..part.end].trim_start().starts_with(':');
            // The name of a form's field is what JSON's names are.
            let is_field = is_form && text[..open].ends_with(" name=");
            if !is_field {
                found.push((open + 1..close, named));
            }
            if is_field && let Some(start) = text[close..part.end].find("\n\n").map(|at| close + at + 2) {
                let end = text[start..part.end].find("\n--").map_or(part.end, |at| start + at);
                found.push((start..end, false));
            }
            at = close + 1;
        }
    }
    found
}

/// Each fixture's record with `marker` in one of its strings, for each string.
fn with_marker(marker: &str, settings: impl Fn() -> Settings, mut check: impl FnMut(&CallRecord, &str)) {
    let (mut fixtures, mut cases) = (0, 0);
    for fixture in fixture::fixtures() {
        let text = std::fs::read_to_string(&fixture.file).unwrap();
        if text.contains("x-fixture: base64") {
            continue;
        }
        fixtures += 1;
        for (range, is_name) in strings(&text) {
            let value = if is_name {
                // A member beside it.
                format!("{marker}\":\"{marker}\",\"{}", &text[range.clone()])
            } else {
                format!("{}{marker}", &text[range.clone()])
            };
            let changed = format!("{}{value}{}", &text[..range.start], &text[range.end..]);
            let fixture = Fixture::of(fixture.file.clone(), &changed);
            let pieces = fixture.response.split_inclusive(|byte| matches!(byte, b'\n' | 0));
            if let Some(record) = fixture.record_with(settings(), pieces, End::Complete) {
                cases += 1;
                check(&record, &format!("{} at {}: {value}", fixture.file.display(), range.start));
            }
        }
    }
    assert!(fixtures > 200 && cases > 2000, "only {cases} cases of {fixtures} fixtures");
}

/// Paths in `value` of keys and strings that contain `marker`.
fn places(value: &Value, at: &str, marker: &str, found: &mut Vec<String>) {
    match value {
        Value::String(text) if text.contains(marker) => found.push(at.to_owned()),
        Value::Array(values) => values.iter().for_each(|value| places(value, at, marker, found)),
        Value::Object(map) => {
            for (key, value) in map {
                if key.contains(marker) {
                    found.push(format!("{at}.{key}"));
                }
                places(value, &format!("{at}.{key}"), marker, found);
            }
        }
        _ => {}
    }
}

/// The record's JSON, with what is kept of its HTTP exchange beside it.
fn everything(record: &CallRecord) -> Value {
    let mut value = serde_json::to_value(record).unwrap();
    value["http"] = serde_json::to_value(record.http.as_ref().expect("it is kept")).unwrap();
    value
}

#[test]
fn metadata_only_keeps_nothing_that_was_said() {
    const MARKER: &str = " Meine Akte ";
    // Names of models and of who made the call.
    const MAY: [&str; 8] = [
        ".request.model",
        ".response.model",
        ".context.user_id",
        ".context.session_id",
        ".context.chat_id",
        ".context.message_id",
        ".context.organization_id",
        ".context.project_id",
    ];
    let settings = || Settings { content: ContentPolicy::MetadataOnly, http: HttpPolicy::Full, ..Settings::default() };
    with_marker(MARKER, settings, |record, case| {
        let mut found = Vec::new();
        places(&everything(record), "", MARKER.trim(), &mut found);
        found.retain(|place| !MAY.contains(&place.as_str()));
        assert!(found.is_empty(), "{found:?} in {case}");
    });
}

#[test]
fn what_is_redacted_is_nowhere() {
    const SECRETS: [&str; 5] =
        ["jo@example.com", "4111 1111 1111 1111", "DE89370400440532013000", "+49 30 1234567", "AKIAIOSFODNN7EXAMPLE"];
    // What a provider says in its own words; see the module `redact`.
    const MAY: [&str; 7] = [
        ".response.id",
        ".response.finish_reasons",
        ".response.more_choices.finish_reason",
        ".response.system_fingerprint",
        ".response.service_tier",
        ".response.request_id",
        ".error.type",
    ];
    let settings = || {
        let kinds = [Builtin::ApiKey, Builtin::Email, Builtin::Iban, Builtin::CreditCard, Builtin::Phone];
        let redactor = Redactor::default().with_builtin(kinds);
        Settings { redactor, http: HttpPolicy::Full, ..Settings::default() }
    };
    with_marker(&format!(" {}", SECRETS.join(" ")), settings, |record, case| {
        let value = everything(record);
        let mut found = Vec::new();
        for secret in SECRETS {
            places(&value, "", secret, &mut found);
        }
        found.retain(|place| !MAY.contains(&place.as_str()));
        assert!(found.is_empty(), "{found:?} in {case}");
    });
}

/// Each fixture's record with `headers` and `query` added to what its client sent, and `headers` to what it was answered.
fn with_heads(
    headers: &[(&str, &str)],
    query: &str,
    settings: impl Fn() -> Settings,
    check: impl Fn(&CallRecord, &str),
) {
    let pairs = || headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let mut cases = 0;
    for mut fixture in fixture::fixtures() {
        fixture.request_headers.0.extend(pairs());
        fixture.response_headers.0.extend(pairs());
        fixture.query = Some(fixture.query.map_or(query.to_owned(), |own| format!("{own}&{query}")));
        let response = fixture.response.clone();
        if let Some(record) = fixture.record_with(settings(), std::iter::once(response.as_slice()), End::Complete) {
            cases += 1;
            check(&record, &fixture.file.display().to_string());
        }
    }
    assert!(cases > 200, "only {cases} fixtures");
}

#[test]
fn no_secret_of_a_head_is_kept() {
    const HEADERS: [(&str, &str); 9] = [
        ("authorization", "Bearer hunter2"),
        ("proxy-authorization", "Basic hunter2"),
        ("cookie", "session=hunter2"),
        ("set-cookie", "session=hunter2; Path=/"),
        ("x-api-key", "hunter2"),
        ("api-key", "hunter2"),
        ("x-goog-api-key", "hunter2"),
        ("x-amz-security-token", "hunter2"),
        ("location", "https://example.com/?sig=hunter2"),
    ];
    let settings = || Settings { http: HttpPolicy::Full, ..Settings::default() };
    with_heads(&HEADERS, "key=hunter2&X-Amz-Signature=hunter2&a%75th=hunter2", settings, |record, case| {
        let text = everything(record).to_string();
        assert!(!text.contains("hunter2"), "{case}: {text}");
        assert!(text.contains("****") && text.contains(r#""bodies":"kept""#), "{case}");
    });
}

#[test]
fn metadata_only_keeps_nothing_that_was_said_in_a_head() {
    let settings = || Settings { content: ContentPolicy::MetadataOnly, http: HttpPolicy::Full, ..Settings::default() };
    let headers = [("x-note", "Meine Akte"), ("content-disposition", "attachment; filename=\"Meine Akte\"")];
    with_heads(&headers, "q=Meine%20Akte&Meine+Akte=1", settings, |record, case| {
        let text = everything(record).to_string();
        assert!(!text.contains("Akte"), "{case}: {text}");
    });
}
