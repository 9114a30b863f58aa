//! The OTLP encoding: one span per observation, Langfuse's fields as `langfuse.*` attributes.
//!
//! Observations do not inherit, so everything that belongs to the trace stands on each of its spans.

use bytes::Bytes;
use serde_json::{Map, Value};

use super::shape::{Kind, Observation, Trace};
use crate::exporter::fault::Level;
use crate::exporter::proto::{
    ExportTraceServiceRequest, InstrumentationScope, KeyValue, Resource, ResourceSpans, SPAN_KIND_CLIENT,
    SPAN_KIND_INTERNAL, STATUS_CODE_ERROR, ScopeSpans, Span, Status, any_value, attribute, text, typed,
};
use crate::pause;

/// A scope that begins with `langfuse-sdk` keeps Langfuse from copying every attribute into the metadata once more;
/// the bare name is the official SDK's own.
const SCOPE: &str = "langfuse-sdk-ai-tracing";

/// The request of some traces.
pub(super) fn request(traces: &[Trace]) -> ExportTraceServiceRequest {
    let scope = InstrumentationScope { name: SCOPE.into(), version: env!("CARGO_PKG_VERSION").into() };
    // No service.version: Langfuse would show it as the version of the observed application.
    let resource = Resource { attributes: vec![attribute("service.name", "ai-tracing")] };
    let spans = traces.iter().inspect(|_| pause()).flat_map(spans).collect();
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource),
            scope_spans: vec![ScopeSpans { scope: Some(scope), spans }],
        }],
    }
}

fn spans(trace: &Trace) -> impl Iterator<Item = Span> {
    let [input, output] = [&trace.input, &trace.output].map(|content| content.as_ref().map(text));
    trace.observations.iter().map(move |observation| span(trace, observation, input.as_ref(), output.as_ref()))
}

fn span(trace: &Trace, observation: &Observation, input: Option<&Bytes>, output: Option<&Bytes>) -> Span {
    let fault = observation.fault.as_ref();
    let mut attributes = Attributes(Vec::new());
    attributes.put("langfuse.observation.type", Some(kind(observation.kind)));
    if observation.below_caller {
        // The caller's span may never reach Langfuse: this one is where the lists of calls shall begin.
        attributes.put("langfuse.internal.is_app_root", Some(true));
    }
    attributes.put("langfuse.trace.name", Some(trace.name.clone()));
    attributes.put("langfuse.user.id", trace.user_id.clone());
    attributes.put("langfuse.session.id", trace.session_id.clone());
    attributes.put("langfuse.environment", trace.environment.clone());
    attributes.put("langfuse.trace.tags", Some(trace.tags.clone()).filter(|tags| !tags.is_empty()));
    if observation.is_root {
        attributes.put_all("langfuse.trace.metadata", &trace.metadata);
    }
    attributes.put("langfuse.observation.level", fault.map(|fault| fault.level.as_str()));
    attributes.put("langfuse.observation.status_message", fault.map(|fault| fault.message.clone()));
    attributes.put("langfuse.observation.input", input.filter(|_| observation.shows_input).cloned());
    attributes.put("langfuse.observation.output", output.filter(|_| observation.shows_output).cloned());
    attributes.put_all("langfuse.observation.metadata", &observation.metadata);
    if let Some(generation) = &observation.generation {
        let parameters = flat(&generation.parameters);
        attributes.put("langfuse.observation.model.name", generation.model.clone());
        attributes.put("langfuse.observation.model.parameters", json(&parameters));
        attributes.put("langfuse.observation.usage_details", json(&generation.bill.usage));
        attributes.put("langfuse.observation.cost_details", json(&generation.bill.cost));
        let first_token = generation.completion_start.map(|at| at.to_rfc3339());
        attributes.put("langfuse.observation.completion_start_time", first_token);
    }
    Span {
        trace_id: trace.id.to_be_bytes().to_vec(),
        span_id: observation.id.to_be_bytes().to_vec(),
        trace_state: trace.state.clone().unwrap_or_default(),
        parent_span_id: observation.parent.map(|id| id.to_be_bytes().to_vec()).unwrap_or_default(),
        name: observation.name.clone(),
        kind: if observation.generation.is_some() { SPAN_KIND_CLIENT } else { SPAN_KIND_INTERNAL },
        start_time_unix_nano: observation.start.0,
        end_time_unix_nano: observation.end.0,
        attributes: attributes.0,
        status: fault
            .filter(|fault| fault.level == Level::Error)
            .map(|fault| Status { message: fault.message.clone(), code: STATUS_CODE_ERROR }),
    }
}

/// Lower case: Langfuse takes anything else for a span.
fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Span => "span",
        Kind::Event => "event",
        Kind::Generation => "generation",
        Kind::Embedding => "embedding",
    }
}

struct Attributes(Vec<KeyValue>);

impl Attributes {
    fn put(&mut self, key: &'static str, value: Option<impl Into<any_value::Value>>) {
        self.0.extend(value.map(|value| attribute(key, value)));
    }

    /// One attribute for each key, so that it can be filtered by.
    fn put_all(&mut self, prefix: &str, map: &Map<String, Value>) {
        for (key, value) in map {
            self.0.extend(typed(value).map(|value| attribute([prefix, ".", key].concat(), value)));
        }
    }
}

/// Model parameters are scalars: anything nested becomes JSON text.
pub(super) fn flat(map: &Map<String, Value>) -> Map<String, Value> {
    let flat = |value: &Value| match value {
        Value::Array(_) | Value::Object(_) => Value::String(value.to_string()),
        scalar => scalar.clone(),
    };
    map.iter().map(|(key, value)| (key.clone(), flat(value))).collect()
}

fn json(map: &Map<String, Value>) -> Option<String> {
    (!map.is_empty()).then(|| serde_json::to_string(map).unwrap_or_default())
}
