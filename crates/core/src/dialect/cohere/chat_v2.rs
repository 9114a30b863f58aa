//! Cohere's chat, `POST /v2/chat`: messages much like OpenAI's in, one message out.
//!
//! Content is a list of texts and thoughts; a `tool_plan` comes before tools are called.
//! Streams are server-sent events that add to `delta.message`, where lists become the one item that the event is about;
//! `message-end` has the usage. Some end with `[DONE]`.
//! Source: <https://docs.cohere.com/reference/chat>.

use serde_json::Value;

use super::chat_v1::read_end;
use crate::dialect::facts::{ChoiceFacts, RequestFacts, ResponseFacts, append, keep_first};
use crate::dialect::{Dialect, Event, cohere, openai};
use crate::json::Json;
use crate::record::{CallError, Message};

/// Citations of a stream that are kept.
const MAX_CITATIONS: usize = 256;

/// See the module.
#[derive(Debug)]
pub struct CohereChatV2;

impl Dialect for CohereChatV2 {
    fn name(&self) -> &'static str {
        "cohere_chat_v2"
    }

    fn accepts(&self, request: &Json<'_>) -> bool {
        request.get("model").filled().is_some() && request.get("messages").count_items().is_some()
    }

    fn read_request(&self, body: &Json<'_>, facts: &mut RequestFacts) {
        cohere::read_request(body, facts);
        let messages = body.get("messages");
        facts.request.messages = messages.items().iter().map(read_message).collect();
        facts.request.message_count = messages.count_items().map(|count| count as u64);
        facts.request.tools = body.get("tools").items().iter().map(Json::to_value).collect();
    }

    fn read_response(&self, body: &Json<'_>, _: &RequestFacts, facts: &mut ResponseFacts) {
        keep_first(&mut facts.id, body.get("id").id());
        let message = body.get("message");
        if let Some(choice) = facts.choice(0) {
            openai::read_answer(message, true, choice);
        }
        keep_plan(message, facts);
        openai::keep_extra(facts, "citations", message.get("citations"));
        read_end(body, facts);
        cohere::read_meta(body.get("usage"), facts);
    }

    fn read_event(&self, event: &Event<'_>, _: &RequestFacts, facts: &mut ResponseFacts) {
        keep_first(&mut facts.id, event.body.get("id").id());
        let delta = event.body.get("delta");
        let message = delta.get("message");
        let index = event.body.get("index").count();
        let token = facts.choice(0).is_some_and(|choice| read_delta(message, index, choice));
        if keep_plan(message, facts) || token {
            facts.token_at(event.at);
        }
        let citation = message.get("citations");
        if citation.is_object() {
            let kept = facts.extra.entry("citations").or_insert_with(|| Value::Array(Vec::new()));
            if let Some(kept) = kept.as_array_mut().filter(|kept| kept.len() < MAX_CITATIONS) {
                kept.push(citation.to_value());
            }
        }
        read_end(delta, facts);
        cohere::read_meta(delta.get("usage"), facts);
        if let Some(message) = delta.get("error").filled() {
            facts.error.get_or_insert_with(|| CallError { kind: None, message: Some(message.to_owned()) });
        }
    }

    fn read_usage(&self, usage: &Json<'_>, facts: &mut ResponseFacts) {
        cohere::read_meta(usage, facts);
    }
}

fn read_message(message: &Json<'_>) -> Message {
    let mut read = openai::read_message(message);
    keep_first(&mut read.reasoning, message.get("tool_plan").filled().map(str::to_owned));
    read
}

/// The plan is neither text nor what the model thinks: it keeps its name.
fn keep_plan(message: &Json<'_>, facts: &mut ResponseFacts) -> bool {
    let Some(piece) = message.get("tool_plan").filled() else { return false };
    match facts.extra.get_mut("tool_plan") {
        Some(Value::String(plan)) => plan.push_str(piece),
        _ => facts.keep_extra("tool_plan", piece.into()),
    }
    true
}

fn read_delta(message: &Json<'_>, index: Option<u64>, choice: &mut ChoiceFacts) -> bool {
    let content = message.get("content");
    let mut token = say(&mut choice.text, content.get("text"));
    token |= say(&mut choice.reasoning, content.get("thinking"));
    let call = message.get("tool_calls");
    if call.is_object() {
        token = true;
        let piece = openai::tool_call(call);
        if let Some(tool) = choice.tool(index, piece.id.as_deref()) {
            openai::merge(&mut tool.call, piece);
        }
    }
    token
}

fn say(slot: &mut Option<String>, text: &Json<'_>) -> bool {
    let Some(text) = text.filled() else { return false };
    append(slot, text);
    true
}
