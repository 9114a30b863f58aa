//! OpenAI chat completions: `POST .../chat/completions`, and everything that speaks it.

use crate::dialect::facts::{ChoiceFacts, RequestFacts, ResponseFacts, append, index};
use crate::dialect::openai::{items, sound};
use crate::dialect::{Dialect, Event, media, openai};
use crate::json::Json;

/// See the module.
#[derive(Debug)]
pub struct OpenAiChat;

impl Dialect for OpenAiChat {
    fn name(&self) -> &'static str {
        "openai_chat"
    }

    fn read_request(&self, body: &Json<'_>, facts: &mut RequestFacts) {
        openai::read_request(body, facts);
        let messages = body.get("messages");
        facts.request.messages = messages.items().iter().map(openai::read_message).collect();
        facts.request.message_count = messages.count_items().map(|count| count as u64);
        let tools = [body.get("tools"), body.get("functions")];
        facts.request.tools = tools.iter().flat_map(|tools| tools.items()).map(items::tool).collect();
    }

    fn read_response(&self, body: &Json<'_>, request: &RequestFacts, facts: &mut ResponseFacts) {
        openai::read_envelope(body, facts);
        for (position, choice) in body.get("choices").items().iter().enumerate() {
            let index = whole_index(choice, position, facts);
            if let Some(kept) = facts.choice(index) {
                openai::read_answer(choice.get("message"), true, kept);
            }
            read_beside(choice.get("message"), request, facts);
            openai::read_choice(choice, index, facts);
        }
    }

    fn read_event(&self, event: &Event<'_>, request: &RequestFacts, facts: &mut ResponseFacts) {
        openai::read_envelope(event.body, facts);
        for (position, choice) in event.body.get("choices").items().iter().enumerate() {
            let index = index(choice, position);
            // A few servers send `message` where `delta` belongs; those that send both repeat themselves in it.
            let delta = choice.get("delta");
            let message = choice.get("message");
            let whole = |object: &str| object == "chat.completion" || object.ends_with(".done");
            if delta.is_null() && event.body.get("object").str().is_some_and(whole) {
                repeat(message, facts.choice(index));
            }
            let delta = if delta.is_null() { message } else { delta };
            let mut token = facts.choice(index).is_some_and(|kept| openai::read_answer(delta, false, kept));
            // Together's older models complete where they should chat.
            if let (true, Some(text), Some(kept)) = (delta.is_null(), choice.get("text").str(), facts.choice(index)) {
                token |= !text.is_empty();
                append(&mut kept.text, text);
            }
            token |= read_beside(delta, request, facts);
            if token {
                facts.token_at(event.at);
            }
            openai::read_choice(choice, index, facts);
        }
    }
}

/// Forgets what a stream has said where a whole message says it again, as Perplexity's last event does.
fn repeat(message: &Json<'_>, choice: Option<&mut ChoiceFacts>) {
    let Some(choice) = choice else { return };
    let content = message.get("content").str().unwrap_or_default();
    if choice.text.as_ref().is_some_and(|text| content.starts_with(text)) {
        choice.text = None;
    }
}

/// Reads what stands beside a message's text: sound, pictures (OpenRouter, Gemini), sources, tools that the server ran.
/// True when it was sound or a picture.
fn read_beside(message: &Json<'_>, request: &RequestFacts, facts: &mut ResponseFacts) -> bool {
    let audio = message.get("audio").get("data");
    if audio.filled().is_some() {
        let format = request.request.params.other.get("audio").and_then(|audio| audio.get("format"));
        sound::add(facts, format.and_then(|format| format.as_str()), audio);
    }
    let images = message.get("images").items();
    let image = |image: &Json<'_>| media::address("image", image.get("image_url").get("url"));
    facts.keep_media(images.iter().map(image));
    openai::keep_list(facts, "annotations", message.get("annotations").items().iter().map(items::lean));
    openai::keep_list(facts, "executed_tools", message.get("executed_tools").items().iter().map(items::lean));
    // Azure's answers from your own data.
    openai::keep_extra(facts, "context", message.get("context"));
    audio.filled().is_some() || !images.is_empty()
}

/// The index of a choice of a whole answer: some servers give each the index 0, then their positions tell them apart.
pub fn whole_index(choice: &Json<'_>, position: usize, facts: &ResponseFacts) -> usize {
    let index = index(choice, position);
    let said = |known: &ChoiceFacts| known.text.is_some() || known.finish_reason.is_some();
    if facts.choices.get(index).is_some_and(said) { position } else { index }
}
