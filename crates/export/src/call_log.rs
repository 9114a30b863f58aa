//! The log's line of a call.
//!
//! A traced call is one line with the message `AI Tracing`. How much of it is logged is the plugin's `log_level`, not the
//! process's: at `info` every call, at `warn` those that failed, at `error` those that the upstream or the gateway
//! failed, at `debug` the content as well. Credentials are in no record, so they are in no line.

use std::sync::Arc;

use ai_tracing_config::ai_tracing::LogLevel;
use ai_tracing_core::record::{CallRecord, End};

use crate::engine::Observer;
use crate::tracer::Tracer;

/// The target of the lines of calls: the level that a process logs at does not hold for them.
pub const CALLS: &str = "ai_tracing::calls";

/// Writes a line for each traced call.
#[derive(Debug)]
pub struct CallLog;

/// How bad a call's end is, in the plugin's levels.
fn severity(record: &CallRecord) -> LogLevel {
    let failed =
        record.status.is_some_and(|status| status >= 500) || matches!(record.end, End::UpstreamError | End::Timeout);
    match record.is_error() {
        _ if failed => LogLevel::Error,
        true => LogLevel::Warn,
        false => LogLevel::Info,
    }
}

impl Observer for CallLog {
    fn observe(&self, record: &Arc<CallRecord>, tracer: &Tracer) {
        let severity = severity(record);
        if severity < tracer.log_level {
            return;
        }
        macro_rules! line {
            ($level:ident) => {
                tracing::$level!(
                    target: CALLS,
                    trace_id = record.trace_id,
                    name = record.name,
                    provider = record.provider,
                    model = record.response.model.as_ref().or(record.request.model.as_ref()),
                    operation = record.operation.as_str(),
                    stream = record.stream,
                    status = record.status,
                    end = record.end.as_str(),
                    duration_ms = record.timing.total_duration_ms,
                    ttft_ms = record.timing.time_to_first_token_ms,
                    prompt_tokens = record.usage.input,
                    completion_tokens = record.usage.output,
                    total_tokens = record.usage.total,
                    cost = record.cost.map(|cost| cost.total),
                    user_id = record.context.user_id,
                    session_id = record.context.session_id,
                    service = record.service,
                    route = record.route,
                    error = record.error.as_ref().and_then(|error| error.kind.as_ref()),
                    "AI Tracing"
                )
            };
        }
        match severity {
            LogLevel::Error => line!(error),
            LogLevel::Warn => line!(warn),
            LogLevel::Info | LogLevel::Debug => line!(info),
        }
        if tracer.log_level == LogLevel::Debug {
            let messages = serde_json::to_string(&record.request.messages).unwrap_or_default();
            tracing::debug!(
                target: CALLS,
                trace_id = record.trace_id,
                messages,
                text = record.response.text,
                "AI Tracing content"
            );
        }
    }
}
