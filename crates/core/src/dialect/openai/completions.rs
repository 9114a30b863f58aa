//! OpenAI completions: `POST .../completions`, prompts in, continuations out; vLLM, llama.cpp and others serve it too.

use crate::dialect::facts::{RequestFacts, ResponseFacts, append, index};
use crate::dialect::openai::chat;
use crate::dialect::{Dialect, Event, openai};
use crate::json::Json;

/// See the module.
#[derive(Debug)]
pub struct OpenAiCompletions;

impl Dialect for OpenAiCompletions {
    fn name(&self) -> &'static str {
        "openai_completions"
    }

    /// Other things than models complete: forms, sign-ups, addresses.
    fn accepts(&self, request: &Json<'_>) -> bool {
        ["model", "prompt", "messages", "input"].iter().any(|key| !request.get(key).is_null())
    }

    fn read_request(&self, body: &Json<'_>, facts: &mut RequestFacts) {
        openai::read_request(body, facts);
        facts.request.messages = openai::read_texts(body.get("prompt"));
    }

    fn read_response(&self, body: &Json<'_>, _: &RequestFacts, facts: &mut ResponseFacts) {
        read(body, true, facts);
    }

    fn read_event(&self, event: &Event<'_>, _: &RequestFacts, facts: &mut ResponseFacts) {
        if read(event.body, false, facts) {
            facts.token_at(event.at);
        }
    }
}

/// Whole answers and chunks have the same shape. True when it carried a generated token.
fn read(body: &Json<'_>, whole: bool, facts: &mut ResponseFacts) -> bool {
    let mut token = false;
    openai::read_envelope(body, facts);
    for (position, choice) in body.get("choices").items().iter().enumerate() {
        let index = if whole { chat::whole_index(choice, position, facts) } else { index(choice, position) };
        if let Some(kept) = facts.choice(index) {
            if let Some(text) = choice.get("text").str() {
                token |= !text.is_empty();
                append(&mut kept.text, text);
            } else {
                // Mistral's `/fim/completions` answers as a chat does.
                let message = choice.get(if whole { "message" } else { "delta" });
                token |= openai::read_answer(message, whole, kept);
            }
        }
        openai::read_choice(choice, index, facts);
    }
    // Writer streams nothing but `{"value": "..."}`.
    if let (false, Some(text), Some(kept)) = (whole, body.get("value").str(), facts.choice(0)) {
        token |= !text.is_empty();
        append(&mut kept.text, text);
    }
    token
}
