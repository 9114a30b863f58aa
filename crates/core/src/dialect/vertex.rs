//! Models of other publishers on Google's Vertex AI: `:rawPredict` and `:streamRawPredict` pass the publisher's own
//! format on, with the model in the path.
//!
//! Sources: <https://cloud.google.com/vertex-ai/generative-ai/docs/partner-models/claude/use-claude>,
//! <https://cloud.google.com/vertex-ai/generative-ai/docs/partner-models/mistral>.

use percent_encoding::percent_decode_str;

use super::anthropic::messages::{AnthropicCountTokens, AnthropicMessages};
use super::openai::chat::OpenAiChat;
use super::{Dialect, Endpoint};
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
    predict("/publishers/mistralai/", &OpenAiChat),
    stream_predict("/publishers/mistralai/", &OpenAiChat),
    predict("/publishers/ai21/", &OpenAiChat),
    stream_predict("/publishers/ai21/", &OpenAiChat),
];

const fn predict(within: &'static str, dialect: &'static dyn Dialect) -> Endpoint {
    Endpoint { within, model, ..Endpoint::of("vertex", ":rawPredict", dialect, Operation::Chat) }
}

const fn stream_predict(within: &'static str, dialect: &'static dyn Dialect) -> Endpoint {
    Endpoint { within, model, stream: true, ..Endpoint::of("vertex", ":streamRawPredict", dialect, Operation::Chat) }
}

/// The model in `.../publishers/{publisher}/models/{model}:rawPredict`.
fn model(path: &str) -> Option<String> {
    let (_, rest) = path.rsplit_once("/models/")?;
    let (model, _) = rest.rsplit_once(':')?;
    let model = percent_decode_str(model).decode_utf8_lossy();
    (!model.is_empty()).then(|| model.into_owned())
}
