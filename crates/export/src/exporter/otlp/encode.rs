//! Records as an OTLP request: spans by environment, since that is an attribute of the resource.

use std::sync::Arc;

use ai_tracing_config::ai_tracing::OtlpSemconv;
use ai_tracing_core::record::CallRecord;
use prost::Message as _;

use super::bounds::{BOUNDS, Bounds};
use super::span;
use crate::exporter::clean::cleaned;
use crate::exporter::proto::{
    ExportTraceServiceRequest, InstrumentationScope, Resource, ResourceSpans, ScopeSpans, attribute,
};
use crate::pause;

/// Attribute of the resource that is the record's own.
pub(super) const ENVIRONMENT: &str = "deployment.environment.name";

/// An encoded batch, or the size of one that is too large for a request.
pub(super) enum Encoded {
    Fits(Vec<u8>),
    Oversize(usize),
}

/// Encodes a batch for requests of at most `max` bytes. A single record always fits: its values are cut until it does.
pub(super) fn encode(
    records: &[Arc<CallRecord>],
    semconv: OtlpSemconv,
    resource: &[(String, String)],
    max: usize,
) -> Encoded {
    match fitting(records, semconv, resource, max) {
        Ok(request) => Encoded::Fits(request.encode_to_vec()),
        Err(size) => Encoded::Oversize(size),
    }
}

/// The request of a batch, of at most `max` bytes; how large it would be where it has to be cut into several.
pub(super) fn fitting(
    records: &[Arc<CallRecord>],
    semconv: OtlpSemconv,
    resource: &[(String, String)],
    max: usize,
) -> Result<ExportTraceServiceRequest, usize> {
    let mut size = 0;
    for bounds in BOUNDS {
        let request = request(records, semconv, resource, bounds);
        size = request.encoded_len();
        if size <= max {
            return Ok(request);
        }
        if records.len() > 1 {
            break;
        }
    }
    Err(size)
}

/// The request of a batch within bounds.
pub(super) fn request(
    records: &[Arc<CallRecord>],
    semconv: OtlpSemconv,
    resource: &[(String, String)],
    bounds: Bounds,
) -> ExportTraceServiceRequest {
    let mut groups: Vec<(Option<&str>, Vec<_>)> = Vec::new();
    for record in records {
        let environment = record.context.environment.as_deref().filter(|environment| !environment.is_empty());
        let span = span::of(record, semconv, bounds);
        match groups.iter_mut().find(|(name, _)| *name == environment) {
            Some((_, spans)) => spans.push(span),
            None => groups.push((environment, vec![span])),
        }
        pause();
    }
    let resource_spans = groups.into_iter().map(|(environment, spans)| ResourceSpans {
        resource: Some(self::resource(resource, environment)),
        scope_spans: vec![ScopeSpans { scope: Some(scope()), spans }],
    });
    ExportTraceServiceRequest { resource_spans: resource_spans.collect() }
}

/// Who we are, in an environment.
pub(super) fn resource(ours: &[(String, String)], environment: Option<&str>) -> Resource {
    let own = ours.iter().filter(|(name, _)| environment.is_none() || name != ENVIRONMENT);
    let mut attributes: Vec<_> = own.map(|(name, value)| attribute(name.clone(), value.clone())).collect();
    attributes.extend(environment.map(|environment| attribute(ENVIRONMENT, cleaned(environment))));
    Resource { attributes }
}

/// What of us makes spans and metrics.
pub(super) fn scope() -> InstrumentationScope {
    InstrumentationScope { name: "ai-tracing".into(), version: env!("CARGO_PKG_VERSION").into() }
}
