//! A call as its destinations get it, for people who want to see what was sent.
//!
//! Spans are made of the record by the code that sends them, so they are made again whenever somebody looks, and kept
//! nowhere.

use std::sync::Arc;

use ai_tracing_config::ai_tracing::AiTracing;
use ai_tracing_core::record::CallRecord;
use ai_tracing_core::text::hex;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::langfuse;
use super::otlp;
use super::proto::{AnyValue, ExportTraceServiceRequest, KeyValue, Span, any_value};
use crate::tracer::TracerError;

/// One call in one destination's form.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Exported {
    /// Name and address, as in logs and statistics; no credentials.
    pub destination: String,
    /// An `ExportTraceServiceRequest` with this call alone, in OTLP's JSON
    /// (<https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding>).
    pub request: Value,
}

/// A call in the form of each destination that gets spans under a configuration. Langfuse's is the one that it gets by
/// OTLP. References in the configuration are resolved by `lookup`.
///
/// # Errors
/// Names the parameter that cannot work; never its value.
pub fn exported(
    config: &AiTracing,
    lookup: &dyn Fn(&str) -> Option<String>,
    record: &Arc<CallRecord>,
) -> Result<Vec<Exported>, TracerError> {
    let mut all = Vec::new();
    if config.langfuse_enabled {
        let config = langfuse::Config::read(config, lookup)?;
        all.push(Exported { destination: config.label(), request: json(&langfuse::request(&config, record)) });
    }
    if let Some(config) = otlp::Config::read(config, lookup)? {
        // One record always fits.
        let request = otlp::request(&config, record).map(|request| json(&request)).unwrap_or_default();
        all.push(Exported { destination: config.label(), request });
    }
    Ok(all)
}

fn json(request: &ExportTraceServiceRequest) -> Value {
    let resource_spans = request.resource_spans.iter().map(|group| {
        let scope_spans = group.scope_spans.iter().map(|scoped| {
            let scope = scoped.scope.as_ref().map(|scope| json!({ "name": scope.name, "version": scope.version }));
            json!({ "scope": scope, "spans": scoped.spans.iter().map(span).collect::<Vec<_>>() })
        });
        let resource =
            group.resource.as_ref().map(|resource| json!({ "attributes": attributes(&resource.attributes) }));
        json!({ "resource": resource, "scopeSpans": scope_spans.collect::<Vec<_>>() })
    });
    json!({ "resourceSpans": resource_spans.collect::<Vec<_>>() })
}

/// Ids are hexadecimal and numbers of 64 bits are strings; what is empty is left out.
fn span(span: &Span) -> Value {
    let mut map = Map::new();
    map.insert("traceId".into(), hex(&span.trace_id).into());
    map.insert("spanId".into(), hex(&span.span_id).into());
    if !span.trace_state.is_empty() {
        map.insert("traceState".into(), span.trace_state.clone().into());
    }
    if !span.parent_span_id.is_empty() {
        map.insert("parentSpanId".into(), hex(&span.parent_span_id).into());
    }
    map.insert("name".into(), span.name.clone().into());
    map.insert("kind".into(), span.kind.into());
    map.insert("startTimeUnixNano".into(), span.start_time_unix_nano.to_string().into());
    map.insert("endTimeUnixNano".into(), span.end_time_unix_nano.to_string().into());
    map.insert("attributes".into(), attributes(&span.attributes));
    if let Some(status) = &span.status {
        map.insert("status".into(), json!({ "message": status.message, "code": status.code }));
    }
    map.into()
}

fn attributes(attributes: &[KeyValue]) -> Value {
    let one = |it: &KeyValue| json!({ "key": String::from_utf8_lossy(&it.key), "value": it.value.as_ref().map(value) });
    attributes.iter().map(one).collect()
}

fn value(it: &AnyValue) -> Value {
    use any_value::Value as Kind;
    match &it.value {
        None => json!({}),
        Some(Kind::String(text)) => json!({ "stringValue": String::from_utf8_lossy(text) }),
        Some(Kind::Bool(truth)) => json!({ "boolValue": truth }),
        Some(Kind::Int(whole)) => json!({ "intValue": whole.to_string() }),
        Some(Kind::Double(double)) => json!({ "doubleValue": double }),
        Some(Kind::Array(array)) => {
            json!({ "arrayValue": { "values": array.values.iter().map(value).collect::<Vec<_>>() } })
        }
    }
}
