//! What reading costs, off the network: framing, whole records, and saying no to everything else.
//!
//! `bench/engine.py` makes the section of docs/performance.md of what criterion measures here. All inputs are made here.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)] // a bench that fails should say so at once

use std::borrow::Cow;
use std::hint::black_box;
use std::sync::Arc;

use ai_tracing_core::capture::{Capture, Finished, Headers, Ids, RequestHead, Upstream};
use ai_tracing_core::detect;
use ai_tracing_core::frame::{AwsEvents, Framing, JsonStream, Sse};
use ai_tracing_core::record::End;
use ai_tracing_core::redact::{Builtin, Redactor};
use ai_tracing_core::settings::{HttpPolicy, Settings};
use ai_tracing_core::time::At;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// That of the binary: half of what a record costs is memory that comes and goes.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const MS: u64 = 1_000_000;
/// Events of the streams that are measured by the event.
const EVENTS: usize = 1000;
/// Bytes of one of them, the blank line included.
const EVENT: usize = 300;
/// How a body comes from a socket.
const PIECE: usize = 16 << 10;

struct Pairs(&'static [(&'static str, &'static str)]);

impl Headers for Pairs {
    fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        self.0.iter().find(|(key, _)| *key == name).map(|(_, value)| Cow::Borrowed(*value))
    }

    fn each(&self, see: &mut dyn FnMut(&[u8], &[u8])) {
        self.0.iter().for_each(|(name, value)| see(name.as_bytes(), value.as_bytes()));
    }
}

/// Text without repetition that a tokenizer or a searcher could profit of.
fn words(bytes: usize) -> String {
    const WORDS: [&str; 12] = [
        "the ",
        "model ",
        "answers ",
        "in ",
        "words ",
        "of ",
        "many ",
        "lengths, ",
        "and ",
        "never ",
        "twice ",
        "alike. ",
    ];
    let mut text = String::new();
    let mut state = 7usize;
    while text.len() < bytes {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.push_str(WORDS.get((state >> 33) % WORDS.len()).unwrap());
    }
    text.truncate(bytes);
    text
}

/// One chunk of a chat stream, of [`EVENT`] bytes with what `around` adds.
fn chunk(content: &str, around: usize) -> String {
    let chunk = |fingerprint: &str| {
        format!(
            r#"{{"id":"chatcmpl-AbCdEfGhIjKlMnOpQrStUvWxYz012","object":"chat.completion.chunk","created":1767323045,"model":"gpt-4o-2024-08-06","service_tier":"default","system_fingerprint":"{fingerprint}","choices":[{{"index":0,"delta":{{"content":"{content}"}},"logprobs":null,"finish_reason":null}}]}}"#
        )
    };
    let missing = EVENT.saturating_sub(around + chunk("fp_").len());
    chunk(&format!("fp_{}", "0123456789abcdef".repeat(20).get(..missing).unwrap()))
}

const LAST: &str = r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1767323045,"model":"gpt-4o-2024-08-06","choices":[],"usage":{"prompt_tokens":20,"completion_tokens":1000,"total_tokens":1020,"prompt_tokens_details":{"cached_tokens":8},"completion_tokens_details":{"reasoning_tokens":0}}}"#;

/// A chat stream of `count` events, usage at its end.
fn sse(count: usize) -> Vec<u8> {
    let text = words(6 * count);
    let mut body = String::new();
    for at in 0..count {
        let content = text.get(6 * at..6 * at + 6).unwrap();
        body.push_str(&format!("data: {}\n\n", chunk(content, "data: \n\n".len())));
    }
    body.push_str(&format!("data: {LAST}\n\ndata: [DONE]\n\n"));
    body.into_bytes()
}

fn values(count: usize, start: &str, between: &str, end: &str) -> Vec<u8> {
    let values: Vec<String> = (0..count).map(|_| chunk("words ", between.len())).collect();
    format!("{start}{}{end}", values.join(between)).into_bytes()
}

/// AWS event-stream messages as the specification says: lengths, checksum, headers, payload, checksum.
fn aws_events(count: usize) -> Vec<u8> {
    let mut headers = Vec::new();
    for (key, value) in [(":event-type", "chunk"), (":content-type", "application/json"), (":message-type", "event")] {
        headers.push(key.len() as u8);
        headers.extend_from_slice(key.as_bytes());
        headers.push(7);
        headers.extend_from_slice(&(value.len() as u16).to_be_bytes());
        headers.extend_from_slice(value.as_bytes());
    }
    let payload = chunk("words ", 16 + headers.len());
    let mut message = ((16 + headers.len() + payload.len()) as u32).to_be_bytes().to_vec();
    message.extend_from_slice(&(headers.len() as u32).to_be_bytes());
    message.extend_from_slice(&crc32fast::hash(&message).to_be_bytes());
    message.extend_from_slice(&headers);
    message.extend_from_slice(payload.as_bytes());
    message.extend_from_slice(&crc32fast::hash(&message).to_be_bytes());
    message.repeat(count)
}

/// A conversation of about so many bytes, in messages of up to 2 KiB.
fn request(bytes: usize, stream: bool) -> Vec<u8> {
    let text = words(bytes);
    let messages = text.as_bytes().chunks(2048).enumerate().map(|(at, part)| {
        let role = if at % 2 == 0 { "user" } else { "assistant" };
        format!(r#"{{"role":"{role}","content":"{}\n"}}"#, String::from_utf8_lossy(part))
    });
    let messages: Vec<String> = messages.collect();
    format!(r#"{{"model":"gpt-4o","temperature":0.7,"stream":{stream},"messages":[{}]}}"#, messages.join(","))
        .into_bytes()
}

fn answer(bytes: usize) -> Vec<u8> {
    let text = words(bytes).replace(". ", ".\\n");
    format!(
        r#"{{"id":"chatcmpl-1","object":"chat.completion","created":1767323045,"model":"gpt-4o-2024-08-06","choices":[{{"index":0,"message":{{"role":"assistant","content":"{text}","refusal":null}},"logprobs":null,"finish_reason":"stop"}}],"usage":{{"prompt_tokens":20,"completion_tokens":1000,"total_tokens":1020}}}}"#
    )
    .into_bytes()
}

fn head<'a>(path: &'a str, host: &'a str, headers: &'a Pairs) -> RequestHead<'a> {
    RequestHead {
        method: "POST",
        path,
        query: None,
        host: "gateway.local",
        headers,
        upstream: Some(Upstream { host, port: 443, path }),
        service: None,
        route: None,
        consumer: None,
    }
}

/// An exchange that has ended. Making it is not measured.
fn finished(settings: &Arc<Settings>, request: &[u8], content_type: &'static str, response: &[u8]) -> Finished {
    let ids = Ids { call: "0198f000-0000-7000-8000-000000000001".into(), trace: 1, span: 2 };
    let json = Pairs(&[("content-type", "application/json")]);
    let told = Type(content_type);
    let head = head("/v1/chat/completions", "api.openai.com", &json);
    let mut capture = Capture::start(settings, &head, ids, At(MS)).unwrap();
    capture.request_body(request);
    capture.upstream_started(At(2 * MS));
    capture.response_head(200, &told, At(3 * MS));
    for (at, piece) in response.chunks(PIECE).enumerate() {
        capture.response_body(piece, At((4 + at as u64) * MS));
    }
    capture.finish(End::Complete, At(1000 * MS))
}

struct Type(&'static str);

impl Headers for Type {
    fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        (name == "content-type").then_some(Cow::Borrowed(self.0))
    }
}

const SSE: &str = "text/event-stream";
const JSON: &str = "application/json";

fn frame(framing: &mut dyn Framing, body: &[u8]) -> usize {
    let mut framed = 0;
    for piece in body.chunks(PIECE) {
        framing.push(piece, &mut |frame| framed += black_box(frame.data).len());
    }
    framing.finish(&mut |frame| framed += frame.data.len());
    framed
}

fn framing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("framing");
    type Make = fn() -> Box<dyn Framing>;
    let kinds: [(&str, Vec<u8>, Make); 5] = [
        ("server-sent events", sse(EVENTS), || Box::new(Sse::default())),
        ("NDJSON", values(EVENTS, "", "\n", "\n"), || Box::new(JsonStream::default())),
        ("JSON array", values(EVENTS, "[", ",\n", "]"), || Box::new(JsonStream::default())),
        ("NUL-delimited JSON", values(EVENTS, "", "\0", "\0"), || Box::new(JsonStream::default())),
        ("AWS event stream", aws_events(EVENTS), || Box::new(AwsEvents::default())),
    ];
    for (name, body, make) in kinds {
        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(name, |bencher| bencher.iter(|| frame(&mut *make(), black_box(&body))));
    }
    group.finish();
}

/// By the event: framing alone, and the whole record.
fn events(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("event");
    group.throughput(Throughput::Elements(EVENTS as u64));
    let body = sse(EVENTS);
    group.bench_function("framing alone", |bencher| bencher.iter(|| frame(&mut Sse::default(), black_box(&body))));
    let (settings, request) = (Arc::new(Settings::default()), request(200, true));
    group.bench_function("full record", |bencher| {
        let setup = || finished(&settings, &request, SSE, &body);
        bencher.iter_batched(setup, Finished::into_record, BatchSize::LargeInput);
    });
    group.finish();
}

/// A record from bodies of so many KiB, request and response together.
fn records(criterion: &mut Criterion) {
    let settings = Arc::new(Settings::default());
    let mut group = criterion.benchmark_group("record");
    for kib in [1, 16, 512] {
        let half = (kib << 10) / 2;
        let whole = (JSON, request(half - 100, false), answer(half - 250));
        let stream = (SSE, request(half - 100, true), sse(half / EVENT));
        for (name, (content_type, request, response)) in [("JSON", whole), ("server-sent events", stream)] {
            group.throughput(Throughput::Bytes((request.len() + response.len()) as u64));
            group.bench_function(BenchmarkId::new(name, format!("{kib} KiB")), |bencher| {
                let setup = || finished(&settings, &request, content_type, &response);
                bencher.iter_batched(setup, Finished::into_record, BatchSize::LargeInput);
            });
        }
    }
    group.finish();
}

fn detection(criterion: &mut Criterion) {
    let settings = Settings::default();
    let headers = Pairs(&[("content-type", JSON)]);
    let long = format!("/api/v2/{}", "tenants/0123456789/resources/".repeat(8));
    let heads = [
        ("none, short path", "/", "example.com"),
        ("none, path of 240 bytes", long.as_str(), "example.com"),
        ("none, near miss", "/v1/chat/completions/stats", "example.com"),
        ("none, known host", "/v1/organization/projects", "api.openai.com"),
        ("chat", "/v1/chat/completions", "api.openai.com"),
        ("chat, unknown host", "/team/a/v1/chat/completions", "llm.internal"),
        ("embeddings, Azure", "/openai/deployments/d/embeddings", "me.openai.azure.com"),
    ];
    let mut group = criterion.benchmark_group("detection");
    for (name, path, host) in heads {
        let head = head(path, host, &headers);
        assert_eq!(detect::detect(&settings, &head).is_none(), name.starts_with("none"), "{name}");
        group.bench_function(name, |bencher| bencher.iter(|| detect::detect(&settings, black_box(&head))));
    }
    group.finish();
}

/// What the request path pays for the two heads of a call, with and without keeping them, and what reading them takes.
fn heads(criterion: &mut Criterion) {
    // Those of OpenAI's client for Python, and of its servers.
    let sent = Pairs(&[
        ("host", "gateway.internal:8000"),
        ("accept-encoding", "gzip, deflate, br, zstd"),
        ("connection", "keep-alive"),
        ("accept", JSON),
        ("content-type", JSON),
        ("user-agent", "OpenAI/Python 1.99.9"),
        ("x-stainless-lang", "python"),
        ("x-stainless-package-version", "1.99.9"),
        ("x-stainless-os", "Linux"),
        ("x-stainless-arch", "x64"),
        ("x-stainless-runtime", "CPython"),
        ("x-stainless-runtime-version", "3.12.3"),
        ("x-stainless-async", "false"),
        ("x-stainless-retry-count", "0"),
        ("x-stainless-read-timeout", "600"),
        ("authorization", "Bearer sk-proj-0123456789abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
        ("content-length", "2048"),
        ("x-session-id", "0198f000-0000-7000-8000-000000000001"),
    ]);
    let answered = Pairs(&[
        ("date", "Fri, 02 Jan 2026 03:04:05 GMT"),
        ("content-type", "text/event-stream; charset=utf-8"),
        ("transfer-encoding", "chunked"),
        ("connection", "keep-alive"),
        ("access-control-expose-headers", "X-Request-ID"),
        ("openai-organization", "example"),
        ("openai-processing-ms", "312"),
        ("openai-version", "2020-10-01"),
        ("x-ratelimit-limit-requests", "10000"),
        ("x-ratelimit-limit-tokens", "30000000"),
        ("x-ratelimit-remaining-requests", "9999"),
        ("x-ratelimit-remaining-tokens", "29999975"),
        ("x-ratelimit-reset-requests", "6ms"),
        ("x-ratelimit-reset-tokens", "0s"),
        ("x-request-id", "req_0123456789abcdef0123456789abcdef"),
        ("strict-transport-security", "max-age=31536000; includeSubDomains; preload"),
        ("cf-cache-status", "DYNAMIC"),
        ("set-cookie", "__cf_bm=0123456789abcdefghijklmnopqrstuvwxyz; path=/; HttpOnly; Secure; SameSite=None"),
        ("x-content-type-options", "nosniff"),
        ("server", "cloudflare"),
        ("cf-ray", "0123456789abcdef-FRA"),
        ("alt-svc", "h3=\":443\"; ma=86400"),
    ]);
    let mut group = criterion.benchmark_group("heads");
    for (name, http) in [("not kept", HttpPolicy::Off), ("kept", HttpPolicy::Headers)] {
        let settings = Arc::new(Settings { http, ..Settings::default() });
        let capture = || {
            let ids = Ids { call: "0198f000-0000-7000-8000-000000000001".into(), trace: 1, span: 2 };
            let head = head("/v1/chat/completions", "api.openai.com", &sent);
            let mut capture = Capture::start(&settings, &head, ids, At(MS)).unwrap();
            capture.response_head(200, &answered, At(3 * MS));
            capture
        };
        group.bench_function(BenchmarkId::new("capture", name), |bencher| bencher.iter(capture));
        group.bench_function(BenchmarkId::new("read", name), |bencher| {
            let setup = || capture().finish(End::Complete, At(1000 * MS));
            bencher.iter_batched(setup, Finished::into_record, BatchSize::SmallInput);
        });
    }
    group.finish();
}

/// Redaction with everything that is built in, over texts that hold nothing of it, little, and much that looks alike.
fn redaction(criterion: &mut Criterion) {
    const BYTES: usize = 64 << 10;
    let kinds = [Builtin::ApiKey, Builtin::Email, Builtin::Iban, Builtin::CreditCard, Builtin::Phone];
    let redactor = Redactor::default().with_builtin(kinds);
    let secrets = format!("{} Mail jo@example.com, card 4111 1111 1111 1111, call +49 30 1234567. ", words(2000));
    let row = r#"{"id":"0198f000-0000-7000-8000-000000000001","at":"2026-01-02T03:04:05Z","tokens":1234,"score":0.5303986072},"#;
    let texts = [
        ("prose", words(BYTES)),
        ("prose with secrets", secrets.repeat(BYTES / secrets.len())),
        ("ids, dates and numbers", row.repeat(BYTES / row.len())),
        ("the same as JSON", format!("[{}0]", row.repeat(BYTES / row.len()))),
    ];
    let mut group = criterion.benchmark_group("redaction");
    for (name, text) in texts {
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(name, |bencher| bencher.iter(|| redactor.redact(black_box(&text))));
    }
    group.finish();
}

criterion_group!(benches, framing, events, records, detection, heads, redaction);
criterion_main!(benches);
