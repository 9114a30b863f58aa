//! IBM watsonx.ai: `POST /ml/v1/text/{generation, chat, embeddings, rerank}`, streams at paths of their own, and the same
//! below `/ml/v1/deployments/{id}`.
//!
//! Generation answers with `results`; its streams tell the prompt's tokens in the first event only and call a reason
//! `not_finished` until there is one. Chats are OpenAI's, with `model_id` in place of `model`.
//! Source: <https://cloud.ibm.com/apidocs/watsonx-ai>.

use super::{read_errors, segment_after};
use crate::dialect::facts::{RequestFacts, ResponseFacts, append, keep_first, sum};
use crate::dialect::openai::chat::OpenAiChat;
use crate::dialect::{Dialect, Event, openai, params, rerank};
use crate::json::Json;

/// The deployment in the path names the model where the body has none.
pub fn deployment(path: &str) -> Option<String> {
    segment_after(path, "/deployments/").map(str::to_owned)
}

/// Text generation.
#[derive(Debug)]
pub struct Generation;

impl Dialect for Generation {
    fn name(&self) -> &'static str {
        "watsonx_generation"
    }

    fn read_request(&self, body: &Json<'_>, facts: &mut RequestFacts) {
        facts.request.model = body.get("model_id").id();
        facts.request.messages = openai::read_texts(body.get("input"));
        params::read(body, &["model_id", "input", "parameters"], &mut facts.request.params);
        params::read(body.get("parameters"), &[], &mut facts.request.params);
    }

    fn read_response(&self, body: &Json<'_>, _: &RequestFacts, facts: &mut ResponseFacts) {
        read_generation(body, facts);
    }

    fn read_event(&self, event: &Event<'_>, _: &RequestFacts, facts: &mut ResponseFacts) {
        if read_generation(event.body, facts) {
            facts.token_at(event.at);
        }
    }
}

/// Whole answers and events have the same shape. True when it carried a generated token.
fn read_generation(body: &Json<'_>, facts: &mut ResponseFacts) -> bool {
    read_errors(body, facts);
    keep_first(&mut facts.model, body.get("model_id").id());
    let mut token = false;
    for (index, result) in body.get("results").items().iter().enumerate() {
        if let Some(choice) = facts.choice(index) {
            if let Some(text) = result.get("generated_text").str() {
                token |= !text.is_empty();
                append(&mut choice.text, text);
            }
            let reason = result.get("stop_reason").word().filter(|reason| reason != "not_finished");
            choice.finish_reason = reason.or(choice.finish_reason.take());
        }
        let usage = &mut facts.usage;
        // The 0 of later events says that the prompt was counted before.
        let input = result.get("input_token_count").count();
        usage.input = input.filter(|input| *input > 0).or(usage.input).or(input);
        usage.output = result.get("generated_token_count").count().or(usage.output);
        usage.total = sum(usage.input, usage.output);
        facts.keep_extra("seed", result.get("seed").to_value());
    }
    token
}

/// Chats.
#[derive(Debug)]
pub struct Chat;

impl Dialect for Chat {
    fn name(&self) -> &'static str {
        "watsonx_chat"
    }

    fn read_request(&self, body: &Json<'_>, facts: &mut RequestFacts) {
        OpenAiChat.read_request(body, facts);
        facts.request.model = body.get("model_id").id().or(facts.request.model.take());
        facts.request.params.other.remove("model_id");
    }

    fn read_response(&self, body: &Json<'_>, request: &RequestFacts, facts: &mut ResponseFacts) {
        read_errors(body, facts);
        keep_first(&mut facts.model, body.get("model_id").id());
        OpenAiChat.read_response(body, request, facts);
    }

    fn read_event(&self, event: &Event<'_>, request: &RequestFacts, facts: &mut ResponseFacts) {
        read_errors(event.body, facts);
        keep_first(&mut facts.model, event.body.get("model_id").id());
        OpenAiChat.read_event(event, request, facts);
    }
}

/// Embeddings and reranking: `inputs` in, one of `results` for each out.
#[derive(Debug)]
pub struct Vectors {
    name: &'static str,
}

impl Vectors {
    pub const EMBEDDINGS: Self = Self { name: "watsonx_embeddings" };
    pub const RERANK: Self = Self { name: "watsonx_rerank" };
}

impl Dialect for Vectors {
    fn name(&self) -> &'static str {
        self.name
    }

    fn read_request(&self, body: &Json<'_>, facts: &mut RequestFacts) {
        facts.request.model = body.get("model_id").id();
        facts.request.messages = openai::read_texts(body.get("query"));
        for input in body.get("inputs").items() {
            let text = if input.is_object() { input.get("text") } else { input };
            let mut messages = openai::read_texts(text);
            if self.name == Self::RERANK.name {
                messages.iter_mut().for_each(|message| message.role = "document".to_owned());
            }
            facts.request.messages.append(&mut messages);
        }
        params::read(body, &["model_id", "query", "inputs", "parameters"], &mut facts.request.params);
        params::read(body.get("parameters"), &[], &mut facts.request.params);
    }

    fn read_response(&self, body: &Json<'_>, _: &RequestFacts, facts: &mut ResponseFacts) {
        read_errors(body, facts);
        keep_first(&mut facts.model, body.get("model_id").id());
        facts.usage.input = body.get("input_token_count").count();
        let results = body.get("results");
        let vector = results.items().first().map(|first| first.get("embedding"));
        if let Some(dims) = vector.and_then(Json::count_items) {
            facts.embedding_dims = Some(dims as u64);
            facts.embedding_count = results.count_items().map(|count| count as u64);
        } else {
            rerank::keep_results(results, facts);
        }
    }
}
