//! One exchange a file, written after the providers' public specifications: `tests/wire/{family}/{name}.http`.
//!
//! ```text
//! POST https://api.example.com/v1/chat
//! content-type: application/json
//!
//! {"request": "body"}
//! === 200
//! content-type: text/event-stream
//!
//! data: {"response": "body"}
//! ```
//!
//! Lines before the first that begins with `POST` are comments. The response header `x-fixture` says how its body is
//! made of the text: `crlf` (line ends), `nul` (a NUL for each line end), `base64`, or `aws` (each line is an event's
//! type and its payload; `!` in front makes it an exception).
//!
//! Each record is compared with the snapshot beside its file, however the bytes are cut into pieces; and no cut of the
//! body harms.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)] // a test that fails should say so at once

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ai_tracing_core::capture::{Capture, Headers, Ids, RequestHead, Upstream};
use ai_tracing_core::record::{CallRecord, End, Timing};
use ai_tracing_core::settings::Settings;
use ai_tracing_core::time::At;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::{Value, json};

const MS: u64 = 1_000_000;
const START: u64 = 1_767_323_045_000 * MS;

struct Fixture {
    file: PathBuf,
    host: String,
    path: String,
    query: Option<String>,
    request_headers: Pairs,
    request: Vec<u8>,
    status: u16,
    response_headers: Pairs,
    response: Vec<u8>,
}

struct Pairs(Vec<(String, String)>);

impl Headers for Pairs {
    fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        self.0.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| Cow::Borrowed(value.as_str()))
    }
}

fn fixtures() -> Vec<Fixture> {
    let mut files = Vec::new();
    for family in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/wire")).unwrap() {
        let entries = std::fs::read_dir(family.unwrap().path()).unwrap().map(|entry| entry.unwrap().path());
        files.extend(entries.filter(|path| path.extension().is_some_and(|extension| extension == "http")));
    }
    files.sort();
    files.into_iter().map(Fixture::read).collect()
}

impl Fixture {
    fn read(file: PathBuf) -> Self {
        let text = std::fs::read_to_string(&file).unwrap();
        let text = &text[text.find("POST ").unwrap()..];
        let (request, response) = text.split_once("\n=== ").unwrap();
        let (head, request) = request.split_once("\n\n").unwrap_or((request, ""));
        let (url, headers) = head.split_once('\n').unwrap_or((head, ""));
        let url = url.strip_prefix("POST ").unwrap().split_once("://").unwrap().1;
        let (host, target) = url.split_at(url.find('/').unwrap());
        let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        let request_headers = pairs(headers);
        let (status, response) = response.split_once('\n').unwrap();
        let (headers, body) = response.split_once("\n\n").unwrap_or((response, ""));
        let response_headers = pairs(headers);
        let response = match response_headers.get("x-fixture").as_deref() {
            Some("crlf") => body.replace('\n', "\r\n").into_bytes(),
            Some("nul") => body.replace('\n', "\0").into_bytes(),
            Some("base64") => STANDARD.decode(body.trim()).unwrap(),
            Some("aws") => body.lines().filter(|line| !line.is_empty()).flat_map(aws_message).collect(),
            None => body.as_bytes().to_vec(),
            Some(other) => panic!("{}: unknown x-fixture {other}", file.display()),
        };
        Self {
            host: host.split(':').next().unwrap().to_owned(),
            path: path.to_owned(),
            query: query.map(str::to_owned),
            request_headers,
            request: request.as_bytes().to_vec(),
            status: status.trim().parse().unwrap(),
            response_headers,
            response,
            file,
        }
    }

    /// The record when the response comes in these pieces, 10 ms apart.
    fn record<'a>(&self, pieces: impl Iterator<Item = &'a [u8]>, end: End) -> Option<CallRecord> {
        let head = RequestHead {
            method: "POST",
            path: &self.path,
            query: self.query.as_deref(),
            host: "localhost",
            headers: &self.request_headers,
            upstream: Some(Upstream { host: &self.host, port: 443, path: &self.path }),
            service: None,
            route: None,
            consumer: None,
        };
        let ids = Ids { call: "0198f000-0000-7000-8000-000000000001".into(), trace: 0xabc, span: 0xdef };
        let mut capture = Capture::start(&Arc::new(Settings::default()), &head, ids, At(START))?;
        capture.request_body(&self.request);
        capture.upstream_started(At(START + MS));
        capture.response_head(self.status, &self.response_headers, At(START + 100 * MS));
        let mut at = START + 100 * MS;
        for piece in pieces {
            at += 10 * MS;
            capture.response_body(piece, At(at));
        }
        capture.finish(end, At(START + 5000 * MS)).into_record()
    }

    /// The response in pieces cut at these places.
    fn pieces(&self, mut cuts: Vec<usize>) -> Vec<&[u8]> {
        cuts.extend([0, self.response.len()]);
        cuts.sort_unstable();
        cuts.windows(2).map(|pair| &self.response[pair[0]..pair[1]]).collect()
    }
}

fn pairs(text: &str) -> Pairs {
    let pair = |line: &str| {
        let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("no header: {line:?}"));
        (name.trim().to_owned(), value.trim().to_owned())
    };
    Pairs(text.lines().filter(|line| !line.is_empty()).map(pair).collect())
}

/// `{event type} {payload}`, or `!{exception type} {payload}`, as <https://smithy.io/2.0/aws/amazon-eventstream.html>
/// says.
fn aws_message(line: &str) -> Vec<u8> {
    let (name, payload) = line.split_once(' ').unwrap_or((line, ""));
    let (kind, header, name) = match name.strip_prefix('!') {
        Some(name) => ("exception", ":exception-type", name),
        None => ("event", ":event-type", name),
    };
    let mut headers = Vec::new();
    for (key, value) in [(header, name), (":content-type", "application/json"), (":message-type", kind)] {
        headers.push(key.len() as u8);
        headers.extend_from_slice(key.as_bytes());
        headers.push(7);
        headers.extend_from_slice(&(value.len() as u16).to_be_bytes());
        headers.extend_from_slice(value.as_bytes());
    }
    let mut message = ((16 + headers.len() + payload.len()) as u32).to_be_bytes().to_vec();
    message.extend_from_slice(&(headers.len() as u32).to_be_bytes());
    message.extend_from_slice(&crc32fast::hash(&message).to_be_bytes());
    message.extend_from_slice(&headers);
    message.extend_from_slice(payload.as_bytes());
    message.extend_from_slice(&crc32fast::hash(&message).to_be_bytes());
    message
}

/// Without what depends on when the pieces passed.
fn timeless(record: Option<CallRecord>) -> Option<(CallRecord, bool)> {
    record.map(|mut record| {
        let token = record.timing.time_to_first_token_ms.is_some();
        record.timing = Timing::default();
        (record, token)
    })
}

/// What the exchange decides, without what is unknown.
fn telling(record: Option<CallRecord>) -> Value {
    const SAME_EVERYWHERE: [&str; 10] =
        ["id", "detected", "schema_version", "trace_id", "span_id", "name", "method", "server", "timing", "end"];
    let Some(record) = record else { return json!({ "detected": false }) };
    let first_token = record.timing.time_to_first_token_ms;
    let mut value = serde_json::to_value(record).unwrap();
    let members = value.as_object_mut().unwrap();
    members.retain(|key, _| !SAME_EVERYWHERE.contains(&key.as_str()));
    members["context"].as_object_mut().unwrap().remove("environment");
    members.insert("time_to_first_token_ms".into(), json!(first_token));
    drop_empty(&mut value);
    value
}

fn drop_empty(value: &mut Value) {
    if let Value::Object(members) = value {
        members.values_mut().for_each(drop_empty);
        let empty = |value: &Value| match value {
            Value::Null => true,
            Value::Array(items) => items.is_empty(),
            Value::Object(members) => members.is_empty(),
            _ => false,
        };
        members.retain(|_, value| !empty(value));
    }
}

#[test]
fn each_fixture_gives_its_record() {
    for fixture in fixtures() {
        let record = fixture.record(fixture.response.split_inclusive(|byte| matches!(byte, b'\n' | 0)), End::Complete);
        insta::with_settings!({
            snapshot_path => fixture.file.parent().unwrap(),
            prepend_module_to_snapshot => false,
            description => fixture.file.file_name().unwrap().to_string_lossy().into_owned(),
            omit_expression => true,
        }, {
            insta::assert_json_snapshot!(fixture.file.file_stem().unwrap().to_str().unwrap(), telling(record));
        });
    }
}

#[test]
fn no_two_fixtures_have_the_same_request_and_answer() {
    let mut seen: Vec<Fixture> = Vec::new();
    for fixture in fixtures() {
        let same = |other: &&Fixture| {
            other.path == fixture.path && other.request == fixture.request && other.response == fixture.response
        };
        assert!(seen.iter().find(same).is_none(), "{}", fixture.file.display());
        seen.push(fixture);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn any_chunking_gives_the_same_record(cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12)) {
        for fixture in fixtures() {
            let cuts = cuts.iter().map(|cut| cut.index(fixture.response.len() + 1)).collect();
            let whole = fixture.record([fixture.response.as_slice()].into_iter(), End::Complete);
            let pieces = fixture.record(fixture.pieces(cuts).into_iter(), End::Complete);
            prop_assert_eq!(timeless(pieces), timeless(whole), "{}", fixture.file.display());
        }
    }

    #[test]
    fn a_cut_harms_nothing(cut in any::<prop::sample::Index>(), flip in any::<prop::sample::Index>(), bit in 0u8..8) {
        for mut fixture in fixtures() {
            fixture.response.truncate(cut.index(fixture.response.len() + 1));
            if !fixture.response.is_empty() {
                let at = flip.index(fixture.response.len());
                fixture.response[at] ^= 1 << bit;
            }
            fixture.record([fixture.response.as_slice()].into_iter(), End::UpstreamError);
            fixture.request.truncate(cut.index(fixture.request.len() + 1));
            fixture.record([fixture.response.as_slice()].into_iter(), End::ClientGone);
        }
    }
}
