//! From what was captured to the record.

use crate::capture::Exchange;
use crate::record::*;

/// Response headers that carry the provider's request id, first match wins.
pub(crate) const REQUEST_ID_HEADERS: [&str; 4] = ["x-request-id", "request-id", "apim-request-id", "x-amzn-requestid"];

/// Reads a finished exchange.
pub(crate) fn record(exchange: Exchange) -> CallRecord {
    CallRecord {
        id: exchange.ids.call,
        detected: true,
        schema_version: SCHEMA_VERSION,
        provider: exchange.detection.provider,
        dialect: exchange.detection.dialect.to_owned(),
        operation: exchange.detection.operation,
        stream: false,
        status: exchange.status,
        trace_id: format!("{:032x}", exchange.trace.trace),
        span_id: format!("{:016x}", exchange.ids.span),
        parent_span_id: exchange.trace.parent.map(|parent| format!("{parent:016x}")),
        tracestate: exchange.trace.state,
        name: exchange.path,
        method: exchange.method,
        service: exchange.service,
        route: exchange.route,
        consumer: exchange.consumer,
        server: Server { address: exchange.server_address, port: exchange.server_port },
        context: Context::default(),
        request: Request::default(),
        response: Response::default(),
        usage: Usage::default(),
        tokens_estimated: false,
        token_efficiency: None,
        prompt_length: None,
        response_length: None,
        cost: None,
        timing: Timing { started_at: exchange.started_at, ..Timing::default() },
        end: exchange.end,
        error: None,
        issues: Vec::new(),
    }
}
