//! OTLP requests in a form that a person can read.

use ai_tracing_core::text::hex;
use prost::Message as _;
use serde_json::{Map, Value, json};

use crate::exporter::proto::{AnyValue, ExportTraceServiceRequest, KeyValue, Span, any_value};

/// An OTLP request as JSON; attributes as one object.
pub(crate) fn readable(otlp: &[u8]) -> Value {
    let request = ExportTraceServiceRequest::decode(otlp).unwrap();
    let resource_spans = request.resource_spans.into_iter().map(|resource_spans| {
        let scope_spans = resource_spans.scope_spans.into_iter().map(|scope_spans| {
            let scope = scope_spans.scope.unwrap();
            assert_eq!(scope.version, env!("CARGO_PKG_VERSION"));
            json!({"scope": scope.name, "spans": scope_spans.spans.into_iter().map(span).collect::<Value>()})
        });
        json!({
            "resource": attributes(resource_spans.resource.unwrap().attributes),
            "scope_spans": scope_spans.collect::<Value>(),
        })
    });
    resource_spans.collect()
}

fn span(span: Span) -> Value {
    json!({
        "trace_id": hex(&span.trace_id),
        "span_id": hex(&span.span_id),
        "parent_span_id": hex(&span.parent_span_id),
        "trace_state": span.trace_state,
        "name": span.name,
        "kind": span.kind,
        "start": span.start_time_unix_nano,
        "end": span.end_time_unix_nano,
        "attributes": attributes(span.attributes),
        "status": span.status.map(|status| json!({"code": status.code, "message": status.message})),
    })
}

/// Attributes as one object.
pub(crate) fn attributes(attributes: Vec<KeyValue>) -> Value {
    let mut map = Map::new();
    for KeyValue { key, value } in attributes {
        let key = String::from_utf8(key.to_vec()).unwrap();
        assert!(map.insert(key.clone(), any(value.unwrap())).is_none(), "{key} twice");
    }
    Value::Object(map)
}

fn any(value: AnyValue) -> Value {
    match value.value.unwrap() {
        any_value::Value::String(text) => String::from_utf8(text.to_vec()).unwrap().into(),
        any_value::Value::Bool(truth) => truth.into(),
        any_value::Value::Int(whole) => whole.into(),
        any_value::Value::Double(double) => double.into(),
        any_value::Value::Array(array) => array.values.into_iter().map(any).collect(),
    }
}
