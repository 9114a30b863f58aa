//! Conversations in the JSON of OpenTelemetry's convention: messages with a role and parts
//! (<https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/>, the schemas of `gen_ai.input.messages`,
//! `gen_ai.output.messages`, `gen_ai.system_instructions` and `gen_ai.tool.definitions`).

use ai_tracing_core::record::{CallRecord, Choice, Content, Media, Message, Operation, Part, ToolCall};
use serde_json::{Map, Value, json};

use super::bounds::Cutter;
use super::{names, tools};
use crate::exporter::fault::{Fault, Level};

/// Wire formats that carry instructions apart from the conversation.
const APART: [&str; 3] = ["anthropic", "bedrock", "gemini"];

/// How many of the messages are instructions that came apart from the conversation.
fn instructions(record: &CallRecord) -> usize {
    let apart = APART.iter().any(|family| names::is(record, family)) || record.dialect == "openai_responses";
    let is_system = |message: &&Message| message.role == "system";
    if apart { record.request.messages.iter().take_while(is_system).count() } else { 0 }
}

/// `gen_ai.system_instructions`.
pub(super) fn system(record: &CallRecord, cutter: &mut Cutter) -> Option<Value> {
    let messages = record.request.messages.get(..instructions(record))?;
    let mut all = Vec::new();
    for message in cutter.pick(messages) {
        contents(&message.content, cutter, &mut all);
    }
    some(all)
}

/// `gen_ai.input.messages`.
pub(super) fn input(record: &CallRecord, cutter: &mut Cutter) -> Option<Value> {
    let messages = record.request.messages.get(instructions(record)..)?;
    some(cutter.pick(messages).map(|it| message(it, cutter)).collect())
}

/// `gen_ai.output.messages`: one for each choice.
pub(super) fn output(record: &CallRecord, cutter: &mut Cutter) -> Option<Value> {
    if record.operation == Operation::Embeddings {
        return None;
    }
    let choices = choices(record);
    let mut generated: Vec<Value> = cutter.pick(&record.response.media).map(|it| media(it, cutter)).collect();
    let messages = cutter.pick(&choices).filter_map(|choice| {
        // What was generated besides text is not told apart by choice.
        answer(record, choice, std::mem::take(&mut generated), cutter)
    });
    some(messages.collect())
}

/// All choices of the answer; the first one too.
pub(super) fn choices(record: &CallRecord) -> Vec<Choice> {
    let response = &record.response;
    let others = response.more_choices.iter().filter(|choice| choice.finish_reason.is_some()).count();
    let first = Choice {
        text: response.text.clone(),
        reasoning: response.reasoning.clone(),
        refusal: response.refusal.clone(),
        tool_calls: response.tool_calls.clone(),
        // The list has no gaps: a first choice without a reason leaves it to the others.
        finish_reason: response.finish_reasons.first().filter(|_| response.finish_reasons.len() > others).cloned(),
    };
    std::iter::once(first).chain(response.more_choices.iter().cloned()).collect()
}

/// `gen_ai.tool.definitions`.
pub(super) fn definitions(record: &CallRecord, cutter: &mut Cutter) -> Option<Value> {
    let tools = tools::of(&record.request.tools);
    let definition = |tool: &tools::Tool<'_>, cutter: &mut Cutter| {
        let mut map = Map::new();
        map.insert("type".into(), cutter.text(tool.kind).into());
        put(&mut map, "name", tool.name, cutter);
        put(&mut map, "description", tool.description, cutter);
        if let Some(parameters) = tool.parameters {
            map.insert("parameters".into(), cutter.value(parameters));
        }
        Value::Object(map)
    };
    some(cutter.pick(&tools).map(|tool| definition(tool, cutter)).collect())
}

fn message(message: &Message, cutter: &mut Cutter) -> Value {
    let role = role(&message.role);
    let mut parts = Vec::new();
    text("reasoning", &message.reasoning, cutter, &mut parts);
    if role == "tool" {
        parts.push(tool_response(message, cutter));
    } else {
        contents(&message.content, cutter, &mut parts);
    }
    text("refusal", &message.refusal, cutter, &mut parts);
    parts.extend(cutter.pick(&message.tool_calls).map(|call| tool_call(call, cutter)));
    let mut map = Map::new();
    map.insert("role".into(), cutter.text(role).into());
    map.insert("parts".into(), parts.into());
    put(&mut map, "name", message.name.as_deref(), cutter);
    Value::Object(map)
}

fn answer(record: &CallRecord, choice: &Choice, media: Vec<Value>, cutter: &mut Cutter) -> Option<Value> {
    let mut parts = Vec::new();
    text("reasoning", &choice.reasoning, cutter, &mut parts);
    text("text", &choice.text, cutter, &mut parts);
    parts.extend(media);
    text("refusal", &choice.refusal, cutter, &mut parts);
    parts.extend(cutter.pick(&choice.tool_calls).map(|call| tool_call(call, cutter)));
    if parts.is_empty() && choice.finish_reason.is_none() {
        return None;
    }
    // The convention demands a reason; what broke off has none.
    let reason = match &choice.finish_reason {
        Some(reason) => finish_reason(reason),
        None if Fault::of(record).is_some_and(|fault| fault.level == Level::Error) => "error",
        None => "unknown",
    };
    Some(json!({"role": "assistant", "parts": parts, "finish_reason": cutter.text(reason)}))
}

/// The four roles of the convention; a word that is none of the known ones stays.
fn role(role: &str) -> &str {
    match role {
        "developer" => "system",
        "model" | "chatbot" | "CHATBOT" => "assistant",
        "function" => "tool",
        other => other,
    }
}

/// The convention's words for why an answer ended, where the provider means one of them.
fn finish_reason(reason: &str) -> &str {
    match reason {
        "stop" | "end_turn" | "stop_sequence" | "STOP" | "COMPLETE" | "STOP_SEQUENCE" | "completed" => "stop",
        "length" | "max_tokens" | "MAX_TOKENS" | "max_output_tokens" | "model_context_window_exceeded" => "length",
        "content_filter"
        | "content_filtered"
        | "guardrail_intervened"
        | "refusal"
        | "SAFETY"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "ERROR_TOXIC" => "content_filter",
        "tool_calls" | "tool_use" | "function_call" | "TOOL_CALL" => "tool_call",
        "error" | "ERROR" => "error",
        other => other,
    }
}

fn contents(content: &Option<Content>, cutter: &mut Cutter, parts: &mut Vec<Value>) {
    match content {
        None => {}
        Some(Content::Text(text)) if text.is_empty() => {}
        Some(Content::Text(text)) => parts.push(json!({"type": "text", "content": cutter.text(text)})),
        Some(Content::Parts(several)) => parts.extend(cutter.pick(several).map(|it| part(it, cutter))),
    }
}

fn part(part: &Part, cutter: &mut Cutter) -> Value {
    match part {
        Part::Text { text } => json!({"type": "text", "content": cutter.text(text)}),
        Part::Media(media) => self::media(media, cutter),
        Part::Other { value } if value.get("type").is_some_and(Value::is_string) => cutter.value(value),
        Part::Other { value } => json!({"type": "other", "value": cutter.value(value)}),
    }
}

/// By what is known of it: the content itself, the provider's file, an address, or only its size.
fn media(media: &Media, cutter: &mut Cutter) -> Value {
    let mut map = Map::new();
    let kind = match media {
        // Half of it is nothing that could be shown.
        Media { content: Some(content), .. } if content.len() <= cutter.bounds.value => "blob",
        Media { file_id: Some(_), .. } => "file",
        Media { uri: Some(_), .. } => "uri",
        _ => "media",
    };
    map.insert("type".into(), kind.into());
    put(&mut map, "modality", Some(&media.modality), cutter);
    put(&mut map, "mime_type", media.mime_type.as_deref(), cutter);
    match kind {
        "blob" => put(&mut map, "content", media.content.as_deref(), cutter),
        "file" => put(&mut map, "file_id", media.file_id.as_deref(), cutter),
        "uri" => put(&mut map, "uri", media.uri.as_deref(), cutter),
        _ => {
            cutter.has_cut |= media.content.is_some();
            map.extend(media.bytes.map(|bytes| ("bytes".to_owned(), bytes.into())));
            put(&mut map, "sha256", media.sha256.as_deref(), cutter);
        }
    }
    Value::Object(map)
}

fn tool_response(message: &Message, cutter: &mut Cutter) -> Value {
    let mut map = Map::new();
    map.insert("type".into(), "tool_call_response".into());
    put(&mut map, "id", message.tool_call_id.as_deref(), cutter);
    let response = match &message.content {
        None => Value::Null,
        Some(Content::Text(text)) => cutter.text(text).into(),
        Some(Content::Parts(parts)) => cutter.pick(parts).map(|it| part(it, cutter)).collect(),
    };
    map.insert("response".into(), response);
    Value::Object(map)
}

fn tool_call(call: &ToolCall, cutter: &mut Cutter) -> Value {
    let mut map = Map::new();
    map.insert("type".into(), "tool_call".into());
    put(&mut map, "id", call.id.as_deref(), cutter);
    put(&mut map, "name", call.name.as_deref(), cutter);
    if let Some(arguments) = &call.arguments {
        // What the model wrote is JSON, as a rule; what is not stays text.
        let arguments = match serde_json::from_str::<Value>(arguments) {
            Ok(parsed) => cutter.value(&parsed),
            Err(_) => cutter.text(arguments).into(),
        };
        map.insert("arguments".into(), arguments);
    }
    Value::Object(map)
}

fn text(kind: &str, text: &Option<String>, cutter: &mut Cutter, parts: &mut Vec<Value>) {
    if let Some(text) = text.as_deref().filter(|text| !text.is_empty()) {
        parts.push(json!({"type": kind, "content": cutter.text(text)}));
    }
}

fn put(map: &mut Map<String, Value>, key: &str, text: Option<&str>, cutter: &mut Cutter) {
    if let Some(text) = text.filter(|text| !text.is_empty()) {
        map.insert(key.to_owned(), cutter.text(text).into());
    }
}

fn some(list: Vec<Value>) -> Option<Value> {
    (!list.is_empty()).then_some(Value::Array(list))
}
