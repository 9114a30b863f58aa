//! OpenAI responses: `POST .../responses`, items in, items out; with it `.../responses/compact` and
//! `.../responses/input_tokens`.
//!
//! A stream is typed events. Text, reasoning and arguments come as deltas; the last event, `response.completed`,
//! `.incomplete` or `.failed`, repeats the whole response and is the only one that tells the usage. Streams that are cut
//! before it keep what the deltas said.
//!
//! The finish reason is the response's `status`. Tools that the server runs (web search, MCP, code interpreter, …) are no
//! tool calls of the answer: they stand in `extra` under `output_items`, sources under `annotations`.
//! Source: <https://platform.openai.com/docs/api-reference/responses> and `/responses-streaming`.

use serde_json::Value;

use crate::dialect::facts::{ChoiceFacts, RequestFacts, ResponseFacts, ToolFacts, append};
use crate::dialect::openai::{images, items, sound};
use crate::dialect::{Dialect, Event, media, openai};
use crate::json::Json;
use crate::record::CallError;

/// See the module.
#[derive(Debug)]
pub struct OpenAiResponses;

impl Dialect for OpenAiResponses {
    fn name(&self) -> &'static str {
        "openai_responses"
    }

    /// Surveys have responses, too.
    fn accepts(&self, request: &Json<'_>) -> bool {
        let named = ["model", "prompt", "conversation", "previous_response_id"];
        let named = named.iter().any(|key| !request.get(key).is_null());
        named && ["input", "instructions", "prompt"].iter().any(|key| !request.get(key).is_null())
    }

    fn read_request(&self, body: &Json<'_>, facts: &mut RequestFacts) {
        openai::read_request(body, facts);
        let request = &mut facts.request;
        let instructions = body.get("instructions");
        let mut messages = match instructions {
            Json::Array(list) => list.iter().map(items::message).collect(),
            told => openai::read_texts(told),
        };
        if instructions.str().is_some() {
            messages.iter_mut().for_each(|message| message.role = "system".into());
        }
        let input = body.get("input");
        request.message_count = match input {
            Json::String(_) | Json::CutString(_) => Some(1),
            list => list.count_items().map(|count| count as u64),
        };
        match input {
            Json::Array(list) => messages.extend(list.iter().map(items::message)),
            other => messages.extend(openai::read_texts(other)),
        }
        request.messages = messages;
        request.tools = body.get("tools").items().iter().map(items::tool).collect();
        request.params.other.remove("instructions");
        // A stored prompt: its id, version and variables.
        let prompt = body.get("prompt");
        if prompt.is_object() {
            request.params.other.insert("prompt".into(), items::lean(prompt));
        }
    }

    fn read_response(&self, body: &Json<'_>, _: &RequestFacts, facts: &mut ResponseFacts) {
        if body.get("object").str() == Some("response.input_tokens") {
            facts.usage.input = body.get("input_tokens").count();
            return;
        }
        read_response(body, facts);
        read_end(body, None, facts);
    }

    fn read_event(&self, event: &Event<'_>, request: &RequestFacts, facts: &mut ResponseFacts) {
        let body = event.body;
        let kind = body.get("type").filled().unwrap_or(event.name);
        let response = body.get("response");
        match kind {
            "response.created" | "response.queued" | "response.in_progress" => read_response(response, facts),
            "response.completed"
            | "response.incomplete"
            | "response.failed"
            | "response.cancelled"
            | "response.done" => {
                read_response(response, facts);
                read_end(response, kind.strip_prefix("response."), facts);
            }
            "error" => read_error(body, facts),
            "response.output_item.done" => read_item_done(body, facts),
            "response.audio.delta" => {
                let format = request.request.params.other.get("audio").and_then(|audio| audio.get("format"));
                sound::add(facts, format.and_then(Value::as_str), body.get("delta"));
                facts.token_at(event.at);
            }
            "response.image_generation_call.partial_image" => facts.token_at(event.at),
            // A few servers send the response by itself.
            _ if body.get("object").str() == Some("response") => self.read_response(body, request, facts),
            _ => {
                if facts.choice(0).is_some_and(|choice| read_delta(kind, body, choice)) {
                    facts.token_at(event.at);
                }
            }
        }
    }
}

/// Reads what a response says about itself, finished or not.
fn read_response(response: &Json<'_>, facts: &mut ResponseFacts) {
    openai::read_envelope(response, facts);
    // `content_filters` is Azure's.
    for key in ["incomplete_details", "previous_response_id", "conversation", "content_filters"] {
        openai::keep_extra(facts, key, response.get(key));
    }
}

/// Reads what a finished response says: all of its output, why it ended, what went wrong. `ended` is what the event says
/// of that.
fn read_end(response: &Json<'_>, ended: Option<&str>, facts: &mut ResponseFacts) {
    let error = response.get("error");
    if facts.error.is_none() && !error.members().is_empty() {
        let kind = error.get("code").id().or_else(|| error.get("type").word());
        facts.error = Some(CallError { kind, message: error.get("message").filled().map(str::to_owned) });
    }
    let output = response.get("output").items();
    if !output.is_empty() {
        // It repeats what the stream said.
        facts.media.retain(|media| media.modality != "image");
        facts.extra.remove("annotations");
        facts.extra.remove("output_items");
    }
    let mut said = ChoiceFacts::default();
    for (index, item) in output.iter().enumerate() {
        items::read(item, Some(index as u64), &mut said);
        read_beside(item, facts);
    }
    let ended = ended.filter(|ended| *ended != "done").map(str::to_owned);
    let Some(choice) = facts.choice(0) else { return };
    if let Some(status) = response.get("status").word().or(ended) {
        choice.finish_reason = Some(status);
    }
    settle(choice, said);
}

/// Takes the whole answer for what the deltas said; not where it was cut, or left out.
fn settle(choice: &mut ChoiceFacts, said: ChoiceFacts) {
    let longer = |known: &mut Option<String>, told: Option<String>| {
        let length = |text: &Option<String>| text.as_ref().map(String::len);
        if length(&told) >= length(known) {
            *known = told;
        }
    };
    longer(&mut choice.text, said.text);
    longer(&mut choice.reasoning, said.reasoning);
    longer(&mut choice.refusal, said.refusal);
    let size = |tools: &[ToolFacts]| {
        let arguments = tools.iter().filter_map(|tool| tool.call.arguments.as_ref()).map(String::len).sum::<usize>();
        (tools.len(), arguments)
    };
    if size(&said.tool_calls) >= size(&choice.tool_calls) {
        choice.tool_calls = said.tool_calls;
    }
}

/// Reads an item that is complete: calls, and what stands beside the answer. Its text came in deltas.
fn read_item_done(body: &Json<'_>, facts: &mut ResponseFacts) {
    let item = body.get("item");
    if let Some(choice) = facts.choice(0) {
        let unsaid = match item.get("type").str() {
            Some("message") => choice.text.is_none() && choice.refusal.is_none(),
            Some("reasoning") => choice.reasoning.is_none(),
            _ => true,
        };
        if unsaid {
            items::read(item, body.get("output_index").count(), choice);
        }
    }
    read_beside(item, facts);
}

/// Reads what is neither text nor a call of the client's tools: sources, the server's tools, pictures.
fn read_beside(item: &Json<'_>, facts: &mut ResponseFacts) {
    match item.get("type").str() {
        Some("message") => {
            let parts = item.get("content").items().iter();
            let annotations = parts.flat_map(|part| part.get("annotations").items());
            openai::keep_list(facts, "annotations", annotations.map(items::lean));
        }
        Some("reasoning" | "function_call" | "custom_tool_call") | None => {}
        Some(kind) => {
            let mut kept = items::lean(item);
            let picture = item.get("result");
            if kind == "image_generation_call" && picture.filled().is_some() {
                if let Some(members) = kept.as_object_mut() {
                    members.remove("result");
                }
                let format = item.get("output_format").filled().map(|format| format!("image/{format}"));
                let told = format.as_deref().or_else(|| images::signature(picture.str().unwrap_or_default()));
                facts.keep_media([media::inline("image", told, picture)]);
            }
            openai::keep_list(facts, "output_items", [kept]);
        }
    }
}

/// Reads a piece of text, reasoning or arguments. True when it carried a generated token.
fn read_delta(kind: &str, body: &Json<'_>, choice: &mut ChoiceFacts) -> bool {
    let index = body.get("output_index").count();
    let delta = body.get("delta").str().unwrap_or_default();
    let say = |slot: &mut Option<String>| {
        append(slot, delta);
        !delta.is_empty()
    };
    match kind {
        "response.output_text.delta" | "response.audio.transcript.delta" => say(&mut choice.text),
        "response.refusal.delta" => say(&mut choice.refusal),
        "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" | "response.reasoning.delta" => {
            say(&mut choice.reasoning)
        }
        "response.reasoning_summary_part.added" => {
            items::paragraph(&mut choice.reasoning);
            false
        }
        "response.output_item.added" => {
            let item = body.get("item");
            let is_call = matches!(item.get("type").str(), Some("function_call" | "custom_tool_call"));
            if is_call {
                items::read_call(item, index, choice);
            }
            is_call
        }
        "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta" => {
            choice.tool(index, None).is_some_and(|tool| say(&mut tool.call.arguments))
        }
        "response.function_call_arguments.done" | "response.custom_tool_call_input.done" => {
            let whole = [body.get("arguments"), body.get("input")].into_iter().find_map(openai::arguments);
            if let (Some(whole), Some(tool)) = (whole, choice.tool(index, None)) {
                tool.call.arguments = Some(whole);
            }
            false
        }
        _ => false,
    }
}

/// Reads an `error` event, whose type is no more than that: its code tells.
fn read_error(body: &Json<'_>, facts: &mut ResponseFacts) {
    let message = body.get("message").filled().map(str::to_owned);
    let code = body.get("code").id();
    if body.get("error").is_object() || (message.is_none() && code.is_none()) {
        return;
    }
    let told = facts.error.get_or_insert_default();
    if told.message.is_none() || told.message == message {
        told.kind = code.or_else(|| told.kind.take());
        told.message = message;
    }
}
