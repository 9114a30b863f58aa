//! Models of other publishers on Google's Vertex AI: `:rawPredict` and `:streamRawPredict` pass the publisher's own
//! format on, with the model in the path.
//!
//! Sources: <https://cloud.google.com/vertex-ai/generative-ai/docs/partner-models/claude/use-claude>,
//! <https://cloud.google.com/vertex-ai/generative-ai/docs/partner-models/mistral>.

use super::anthropic::messages::{AnthropicCountTokens, AnthropicMessages};
use super::google::model;
use super::openai::chat::OpenAiChat;
use super::{Dialect, Endpoint, Event, RequestFacts, ResponseFacts};
use crate::json::Json;
use crate::record::Operation;

/// Where they are found.
pub const ENDPOINTS: &[Endpoint] = &[
    predict("/publishers/anthropic/", &AnthropicMessages),
    stream_predict("/publishers/anthropic/", &AnthropicMessages),
    // Counting is a model of its own; the one that it counts for is in the body.
    Endpoint {
        within: "/publishers/anthropic/",
        ..Endpoint::of("vertex", "/count-tokens:rawPredict", &AnthropicCountTokens, Operation::CountTokens)
    },
    predict("/publishers/mistralai/", &PublishedChat),
    stream_predict("/publishers/mistralai/", &PublishedChat),
    predict("/publishers/ai21/", &PublishedChat),
    stream_predict("/publishers/ai21/", &PublishedChat),
];

const fn predict(within: &'static str, dialect: &'static dyn Dialect) -> Endpoint {
    Endpoint { within, model, ..Endpoint::of("vertex", ":rawPredict", dialect, Operation::Chat) }
}

const fn stream_predict(within: &'static str, dialect: &'static dyn Dialect) -> Endpoint {
    Endpoint { within, model, stream: true, ..Endpoint::of("vertex", ":streamRawPredict", dialect, Operation::Chat) }
}

/// OpenAI's chat, of a model that the path names: with its version, which the body leaves out.
#[derive(Debug)]
struct PublishedChat;

impl Dialect for PublishedChat {
    fn name(&self) -> &'static str {
        OpenAiChat.name()
    }

    fn read_request(&self, body: &Json<'_>, facts: &mut RequestFacts) {
        let model = facts.request.model.take();
        OpenAiChat.read_request(body, facts);
        facts.request.model = model.or(facts.request.model.take());
    }

    fn read_response(&self, body: &Json<'_>, request: &RequestFacts, facts: &mut ResponseFacts) {
        OpenAiChat.read_response(body, request, facts);
    }

    fn read_event(&self, event: &Event<'_>, request: &RequestFacts, facts: &mut ResponseFacts) {
        OpenAiChat.read_event(event, request, facts);
    }
}
