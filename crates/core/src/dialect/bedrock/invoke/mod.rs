//! Bedrock's `POST /model/{model}/invoke` and `/invoke-with-response-stream`: each maker's own format passed on, with
//! the model in the path.
//!
//! Which format it is, the bodies show better than the model's name, which an ARN may hide: no two makers' answers have
//! the same members. The name decides only what a request leaves open.
//!
//! Sources: <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModel.html>,
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters.html>.

mod answer;
mod request;

use super::{Counts, converse};
use crate::capture::KeptHeaders;
use crate::dialect::anthropic::messages::AnthropicMessages;
use crate::dialect::facts::{RequestFacts, ResponseFacts};
use crate::dialect::openai::chat::OpenAiChat;
use crate::dialect::openai::completions::OpenAiCompletions;
use crate::dialect::{Dialect, Event, media};
use crate::json::{self, Json};

pub use request::read as read_request;

/// See the module.
#[derive(Debug)]
pub struct BedrockInvoke;

impl Dialect for BedrockInvoke {
    fn name(&self) -> &'static str {
        "bedrock_invoke"
    }

    fn accepts(&self, request: &Json<'_>) -> bool {
        request::is_known(request)
    }

    fn read_request(&self, body: &Json<'_>, facts: &mut RequestFacts) {
        request::read(body, facts);
    }

    fn read_response(&self, body: &Json<'_>, request: &RequestFacts, facts: &mut ResponseFacts) {
        if body.get("type").str() == Some("message") {
            AnthropicMessages.read_response(body, request, facts);
        } else if body.get("output").get("message").is_object() {
            converse::read_answer(body, facts);
        } else if body.get("choices").count_items().is_some() {
            openai(body).read_response(body, request, facts);
            answer::read_stop_reasons(body, facts);
        } else {
            answer::read(body, true, facts);
        }
        read_extra(body, facts);
    }

    /// A `chunk` has an event of the maker's own stream, base64 in `bytes`.
    fn read_event(&self, event: &Event<'_>, request: &RequestFacts, facts: &mut ResponseFacts) {
        match event.body.get("bytes").str().and_then(media::decode) {
            Some(bytes) => {
                let text = json::text(&bytes);
                let parsed = json::parse(&text);
                if let Some(problem) = parsed.problem
                    && facts.issues.is_empty()
                {
                    facts.issues.push(format!("response: chunk: {problem}"));
                }
                read_chunk(&Event { body: &parsed.value, ..*event }, request, facts);
            }
            None => read_chunk(event, request, facts),
        }
    }

    fn read_headers(&self, headers: &KeptHeaders, facts: &mut ResponseFacts) {
        Counts::of_headers(headers).complete(facts);
    }

    fn read_usage(&self, usage: &Json<'_>, facts: &mut ResponseFacts) {
        if usage.get("inputTokens").count().is_some() {
            super::read_usage(usage, facts);
        } else if usage.get("input_tokens").count().is_some() {
            AnthropicMessages.read_usage(usage, facts);
        } else {
            OpenAiChat.read_usage(usage, facts);
        }
    }
}

fn read_chunk(event: &Event<'_>, request: &RequestFacts, facts: &mut ResponseFacts) {
    let body = event.body;
    if body.members().iter().any(|(name, value)| converse::is_event(name) && value.is_object()) {
        converse::read_event("", body, event.at, facts);
    } else if body.get("choices").count_items().is_some() {
        openai(body).read_event(event, request, facts);
        answer::read_stop_reasons(body, facts);
    } else if body.get("type").str().is_some_and(|kind| kind != "completion") {
        AnthropicMessages.read_event(event, request, facts);
    } else if answer::read(body, false, facts) {
        facts.token_at(event.at);
    }
    read_extra(body, facts);
}

/// Chat or completion: both have `choices`.
fn openai(body: &Json<'_>) -> &'static dyn Dialect {
    let is_text = |choice: &Json<'_>| choice.get("text").str().is_some();
    if body.get("choices").items().first().is_some_and(is_text) { &OpenAiCompletions } else { &OpenAiChat }
}

/// Reads what Bedrock adds to every answer.
fn read_extra(body: &Json<'_>, facts: &mut ResponseFacts) {
    for key in ["amazon-bedrock-trace", "amazon-bedrock-guardrailAction"] {
        facts.keep_extra(key, body.get(key).to_value());
    }
    let metrics = body.get("amazon-bedrock-invocationMetrics");
    if metrics.is_object() {
        Counts::of_metrics(metrics).complete(facts);
        facts.keep_extra("metrics", metrics.to_value());
    }
}
