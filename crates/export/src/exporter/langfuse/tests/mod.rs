//! Tests of the whole exporter: golden payloads, answers, and a server that plays Langfuse.

mod answers;
mod golden;
mod properties;
mod server;

use std::sync::Arc;

use ai_tracing_core::record::CallRecord;

/// The calls in `fixtures/calls.jsonl`.
fn calls() -> Vec<Arc<CallRecord>> {
    let lines = include_str!("../../../../fixtures/calls.jsonl").lines();
    lines.map(|line| Arc::new(serde_json::from_str(line).unwrap())).collect()
}
