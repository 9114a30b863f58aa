//! Memory that reading takes at most, whatever a body holds. By itself in one test: the allocator counts for the whole
//! process.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that fails should say so at once

use std::borrow::Cow;
use std::io::Write;
use std::sync::Arc;

use ai_tracing_core::capture::{Capture, Headers, Ids, RequestHead};
use ai_tracing_core::json::MAX_NODES;
use ai_tracing_core::record::{CallRecord, End};
use ai_tracing_core::settings::{HttpPolicy, Limits, Settings};
use ai_tracing_core::time::At;
use flate2::Compression;
use flate2::write::GzEncoder;
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

const MIB: usize = 1 << 20;
/// Smaller than the defaults, which changes nothing but the time that this takes.
const LIMITS: Limits = Limits { max_body_size: MIB, max_inflated_size: 8 * MIB };
/// What may be taken for the values of two bodies, beside copies of their text.
const ALLOWED: usize = 96 * MIB;

struct Pairs(&'static [(&'static str, &'static str)]);

impl Headers for Pairs {
    fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        self.0.iter().find(|(key, _)| *key == name).map(|(_, value)| Cow::Borrowed(*value))
    }
}

const PLAIN: Pairs = Pairs(&[("content-type", "application/json")]);
const GZIP: Pairs = Pairs(&[("content-type", "application/json"), ("content-encoding", "gzip")]);

/// `start`, so many `item`s as fit into `bytes`, and `end`; and how many these are.
fn list(start: &str, item: &str, end: &str, bytes: usize) -> (Vec<u8>, u64) {
    let count = (bytes - start.len() - end.len()) / (item.len() + 1);
    (format!("{start}{}{end}", vec![item; count].join(",")).into_bytes(), count as u64)
}

/// The record, and the bytes that reading it took at most beside what had been captured.
fn read(path: &str, request: &[u8], headers: &Pairs, response: &[u8]) -> (CallRecord, usize) {
    let settings = Arc::new(Settings { limits: LIMITS, http: HttpPolicy::Full, ..Settings::default() });
    let head = RequestHead {
        method: "POST",
        path,
        query: None,
        host: "api.openai.com",
        headers,
        upstream: None,
        service: None,
        route: None,
        consumer: None,
    };
    let mut capture = Capture::start(&settings, &head, Ids { call: "c".into(), trace: 1, span: 2 }, At(1)).unwrap();
    capture.request_body(request);
    capture.response_head(200, headers, At(2));
    capture.response_body(response, At(3));
    let finished = capture.finish(End::Complete, At(4));
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let record = finished.into_record().unwrap();
    (record, MEMORY.peak_usage() - before)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn reading_takes_no_more_than_a_few_times_what_may_be_captured() {
    let Limits { max_body_size, max_inflated_size } = LIMITS;
    // The tables of the detection and of the tokenizer, once.
    read("/v1/chat/completions", br#"{"messages":[{"content":"a"}]}"#, &PLAIN, b"{}");
    let chat = r#"{"model":"gpt-4o","messages":["#;
    let items = ["{}", r#""""#, r#"{"content":[""]}"#, r#"{"content":[{"":0}]}"#];
    for item in items {
        let (request, count) = list(chat, item, r#"],"temperature":1}"#, max_body_size);
        let (record, peak) = read("/v1/chat/completions", &request, &PLAIN, b"");
        assert!(peak <= ALLOWED, "{item}: {} MiB", peak / MIB);
        assert_eq!(record.request.message_count, Some(count), "{item}: all are counted");
        assert_eq!(record.request.params.temperature, Some(1.0), "{item}: what follows is read");
        assert!(record.request.messages.len() <= MAX_NODES);
        assert!(record.issues.iter().any(|issue| issue.contains("further items")), "{:?}", record.issues);
    }
    for (path, start, item, end) in [
        ("/v1/completions", r#"{"prompt":["#, "[1]", "]}"),
        (
            "/v1/chat/completions",
            r#"{"messages":["#,
            r#"{"content":[{"type":"image_url","image_url":"data:,"}]}"#,
            "]}",
        ),
        ("/v1/responses", r#"{"input":["#, r#"{"type":"a","":0}"#, "]}"),
        ("/v1/chat/completions", r#"{"tools":["#, r#"{"":{"":{}}}"#, "]}"),
        ("/v1/chat/completions", r#"{"metadata":{"#, r#""abcd":{"":{}}"#, "}}"),
    ] {
        let (request, _) = list(start, item, end, max_body_size);
        let (_, peak) = read(path, &request, &PLAIN, b"");
        assert!(peak <= ALLOWED, "{start}{item}: {} MiB", peak / MIB);
    }
    // Text counts as well: as it was inflated, with U+FFFD in place of what is no UTF-8, unescaped, and as it is
    // recorded.
    for (what, text, times) in [("escaped", b"words\\n".as_slice(), 4), ("not UTF-8", b"\xff", 9)] {
        let text = text.repeat((max_inflated_size - 100) / text.len());
        let request = [chat.as_bytes(), br#"{"content":""#, &text, br#""}]}"#].concat();
        let (record, peak) = read("/v1/chat/completions", &gzip(&request), &GZIP, b"");
        assert_eq!(record.issues, [] as [&str; 0]);
        assert!(peak <= times * max_inflated_size, "{what} text: {} MiB", peak / MIB);
    }
}
