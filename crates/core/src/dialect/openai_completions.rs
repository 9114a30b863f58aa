//! OpenAI completions: `POST .../completions`, prompts in, continuations out; vLLM, llama.cpp and others serve it too.

use super::facts::{RequestFacts, ResponseFacts, append};
use super::{Dialect, openai, openai_chat};
use crate::json::Json;
use crate::record::Operation;
use crate::time::At;

/// See the module.
#[derive(Debug)]
pub struct OpenAiCompletions;

impl Dialect for OpenAiCompletions {
    fn name(&self) -> &'static str {
        "openai_completions"
    }

    fn operation(&self) -> Operation {
        Operation::TextCompletion
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

    fn read_event(&self, body: &Json<'_>, at: At, _: &RequestFacts, facts: &mut ResponseFacts) {
        if read(body, false, facts) {
            facts.token_at(at);
        }
    }
}

/// Whole answers and chunks have the same shape. True when it carried a generated token.
fn read(body: &Json<'_>, whole: bool, facts: &mut ResponseFacts) -> bool {
    let mut token = false;
    openai::read_envelope(body, facts);
    for (position, choice) in body.get("choices").items().iter().enumerate() {
        let index = openai_chat::index(choice, position);
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
    token
}
