//! OpenLLMetry's attributes of a call (version 0.47, semconv_ai 0.4.13), which Dynatrace lists for gateways:
//! <https://github.com/traceloop/openllmetry>. Its `llm.headers` is left out on purpose: headers carry secrets.

use ai_tracing_core::record::{CallRecord, Choice, Content, Message, Operation, ToolCall};
use serde_json::{Map, Value};

use super::attributes::Attributes;
use super::{messages, names, params, tools};
use crate::exporter::chatml;
use crate::exporter::proto::typed;

/// Prefix of what says who is calling.
const ASSOCIATION: &str = "traceloop.association.properties.";

/// Adds them.
pub(super) fn put(record: &CallRecord, to: &mut Attributes) {
    to.put_text("gen_ai.system", Some(names::system(record)));
    to.put("llm.request.type", Some(names::request_type(record.operation)));
    to.put_text("gen_ai.openai.api_base", names::api_base(record).as_deref());
    to.put_text("gen_ai.openai.api_version", record.response.api_version.as_deref());
    to.put_text("gen_ai.openai.system_fingerprint", record.response.system_fingerprint.as_deref());
    request(record, to);
    usage(record, to);
    association(record, to);
    functions(record, to);
    for (index, message) in to.pick("gen_ai.prompt", &record.request.messages) {
        prompt(index, message, to);
    }
    let filtered = record.response.extra.get("prompt_filter_results");
    to.put_json("gen_ai.prompt.prompt_filter_results", |cutter| Some(cutter.value(filtered?)));
    completions(record, to);
}

fn request(record: &CallRecord, to: &mut Attributes) {
    let params = &record.request.params;
    to.put_text("gen_ai.request.model", record.request.model.as_deref());
    to.put("gen_ai.request.max_tokens", params.max_tokens);
    to.put("gen_ai.request.temperature", params.temperature);
    to.put("gen_ai.request.top_p", params.top_p);
    to.put("llm.frequency_penalty", params.frequency_penalty);
    to.put("llm.presence_penalty", params.presence_penalty);
    to.put("llm.top_k", params::top_k(record));
    to.put("llm.chat.stop_sequences", params.stop.clone());
    to.put_text("llm.user", record.context.user_id.as_deref());
    to.put("llm.is_streaming", Some(record.request.stream || record.stream));
    to.put_text("gen_ai.request.reasoning_effort", params::reasoning_effort(record));
    let schema = params::output_schema(record);
    to.put_json("gen_ai.request.structured_output_schema", |cutter| Some(cutter.value(schema?)));
    to.put_text("gen_ai.response.id", record.response.id.as_deref());
    to.put_text("gen_ai.response.model", record.response.model.as_deref());
}

/// Prompt tokens include what was read from and written to a cache, for Anthropic too.
fn usage(record: &CallRecord, to: &mut Attributes) {
    let usage = &record.usage;
    to.put_count("gen_ai.usage.prompt_tokens", usage.input);
    to.put_count("gen_ai.usage.completion_tokens", usage.output);
    to.put_count("gen_ai.usage.reasoning_tokens", usage.reasoning);
    to.put_count("gen_ai.usage.cache_read_input_tokens", usage.cache_read);
    to.put_count("gen_ai.usage.cache_creation_input_tokens", usage.cache_write);
    to.put_count("llm.usage.total_tokens", usage.total);
}

/// Who is calling: our context, and what else the request's metadata says.
fn association(record: &CallRecord, to: &mut Attributes) {
    let context = &record.context;
    for (name, id) in [
        ("user_id", &context.user_id),
        ("session_id", &context.session_id),
        ("chat_id", &context.chat_id),
        ("message_id", &context.message_id),
        ("organization_id", &context.organization_id),
        ("project_id", &context.project_id),
        ("environment", &context.environment),
    ] {
        to.put_text([ASSOCIATION, name].concat(), id.as_deref());
    }
    if context.metadata.len() > to.bounds.items {
        to.leave_out(ASSOCIATION.trim_end_matches('.'));
    }
    for (name, value) in context.metadata.iter().take(to.bounds.items) {
        let key = [ASSOCIATION, name].concat();
        match value {
            Value::Array(_) | Value::Object(_) => to.put_json(key, |cutter| Some(cutter.value(value))),
            scalar => to.put(key, typed(scalar)),
        }
    }
}

fn functions(record: &CallRecord, to: &mut Attributes) {
    let tools = tools::of(&record.request.tools);
    for (index, tool) in to.pick("llm.request.functions", &tools) {
        let key = |name: &str| format!("llm.request.functions.{index}.{name}");
        to.put_text(key("name"), tool.name);
        to.put_text(key("description"), tool.description);
        to.put_json(key("parameters"), |cutter| Some(cutter.value(tool.parameters?)));
    }
}

fn prompt(index: usize, message: &Message, to: &mut Attributes) {
    let prefix = format!("gen_ai.prompt.{index}");
    to.put_text(format!("{prefix}.role"), Some(&message.role));
    content(format!("{prefix}.content"), message.content.as_ref(), to);
    to.put_text(format!("{prefix}.tool_call_id"), message.tool_call_id.as_deref());
    tool_calls(&prefix, &message.tool_calls, to);
}

/// A text as it is, anything else as JSON text in OpenAI's form.
fn content(key: String, content: Option<&Content>, to: &mut Attributes) {
    match content {
        None => {}
        Some(Content::Text(text)) => to.put_text(key, Some(text)),
        Some(parts) => {
            let parts = chatml::content(parts);
            to.put_json(key, |cutter| Some(cutter.value(&parts)));
        }
    }
}

fn completions(record: &CallRecord, to: &mut Attributes) {
    if record.operation == Operation::Embeddings {
        return;
    }
    let choices = messages::choices(record);
    // Anthropic's thinking is a completion of its own, in front of the answer.
    let thinks = names::is(record, "anthropic") || record.provider == "anthropic";
    let mut index = 0;
    for (position, choice) in to.pick("gen_ai.completion", &choices) {
        let reasoning = choice.reasoning.as_deref().filter(|text| thinks && !text.is_empty());
        if let Some(text) = reasoning {
            to.put(format!("gen_ai.completion.{index}.role"), Some("thinking"));
            to.put_text(format!("gen_ai.completion.{index}.content"), Some(text));
            index += 1;
        }
        completion(if thinks { index } else { position }, position, choice, &record.response.extra, to);
        index += 1;
    }
}

fn completion(index: usize, position: usize, choice: &Choice, extra: &Map<String, Value>, to: &mut Attributes) {
    let says_nothing = choice.text.as_deref().is_none_or(str::is_empty)
        && choice.refusal.as_deref().is_none_or(str::is_empty)
        && choice.tool_calls.is_empty();
    if says_nothing && choice.finish_reason.is_none() {
        return;
    }
    let prefix = format!("gen_ai.completion.{index}");
    to.put(format!("{prefix}.role"), Some("assistant"));
    to.put_text(format!("{prefix}.content"), choice.text.as_deref());
    to.put_text(format!("{prefix}.refusal"), choice.refusal.as_deref());
    to.put_text(format!("{prefix}.finish_reason"), choice.finish_reason.as_deref());
    if position == 0 {
        let filtered = extra.get("content_filter_results");
        to.put_json(format!("{prefix}.content_filter_results"), |cutter| Some(cutter.value(filtered?)));
    }
    tool_calls(&prefix, &choice.tool_calls, to);
}

fn tool_calls(prefix: &str, calls: &[ToolCall], to: &mut Attributes) {
    for (index, call) in to.pick(&format!("{prefix}.tool_calls"), calls) {
        let key = |name: &str| format!("{prefix}.tool_calls.{index}.{name}");
        to.put_text(key("id"), call.id.as_deref());
        to.put_text(key("name"), call.name.as_deref());
        to.put_text(key("arguments"), call.arguments.as_deref());
    }
}
