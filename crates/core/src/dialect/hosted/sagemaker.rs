//! SageMaker: `POST /endpoints/{name}/invocations` and `/invocations-response-stream`.
//!
//! The platform passes bodies on: their shape is the model server's. `messages` are OpenAI's chats, `prompt` its
//! completions, `inputs` TGI's and other models' of Hugging Face. Streams come in AWS event streams. Source:
//! <https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_runtime_InvokeEndpoint.html>.

use super::huggingface::HuggingFace;
use super::segment_after;
use crate::dialect::facts::{RequestFacts, ResponseFacts};
use crate::dialect::openai::chat::OpenAiChat;
use crate::dialect::openai::completions::OpenAiCompletions;
use crate::dialect::{Dialect, Event};
use crate::json::Json;
use crate::record::Operation;

/// See the module.
#[derive(Debug)]
pub struct Invocations;

/// The endpoint stands for the model.
pub fn model(path: &str) -> Option<String> {
    segment_after(path, "/endpoints/").map(str::to_owned)
}

impl Dialect for Invocations {
    fn name(&self) -> &'static str {
        "sagemaker_invocations"
    }

    /// What is no language model is served as well.
    fn accepts(&self, request: &Json<'_>) -> bool {
        ["messages", "prompt", "inputs"].iter().any(|key| !request.get(key).is_null())
    }

    fn read_request(&self, body: &Json<'_>, facts: &mut RequestFacts) {
        if !body.get("messages").is_null() {
            facts.operation = Some(Operation::Chat);
            OpenAiChat.read_request(body, facts);
        } else if !body.get("prompt").is_null() {
            OpenAiCompletions.read_request(body, facts);
        } else {
            HuggingFace.read_request(body, facts);
        }
    }

    fn read_response(&self, body: &Json<'_>, request: &RequestFacts, facts: &mut ResponseFacts) {
        served(body).read_response(body, request, facts);
        // JumpStart's Llama: a text, or a message.
        for (index, item) in body.items().iter().chain([body]).enumerate() {
            let generation = item.get("generation");
            let text = generation.str().or_else(|| generation.get("content").str());
            if let (Some(text), Some(choice)) = (text, text.and_then(|_| facts.choice(index))) {
                choice.text = Some(text.to_owned());
            }
        }
    }

    fn read_event(&self, event: &Event<'_>, request: &RequestFacts, facts: &mut ResponseFacts) {
        served(event.body).read_event(event, request, facts);
    }
}

/// Whose shape an answer has.
fn served(body: &Json<'_>) -> &'static dyn Dialect {
    match body.get("choices").items().first() {
        Some(choice) if !choice.get("text").is_null() => &OpenAiCompletions,
        Some(_) => &OpenAiChat,
        None if !body.get("usage").is_null() => &OpenAiChat,
        None => &HuggingFace,
    }
}
