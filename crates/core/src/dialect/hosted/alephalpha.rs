//! Aleph Alpha: `POST /complete` and its embeddings.
//!
//! A prompt is a text or a list of `{"type", "data"}`. Streams are server-sent events whose `type` is `stream_chunk`,
//! `stream_summary` (a completion's end) or `completion_summary` (the counts).
//! Source: <https://docs.aleph-alpha.com/api/complete/>.

use crate::dialect::facts::{RequestFacts, ResponseFacts, append, index, keep_first, sum};
use crate::dialect::{Dialect, Event, media, openai, params};
use crate::json::Json;
use crate::record::{Content, Message, Part};

/// See the module.
#[derive(Debug)]
pub struct AlephAlpha {
    name: &'static str,
}

impl AlephAlpha {
    pub const COMPLETE: Self = Self { name: "alephalpha_complete" };
    pub const EMBED: Self = Self { name: "alephalpha_embed" };
}

impl Dialect for AlephAlpha {
    fn name(&self) -> &'static str {
        self.name
    }

    fn read_request(&self, body: &Json<'_>, facts: &mut RequestFacts) {
        facts.request.model = body.get("model").id();
        facts.request.stream = body.get("stream").bool().unwrap_or(false);
        params::read(body, &["model", "prompt", "stream"], &mut facts.request.params);
        let prompt = body.get("prompt");
        facts.request.messages = match prompt {
            Json::Array(items) => {
                let content = Some(Content::Parts(items.iter().map(part).collect()));
                vec![Message { role: "user".into(), content, ..Message::default() }]
            }
            other => openai::read_texts(other),
        };
    }

    fn read_response(&self, body: &Json<'_>, _: &RequestFacts, facts: &mut ResponseFacts) {
        read(body, facts);
    }

    fn read_event(&self, event: &Event<'_>, _: &RequestFacts, facts: &mut ResponseFacts) {
        if read(event.body, facts) {
            facts.token_at(event.at);
        }
    }
}

fn part(value: &Json<'_>) -> Part {
    let data = value.get("data");
    match (value.get("type").str(), data) {
        (Some("image"), data) => Part::Media(media::inline("image", None, data)),
        (Some("token_ids"), data) => {
            Part::Other { value: serde_json::json!({ openai::TOKEN_IDS: data.count_items().unwrap_or(0) }) }
        }
        (_, data) => Part::Text { text: data.str().unwrap_or_default().to_owned() },
    }
}

/// Reads a whole answer or an event. True when it carried a generated token.
fn read(body: &Json<'_>, facts: &mut ResponseFacts) -> bool {
    keep_first(&mut facts.id, body.get("id").id());
    keep_first(&mut facts.model, body.get("model_version").id());
    let mut token = false;
    let completions = body.get("completions").items();
    // An event is a completion itself.
    let completions = if completions.is_empty() { std::slice::from_ref(body) } else { completions };
    for (position, completion) in completions.iter().enumerate() {
        let index = index(completion, position);
        let (text, reason) = (completion.get("completion").str(), completion.get("finish_reason").word());
        if text.is_none() && reason.is_none() {
            continue;
        }
        if let Some(choice) = facts.choice(index) {
            if let Some(text) = text {
                token |= !text.is_empty();
                append(&mut choice.text, text);
            }
            choice.finish_reason = reason.or(choice.finish_reason.take());
        }
    }
    let usage = &mut facts.usage;
    usage.input = body.get("num_tokens_prompt_total").count().or(usage.input);
    usage.output = body.get("num_tokens_generated").count().or(usage.output);
    usage.total = sum(usage.input, usage.output);
    if let Some(dims) = body.get("embedding").count_items() {
        (facts.embedding_dims, facts.embedding_count) = (Some(dims as u64), Some(1));
    }
    token
}
