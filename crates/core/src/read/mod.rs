//! From what was captured to the record: decode, frame, parse, measure, price, and last of all redact.

mod decode;
mod error;
mod measure;
mod private;
mod response;

use std::sync::Arc;

use crate::capture::Exchange;
use crate::context;
use crate::detect::OPENAI_COMPATIBLE;
use crate::dialect::{RequestFacts, ResponseFacts};
use crate::json;
use crate::record::{CallRecord, Operation, SCHEMA_VERSION, Server, Timing, Usage};
use crate::settings::ContentPolicy;
use crate::time::At;

/// Response headers that carry the provider's request id, first match wins.
pub(crate) const REQUEST_ID_HEADERS: [&str; 4] = ["x-request-id", "request-id", "apim-request-id", "x-amzn-requestid"];

/// Reads a finished exchange; `None` when the request's body shows that it is no LLM traffic after all.
pub(crate) fn record(exchange: Exchange) -> Option<CallRecord> {
    let mut issues: Vec<String> = exchange.notes.iter().map(|note| (*note).to_owned()).collect();
    let mut request = RequestFacts::default();
    if !read_request(&exchange, &mut request, &mut issues) {
        return None;
    }
    let mut facts = ResponseFacts::default();
    let framing = response::read(&exchange, &request, &mut facts);
    issues.append(&mut facts.issues);
    let settings = Arc::clone(&exchange.settings);
    let provider = provider(&exchange, &facts);
    let error = facts.error.take();
    let usage = facts.usage;
    let whole =
        measure::Whole { request: exchange.request_body.gap() == 0, response: exchange.response_body.gap() == 0 };
    let timing = timing(&exchange, &facts, framing != response::Framing::Whole);
    let api_version = exchange.api_version.or_else(|| azure_api_version(exchange.query.as_deref()));
    let mut record = CallRecord {
        id: exchange.ids.call,
        detected: true,
        schema_version: SCHEMA_VERSION,
        provider,
        dialect: exchange.detection.dialect.name().to_owned(),
        operation: exchange.detection.operation,
        stream: framing != response::Framing::Whole,
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
        context: context::context(exchange.context_headers, request.metadata, request.user, &settings.environment),
        request: request.request,
        response: facts.into_response(exchange.request_id, api_version),
        usage,
        tokens_estimated: false,
        token_efficiency: None,
        prompt_length: None,
        response_length: None,
        cost: None,
        timing,
        end: exchange.end,
        error,
        issues,
    };
    measure::fill(&mut record, whole, settings.estimate_tokens);
    let models = [record.response.model.as_deref(), record.request.model.as_deref()];
    let models: Vec<&str> = models.into_iter().flatten().collect();
    // Half a cost is none: what is missing may be the larger part. Only embeddings have no output by nature.
    let Usage { input, output, .. } = record.usage;
    let counted = input.is_some() && (output.is_some() || record.operation == Operation::Embeddings);
    record.cost = settings.prices.cost(&models, &record.provider, &record.usage).filter(|_| counted);
    if settings.content == ContentPolicy::MetadataOnly {
        private::drop_content(&mut record);
    }
    settings.redactor.apply(&mut record);
    Some(record)
}

/// Reads the request's body; false when it shows that the path was misleading.
fn read_request(exchange: &Exchange, facts: &mut RequestFacts, issues: &mut Vec<String>) -> bool {
    let limit = exchange.settings.limits.max_inflated_size;
    let encoding = exchange.request_encoding.as_deref();
    let body = decode::Decoded::new(&exchange.request_body, encoding, limit, "request", issues);
    let dialect = exchange.detection.dialect;
    let text = json::text(body.head_bytes());
    let parsed = json::parse(&text);
    if !exchange.detection.certain && !dialect.accepts(&parsed.value) {
        return false;
    }
    if !body.head_bytes().is_empty() {
        if let Some(problem) = parsed.problem.filter(|_| body.gap == 0) {
            issues.push(format!("request: {problem}"));
        }
        dialect.read_request(&parsed.value, facts);
    }
    if facts.request.model.is_none() {
        facts.request.model.clone_from(&exchange.detection.model);
    }
    true
}

/// What the head told, unless it told little and the response tells more.
fn provider(exchange: &Exchange, facts: &ResponseFacts) -> String {
    let told = &exchange.detection.provider;
    if told != OPENAI_COMPATIBLE || exchange.detection.pinned {
        return told.clone();
    }
    let better = exchange.provider_hint.or(facts.provider);
    better.unwrap_or(OPENAI_COMPATIBLE).to_owned()
}

fn timing(exchange: &Exchange, facts: &ResponseFacts, stream: bool) -> Timing {
    let since_start = |at: At| at.ms_since(exchange.started_at);
    Timing {
        started_at: exchange.started_at,
        total_duration_ms: since_start(exchange.ended_at),
        time_to_first_token_ms: facts.first_token_at.filter(|_| stream).map(since_start),
        time_per_token_ms: None,
        throughput_tokens_per_second: None,
        upstream_ms: exchange.upstream_at.and_then(|sent| exchange.response_at.map(|got| got.ms_since(sent))),
        gateway_ms: exchange.upstream_at.map(since_start),
    }
}

/// Azure names its API version in the query.
fn azure_api_version(query: Option<&str>) -> Option<String> {
    query?.split('&').find_map(|pair| pair.strip_prefix("api-version=")).map(str::to_owned)
}
