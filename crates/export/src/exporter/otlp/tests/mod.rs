//! Tests of the whole exporter: golden spans, answers, and a server that plays a receiver.

mod answers;
mod golden;
mod properties;
mod server;

use std::sync::Arc;

use ai_tracing_config::ai_tracing::OtlpSemconv;
use ai_tracing_core::record::CallRecord;
use serde_json::Value;

use super::encode::{Encoded, encode};
use crate::testing::readable;

/// Room for everything that a test encodes.
const MAX: usize = 8_000_000;

/// The request for records as JSON, with the resource of a gateway that nobody has named.
fn request(records: &[Arc<CallRecord>], semconv: OtlpSemconv) -> Value {
    let resource = super::environment::resource(&|_| None);
    let Encoded::Fits(bytes) = encode(records, semconv, &resource, MAX) else { panic!("does not fit") };
    readable(&bytes)
}

/// The only span of a request.
fn span(request: &Value) -> &Value {
    let spans = request[0]["scope_spans"][0]["spans"].as_array().unwrap();
    assert_eq!((request.as_array().unwrap().len(), spans.len()), (1, 1));
    &spans[0]
}
