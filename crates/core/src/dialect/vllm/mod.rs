//! vLLM's and SGLang's own endpoints, beside the OpenAI-compatible ones.

mod generate;
mod pooling;
mod sglang;
mod tokens;

use super::{Dialect, Endpoint};
use crate::record::Operation;

/// Where they are found. `/generate` is TGI's as well: the request tells.
pub const ENDPOINTS: &[Endpoint] = &[
    vllm("/generate", &generate::VllmGenerate, Operation::TextCompletion),
    Endpoint {
        anybodys: true,
        ..Endpoint::of("sglang", "/generate", &sglang::SglangGenerate, Operation::TextCompletion)
    },
    vllm("/inference/v1/generate", &tokens::VllmTokens, Operation::TextCompletion),
    vllm("/score", &pooling::VllmPooling::SCORE, Operation::Rerank),
    vllm("/pooling", &pooling::VllmPooling::POOLING, Operation::Embeddings),
    vllm("/classify", &pooling::VllmPooling::CLASSIFY, Operation::Other),
];

const fn vllm(suffix: &'static str, dialect: &'static dyn Dialect, operation: Operation) -> Endpoint {
    Endpoint { anybodys: true, ..Endpoint::of("vllm", suffix, dialect, operation) }
}
