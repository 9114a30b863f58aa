//! Whole exchanges of every endpoint there is.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use ai_tracing_core::capture::{Capture, Headers, Ids, RequestHead, Upstream};
use ai_tracing_core::dialect::{self, Example};
use ai_tracing_core::http::{Http, MAX_BODY, MAX_CHUNKS, MAX_HEAD};
use ai_tracing_core::record::{CallRecord, End, Timing};
use ai_tracing_core::settings::{ContentPolicy, HttpPolicy, Limits, ProviderRule, Settings};
use ai_tracing_core::time::At;

use super::{pieces, same};

/// What an input becomes: five bytes of choices, then `host/path`, the request's headers and
/// body, the response's headers and body, each separated by [`SEPARATOR`]. What is missing is empty.
struct Plan<'a> {
    /// How the response is cut into pieces.
    chunking: u8,
    host: String,
    path: String,
    query: Option<String>,
    /// The dialect that a rule of the configuration names.
    pinned: Option<&'static str>,
    request_headers: Lines<'a>,
    request: &'a [u8],
    status: u16,
    response_headers: Lines<'a>,
    response: &'a [u8],
    end: End,
    settings: Arc<Settings>,
}

pub const SEPARATOR: &[u8] = b"\n===\n";
/// Value of the first choice that takes host and path from the input instead of the endpoints' examples.
pub const LITERAL: u8 = 255;

const TYPES: [&str; 8] = [
    "",
    "application/json",
    "text/event-stream",
    "application/x-ndjson",
    "application/vnd.amazon.eventstream",
    "text/plain; charset=utf-8",
    "audio/mpeg",
    "multipart/form-data; boundary=x",
];
const STATUS: [u16; 8] = [200, 200, 200, 200, 201, 400, 429, 500];
const ENDS: [End; 4] = [End::Complete, End::ClientGone, End::UpstreamError, End::Timeout];
/// Bytes kept of a body where the plan asks for little.
const LITTLE: usize = 256;
/// Bytes that a compressed body may become.
const INFLATED: usize = 64 << 10;

/// Endpoints that are found by an example; all.
static EXAMPLES: LazyLock<Vec<Example>> = LazyLock::new(dialect::examples);

impl<'a> Plan<'a> {
    fn read(input: &'a [u8]) -> Option<Self> {
        let (&[endpoint, chunking, options, types, outcome], mut rest) = input.split_first_chunk::<5>()?;
        let mut section = || {
            let end = memchr::memmem::find(rest, SEPARATOR).unwrap_or(rest.len());
            let (section, after) = rest.split_at(end);
            rest = after.get(SEPARATOR.len()..).unwrap_or_default();
            section
        };
        let address = String::from_utf8_lossy(section()).into_owned();
        let (host, path) = address.split_at(address.find('/').unwrap_or(address.len()));
        let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query.to_owned())));
        let (mut host, mut path, mut pinned) = (host.to_owned(), path.to_owned(), None);
        if endpoint != LITERAL {
            let example = &EXAMPLES[usize::from(endpoint) % EXAMPLES.len()];
            path.clone_from(&example.path);
            if options & 1 == 0 {
                host = example.host.clone().unwrap_or_default();
            }
            pinned = (options & 2 == 0).then_some(example.dialect);
        }
        let mut settings = Settings { estimate_tokens: options & 16 == 0, ..Settings::default() };
        settings.limits = Limits { max_inflated_size: INFLATED, ..Limits::default() };
        if options & 4 != 0 {
            settings.content = ContentPolicy::MetadataOnly;
        }
        if options & 32 != 0 {
            settings.http = HttpPolicy::Full;
        }
        if options & 8 != 0 {
            settings.limits.max_body_size = LITTLE;
        }
        if let Some(name) = pinned {
            let rule = ProviderRule { name: "pinned".into(), dialect: Some(name.into()), ..ProviderRule::default() };
            settings.providers.push(rule);
        }
        Some(Self {
            chunking,
            host,
            path,
            query,
            pinned,
            request_headers: Lines { text: section(), content_type: TYPES[usize::from(types >> 4) % 8] },
            request: section(),
            status: STATUS[usize::from(outcome) % 8],
            response_headers: Lines { text: section(), content_type: TYPES[usize::from(types) % 8] },
            response: section(),
            end: ENDS[usize::from(outcome >> 3) % 4],
            settings: Arc::new(settings),
        })
    }
}

/// An input that stands for this exchange.
pub fn input(address: &str, status: u16, request: (&[u8], &[u8]), response: (&[u8], &[u8])) -> Vec<u8> {
    let outcome = STATUS.iter().position(|known| *known == status).unwrap_or(5) as u8;
    let sections = [address.as_bytes(), request.0, request.1, response.0, response.1].join(SEPARATOR);
    [&[LITERAL, 7, 0, 0, outcome], sections.as_slice()].concat()
}

/// Headers as lines, and a content type for when they name none.
#[derive(Clone, Copy)]
struct Lines<'a> {
    text: &'a [u8],
    content_type: &'static str,
}

impl Headers for Lines<'_> {
    fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        let found = self.text.split(|byte| *byte == b'\n').find_map(|line| {
            let at = memchr::memchr(b':', line)?;
            line[..at].eq_ignore_ascii_case(name.as_bytes()).then(|| line[at + 1..].trim_ascii())
        });
        let default = (name == "content-type" && !self.content_type.is_empty()).then_some(self.content_type);
        found.map(String::from_utf8_lossy).or(default.map(Cow::Borrowed))
    }

    fn each(&self, see: &mut dyn FnMut(&[u8], &[u8])) {
        for line in self.text.split(|byte| *byte == b'\n') {
            let at = memchr::memchr(b':', line).unwrap_or(line.len());
            see(&line[..at], line.get(at + 1..).unwrap_or_default());
        }
    }
}

/// A form, in the way of the endpoints that take one: the second line of the input is the boundary, the rest the body.
pub fn form(input: &[u8]) {
    let Some((&choice, rest)) = input.split_first() else { return };
    let (boundary, body) = rest.split_at(memchr::memchr(b'\n', rest).unwrap_or(rest.len()));
    let header = [b"content-type: multipart/form-data; boundary=", boundary].concat();
    let body = body.get(1..).unwrap_or_default();
    let sections = [b"".as_slice(), &header, body, b"", b"{\"text\":\"hi\"}"].join(SEPARATOR);
    exchange(&[&[choice, 0, choice & 0b11100, 1, 0], sections.as_slice()].concat());
}

/// Any exchange gives a record that can be stored and read back, that is no larger than what came allows, that leaves
/// content out where that is asked for, and that the pieces in which the answer came do not change.
pub fn exchange(input: &[u8]) {
    let Some(plan) = Plan::read(input) else { return };
    let Some(record) = read(&plan, &[plan.response]) else { return };
    check(&plan, &record, input.len());
    let pieced = read(&plan, &pieces(plan.chunking, plan.response)).expect("the same request");
    // Which bytes are kept in front of a gap depends on the pieces, and so does what is decoded before a damage.
    let mut issues = record.issues.iter().chain(&pieced.issues);
    let lossy = issues.any(|issue| issue.contains("corrupt") || issue.contains("max_body_size"));
    if !lossy {
        assert_eq!(timeless(pieced), timeless(record), "in other pieces");
    }
}

fn read(plan: &Plan<'_>, pieces: &[&[u8]]) -> Option<CallRecord> {
    const MS: u64 = 1_000_000;
    let head = RequestHead {
        method: "POST",
        path: &plan.path,
        query: plan.query.as_deref(),
        host: "localhost",
        headers: &plan.request_headers,
        upstream: Some(Upstream { host: &plan.host, port: 443, path: &plan.path }),
        service: None,
        route: None,
        consumer: None,
    };
    let mut at = 1_767_323_045_000 * MS;
    let mut later = |ms: u64| {
        at += ms * MS;
        At(at)
    };
    let ids = Ids { call: "0198f000-0000-7000-8000-000000000001".into(), trace: 0xabc, span: 0xdef };
    let mut capture = Capture::start(&plan.settings, &head, ids, later(0))?;
    capture.request_body(plan.request);
    capture.upstream_started(later(1));
    capture.response_head(plan.status, &plan.response_headers, later(100));
    for piece in pieces {
        capture.response_body(piece, later(10));
    }
    capture.finish(plan.end, later(100)).into_record()
}

fn check(plan: &Plan<'_>, record: &CallRecord, came: usize) {
    let written = serde_json::to_string(record).expect("a record can be written");
    let again: CallRecord = serde_json::from_str(&written).expect("a record can be read back");
    let value = |record| serde_json::to_value(record).unwrap();
    assert!(same(&value(&again), &value(record)), "{written}");
    let encoded =
        [plan.request_headers, plan.response_headers].into_iter().filter(|of| of.get("content-encoding").is_some());
    let came = came + encoded.count() * INFLATED;
    assert!(written.len() <= 128 * came + (64 << 10), "{came} bytes became a record of {}", written.len());
    assert!(plan.pinned.is_none_or(|name| record.provider == "pinned" && record.dialect == name), "{written}");
    if plan.settings.content == ContentPolicy::MetadataOnly {
        assert!(record.request.messages.is_empty() && record.request.tools.is_empty(), "{written}");
        assert!(record.response.text.is_none() && record.response.extra.is_empty(), "{written}");
    }
    assert_eq!(record.http.is_some(), plan.settings.http != HttpPolicy::Off);
    if let Some(http) = &record.http {
        let written = serde_json::to_string(http).expect("an exchange can be written");
        let again: Http = serde_json::from_str(&written).expect("an exchange can be read back");
        assert!(same(&serde_json::to_value(again).unwrap(), &serde_json::to_value(http).unwrap()), "{written}");
        // Two heads and a query, two bodies, each of their bytes escaped by six; a line for each time.
        assert!(written.len() <= 6 * (3 * MAX_HEAD + came + 2 * MAX_BODY) + 64 * MAX_CHUNKS, "{}", written.len());
    }
    if !plan.settings.estimate_tokens {
        assert!(!record.tokens_estimated);
    }
}

/// Without what depends on when the pieces passed.
fn timeless(mut record: CallRecord) -> (CallRecord, bool) {
    let token = record.timing.time_to_first_token_ms.is_some();
    record.timing = Timing::default();
    record.http = None;
    (record, token)
}
