use std::io::{BufReader, Cursor};
use std::sync::Arc;

use ai_tracing_core::record::{CallRecord, End};
use ai_tracing_core::settings::Settings;
use base64::Engine;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::entry::{MAX_BODY, Timings};
use super::*;

/// All entries, read `piece` bytes at a time, and how it ended.
fn read(text: &[u8], piece: usize) -> (Vec<Entry>, Result<(), String>) {
    let mut entries = Vec::new();
    let mut har = Har::new(BufReader::with_capacity(piece, Cursor::new(text))).unwrap();
    loop {
        match har.next_entry() {
            Ok(Some(entry)) => entries.push(entry),
            Ok(None) => return (entries, Ok(())),
            Err(problem) => return (entries, Err(problem.to_string())),
        }
    }
}

fn har(entries: Value) -> Vec<u8> {
    serde_json::to_vec(&json!({"log": {"version": "1.2", "creator": {}, "entries": entries, "pages": []}, "x": [1]}))
        .unwrap()
}

/// A streamed chat as a browser saves it.
fn chat() -> Value {
    let stream = "data: {\"id\":\"c1\",\"model\":\"m-1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi 🌍\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n";
    json!({
        "_id": "one", "startedDateTime": "2026-01-02T03:04:05.678Z", "time": 900.5,
        "timings": {"blocked": 1, "dns": -1, "connect": 2, "ssl": 1, "send": 0.5, "wait": 400, "receive": 497},
        "request": {
            "method": "post", "url": "https://llm.test:8443/v1/chat/completions?x=1",
            "headers": [
                {"name": ":path", "value": "/wrong"}, {"name": "X-USER-ID", "value": "u-1"},
                {"name": "Content-Encoding", "value": "gzip"}
            ],
            "postData": {
                "mimeType": "application/json",
                "text": json!({"model": "m", "stream": true, "messages": [{"role": "user", "content": "Hello"}]}).to_string(),
            },
        },
        "response": {
            "status": 200, "headers": [{"name": "Content-Encoding", "value": "br"}],
            "content": {"mimeType": "text/event-stream", "size": 1, "text": stream},
        },
    })
}

fn changed(change: impl FnOnce(&mut Value)) -> Value {
    let mut entry = chat();
    change(&mut entry);
    entry
}

fn record(entry: Value) -> CallRecord {
    let (entries, end) = read(&har(json!([entry])), 4096);
    assert_eq!((entries.len(), end), (1, Ok(())));
    let settings = Arc::new(Settings { estimate_tokens: false, ..Settings::default() });
    replay(&settings, &entries[0], 0, "id", false).record.expect("no record")
}

#[test]
fn an_entry_becomes_a_record() {
    let record = record(chat());
    assert_eq!((record.id.as_str(), record.method.as_str(), record.status), ("id", "POST", Some(200)));
    assert_eq!((record.server.address.as_deref(), record.server.port), (Some("llm.test"), Some(8443)));
    assert_eq!(record.response.text.as_deref(), Some("Hi 🌍"), "the body is decoded already");
    assert_eq!(record.context.user_id.as_deref(), Some("u-1"));
    assert_eq!((record.usage.input, record.usage.output), (Some(3), Some(2)));
    assert_eq!(record.timing.started_at.to_rfc3339(), "2026-01-02T03:04:05.678000Z");
    assert_eq!(record.timing.total_duration_ms, 900.5);
    assert!(record.stream && record.timing.throughput_tokens_per_second.is_some());
    assert_eq!(record.timing.time_to_first_token_ms, None, "nobody knows when the first token came");
    assert_eq!((record.timing.time_per_token_ms, record.timing.upstream_ms), (None, None));
    assert_eq!(record.issues, Vec::<String>::new());
}

#[test]
fn what_was_not_timed_has_no_rates() {
    let whole = json!({"id": "c", "model": "m", "choices": [{"index": 0, "message": {"role": "assistant", "content": "x"}}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2}});
    let record = record(changed(|entry| {
        entry["startedDateTime"] = Value::Null;
        entry["time"] = json!(0);
        entry["timings"] = json!({"send": 0, "wait": 0, "receive": 0});
        entry["response"]["content"] = json!({"mimeType": "application/json", "text": whole.to_string()});
    }));
    assert_eq!((record.stream, record.usage.output), (false, Some(2)));
    assert_eq!((record.timing.started_at.0, record.timing.total_duration_ms), (0, 0.0));
    assert_eq!((record.timing.time_per_token_ms, record.timing.throughput_tokens_per_second), (None, None));
}

#[test]
fn without_time_the_timings_count() {
    let record = record(changed(|entry| drop(entry.as_object_mut().unwrap().remove("time"))));
    assert_eq!(record.timing.total_duration_ms, 900.5);
}

#[test]
fn the_same_entry_has_the_same_trace() {
    let (first, again) = (record(chat()), record(chat()));
    assert_eq!((&first.trace_id, &first.span_id), (&again.trace_id, &again.span_id));
    let other = record(changed(|entry| entry["startedDateTime"] = json!("2026-01-02T03:04:05.679Z")));
    assert_ne!(first.trace_id, other.trace_id);
}

#[test]
fn base64_bodies_are_decoded_and_inflated_where_they_are_compressed() {
    use std::io::Write;
    let text = chat()["response"]["content"]["text"].as_str().unwrap().to_owned();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    for (coding, body) in [("gzip", gzip.as_slice()), ("gzip", text.as_bytes()), ("br", text.as_bytes())] {
        let mut encoded = base64::engine::general_purpose::STANDARD_NO_PAD.encode(body);
        encoded.insert_str(8, "\r\n");
        let record = record(changed(|entry| {
            entry["response"]["headers"][0]["value"] = json!(coding);
            entry["response"]["content"]["encoding"] = json!("base64");
            entry["response"]["content"]["text"] = json!(encoded);
        }));
        assert_eq!((record.response.text.as_deref(), record.issues.len()), (Some("Hi 🌍"), 0), "{coding}");
    }
    let request = chat()["request"]["postData"]["text"].as_str().unwrap().to_owned();
    for key in ["encoding", "_encoding"] {
        let record = record(changed(|entry| {
            entry["request"]["postData"]["text"] = json!(base64::engine::general_purpose::STANDARD.encode(&request));
            entry["request"]["postData"][key] = json!("BASE64");
        }));
        assert_eq!(record.request.model.as_deref(), Some("m"));
    }
    let record = record(changed(|entry| entry["response"]["content"]["encoding"] = json!("base64")));
    assert_eq!(record.response.text.as_deref(), Some("Hi 🌍"));
    assert_eq!(record.issues, ["response body is said to be base64 and is not: read as text"]);
}

#[test]
fn an_answer_that_never_came_is_none() {
    for (error, end) in [
        (json!(null), End::UpstreamError),
        (json!("net::ERR_CONNECTION_RESET"), End::UpstreamError),
        (json!("net::ERR_ABORTED"), End::ClientGone),
        (json!("Client disconnected."), End::ClientGone),
        (json!("net::ERR_TIMED_OUT"), End::Timeout),
    ] {
        let record = record(changed(|entry| entry["response"] = json!({"status": 0, "_error": error, "content": {}})));
        assert_eq!((record.status, record.end), (None, end), "{error}");
    }
    let absent = record(changed(|entry| entry["response"] = Value::Null));
    assert_eq!((absent.status, absent.end), (None, End::UpstreamError));
    let cut = record(changed(|entry| entry["response"]["_error"] = json!("net::ERR_ABORTED")));
    assert_eq!((cut.status, cut.end, cut.response.text.as_deref()), (Some(200), End::ClientGone, Some("Hi 🌍")));
}

#[test]
fn forms_are_put_together_from_their_fields() {
    let record = record(changed(|entry| {
        entry["request"]["postData"] = json!({"mimeType": "multipart/form-data; boundary=lost", "params": [
            {"name": "model", "value": "whisper-1"},
            {"name": "file", "fileName": "a \"b\".wav", "contentType": "audio/wav", "value": "RIFF"},
        ]});
        entry["request"]["headers"] = json!([{"name": "content-type", "value": "multipart/form-data; boundary=lost"}]);
    }));
    assert_eq!(record.request.model.as_deref(), Some("whisper-1"));
}

#[test]
fn a_long_body_is_cut_and_says_so() {
    let long = "x".repeat(MAX_BODY + 1000);
    let entry = changed(|entry| {
        let body = json!({"model": "m", "messages": [{"role": "user", "content": long}]});
        entry["request"]["postData"]["text"] = json!(body.to_string());
    });
    let (entries, _) = read(&har(json!([entry])), 1 << 16);
    let text = &entries[0].request.body.text;
    assert_eq!(text.text.len(), MAX_BODY);
    assert!(text.lost > 1000);
    let record = record(entry);
    assert!(record.issues[0].starts_with("request body of "), "{:?}", record.issues);
    assert_eq!((record.request.model.as_deref(), record.prompt_length), (Some("m"), None));
    assert_eq!(record.response.text.as_deref(), Some("Hi 🌍"), "what is behind it is read");
}

#[test]
fn fields_of_other_types_are_absent() {
    let odd = json!([
        "an entry", null, [], {},
        {"_id": 7, "startedDateTime": 5, "time": "12.5", "timings": [1], "request": "x", "response": []},
        {"request": {"method": {}, "url": ["u"], "headers": {"a": "b"}, "postData": {"text": {"deep": [[[]]]}, "params": 1}},
         "response": {"status": "429", "headers": [1, {"name": null, "value": 5}], "content": "text", "_error": {}},
         "_initiator": {"stack": {"parent": {"parent": [{"parent": {}}]}}}, "_webSocketMessages": [{"data": "x"}]},
    ]);
    let (entries, end) = read(&har(odd), 7);
    assert_eq!((entries.len(), end), (6, Ok(())));
    assert!(entries[..4].iter().all(|entry| *entry == Entry::default()));
    assert_eq!((entries[4].id.as_deref(), entries[4].time), (Some("7"), Some(12.5)));
    assert_eq!(entries[5].response.status, Some(429));
    assert_eq!(entries[5].response.headers[1].value, "5");
    assert_eq!(entries[4].timings, Timings::default());
    let settings = Arc::default();
    for entry in &entries {
        let replayed = replay(&settings, entry, 0, "id", true);
        assert!(replayed.record.is_none() && replayed.why.is_some() && !replayed.defect);
    }
}

#[test]
fn a_field_that_comes_twice_counts_as_it_came_last() {
    let text = br#"{"log": {"entries": [{"_id": "a", "_id": "b"}], "entries": [{"request": {"url": "u", "url": "v"}}]},
        "log": {"entries": [{"_id": "c"}]}}"#;
    let (entries, end) = read(text, 3);
    let ids: Vec<_> = entries.iter().map(|entry| entry.id.as_deref()).collect();
    assert_eq!((ids.as_slice(), end), ([Some("b"), None, Some("c")].as_slice(), Ok(())));
    assert_eq!(entries[1].request.url, "v");
}

#[test]
fn what_is_no_har_is_told() {
    for text in ["[]", "{}", "7", "null", r#"{"log": []}"#, r#"{"log": {"entries": {}}}"#] {
        assert_eq!(read(text.as_bytes(), 4).1, Err("not a HAR file: it has no log.entries".into()), "{text}");
    }
    for (text, problem) in [
        ("", "before the first entry, byte 0: the file ends too early"),
        ("<html>", "before the first entry, byte 0: a value expected"),
        (r#"{"log": {"entries": [{}, {"_id": "#, "entry 1, byte 33: the file ends too early"),
        (r#"{"log": {"entries": [{} {"#, "after 1 entry, byte 24: a comma or the end of the array expected"),
        (r#"{"log": {"entries": []}} x"#, "before the first entry, byte 25: the end of the file expected"),
    ] {
        assert_eq!(read(text.as_bytes(), 4).1, Err(problem.into()), "{text}");
    }
    assert_eq!(read("\u{feff} {\"log\": {\"entries\": [{}]}}\n".as_bytes(), 1), (vec![Entry::default()], Ok(())));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_cut_file_gives_its_beginning(at in 0usize..4000, piece in 1usize..64) {
        let text = har(json!([chat(), {"_id": "two"}, chat()]));
        let (whole, end) = read(&text, 4096);
        prop_assert_eq!((whole.len(), end), (3, Ok(())));
        let at = at.min(text.len() - 1);
        let (entries, end) = read(&text[..at], piece);
        prop_assert!(end.is_err() && whole.starts_with(&entries));
    }

    #[test]
    fn nothing_panics(mut text in Just(har(json!([chat(), chat()]))), at in 0usize..2000, byte: u8, explain: bool) {
        let at = at.min(text.len() - 1);
        text[at] = byte;
        let settings = Arc::default();
        for entry in read(&text, 64).0 {
            prop_assert!(!replay(&settings, &entry, 0, "id", explain).defect);
        }
    }
}
