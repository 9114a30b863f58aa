//! `POST /api/generate`: a prompt in, its continuation out.

use crate::dialect::facts::{RequestFacts, ResponseFacts, append};
use crate::dialect::{Dialect, Event, ollama, openai};
use crate::json::Json;
use crate::record::Message;

/// See the module.
#[derive(Debug)]
pub struct OllamaGenerate;

impl Dialect for OllamaGenerate {
    fn name(&self) -> &'static str {
        "ollama_generate"
    }

    fn accepts(&self, request: &Json<'_>) -> bool {
        ollama::names_model_and(request, &["prompt"])
    }

    fn read_request(&self, body: &Json<'_>, facts: &mut RequestFacts) {
        ollama::read_request(body, facts);
        facts.request.stream = ollama::streams(body, body.get("prompt").filled().is_some());
        let mut messages = Vec::new();
        if !body.get("system").filled().unwrap_or_default().is_empty() {
            let system = openai::read_texts(body.get("system"));
            messages.extend(system.into_iter().map(|message| Message { role: "system".into(), ..message }));
        }
        messages.extend(openai::read_texts(body.get("prompt")));
        if let Some(prompt) = messages.last_mut() {
            ollama::add_images(prompt, body.get("images"));
        }
        facts.request.messages = messages;
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

/// Whole answers and chunks have the same shape. True when it carried a generated token.
fn read(body: &Json<'_>, facts: &mut ResponseFacts) -> bool {
    ollama::read_envelope(body, facts);
    let mut token = false;
    let Some(choice) = facts.choice(0) else { return false };
    if let Some(text) = body.get("response").str() {
        token |= !text.is_empty();
        append(&mut choice.text, text);
    }
    if let Some(thinking) = body.get("thinking").filled() {
        token = true;
        append(&mut choice.reasoning, thinking);
    }
    token
}
