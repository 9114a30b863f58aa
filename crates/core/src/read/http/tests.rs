use std::borrow::Cow;
use std::io::Write;
use std::sync::Arc;

use crate::capture::{Capture, Headers, Ids, RequestHead};
use crate::http::*;
use crate::record::End;
use crate::redact::{Builtin, Redactor};
use crate::settings::{ContentPolicy, HttpPolicy, Limits, Settings};
use crate::time::At;

const MS: u64 = 1_000_000;
const START: At = At(1_767_323_045_000 * MS);

struct Pairs(Vec<(&'static str, &'static str)>);

impl Headers for Pairs {
    fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        self.0.iter().find(|(key, _)| *key == name).map(|(_, value)| Cow::Borrowed(*value))
    }

    fn each(&self, see: &mut dyn FnMut(&[u8], &[u8])) {
        self.0.iter().for_each(|(name, value)| see(name.as_bytes(), value.as_bytes()));
    }
}

struct Call {
    settings: Settings,
    query: Option<&'static str>,
    request_headers: Vec<(&'static str, &'static str)>,
    request: Vec<u8>,
    response_headers: Vec<(&'static str, &'static str)>,
    /// Milliseconds from the start, and what passed then.
    pieces: Vec<(u64, Vec<u8>)>,
}

impl Default for Call {
    fn default() -> Self {
        Self {
            settings: Settings { http: HttpPolicy::Full, ..Settings::default() },
            query: None,
            request_headers: vec![("content-type", "application/json"), ("authorization", "Bearer hunter2")],
            request: br#"{"model":"m","messages":[]}"#.to_vec(),
            response_headers: vec![("content-type", "application/json")],
            pieces: vec![(20, b"{}".to_vec())],
        }
    }
}

impl Call {
    fn open(self) -> Capture {
        let headers = Pairs(self.request_headers);
        let head = RequestHead {
            method: "POST",
            path: "/v1/chat/completions",
            query: self.query,
            host: "h",
            headers: &headers,
            upstream: None,
            service: None,
            route: None,
            consumer: None,
        };
        let ids = Ids { call: "c".into(), trace: 1, span: 2 };
        let mut capture = Capture::start(&Arc::new(self.settings), &head, ids, START).unwrap();
        capture.request_body(&self.request);
        capture.response_head(200, &Pairs(self.response_headers), At(START.0 + 10 * MS));
        for (at, piece) in self.pieces {
            capture.response_body(&piece, At(START.0 + at * MS));
        }
        capture
    }

    fn http(self) -> Http {
        kept(self.open()).unwrap()
    }
}

fn kept(capture: Capture) -> Option<Http> {
    capture.finish(End::Complete, At(START.0 + 9_000 * MS)).into_record().unwrap().http.map(|http| *http)
}

fn response(http: &Http) -> &Body {
    http.response.as_ref().unwrap().body.as_ref().unwrap()
}

fn text(content: &Content) -> &str {
    match content {
        Content::Text(text) => text,
        Content::Base64(_) => panic!("text is expected"),
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn an_exchange_is_kept_as_it_was_without_its_secrets() {
    let http = Call {
        query: Some("key=hunter2&alt=sse"),
        response_headers: vec![("content-type", "text/event-stream"), ("set-cookie", "hunter2")],
        pieces: vec![(20, b"data: 1\n\n".to_vec()), (30, b"data: 2\n\n".to_vec())],
        ..Call::default()
    }
    .http();
    let expected = serde_json::json!({
        "request": {
            "method": "POST",
            "path": "/v1/chat/completions",
            "query": {"fields": [["key", "****"], ["alt", "sse"]], "left_out": 0},
            "headers": {
                "fields": [["content-type", "application/json"], ["authorization", "Bearer ****"]], "left_out": 0,
            },
            "body_bytes": 27,
            "body": {
                "encoding": null, "start": {"text": "{\"model\":\"m\",\"messages\":[]}"}, "missing": null, "end": null,
            },
        },
        "response": {
            "status": 200,
            "head_ms": 10.0,
            "headers": {"fields": [["content-type", "text/event-stream"], ["set-cookie", "****"]], "left_out": 0},
            "body_bytes": 18,
            "body": {"encoding": null, "start": {"text": "data: 1\n\ndata: 2\n\n"}, "missing": null, "end": null},
        },
        "bodies": "kept",
        "timeline": {"chunks": [[20.0, 9], [30.0, 9]], "joined": 1},
    });
    assert_eq!(serde_json::to_value(&http).unwrap(), expected);
    assert_eq!(serde_json::from_value::<Http>(expected).unwrap(), http);
    assert!(http.weight() > 200);
}

#[test]
fn off_keeps_nothing_and_headers_no_bodies() {
    let call = |http| Call { settings: Settings { http, ..Settings::default() }, ..Call::default() }.open();
    assert!(kept(call(HttpPolicy::Off)).is_none());
    assert!(call(HttpPolicy::Off).weight() < call(HttpPolicy::Headers).weight(), "headers are accounted for");
    let http = kept(call(HttpPolicy::Headers)).unwrap();
    assert_eq!((http.bodies, http.request.body_bytes), (Bodies::NotAsked, 27));
    assert!(http.request.body.is_none() && http.response.unwrap().body.is_none());
}

#[test]
fn bodies_are_not_kept_where_content_is_not_or_something_is_redacted() {
    let full = || Settings { http: HttpPolicy::Full, ..Settings::default() };
    let private = Settings { content: ContentPolicy::MetadataOnly, ..full() };
    let redactor = || Redactor::default().with_builtin([Builtin::Email]);
    let redacting = Settings { redactor: redactor(), ..full() };
    for (settings, why) in [(private, Bodies::MetadataOnly), (redacting, Bodies::Redacted)] {
        let http = Call { settings, ..Call::default() }.http();
        assert_eq!(http.bodies, why);
        assert!(http.request.body.is_none() && http.response.unwrap().body.is_none());
    }
}

#[test]
fn headers_and_parameters_are_redacted_decoded() {
    let redactor = Redactor::new([("EMP-[0-9]+", "[EMPLOYEE]")]).unwrap().with_builtin([Builtin::Email]);
    let settings = Settings { http: HttpPolicy::Headers, redactor, ..Settings::default() };
    let request_headers = vec![("x-from", "jo@example.com"), ("x-EMP-7", "EMP-8"), ("x-session-id", "EMP-9")];
    let http =
        Call { settings, query: Some("q=jo%40example.com&EMP%2D7=a"), request_headers, ..Call::default() }.http();
    let json = serde_json::to_string(&http).unwrap();
    assert!(!json.contains("example.com") && !json.contains("EMP-"), "{json}");
    assert_eq!(http.request.headers.fields[1], ("x-[EMPLOYEE]".into(), "[EMPLOYEE]".into()));
    assert_eq!(http.request.query.fields[0], ("q".into(), "[EMAIL]".into()));
}

#[test]
fn of_a_call_without_content_names_stay_in_the_heads() {
    let settings = Settings { http: HttpPolicy::Full, content: ContentPolicy::MetadataOnly, ..Settings::default() };
    let request_headers = vec![
        ("user-agent", "OpenAI/Python 1.2 (x)"),
        ("x-stainless-os", "Linux"),
        ("x-note", "what was said"),
        ("referer", "https://x.test/?q=what-was-said&sig=hunter2"),
        ("x-user-id", "Jo Doe"),
        ("x-api-key", "hunter2"),
    ];
    let http =
        Call { settings, query: Some("alt=sse&q=what+was+said&a%20b=c"), request_headers, ..Call::default() }.http();
    let values = |fields: &Fields| fields.fields.iter().map(|(_, value)| value.clone()).collect::<Vec<_>>();
    assert_eq!(
        values(&http.request.headers),
        ["OpenAI/Python 1.2 (x)", "Linux", "[left out]", "[left out]", "Jo Doe", "****"]
    );
    assert_eq!(values(&http.request.query), ["sse", "[left out]"]);
    assert_eq!(http.request.query.left_out, 1);
}

#[test]
fn a_compressed_body_is_kept_as_text() {
    let whole = br#"{"choices":[{"message":{"content":"caf\u00e9"}}]}"#;
    let encoded = gzip(whole);
    let response_headers = vec![("content-encoding", "gzip"), ("content-type", "application/json")];
    let call = |bytes: &[u8]| {
        Call { response_headers: response_headers.clone(), pieces: vec![(20, bytes.to_vec())], ..Call::default() }
            .http()
    };
    let http = call(&encoded);
    assert_eq!((response(&http).encoding.as_deref(), response(&http).missing.as_ref()), (Some("gzip"), None));
    assert_eq!(text(&response(&http).start).as_bytes(), whole);
    assert_eq!(http.response.as_ref().unwrap().body_bytes, encoded.len() as u64, "as it was sent");
    let cut = call(&encoded[..encoded.len() - 12]);
    let missing = response(&cut).missing.as_ref().unwrap();
    assert_eq!(missing.bytes, None, "nobody knows");
    assert!(missing.why.contains("gzip"), "{missing:?}");
}

#[test]
fn of_a_long_body_the_beginning_and_the_end_are_kept() {
    // Characters of three bytes, so that both cuts are in the middle of one.
    let long = "€".repeat(MAX_BODY);
    for pieces in [
        vec![(20, long.clone().into_bytes())],
        vec![(20, long.as_bytes()[..100].to_vec()), (21, long.as_bytes()[100..].to_vec())],
    ] {
        let http = Call { pieces, ..Call::default() }.http();
        let body = response(&http);
        let (start, end) = (text(&body.start), text(body.end.as_ref().unwrap()));
        assert!(start.chars().chain(end.chars()).all(|char| char == '€'));
        assert!((MAX_BODY - 8..=MAX_BODY).contains(&(start.len() + end.len())), "{}", start.len() + end.len());
        let missing = body.missing.as_ref().unwrap();
        assert_eq!(missing.bytes, Some((long.len() - start.len() - end.len()) as u64));
        assert_eq!(missing.why, "256 KiB of a body are kept here");
    }
}

#[test]
fn what_was_not_captured_is_told() {
    let limits = Limits { max_body_size: 1024, ..Limits::default() };
    let settings = Settings { http: HttpPolicy::Full, limits, ..Settings::default() };
    let request = [br#"{"messages":[],"x":""#.as_slice(), &[b'y'; 4000]].concat();
    let pieces = (0..10).map(|index| (20 + index, vec![b'a' + index as u8; 500])).collect();
    let http = Call { settings, request: request.clone(), pieces, ..Call::default() }.http();
    let sent = http.request.body.as_ref().unwrap();
    assert_eq!(text(&sent.start).as_bytes(), &request[..1024]);
    assert!(sent.end.is_none());
    let missing = Missing { bytes: Some(request.len() as u64 - 1024), why: "it is longer than max_body_size".into() };
    assert_eq!(sent.missing.as_ref(), Some(&missing));
    let body = response(&http);
    let (start, end) = (text(&body.start), text(body.end.as_ref().unwrap()));
    assert!(start.starts_with("aaa") && end.ends_with("jjj"));
    assert_eq!(body.missing.as_ref().unwrap().bytes, Some(5_000 - (start.len() + end.len()) as u64));
    let chunks = http.timeline.unwrap().chunks;
    assert_eq!(chunks.iter().map(|(_, bytes)| bytes).sum::<u64>(), 5_000);
    assert_eq!(chunks.iter().filter(|(at, _)| at.is_none()).count(), 1, "{chunks:?}");
    assert_eq!(chunks.last().unwrap().0, Some(29.0));
}

#[test]
fn what_came_without_memory_for_it_is_told() {
    let mut capture = Call::default().open();
    capture.keep_no_more();
    capture.response_body(b"more", At(START.0 + 40 * MS));
    let http = kept(capture).unwrap();
    assert_eq!(http.timeline.as_ref().unwrap().chunks, [(Some(20.0), 2), (None, 4)]);
    let missing = response(&http).missing.as_ref().unwrap();
    assert_eq!(missing.bytes, Some(4));
    assert!(missing.why.contains("memory"), "{missing:?}");
}

#[test]
fn what_is_no_text_is_base64() {
    let http = Call { pieces: vec![(20, vec![0xff, 0xd8, 0xff, 0x00])], ..Call::default() }.http();
    assert_eq!(response(&http).start, Content::Base64("/9j/AA==".into()));
}

#[test]
fn a_long_stream_has_a_timeline_of_bounded_length() {
    let pieces: Vec<_> = (0..5_001).map(|index| (20 + index, vec![b'x'; 3])).collect();
    let http = Call { pieces, ..Call::default() }.http();
    let timeline = http.timeline.unwrap();
    assert!((1_000..=MAX_CHUNKS).contains(&timeline.chunks.len()), "{}", timeline.chunks.len());
    assert_eq!(timeline.joined, 3);
    assert_eq!(timeline.chunks[0], (Some(22.0), 9), "the time of the last that it stands for");
    assert_eq!(timeline.chunks.last().unwrap().0, Some(5_020.0));
    assert_eq!(timeline.chunks.iter().map(|(_, bytes)| bytes).sum::<u64>(), 5_001 * 3);
}

#[test]
fn a_recording_without_times_has_no_timeline() {
    let mut capture = Call { pieces: Vec::new(), ..Call::default() }.open();
    capture.response_body_untimed(b"{}");
    assert_eq!(kept(capture).unwrap().timeline, None);
}
