//! What the crate's tests share.

pub(crate) mod any;
pub(crate) mod server;
mod spans;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use ai_tracing_core::capture::{Capture, Finished, Headers, Ids, RequestHead};
use ai_tracing_core::record::{CallRecord, End};
use ai_tracing_core::settings::Settings;
use ai_tracing_core::time::At;
use serde_json::{Value, json};

pub(crate) use spans::{attributes, readable};

use crate::destination::QueueOptions;
use crate::exporter::config::Batching;

/// A record with every field absent that may be.
pub(crate) fn minimal(id: &str) -> Value {
    json!({
        "id": id, "detected": true, "schema_version": 1, "provider": "openai_compatible", "dialect": "openai_chat",
        "operation": "chat", "stream": false, "status": null,
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "span_id": "00f067aa0ba902b7",
        "parent_span_id": null, "tracestate": null, "name": "/v1/chat/completions", "method": "POST",
        "service": null, "route": null, "consumer": null, "server": {"address": null, "port": null},
        "context": {
            "user_id": null, "session_id": null, "chat_id": null, "message_id": null, "organization_id": null,
            "project_id": null, "environment": null, "metadata": {},
        },
        "request": {"model": null, "message_count": null, "params": {}, "stream": false, "messages": []},
        "response": {
            "id": null, "model": null, "text": null, "reasoning": null, "refusal": null, "tool_calls": [],
            "finish_reasons": [], "embedding_dims": null,
        },
        "usage": {
            "input": null, "output": null, "total": null, "cache_read": null, "cache_write": null, "reasoning": null,
        },
        "tokens_estimated": false, "token_efficiency": null, "prompt_length": null, "response_length": null,
        "cost": null,
        "timing": {
            "started_at": "2026-01-02T03:04:05.678901Z", "total_duration_ms": 0.0, "time_to_first_token_ms": null,
            "time_per_token_ms": null, "throughput_tokens_per_second": null, "upstream_ms": null, "gateway_ms": null,
        },
        "end": "complete", "error": null,
    })
}

/// [`minimal`] as a record.
pub(crate) fn record(id: &str) -> Arc<CallRecord> {
    from_json(minimal(id))
}

pub(crate) fn from_json(value: Value) -> Arc<CallRecord> {
    Arc::new(serde_json::from_value(value).unwrap())
}

/// The calls in `fixtures/calls.jsonl`.
pub(crate) fn calls() -> Vec<Arc<CallRecord>> {
    let lines = include_str!("../fixtures/calls.jsonl").lines();
    lines.map(|line| Arc::new(serde_json::from_str(line).unwrap())).collect()
}

/// The same with a name for each.
pub(crate) fn named_calls() -> Vec<(&'static str, Arc<CallRecord>)> {
    let names = [
        "chat",
        "stream_with_tool_calls",
        "embeddings",
        "error",
        "client_gone_estimated",
        "upstream_error",
        "choices_and_nul",
        "minimal",
    ];
    let calls = calls();
    assert_eq!(calls.len(), names.len());
    names.into_iter().zip(calls).collect()
}

/// Large batches, and retries without a pause that a test would notice.
pub(crate) fn batching() -> Batching {
    Batching {
        max_batch_size: 200,
        max_coalescing_delay: Duration::from_secs(1),
        concurrency_limit: 1,
        queue: QueueOptions {
            initial_retry_delay: Duration::from_millis(1),
            max_retry_delay: Duration::from_millis(2),
            ..QueueOptions::default()
        },
    }
}

struct NoHeaders;

impl Headers for NoHeaders {
    fn get(&self, _name: &str) -> Option<Cow<'_, str>> {
        None
    }
}

/// A finished chat call whose request had this body and whose response was an empty 200.
pub(crate) fn finished(body: &[u8]) -> Finished {
    numbered(1, body)
}

/// The same with an id that ends in a number.
pub(crate) fn numbered(number: u32, body: &[u8]) -> Finished {
    let settings = Arc::new(Settings { sampling_ratio: 1.0, ..Settings::default() });
    let head = RequestHead {
        method: "POST",
        path: "/v1/chat/completions",
        query: None,
        host: "localhost",
        headers: &NoHeaders,
        upstream: None,
        service: None,
        route: None,
        consumer: None,
    };
    let ids = Ids { call: format!("0198c0de-0000-7000-8000-{number:012}"), trace: 1, span: 2 };
    let mut capture = Capture::start(&settings, &head, ids, At(1_767_323_045_678_901_000)).unwrap();
    capture.request_body(body);
    capture.response_head(200, &NoHeaders, At(1_767_323_046_000_000_000));
    capture.finish(End::Complete, At(1_767_323_046_000_000_000))
}
