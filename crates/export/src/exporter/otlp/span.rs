//! One record as one span.

use ai_tracing_config::ai_tracing::OtlpSemconv;
use ai_tracing_core::record::{CallRecord, End};

use super::attributes::Attributes;
use super::bounds::{Bounds, cut};
use super::{genai, names, openllmetry};
use crate::exporter::clean::cleaned;
use crate::exporter::fault::{Fault, Level};
use crate::exporter::ids::CallIds;
use crate::exporter::proto::{SPAN_KIND_CLIENT, STATUS_CODE_ERROR, Span, Status};

/// Bytes of a status message, and of a `tracestate` (W3C: vendors keep 512 characters at least).
const MAX_MESSAGE: usize = 4096;

/// The span of a call.
pub(super) fn of(record: &CallRecord, semconv: OtlpSemconv, bounds: Bounds) -> Span {
    let ids = CallIds::of(record);
    let fault = Fault::of(record);
    let mut attributes = Attributes::new(bounds);
    if semconv.genai() {
        genai::put(record, fault.as_ref(), &mut attributes);
    }
    if semconv.openllmetry() {
        openllmetry::put(record, &mut attributes);
    }
    common(record, fault.as_ref(), &mut attributes);
    Span {
        trace_id: ids.trace.to_be_bytes().to_vec(),
        span_id: ids.span.to_be_bytes().to_vec(),
        trace_state: record
            .tracestate
            .as_deref()
            .filter(|state| state.len() <= MAX_MESSAGE)
            .map(cleaned)
            .unwrap_or_default(),
        parent_span_id: ids.parent.map(|id| id.to_be_bytes().to_vec()).unwrap_or_default(),
        name: cleaned(&names::span(record, semconv)),
        kind: SPAN_KIND_CLIENT,
        start_time_unix_nano: record.timing.started_at.0,
        end_time_unix_nano: record.timing.ended_at().0,
        attributes: attributes.finish("ai_tracing.truncated"),
        status: fault
            .filter(|fault| fault.level == Level::Error)
            .map(|fault| Status { message: cleaned(cut(&fault.message, MAX_MESSAGE)), code: STATUS_CODE_ERROR }),
    }
}

/// What belongs to neither convention, or to both.
fn common(record: &CallRecord, fault: Option<&Fault>, to: &mut Attributes) {
    let timing = &record.timing;
    to.put_text("error.type", genai::error_type(record, fault).as_deref());
    to.put("http.response.status_code", record.status.map(i64::from));
    to.put_text("url.path", Some(&record.name));
    // The names and unit (seconds) of the metrics that measure the same.
    to.put("gen_ai.server.time_to_first_token", timing.time_to_first_token_ms.map(|ms| ms / 1000.0));
    let per_token = timing.time_per_token_ms.filter(|_| timing.time_to_first_token_ms.is_some());
    to.put("gen_ai.server.time_per_output_token", per_token.map(|ms| ms / 1000.0));
    to.put_text("ai_tracing.call_id", Some(&record.id));
    to.put("ai_tracing.end", Some(record.end.as_str()).filter(|_| record.end != End::Complete));
    to.put("ai_tracing.tokens_estimated", record.tokens_estimated.then_some(true));
    to.put("ai_tracing.cost.input", record.cost.map(|cost| cost.input));
    to.put("ai_tracing.cost.output", record.cost.map(|cost| cost.output));
    to.put("ai_tracing.cost.total", record.cost.map(|cost| cost.total));
    let context = &record.context;
    to.put_text("ai_tracing.organization_id", context.organization_id.as_deref());
    to.put_text("ai_tracing.project_id", context.project_id.as_deref());
    to.put_text("ai_tracing.message_id", context.message_id.as_deref());
    to.put_text("ai_tracing.service", record.service.as_deref());
    to.put_text("ai_tracing.route", record.route.as_deref());
    to.put_text("ai_tracing.consumer", record.consumer.as_deref());
    to.put_text("ai_tracing.request_id", record.response.request_id.as_deref());
    to.put("ai_tracing.issues", Some(record.issues.clone()));
}
