//! Anthropic's older text completions: `POST /v1/complete`, a prompt in, its continuation out. No usage.
//!
//! Source: <https://docs.anthropic.com/en/api/complete>.

use crate::dialect::facts::{RequestFacts, ResponseFacts, append, keep_first};
use crate::dialect::{Dialect, Event, openai};
use crate::json::Json;

/// See the module.
#[derive(Debug)]
pub struct AnthropicComplete;

impl Dialect for AnthropicComplete {
    fn name(&self) -> &'static str {
        "anthropic_complete"
    }

    /// Addresses and search terms are completed at paths of that name as well.
    fn accepts(&self, request: &Json<'_>) -> bool {
        ["max_tokens_to_sample", "model"].iter().any(|key| !request.get(key).is_null())
            && !request.get("prompt").is_null()
    }

    fn read_request(&self, body: &Json<'_>, facts: &mut RequestFacts) {
        let request = &mut facts.request;
        request.model = body.get("model").id();
        request.stream = body.get("stream").bool().unwrap_or(false);
        request.messages = openai::read_texts(body.get("prompt"));
        request.params.temperature = body.get("temperature").f64();
        request.params.top_p = body.get("top_p").f64();
        request.params.max_tokens = body.get("max_tokens_to_sample").i64();
        request.params.stop = openai::stop(body.get("stop_sequences"));
        const NOT_PARAMETERS: [&str; 8] =
            ["model", "prompt", "stream", "metadata", "temperature", "top_p", "max_tokens_to_sample", "stop_sequences"];
        openai::keep_other(body, &NOT_PARAMETERS, &mut request.params);
        if let serde_json::Value::Object(metadata) = body.get("metadata").to_value() {
            facts.metadata = metadata;
        }
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

/// Whole answers and `completion` events have the same shape; each event adds to the text. True when it did.
fn read(body: &Json<'_>, facts: &mut ResponseFacts) -> bool {
    keep_first(&mut facts.id, body.get("id").id());
    keep_first(&mut facts.model, body.get("model").id());
    // The sequence that ended it.
    facts.keep_extra("stop", body.get("stop").to_value());
    let reason = body.get("stop_reason").id();
    let text = body.get("completion").str();
    if reason.is_none() && text.is_none() {
        return false;
    }
    let Some(choice) = facts.choice(0) else { return false };
    if let Some(text) = text {
        append(&mut choice.text, text);
    }
    if reason.is_some() {
        choice.finish_reason = reason;
    }
    text.is_some_and(|text| !text.is_empty())
}
