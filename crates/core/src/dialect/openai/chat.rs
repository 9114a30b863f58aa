//! OpenAI chat completions: `POST .../chat/completions`, and everything that speaks it.

use crate::dialect::facts::{RequestFacts, ResponseFacts};
use crate::dialect::{Dialect, Event, openai};
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
        facts.request.tools = tools.iter().flat_map(|tools| tools.items()).map(Json::to_value).collect();
    }

    fn read_response(&self, body: &Json<'_>, _: &RequestFacts, facts: &mut ResponseFacts) {
        openai::read_envelope(body, facts);
        for (position, choice) in body.get("choices").items().iter().enumerate() {
            let index = index(choice, position);
            if let Some(kept) = facts.choice(index) {
                openai::read_answer(choice.get("message"), true, kept);
            }
            openai::read_choice(choice, index, facts);
        }
    }

    fn read_event(&self, event: &Event<'_>, _: &RequestFacts, facts: &mut ResponseFacts) {
        openai::read_envelope(event.body, facts);
        for (position, choice) in event.body.get("choices").items().iter().enumerate() {
            let index = index(choice, position);
            // A few servers send `message` where `delta` belongs; those that send both repeat themselves in it.
            let delta = choice.get("delta");
            let delta = if delta.is_null() { choice.get("message") } else { delta };
            if facts.choice(index).is_some_and(|kept| openai::read_answer(delta, false, kept)) {
                facts.token_at(event.at);
            }
            openai::read_choice(choice, index, facts);
        }
    }
}

/// The choice's own index, else its position.
pub fn index(choice: &Json<'_>, position: usize) -> usize {
    choice.get("index").count().and_then(|index| usize::try_from(index).ok()).unwrap_or(position)
}
