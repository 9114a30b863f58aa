//! From what was captured to the record: decode, frame, parse, measure, price, and last of all redact.

mod decode;
mod error;
mod form;
mod http;
mod measure;
mod private;
mod response;

use std::sync::Arc;

use crate::capture::Exchange;
use crate::context;
use crate::detect::OPENAI_COMPATIBLE;
use crate::dialect::{Endpoint, RequestFacts, ResponseFacts};
use crate::json::{self, Problem};
use crate::record::{CallRecord, Operation, SCHEMA_VERSION, Server, Timing, Usage};
use crate::settings::ContentPolicy;
use crate::time::At;

/// Response headers that carry the provider's request id, first match wins.
const REQUEST_ID_HEADERS: [&str; 4] = ["x-request-id", "request-id", "apim-request-id", "x-amzn-requestid"];

/// Reads a finished exchange; `None` when the request's body shows that it is no LLM traffic after all.
pub(crate) fn record(exchange: Exchange) -> Option<CallRecord> {
    let mut issues: Vec<String> = exchange.notes.iter().map(|note| (*note).to_owned()).collect();
    let mut request = RequestFacts { headers: exchange.request_headers.clone(), ..RequestFacts::default() };
    let (endpoint, whole_request) = read_request(&exchange, &mut request, &mut issues)?;
    let mut facts = ResponseFacts::default();
    let answer = exchange.answered_in.unwrap_or(endpoint.dialect);
    let read = response::read(&exchange, answer, &request, &mut facts);
    issues.append(&mut facts.issues);
    let settings = Arc::clone(&exchange.settings);
    let provider = provider(&exchange, endpoint, &facts);
    let error = facts.error.take();
    let (usage, billed) = (facts.usage, facts.billed);
    let whole = measure::Whole { request: whole_request, response: read.whole };
    let timing = timing(&exchange, &facts, read.stream);
    let http = http::keep(&exchange);
    let (request_id, api_version) = (request_id(&exchange), api_version(&exchange));
    let mut record = CallRecord {
        id: exchange.ids.call,
        detected: true,
        schema_version: SCHEMA_VERSION,
        provider,
        dialect: endpoint.dialect.name().to_owned(),
        operation: facts.operation.or(request.operation).unwrap_or(endpoint.operation),
        stream: read.stream,
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
        response: facts.into_response(request_id, api_version),
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
        http,
    };
    measure::fill(&mut record, whole, settings.estimate_tokens);
    let models = [record.response.model.as_deref(), record.request.model.as_deref()];
    let models: Vec<&str> = models.into_iter().flatten().collect();
    // Half a cost is none: what is missing may be the larger part. Only embeddings have no output by nature.
    let Usage { input, output, .. } = record.usage;
    let counted = input.is_some() && (output.is_some() || record.operation == Operation::Embeddings);
    let billed = billed.unwrap_or(record.usage);
    record.cost = settings.prices.cost(&models, &record.provider, &billed).filter(|_| counted);
    if settings.content == ContentPolicy::MetadataOnly {
        private::drop_content(&mut record, &settings.context_headers.names());
    }
    settings.redactor.apply(&mut record);
    Some(record)
}

/// Which rules decided about an exchange, in one line for people.
pub(crate) fn explain(exchange: &Exchange) -> String {
    let read = read_request(exchange, &mut RequestFacts::default(), &mut Vec::new());
    exchange.detection.explain(&exchange.settings, read.map(|(endpoint, _)| endpoint))
}

/// Reads the request's body: the endpoint that it shows, and whether the body was kept whole. `None` when it is no LLM
/// traffic.
fn read_request(
    exchange: &Exchange,
    facts: &mut RequestFacts,
    issues: &mut Vec<String>,
) -> Option<(&'static Endpoint, bool)> {
    let limit = exchange.settings.limits.max_inflated_size;
    let encoding = exchange.request_headers.get("content-encoding");
    let body = decode::Decoded::new(&exchange.request_body, encoding, limit, "request", issues);
    let form = match exchange.request_headers.get("content-type") {
        None => form::boundary_of(body.head_bytes()),
        told => form::boundary(told),
    };
    let text = json::text(if form.is_some() { b"" } else { body.head_bytes() });
    let parsed = match form {
        Some(boundary) => form::parse(body.head_bytes(), boundary),
        None => json::parse(&text),
    };
    let endpoint = exchange.detection.endpoint(&parsed.value)?;
    if !body.head_bytes().is_empty() {
        if let Some(problem) = parsed.problem.filter(|problem| body.whole() || *problem == Problem::TooMany) {
            issues.push(format!("request: {problem}"));
        }
        // Where several formats share a path, the model's name may tell which it is.
        facts.request.model.clone_from(&exchange.detection.model);
        endpoint.dialect.read_request(&parsed.value, facts);
        facts.request.params.settle();
    }
    facts.request.stream |= endpoint.stream;
    if facts.request.model.is_none() {
        facts.request.model.clone_from(&exchange.detection.model);
    }
    Some((endpoint, body.whole()))
}

/// What the head told, unless it told little and the response tells more.
fn provider(exchange: &Exchange, endpoint: &Endpoint, facts: &ResponseFacts) -> String {
    let told = exchange.detection.provider.as_deref().or(endpoint.provider);
    told.or(exchange.provider_hint).or(facts.provider).unwrap_or(OPENAI_COMPATIBLE).to_owned()
}

fn request_id(exchange: &Exchange) -> Option<String> {
    REQUEST_ID_HEADERS.iter().find_map(|name| exchange.response_headers.get(name)).map(str::to_owned)
}

/// OpenAI tells its API version in the response, Anthropic is told it, Azure names it in the query.
fn api_version(exchange: &Exchange) -> Option<String> {
    let azure = || exchange.query.as_deref()?.split('&').find_map(|pair| pair.strip_prefix("api-version="));
    let told = exchange.response_headers.get("openai-version");
    told.or_else(|| exchange.request_headers.get("anthropic-version")).or_else(azure).map(str::to_owned)
}

fn timing(exchange: &Exchange, facts: &ResponseFacts, stream: bool) -> Timing {
    let since_start = |at: At| at.ms_since(exchange.started_at);
    Timing {
        // As precise as its JSON: a record that is read back from there is the same record.
        started_at: exchange.started_at.to_micros(),
        total_duration_ms: since_start(exchange.ended_at),
        time_to_first_token_ms: facts.first_token_at.filter(|_| stream && exchange.timed).map(since_start),
        time_per_token_ms: None,
        throughput_tokens_per_second: None,
        upstream_ms: exchange.upstream_at.and_then(|sent| exchange.response_at.map(|got| got.ms_since(sent))),
        gateway_ms: exchange.upstream_at.map(since_start),
    }
}
