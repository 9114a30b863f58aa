//! Cohere's completions, `POST /v1/generate`: a `prompt` in, `generations` out.
//!
//! Streams are JSON lines `{text, is_finished, event_type}`; the last has the whole `response`.
//! Source: <https://docs.cohere.com/v1/reference/generate>.

use super::chat_v1::read_end;
use crate::dialect::facts::{RequestFacts, ResponseFacts, append, index};
use crate::dialect::{Dialect, Event, cohere, openai};
use crate::json::Json;
use crate::record::CallError;

/// Members of vLLM's requests that Cohere does not know.
const VLLM_MEMBERS: [&str; 9] =
    ["n", "top_p", "top_k", "min_p", "stop", "stop_token_ids", "ignore_eos", "best_of", "use_beam_search"];

/// See the module.
#[derive(Debug)]
pub struct CohereGenerate;

impl Dialect for CohereGenerate {
    fn name(&self) -> &'static str {
        "cohere_generate"
    }

    /// vLLM's `/generate` has a prompt as well, and other names for what goes with it.
    fn accepts(&self, request: &Json<'_>) -> bool {
        let foreign = VLLM_MEMBERS.iter().any(|key| !request.get(key).is_null());
        !foreign && request.get("prompt").str().is_some()
    }

    fn read_request(&self, body: &Json<'_>, facts: &mut RequestFacts) {
        cohere::read_request(body, facts);
        facts.request.messages = openai::read_texts(body.get("prompt"));
    }

    fn read_response(&self, body: &Json<'_>, _: &RequestFacts, facts: &mut ResponseFacts) {
        read_whole(body, facts);
    }

    fn read_event(&self, event: &Event<'_>, _: &RequestFacts, facts: &mut ResponseFacts) {
        let body = event.body;
        let response = body.get("response");
        if body.get("is_finished").bool() == Some(true) || response.is_object() {
            read_end(body, facts);
            read_whole(response, facts);
            if let Some(message) = body.get("err").filled() {
                facts.error.get_or_insert_default().message = Some(message.to_owned());
            }
            return;
        }
        if body.get("event_type").str() == Some("stream-error") {
            let message = body.get("err").filled().map(str::to_owned);
            facts.error.get_or_insert(CallError { kind: None, message });
        }
        let index = index(body, 0);
        if let (Some(text), Some(choice)) = (body.get("text").filled(), facts.choice(index)) {
            append(&mut choice.text, text);
            facts.token_at(event.at);
        }
    }

    fn read_usage(&self, usage: &Json<'_>, facts: &mut ResponseFacts) {
        cohere::read_meta(usage, facts);
    }

    fn tail_names(&self) -> [&'static str; 2] {
        ["meta", "model"]
    }
}

/// Reads a whole response; what a stream said before is in it again.
fn read_whole(body: &Json<'_>, facts: &mut ResponseFacts) {
    facts.id = body.get("id").id().or(facts.id.take());
    for (index, generation) in body.get("generations").items().iter().enumerate() {
        let Some(choice) = facts.choice(index) else { break };
        if let Some(text) = generation.get("text").str() {
            choice.text = Some(text.to_owned());
        }
        choice.finish_reason = generation.get("finish_reason").word().or(choice.finish_reason.take());
    }
    cohere::read_meta(body.get("meta"), facts);
}
