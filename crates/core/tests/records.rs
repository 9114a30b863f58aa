//! From bytes to records: one exchange a test, written after the providers' public specifications.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that fails should say so at once

use std::borrow::Cow;
use std::sync::Arc;

use ai_tracing_core::capture::{Capture, Headers, Ids, RequestHead, Upstream};
use ai_tracing_core::record::{CallRecord, Content, End, Operation, Part};
use ai_tracing_core::settings::{ContentPolicy, Limits, ProviderRule, Settings};
use ai_tracing_core::time::At;
use proptest::prelude::*;

const MS: u64 = 1_000_000;
const START: u64 = 1_767_323_045_000 * MS;

struct Pairs(Vec<(&'static str, &'static str)>);

impl Headers for Pairs {
    fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        self.0.iter().find(|(key, _)| *key == name).map(|(_, value)| Cow::Borrowed(*value))
    }
}

/// One exchange; chunks pass at the given milliseconds after the start.
struct Exchange {
    settings: Settings,
    path: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    host: &'static str,
    request: Vec<u8>,
    status: u16,
    response_headers: Vec<(&'static str, &'static str)>,
    chunks: Vec<(u64, Vec<u8>)>,
    end: End,
    end_ms: u64,
}

impl Exchange {
    fn new(path: &'static str, request: &str, response: &str) -> Self {
        Self {
            settings: Settings::default(),
            path,
            headers: Vec::new(),
            host: "api.openai.com",
            request: request.as_bytes().to_vec(),
            status: 200,
            response_headers: vec![("content-type", "application/json")],
            chunks: vec![(300, response.as_bytes().to_vec())],
            end: End::Complete,
            end_ms: 400,
        }
    }

    fn stream(path: &'static str, request: &str, chunks: &[(u64, &str)]) -> Self {
        let mut exchange = Self::new(path, request, "");
        exchange.response_headers = vec![("content-type", "text/event-stream; charset=utf-8")];
        exchange.chunks = chunks.iter().map(|(at, text)| (*at, text.as_bytes().to_vec())).collect();
        exchange
    }

    fn capture(self) -> Option<CallRecord> {
        let headers = Pairs(self.headers);
        let head = RequestHead {
            method: "POST",
            path: self.path,
            query: None,
            host: "localhost",
            headers: &headers,
            upstream: Some(Upstream { host: self.host, port: 443, path: self.path }),
            service: Some("svc"),
            route: Some("rt"),
            consumer: None,
        };
        let ids = Ids { call: "0198f000-0000-7000-8000-000000000001".into(), trace: 0xabc, span: 0xdef };
        let mut capture = Capture::start(&Arc::new(self.settings), &head, ids, At(START))?;
        capture.request_body(&self.request);
        capture.upstream_started(At(START + 2 * MS));
        if self.status != 0 {
            capture.response_head(self.status, &Pairs(self.response_headers), At(START + 102 * MS));
        }
        for (at, chunk) in &self.chunks {
            capture.response_body(chunk, At(START + at * MS));
        }
        capture.finish(self.end, At(START + self.end_ms * MS)).into_record()
    }

    fn record(self) -> CallRecord {
        self.capture().expect("LLM traffic")
    }
}

const CHAT: &str = r#"{"model":"gpt-4o","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Hi"}],
    "temperature":0.7,"max_tokens":500,"stop":"END","user":"u-body","response_format":{"type":"json_object"},
    "metadata":{"session_id":"s-body","features":{"web_search":true}}}"#;

const CHAT_ANSWER: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","model":"gpt-4o-2024-08-06","system_fingerprint":"fp_1",
    "choices":[{"index":0,"message":{"role":"assistant","content":"Hello there","refusal":null},"finish_reason":"stop"}],
    "usage":{"prompt_tokens":20,"completion_tokens":4,"total_tokens":24,"prompt_tokens_details":{"cached_tokens":8},
    "completion_tokens_details":{"reasoning_tokens":0}}}"#;

#[test]
fn a_plain_chat_is_read_in_full() {
    let mut exchange = Exchange::new("/v1/chat/completions", CHAT, CHAT_ANSWER);
    exchange.headers =
        vec![("x-user-id", "u-header"), ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")];
    insta::assert_json_snapshot!(exchange.record());
}

fn streamed() -> Exchange {
    Exchange::stream(
        "/openai/v1/chat/completions",
        r#"{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"Weather?"}],"tools":[{"type":"function","function":{"name":"weather"}}]}"#,
        &[
            (
                110,
                "data: {\"id\":\"c\",\"model\":\"gpt-4o\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n",
            ),
            (150, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Let me\"}}]}\n\n"),
            (160, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\" look 😀\"}}]}\n\n"),
            (
                170,
                "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"t0\",\"function\":{\"name\":\"weather\",\"arguments\":\"\"}}]}}]}\n\n",
            ),
            (
                180,
                "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":1,\"id\":\"t1\",\"function\":{\"name\":\"time\",\"arguments\":\"{}\"}}]}}]}\n\n",
            ),
            (
                190,
                "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{\\\"city\\\":\"}}]}}]}\n\n",
            ),
            (
                200,
                "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"\\\"Rome\\\"}\"}}]}}]}\n\n",
            ),
            (
                210,
                "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"tool_calls\"}],\"usage\":null}\n\n",
            ),
            (
                250,
                "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":11,\"total_tokens\":20}}\n\ndata: [DONE]\n\n",
            ),
        ],
    )
}

#[test]
fn a_stream_is_put_together() {
    let record = streamed().record();
    assert!(record.stream);
    assert_eq!(record.response.text.as_deref(), Some("Let me look 😀"));
    let calls: Vec<_> = record.response.tool_calls.iter().map(|call| call.arguments.as_deref().unwrap()).collect();
    assert_eq!(calls, [r#"{"city":"Rome"}"#, "{}"]);
    assert_eq!(record.response.finish_reasons, ["tool_calls"]);
    assert_eq!((record.usage.input, record.usage.output, record.usage.total), (Some(9), Some(11), Some(20)));
    assert!(!record.tokens_estimated);
    // The role chunk at 110 ms carries no token.
    assert_eq!(record.timing.time_to_first_token_ms, Some(150.0));
    assert_eq!(record.timing.time_per_token_ms, Some((400.0 - 150.0) / 10.0));
    assert_eq!(record.timing.throughput_tokens_per_second, Some(27.5));
    assert_eq!((record.timing.upstream_ms, record.timing.gateway_ms), (Some(100.0), Some(2.0)));
}

proptest! {
    #[test]
    fn any_chunking_gives_the_same_record(cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12), gzip in any::<bool>()) {
        let whole: Vec<u8> = streamed().chunks.concat_bytes();
        let body = if gzip { compress(&whole) } else { whole.clone() };
        let record = |chunks: Vec<Vec<u8>>| {
            let mut exchange = streamed();
            if gzip {
                exchange.response_headers.push(("content-encoding", "gzip"));
            }
            exchange.chunks = chunks.into_iter().map(|chunk| (150, chunk)).collect();
            exchange.record()
        };
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
        cuts.extend([0, body.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|pair| body[pair[0]..pair[1]].to_vec()).collect();
        prop_assert_eq!(record(pieces), record(vec![body]));
    }

    #[test]
    fn garbage_never_panics(
        request in prop::collection::vec(any::<u8>(), 0..300),
        response in prop::collection::vec(any::<u8>(), 0..300),
        cut in any::<prop::sample::Index>(),
        encoding in prop::sample::select(vec!["", "gzip", "br", "zstd", "deflate", "nonsense"]),
    ) {
        for path in ["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/generate"] {
            let mut exchange = streamed();
            exchange.path = path;
            exchange.response_headers.push(("content-encoding", encoding));
            let mut body = exchange.chunks.concat_bytes();
            body.truncate(cut.index(body.len() + 1));
            body.extend(&response);
            exchange.chunks = vec![(150, body)];
            exchange.request.truncate(cut.index(exchange.request.len() + 1));
            exchange.request.extend(&request);
            exchange.capture();
        }
    }
}

trait Concat {
    fn concat_bytes(&self) -> Vec<u8>;
}

impl Concat for Vec<(u64, Vec<u8>)> {
    fn concat_bytes(&self) -> Vec<u8> {
        self.iter().flat_map(|(_, chunk)| chunk.clone()).collect()
    }
}

fn compress(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_client_that_leaves_keeps_what_was_said_and_an_estimate() {
    let mut exchange = streamed();
    exchange.chunks.truncate(2);
    exchange.end = End::ClientGone;
    let record = exchange.record();
    assert_eq!(record.response.text.as_deref(), Some("Let me"));
    assert!(record.tokens_estimated);
    assert_eq!(record.usage.output, Some(2));
    assert!(record.usage.input.is_some_and(|input| input > 0));
    assert_eq!((record.end, record.usage.cache_read), (End::ClientGone, None));
}

#[test]
fn without_estimates_unknown_is_null() {
    let mut exchange = streamed();
    exchange.settings.estimate_tokens = false;
    exchange.chunks.truncate(2);
    let record = exchange.record();
    assert_eq!((record.usage.input, record.usage.output, record.usage.total), (None, None, None));
    assert!(!record.tokens_estimated && record.cost.is_none());
}

#[test]
fn an_error_is_read_and_nothing_is_estimated() {
    let body = r#"{"error":{"message":"Rate limit reached","type":"tokens","code":"rate_limit_exceeded"}}"#;
    let mut exchange = Exchange::new("/v1/chat/completions", CHAT, body);
    exchange.status = 429;
    let record = exchange.record();
    let error = record.error.clone().unwrap();
    assert_eq!((error.kind.as_deref(), error.message.as_deref()), (Some("tokens"), Some("Rate limit reached")));
    assert!(record.is_error());
    assert_eq!(record.usage.input, None);
}

#[test]
fn an_error_inside_a_200_stream_is_an_error() {
    for event in [
        "event: error\ndata: {\"message\":\"overloaded\",\"type\":\"server_error\"}\n\n",
        "data: {\"error\":{\"message\":\"overloaded\",\"type\":\"server_error\"}}\n\n",
    ] {
        let mut exchange = streamed();
        exchange.chunks.truncate(2);
        exchange.chunks.push((170, event.as_bytes().to_vec()));
        let record = exchange.record();
        assert_eq!(record.error.unwrap().message.as_deref(), Some("overloaded"), "{event}");
        assert_eq!(record.response.text.as_deref(), Some("Let me"));
    }
}

#[test]
fn no_response_at_all() {
    let mut exchange = Exchange::new("/v1/chat/completions", CHAT, "");
    (exchange.status, exchange.end) = (0, End::UpstreamError);
    exchange.chunks.clear();
    let record = exchange.record();
    assert_eq!((record.status, record.usage.input, record.response.text), (None, None, None));
    assert_eq!((record.request.message_count, record.prompt_length), (Some(2), Some(11)));
}

#[test]
fn vllm_generate_whole_and_streamed() {
    let whole = Exchange::new("/generate", r#"{"prompt":"Once","max_tokens":8}"#, r#"{"text":["Once upon a time"]}"#);
    let record = whole.record();
    assert_eq!((record.provider.as_str(), record.operation), ("openai", Operation::TextCompletion));
    assert_eq!(record.response.text.as_deref(), Some(" upon a time"));
    assert!(record.tokens_estimated);
    for end in ["\n", "\0"] {
        let chunks = [r#"{"text":["Once"]}"#, r#"{"text":["Once upon"]}"#, r#"{"text":["Once upon a"]}"#];
        let chunks: Vec<String> = chunks.iter().map(|chunk| format!("{chunk}{end}")).collect();
        let chunks: Vec<(u64, &str)> =
            chunks.iter().zip([110, 140, 170]).map(|(chunk, at)| (at, chunk.as_str())).collect();
        let mut exchange = Exchange::stream("/generate", r#"{"prompt":"Once","stream":true}"#, &chunks);
        exchange.response_headers.clear();
        exchange.host = "gpu-box";
        let record = exchange.record();
        assert_eq!((record.provider.as_str(), record.stream), ("vllm", true));
        assert_eq!(record.response.text.as_deref(), Some(" upon a"));
        assert_eq!(record.timing.time_to_first_token_ms, Some(140.0), "the first chunk is the prompt alone");
    }
    let tgi = Exchange::new("/generate", r#"{"inputs":"Once"}"#, r#"{"generated_text":"upon"}"#);
    assert_eq!(tgi.record().dialect, "tgi_generate", "no vLLM request");
    for nothing in ["", "\u{1f}\u{8b}", "<form/>"] {
        assert!(Exchange::new("/generate", nothing, "{}").capture().is_none(), "{nothing:?} is no request of vLLM");
    }
}

#[test]
fn a_path_that_may_be_anybodys_needs_a_body_that_fits() {
    let told = |path: &'static str, host: &'static str, body: &str| {
        let mut exchange = Exchange::new(path, body, "{}");
        exchange.host = host;
        exchange.capture().is_some()
    };
    for path in ["/completions", "/embeddings", "/forms/completions"] {
        assert!(!told(path, "10.0.0.1", r#"{"name":"x"}"#) && !told(path, "10.0.0.1", ""), "{path}");
        assert!(told(path, "10.0.0.1", r#"{"model":"m","prompt":"x","input":"x"}"#), "{path}");
        assert!(told(path, "api.openai.com", ""), "the host tells");
    }
    assert!(told("/v1/completions", "10.0.0.1", "") && told("/x/deployments/d/embeddings", "10.0.0.1", ""));
}

#[test]
fn nothing_is_estimated_of_an_answer_that_said_nothing() {
    let usage = |response: &str| {
        let record = Exchange::new("/v1/chat/completions", CHAT, response).record();
        (record.usage.input.is_some(), record.usage.output, record.usage.total.is_some())
    };
    let unread = (false, None, false);
    assert_eq!(usage("<html>Welcome</html>"), unread);
    assert_eq!(usage(""), unread);
    assert_eq!(
        usage(r#"{"id":"c","choices":[{"message":{"content":""},"finish_reason":"stop"}]}"#),
        (true, None, false)
    );
    assert_eq!(usage(r#"{"choices":[{"message":{"content":"Hi"}}]}"#), (true, Some(1), true));
    let second = r#"{"choices":[{"message":{"content":""}},{"message":{"content":"Hi"},"index":1}]}"#;
    assert_eq!(usage(second), (true, Some(1), true));
    let embeddings = Exchange::new("/v1/embeddings", r#"{"model":"m","input":"Hi"}"#, "<html>").record();
    assert_eq!(embeddings.usage.input, None);
}

#[test]
fn prompts_of_token_ids_are_counted() {
    let response = r#"{"choices":[{"text":"Hi","index":0}]}"#;
    let record = Exchange::new("/v1/completions", r#"{"model":"m","prompt":[[1,2,3],[4,5]]}"#, response).record();
    assert_eq!((record.usage.input, record.prompt_length), (Some(5), None));
}

#[test]
fn tool_calls_of_a_whole_answer_stay_apart_without_ids() {
    let call = |name: &str| format!(r#"{{"function":{{"name":"{name}","arguments":"{{}}"}}}}"#);
    let response =
        format!(r#"{{"choices":[{{"message":{{"content":null,"tool_calls":[{},{}]}}}}]}}"#, call("a"), call("b"));
    let record = Exchange::new("/v1/chat/completions", CHAT, &response).record();
    let names: Vec<_> = record.response.tool_calls.iter().map(|call| call.name.as_deref().unwrap()).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(record.response.tool_calls[0].arguments.as_deref(), Some("{}"));
}

#[test]
fn fill_in_the_middle_answers_as_a_chat_does() {
    let request = r#"{"model":"codestral-latest","prompt":"def f(","suffix":"return a"}"#;
    let whole = r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"a):"},"finish_reason":"stop"}]}"#;
    let record = Exchange::new("/v1/fim/completions", request, whole).record();
    assert_eq!(record.response.text.as_deref(), Some("a):"));
    let chunk = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n";
    let record = Exchange::stream("/v1/fim/completions", request, &[(110, chunk), (120, chunk)]).record();
    assert_eq!(record.response.text.as_deref(), Some("aa"));
    assert_eq!(record.timing.time_to_first_token_ms, Some(110.0));
}

#[test]
fn errors_in_plain_words_are_told() {
    let mut exchange = streamed();
    exchange.chunks.truncate(2);
    exchange.chunks.push((170, b"event: error\ndata: upstream overloaded\n\n".to_vec()));
    assert_eq!(exchange.record().error.unwrap().message.as_deref(), Some("upstream overloaded"));

    let told = |kind: &'static str, body: &str, content: ContentPolicy| {
        let mut exchange = Exchange::new("/v1/chat/completions", CHAT, body);
        (exchange.status, exchange.response_headers) = (503, vec![("content-type", kind)]);
        exchange.settings.content = content;
        exchange.record().error.and_then(|error| error.message)
    };
    let long = "no healthy upstream ".repeat(20);
    assert_eq!(told("text/plain", &long, ContentPolicy::Full).map(|text| text.len()), Some(200));
    assert_eq!(told("text/plain", &long, ContentPolicy::MetadataOnly), None);
    for words in ["503 Service Unavailable", "[proxy] no route", "\"overloaded\""] {
        let message = told("text/plain; charset=utf-8", words, ContentPolicy::Full);
        assert_eq!(message.as_deref(), Some(words.trim_matches('"')));
    }
    assert_eq!(told("text/plain", "[]", ContentPolicy::Full), None);
    assert_eq!(told("text/html", "<h1>503</h1>", ContentPolicy::Full), None);
    assert_eq!(told("text/plain", "<h1>503</h1>", ContentPolicy::Full), None);
}

fn chat_head<'a>(headers: &'a dyn Headers) -> RequestHead<'a> {
    RequestHead {
        method: "POST",
        path: "/v1/chat/completions",
        query: None,
        host: "localhost",
        headers,
        upstream: None,
        service: None,
        route: None,
        consumer: None,
    }
}

#[test]
fn what_is_kept_of_the_heads_counts() {
    let (path, header): (String, &'static str) = (format!("/{}/v1/chat/completions", "p".repeat(3000)), "v");
    let headers = Pairs(vec![("x-user-id", header), ("x-request-id", "0123456789")]);
    let mut head = chat_head(&headers);
    let ids = || Ids { call: String::new(), trace: 1, span: 2 };
    let weight = |head: &RequestHead<'_>| {
        let mut capture = Capture::start(&Arc::new(Settings::default()), head, ids(), At(START)).unwrap();
        let before = capture.weight();
        capture.response_head(200, &headers, At(START));
        assert_eq!(capture.weight(), before + 10 + size_of::<(&str, String)>());
        before
    };
    let small = weight(&head);
    (head.path, head.query) = (&path, Some("0123456789"));
    assert_eq!(weight(&head), small + 3001 + 10);
}

#[test]
fn a_body_that_memory_ran_out_for_says_so() {
    let headers = Pairs(Vec::new());
    let head = chat_head(&headers);
    let ids = Ids { call: String::new(), trace: 1, span: 2 };
    let mut capture = Capture::start(&Arc::new(Settings::default()), &head, ids, At(START)).unwrap();
    capture.keep_no_more();
    capture.request_body(CHAT.as_bytes());
    let issues = capture.finish(End::Complete, At(START)).into_record().unwrap().issues;
    assert!(issues.iter().any(|issue| issue.contains("memory for captured bodies")), "{issues:?}");
    assert!(!issues.iter().any(|issue| issue.contains("max_body_size")), "{issues:?}");
}

#[test]
fn embeddings_as_floats_and_base64() {
    let request = r#"{"model":"text-embedding-3-small","input":["a","b"]}"#;
    for vector in ["[0.1,0.2,-3e-2]", "\"AAAAAAAAAAAAAAAA\""] {
        let response = format!(
            r#"{{"object":"list","data":[{{"index":0,"embedding":{vector}}},{{"index":1,"embedding":{vector}}}],
            "model":"text-embedding-3-small","usage":{{"prompt_tokens":2,"total_tokens":2}}}}"#
        );
        let record = Exchange::new("/v1/embeddings", request, &response).record();
        assert_eq!((record.response.embedding_dims, record.response.embedding_count), (Some(3), Some(2)));
        assert_eq!((record.usage.input, record.usage.output, record.usage.total), (Some(2), None, Some(2)));
        assert_eq!(record.request.messages.len(), 2);
    }
}

#[test]
fn the_usage_behind_a_cut_body_is_found() {
    let vector = format!("[{}1]", "0.125,".repeat(40_000));
    let read = |first: &str| {
        let response = format!(
            r#"{{"data":[{{"embedding":{first}}},{{"embedding":{vector}}}],"model":"m-1","usage":{{"prompt_tokens":5,"total_tokens":5}}}}"#
        );
        let mut exchange = Exchange::new("/v1/embeddings", r#"{"model":"m","input":"a"}"#, &response);
        exchange.settings.limits = Limits { max_body_size: 100_000, ..Limits::default() };
        exchange.record()
    };
    let cut = read(&vector).response;
    assert_eq!((cut.embedding_dims, cut.embedding_count), (None, None), "not the length of what was kept");
    let record = read("[1,2,3]");
    assert_eq!(record.usage.input, Some(5));
    assert_eq!(record.response.model.as_deref(), Some("m-1"));
    assert_eq!((record.response.embedding_dims, record.response.embedding_count), (Some(3), None));
    assert!(record.issues.iter().any(|issue| issue.contains("longer than max_body_size")), "{:?}", record.issues);
}

#[test]
fn the_end_of_a_long_stream_is_kept() {
    let mut exchange = streamed();
    let filler = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"0123456789\"}}]}\n\n";
    let last = exchange.chunks.split_off(7);
    exchange.chunks.extend((0..3000).map(|_| (205, filler.as_bytes().to_vec())));
    exchange.chunks.extend(last);
    exchange.settings.limits = Limits { max_body_size: 64 << 10, ..Limits::default() };
    let record = exchange.record();
    assert_eq!(record.usage.output, Some(11));
    assert_eq!(record.response.finish_reasons, ["tool_calls"]);
    assert!(record.response.text.unwrap().len() > 1000);
    assert_eq!(record.issues.len(), 1, "{:?}", record.issues);
}

#[test]
fn behind_a_long_picture_stands_the_usage() {
    let path = "/v1beta/models/m:generateContent";
    let picture = "A".repeat(300_000);
    let answer = format!(
        r#"{{"candidates":[{{"content":{{"parts":[{{"inlineData":{{"mimeType":"image/png","data":"{picture}"}}}}]}}}}],
        "usageMetadata": {{"promptTokenCount":7,"candidatesTokenCount":1290}},"modelVersion":"m-1"}}"#
    );
    let mut exchange = Exchange::new(path, r#"{"contents":"Draw"}"#, &answer);
    exchange.settings.limits = Limits { max_body_size: 100_000, ..Limits::default() };
    let record = exchange.record();
    assert_eq!((record.usage.input, record.usage.output, record.usage.total), (Some(7), Some(1290), Some(1297)));
    assert_eq!(record.response.model.as_deref(), Some("m-1"));
}

#[test]
fn what_was_cut_is_neither_counted_nor_estimated() {
    let mut exchange = streamed();
    let filler = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"0123456789\"}}]}\n\n";
    exchange.chunks.truncate(3);
    exchange.chunks.extend((0..3000).map(|_| (205, filler.as_bytes().to_vec())));
    exchange.settings.limits = Limits { max_body_size: 64 << 10, ..Limits::default() };
    let record = exchange.record();
    assert_eq!((record.usage.output, record.response_length, record.cost), (None, None, None));
    assert!(record.usage.input.is_some() && record.tokens_estimated, "the request was kept whole");
}

#[test]
fn a_zip_bomb_is_cut() {
    let mut exchange = Exchange::new("/v1/chat/completions", CHAT, "");
    exchange.chunks = vec![(300, compress(&vec![b' '; 64 << 20]))];
    exchange.response_headers.push(("content-encoding", "gzip"));
    exchange.settings.limits.max_inflated_size = 1 << 20;
    let record = exchange.record();
    assert!(record.issues.iter().any(|issue| issue.contains("inflates to more than")), "{:?}", record.issues);
}

#[test]
fn hostile_strings_are_made_harmless() {
    let mut request = br#"{"model":"m","messages":[{"role":"user","content":"a\ud800b "#.to_vec();
    request.extend(b"\xff\"}]}");
    let mut exchange = Exchange::new("/v1/chat/completions", "", CHAT_ANSWER);
    exchange.request = request;
    let record = exchange.record();
    let message = record.request.messages[0].content.clone();
    assert_eq!(message, Some(Content::Text("a\u{fffd}b \u{fffd}".into())));
}

#[test]
fn inline_images_leave_their_size_only() {
    let request = r#"{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"What?"},
        {"type":"image_url","image_url":{"url":"data:image/png;base64,AAAABBBB"}},
        {"type":"image_url","image_url":{"url":"https://example.com/a.png"}}]}]}"#;
    let record = Exchange::new("/v1/chat/completions", request, CHAT_ANSWER).record();
    let Some(Content::Parts(parts)) = &record.request.messages[0].content else { panic!("parts") };
    let media: Vec<_> = parts
        .iter()
        .filter_map(|part| match part {
            Part::Media(media) => Some((media.mime_type.as_deref(), media.bytes, media.uri.as_deref())),
            _ => None,
        })
        .collect();
    assert_eq!(media, [(Some("image/png"), Some(6), None), (None, None, Some("https://example.com/a.png"))]);
}

#[test]
fn metadata_only_keeps_no_content() {
    let mut exchange = streamed();
    exchange.settings.content = ContentPolicy::MetadataOnly;
    let record = exchange.record();
    let text = serde_json::to_string(&record).unwrap();
    for canary in ["Weather?", "Let me", "Rome"] {
        assert!(!text.contains(canary), "{canary} in {text}");
    }
    assert_eq!((record.usage.output, record.response_length, record.prompt_length), (Some(11), Some(13), Some(8)));
}

#[test]
fn several_choices_stay_apart() {
    let response = r#"{"choices":[{"index":1,"message":{"content":"B"},"finish_reason":"length"},
        {"index":0,"message":{"content":"A"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#;
    let record = Exchange::new("/v1/chat/completions", r#"{"model":"m","n":2,"messages":[]}"#, response).record();
    assert_eq!(record.response.text.as_deref(), Some("A"));
    assert_eq!(record.response.more_choices[0].text.as_deref(), Some("B"));
    assert_eq!(record.response.finish_reasons, ["stop", "length"]);
    assert_eq!(record.usage.total, Some(3));
}

#[test]
fn a_configured_provider_is_traced_whatever_its_path() {
    let mut exchange = Exchange::new("/internal/llm", CHAT, CHAT_ANSWER);
    exchange.settings.providers =
        vec![ProviderRule { name: "acme".into(), path: Some("/internal".into()), ..ProviderRule::default() }];
    let record = exchange.record();
    assert_eq!((record.provider.as_str(), record.dialect.as_str()), ("acme", "openai_chat"));
    assert_eq!(record.response.text.as_deref(), Some("Hello there"));
}

#[test]
fn a_record_survives_its_json() {
    for record in [streamed().record(), Exchange::new("/v1/chat/completions", CHAT, CHAT_ANSWER).record()] {
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<CallRecord>(&text).unwrap(), record);
    }
}

#[test]
fn no_parameter_comes_twice() {
    // Not by its own API's name, so it is none of the dialect's parameters.
    let request =
        r#"{"model":"claude-2.1","prompt":"Hi","max_tokens_to_sample":5,"stop":"\n\nHuman:","n":"","seed":7}"#;
    let record =
        Exchange::new("/v1/complete", request, r#"{"completion":"Hello","stop_reason":"stop_sequence"}"#).record();
    assert_eq!(record.request.params.stop.as_deref(), Some(["\n\nHuman:".to_owned()].as_slice()));
    assert_eq!((record.request.params.n, record.request.params.seed), (None, Some(7)));
    let stored = serde_json::to_string(&record).unwrap();
    assert_eq!(serde_json::from_str::<CallRecord>(&stored).unwrap(), record);
}
