//! The batch API's encoding, for v2 servers and v3 servers without OTLP: a `trace-create` event and one event per
//! observation.

use std::collections::HashMap;
use std::sync::Arc;

use ai_tracing_core::record::CallRecord;
use serde::Serialize;
use serde_json::{Map, Value};

use super::otlp::flat;
use super::shape::{Kind, Observation, Trace};
use crate::exporter::ids::event_id;

/// An encoded batch.
pub(super) struct Batch {
    pub body: Vec<u8>,
    /// Which record an event belongs to, by the event's id: answers come by event.
    pub events: HashMap<String, usize>,
}

/// Encodes records, each with the trace made of it.
pub(super) fn encode(traces: &[(&Arc<CallRecord>, Trace)]) -> Result<Batch, serde_json::Error> {
    let mut batch = Vec::new();
    let mut events = HashMap::new();
    for (index, (record, trace)) in traces.iter().enumerate() {
        let bodies = std::iter::once(("trace-create", Body::of_trace(trace)));
        let bodies = bodies.chain(
            trace
                .observations
                .iter()
                .map(|observation| (event_type(observation.kind), Body::of_observation(trace, observation))),
        );
        for (kind, body) in bodies {
            let id = event_id(record, &format!("{kind}/{}", body.id)).to_string();
            events.insert(id.clone(), index);
            batch.push(Event { id, kind, timestamp: trace.end.to_rfc3339(), body });
        }
    }
    let metadata = Metadata { sdk_name: "ai-tracing", sdk_version: env!("CARGO_PKG_VERSION") };
    Ok(Batch { body: serde_json::to_vec(&Request { batch, metadata })?, events })
}

/// Embeddings are generations here: the API has no other kind of event that takes usage on every server.
fn event_type(kind: Kind) -> &'static str {
    match kind {
        Kind::Span => "span-create",
        Kind::Event => "event-create",
        Kind::Generation | Kind::Embedding => "generation-create",
    }
}

#[derive(Serialize)]
struct Request<'a> {
    batch: Vec<Event<'a>>,
    metadata: Metadata,
}

#[derive(Serialize)]
struct Metadata {
    sdk_name: &'static str,
    sdk_version: &'static str,
}

#[derive(Serialize)]
struct Event<'a> {
    id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    timestamp: String,
    body: Body<'a>,
}

/// The fields of every kind of body; those that a kind does not have are left out, as is everything unknown.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_observation_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<String>,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    tags: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completion_start_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    level: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model_parameters: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage_details: Option<&'a Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost_details: Option<&'a Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a Map<String, Value>>,
}

impl<'a> Body<'a> {
    fn of_trace(trace: &'a Trace) -> Self {
        Self {
            id: trace_id(trace),
            timestamp: Some(trace.start.to_rfc3339()),
            name: &trace.name,
            user_id: trace.user_id.as_deref(),
            session_id: trace.session_id.as_deref(),
            tags: &trace.tags,
            environment: trace.environment.as_deref(),
            input: trace.input.as_ref().filter(|_| trace.copies),
            output: trace.output.as_ref().filter(|_| trace.copies),
            metadata: some(&trace.metadata),
            ..Self::default()
        }
    }

    fn of_observation(trace: &'a Trace, observation: &'a Observation) -> Self {
        let fault = observation.fault.as_ref();
        let body = Self {
            id: span_id(observation.id),
            trace_id: Some(trace_id(trace)),
            parent_observation_id: observation.parent.map(span_id),
            name: &observation.name,
            environment: trace.environment.as_deref(),
            start_time: Some(observation.start.to_rfc3339()),
            // An event is a point in time.
            end_time: (observation.kind != Kind::Event).then(|| observation.end.to_rfc3339()),
            level: fault.map(|fault| fault.level.as_str()),
            status_message: fault.map(|fault| fault.message.as_str()),
            input: trace.input.as_ref().filter(|_| observation.shows_input),
            output: trace.output.as_ref().filter(|_| observation.shows_output),
            metadata: some(&observation.metadata),
            ..Self::default()
        };
        let Some(generation) = &observation.generation else { return body };
        Self {
            model: generation.model.as_deref(),
            model_parameters: some(&generation.parameters).map(flat),
            usage_details: some(&generation.bill.usage),
            cost_details: some(&generation.bill.cost),
            completion_start_time: generation.completion_start.map(|at| at.to_rfc3339()),
            ..body
        }
    }
}

fn some(map: &Map<String, Value>) -> Option<&Map<String, Value>> {
    Some(map).filter(|map| !map.is_empty())
}

fn trace_id(trace: &Trace) -> String {
    format!("{:032x}", trace.id)
}

fn span_id(id: u64) -> String {
    format!("{id:016x}")
}
