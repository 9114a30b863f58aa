//! `POST /api/chat`: messages in, a message out; tool calls come whole, their arguments as an object.

use crate::dialect::facts::{RequestFacts, ResponseFacts, append};
use crate::dialect::{Dialect, Event, ollama, openai};
use crate::json::Json;
use crate::record::Message;

/// See the module.
#[derive(Debug)]
pub struct OllamaChat;

impl Dialect for OllamaChat {
    fn name(&self) -> &'static str {
        "ollama_chat"
    }

    /// Web applications like to call their own chat so: their bodies have an id, Ollama's have none.
    fn accepts(&self, request: &Json<'_>) -> bool {
        ollama::names_model_and(request, &["messages"]) && request.get("id").is_null()
    }

    fn read_request(&self, body: &Json<'_>, facts: &mut RequestFacts) {
        ollama::read_request(body, facts);
        let messages = body.get("messages");
        facts.request.stream = ollama::streams(body, !messages.items().is_empty());
        facts.request.messages = messages.items().iter().map(message).collect();
        facts.request.message_count = messages.count_items().map(|count| count as u64);
        facts.request.tools = body.get("tools").items().iter().map(Json::to_value).collect();
    }

    fn read_response(&self, body: &Json<'_>, _: &RequestFacts, facts: &mut ResponseFacts) {
        read(body, facts);
    }

    fn read_event(&self, event: &Event<'_>, _: &RequestFacts, facts: &mut ResponseFacts) {
        if read(event.body, facts) {
            facts.token_at(event.at);
        }
    }

    fn streams_json(&self) -> bool {
        true
    }
}

/// OpenAI's message, with `images`, `thinking` and the name of the tool that answers.
fn message(value: &Json<'_>) -> Message {
    let mut message = openai::read_message(value);
    ollama::add_images(&mut message, value.get("images"));
    message.reasoning = value.get("thinking").filled().map(str::to_owned).or(message.reasoning);
    message.name = message.name.or_else(|| value.get("tool_name").word());
    message
}

/// Whole answers and chunks have the same shape. True when it carried a generated token.
fn read(body: &Json<'_>, facts: &mut ResponseFacts) -> bool {
    ollama::read_envelope(body, facts);
    let message = body.get("message");
    let Some(choice) = facts.choice(0).filter(|_| message.is_object()) else { return false };
    let mut token = false;
    for (slot, key) in [(&mut choice.text, "content"), (&mut choice.reasoning, "thinking")] {
        if let Some(text) = message.get(key).str().filter(|text| key == "content" || !text.is_empty()) {
            token |= !text.is_empty();
            append(slot, text);
        }
    }
    for call in message.get("tool_calls").items() {
        token = true;
        let next = choice.tool_calls.len() as u64;
        if let Some(tool) = choice.tool(Some(next), None) {
            tool.call = openai::tool_call(call);
        }
    }
    token
}
