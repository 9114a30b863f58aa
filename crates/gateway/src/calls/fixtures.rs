//! Records for tests.

use std::sync::Arc;

use ai_tracing_core::http::Http;
use ai_tracing_core::record::CallRecord;
use ai_tracing_core::time::At;

/// When the fixture's call began: 2026-01-02T03:04:05.678901Z.
pub const STARTED: At = At(1_767_323_045_678_901_000);

/// One second.
pub const SECOND: u64 = 1_000_000_000;

/// A chat with everything in it.
pub fn chat() -> CallRecord {
    serde_json::from_str(include_str!("fixtures/chat.json")).unwrap()
}

/// What may be kept of that chat's HTTP exchange.
pub fn http() -> Http {
    serde_json::from_str(include_str!("fixtures/http.json")).unwrap()
}

/// The `n`th of many calls, one a second, each with its own ids.
pub fn nth(n: u64) -> CallRecord {
    let mut record = chat();
    record.id = format!("019b7da0-0000-7000-8000-{n:012}");
    // The first digits differ, as they do for random ids.
    record.trace_id = format!("{:08x}{n:024x}", n.wrapping_mul(0x9e37_79b1) as u32);
    record.timing.started_at = At(STARTED.0 + n * SECOND);
    record
}

/// As [`nth`], changed.
pub fn with(n: u64, change: impl FnOnce(&mut CallRecord)) -> Arc<CallRecord> {
    let mut record = nth(n);
    change(&mut record);
    Arc::new(record)
}
