//! vLLM's own endpoints, beside the OpenAI-compatible ones.

mod generate;

use super::Endpoint;
use crate::record::Operation;

/// Where they are found.
pub const ENDPOINTS: &[Endpoint] = &[Endpoint {
    anybodys: true,
    ..Endpoint::of("vllm", "/generate", &generate::VllmGenerate, Operation::TextCompletion)
}];
