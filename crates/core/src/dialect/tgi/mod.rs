//! Hugging Face's Text Generation Inference (TGI): its native API. Its `/v1` is OpenAI's.
//!
//! Source: <https://huggingface.github.io/text-generation-inference/>.

pub(super) mod generate;

use super::Endpoint;
use crate::record::Operation;

/// Where they are found. `/generate` is vLLM's and SGLang's as well: the request tells.
pub const ENDPOINTS: &[Endpoint] = &[tgi("/generate"), Endpoint { stream: true, ..tgi("/generate_stream") }];

const fn tgi(suffix: &'static str) -> Endpoint {
    Endpoint { anybodys: true, ..Endpoint::of("tgi", suffix, &generate::TgiGenerate, Operation::TextCompletion) }
}
