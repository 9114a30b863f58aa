//! OpenTelemetry's attributes of a call: semantic conventions for generative AI, v1.41.1
//! (<https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/>).

use ai_tracing_core::record::{CallRecord, End, Operation};
use serde_json::Value;

use super::attributes::Attributes;
use super::{messages, names, params};
use crate::exporter::fault::{Fault, Level};

/// Adds them.
pub(super) fn put(record: &CallRecord, fault: Option<&Fault>, to: &mut Attributes) {
    to.put("gen_ai.operation.name", Some(names::operation(record)));
    to.put_text("gen_ai.provider.name", Some(names::provider(record)));
    to.put_text("error.type", error_type(record, fault).as_deref());
    let context = &record.context;
    to.put_text("gen_ai.conversation.id", context.chat_id.as_deref());
    to.put_text("gen_ai.conversation.id", context.session_id.as_deref());
    to.put_text("session.id", context.session_id.as_deref());
    to.put_text("user.id", context.user_id.as_deref());
    to.put_text("server.address", record.server.address.as_deref());
    to.put("server.port", record.server.port.filter(|_| record.server.address.is_some()).map(i64::from));
    request(record, to);
    response(record, to);
    usage(record, to);
    to.put_json("gen_ai.system_instructions", |cutter| messages::system(record, cutter));
    to.put_json("gen_ai.input.messages", |cutter| messages::input(record, cutter));
    to.put_json("gen_ai.output.messages", |cutter| messages::output(record, cutter));
    to.put_json("gen_ai.tool.definitions", |cutter| messages::definitions(record, cutter));
}

fn request(record: &CallRecord, to: &mut Attributes) {
    let params = &record.request.params;
    to.put_text("gen_ai.request.model", record.request.model.as_deref());
    to.put("gen_ai.request.frequency_penalty", params.frequency_penalty);
    to.put("gen_ai.request.max_tokens", params.max_tokens);
    to.put("gen_ai.request.presence_penalty", params.presence_penalty);
    to.put("gen_ai.request.seed", params.seed);
    to.put("gen_ai.request.stop_sequences", params.stop.clone());
    to.put("gen_ai.request.temperature", params.temperature);
    to.put("gen_ai.request.top_k", params::top_k(record));
    to.put("gen_ai.request.top_p", params.top_p);
    to.put("gen_ai.request.stream", record.request.stream.then_some(true));
    to.put("gen_ai.request.choice.count", params.n.filter(|count| *count != 1));
    to.put("gen_ai.output.type", params::output_type(record));
    if record.operation == Operation::Embeddings {
        to.put("gen_ai.request.encoding_formats", Some(params::encoding_formats(record)));
        let asked = params::first(record, &["dimensions", "outputDimensionality", "output_dimension"]);
        let dimensions = record.response.embedding_dims.or_else(|| asked.and_then(Value::as_u64));
        to.put_count("gen_ai.embeddings.dimension.count", dimensions);
    }
    if names::is(record, "openai") {
        let api = match record.dialect.as_str() {
            "openai_chat" => Some("chat_completions"),
            "openai_responses" => Some("responses"),
            _ => None,
        };
        to.put("openai.api.type", api);
        let tier = params::first(record, &["service_tier"]).and_then(Value::as_str);
        to.put_text("openai.request.service_tier", tier.filter(|tier| *tier != "auto"));
    }
}

fn response(record: &CallRecord, to: &mut Attributes) {
    let response = &record.response;
    to.put_text("gen_ai.response.id", response.id.as_deref());
    to.put_text("gen_ai.response.model", response.model.as_deref());
    to.put("gen_ai.response.finish_reasons", Some(response.finish_reasons.clone()));
    to.put("gen_ai.response.time_to_first_chunk", record.timing.time_to_first_token_ms.map(|ms| ms / 1000.0));
    if names::is(record, "openai") {
        to.put_text("openai.response.service_tier", response.service_tier.as_deref());
        to.put_text("openai.response.system_fingerprint", response.system_fingerprint.as_deref());
    }
}

/// The record counts as the convention does: input includes what came from a cache, output includes reasoning.
fn usage(record: &CallRecord, to: &mut Attributes) {
    let usage = &record.usage;
    to.put_count("gen_ai.usage.input_tokens", usage.input);
    to.put_count("gen_ai.usage.output_tokens", usage.output);
    to.put_count("gen_ai.usage.reasoning.output_tokens", usage.reasoning);
    to.put_count("gen_ai.usage.cache_read.input_tokens", usage.cache_read);
    to.put_count("gen_ai.usage.cache_creation.input_tokens", usage.cache_write);
}

/// The provider's code, else the HTTP status, else how the call ended.
pub(super) fn error_type(record: &CallRecord, fault: Option<&Fault>) -> Option<String> {
    fault.filter(|fault| fault.level == Level::Error)?;
    let kind = record.error.as_ref().and_then(|error| error.kind.clone()).filter(|kind| !kind.is_empty());
    let status = record.status.filter(|status| *status >= 400).map(|status| status.to_string());
    let end = Some(record.end.as_str()).filter(|_| record.end != End::Complete);
    Some(kind.or(status).or(end.map(str::to_owned)).unwrap_or_else(|| "_OTHER".to_owned()))
}
