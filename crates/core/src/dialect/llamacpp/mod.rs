//! The native API of llama.cpp's server. Its `/v1` is OpenAI's.
//!
//! Source: <https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md>.

mod completion;
mod embedding;

use super::{Dialect, Endpoint};
use crate::record::Operation;

/// Where they are found.
pub const ENDPOINTS: &[Endpoint] = &[
    llamacpp("/completion", &completion::LlamaCppCompletion { prompt: "prompt" }, Operation::TextCompletion),
    llamacpp("/infill", &completion::LlamaCppCompletion { prompt: "input_prefix" }, Operation::TextCompletion),
    llamacpp("/embedding", &embedding::LlamaCppEmbedding, Operation::Embeddings),
];

const fn llamacpp(suffix: &'static str, dialect: &'static dyn Dialect, operation: Operation) -> Endpoint {
    Endpoint { anybodys: true, ..Endpoint::of("llamacpp", suffix, dialect, operation) }
}
