//! Anthropic's endpoints, and what others that serve Claude (Bedrock, Vertex AI) read alike.
//!
//! Source: Anthropic's API reference (<https://docs.anthropic.com/en/api>). Message batches are jobs, not calls.

pub(super) mod answer;
pub(super) mod complete;
pub(super) mod content;
pub(super) mod messages;

use super::Endpoint;
use crate::record::Operation;

/// Where they are found.
pub const ENDPOINTS: &[Endpoint] = &[
    // What people write to each other is posted to paths of that name as well, `/v1/messages` among them.
    Endpoint {
        anybodys: true,
        ..Endpoint::of("anthropic", "/messages", &messages::AnthropicMessages, Operation::Chat)
    },
    Endpoint::of("anthropic", "/messages/count_tokens", &messages::AnthropicCountTokens, Operation::CountTokens),
    Endpoint {
        anybodys: true,
        ..Endpoint::of("anthropic", "/v1/complete", &complete::AnthropicComplete, Operation::TextCompletion)
    },
];
