//! Cohere's formats. Source: <https://docs.cohere.com/reference/about>.
//!
//! Tokens and the bill differ: `tokens` are what the model saw, `billed_units` what is paid for. The former are the
//! usage, where they are told; the latter are kept beside it.

mod chat_v1;
mod chat_v2;
mod embed;
mod generate;

use super::facts::{RequestFacts, ResponseFacts};
use super::{Dialect, Endpoint, openai};
use crate::json::Json;
use crate::record::{Operation, Usage};

/// Where they are found. The paths are common ones: elsewhere than at Cohere's, the body has to look the part.
pub const ENDPOINTS: &[Endpoint] = &[
    // Older clients name no version.
    at_home("/chat", &chat_v1::CohereChatV1, Operation::Chat),
    at_home("/v1/chat", &chat_v1::CohereChatV1, Operation::Chat),
    elsewhere("/v1/chat", &chat_v1::CohereChatV1, Operation::Chat),
    at_home("/v2/chat", &chat_v2::CohereChatV2, Operation::Chat),
    elsewhere("/v2/chat", &chat_v2::CohereChatV2, Operation::Chat),
    // The ends are the shorter ones that others have as well: the body decides between them.
    at_home("/generate", &generate::CohereGenerate, Operation::TextCompletion),
    Endpoint { within: "/v1/", ..elsewhere("/generate", &generate::CohereGenerate, Operation::TextCompletion) },
    at_home("/embed", &embed::CohereEmbed, Operation::Embeddings),
    Endpoint { within: "/v1/", ..elsewhere("/embed", &embed::CohereEmbed, Operation::Embeddings) },
    Endpoint { within: "/v2/", ..elsewhere("/embed", &embed::CohereEmbed, Operation::Embeddings) },
];

const fn at_home(suffix: &'static str, dialect: &'static dyn Dialect, operation: Operation) -> Endpoint {
    Endpoint { only_at: Some("cohere"), ..Endpoint::of("cohere", suffix, dialect, operation) }
}

const fn elsewhere(suffix: &'static str, dialect: &'static dyn Dialect, operation: Operation) -> Endpoint {
    Endpoint { anybodys: true, ..Endpoint::of("cohere", suffix, dialect, operation) }
}

/// Members of requests that are content, or have a name of their own among the parameters.
const NOT_PARAMETERS: [&str; 11] = [
    "message",
    "chat_history",
    "preamble",
    "tool_results",
    "texts",
    "images",
    "inputs",
    "query",
    "p",
    "stop_sequences",
    "num_generations",
];

/// Reads what every request has, by Cohere's names.
pub fn read_request(body: &Json<'_>, facts: &mut RequestFacts) {
    openai::read_request_but(body, &NOT_PARAMETERS, facts);
    let params = &mut facts.request.params;
    params.top_p = body.get("p").f64().or(params.top_p);
    params.stop = openai::stop(body.get("stop_sequences")).or(params.stop.take());
    params.n = body.get("num_generations").i64().or(params.n);
}

/// Reads a `meta` (v1) or a `usage` (v2): tokens, what is billed, warnings, the API's version.
pub fn read_meta(meta: &Json<'_>, facts: &mut ResponseFacts) {
    let (tokens, billed) = (meta.get("tokens"), meta.get("billed_units"));
    if let Some(mut usage) = counts(tokens).or_else(|| counts(billed)) {
        usage.cache_read = meta.get("cached_tokens").count();
        facts.usage = usage;
    }
    facts.billed = counts(billed).or(facts.billed);
    for key in ["billed_units", "warnings"] {
        openai::keep_extra(facts, key, meta.get(key));
    }
    openai::keep_extra(facts, "api_version", meta.get("api_version").get("version"));
}

/// Token counts; what else is billed (searches, images) is none.
fn counts(value: &Json<'_>) -> Option<Usage> {
    let (input, output) = (value.get("input_tokens").count(), value.get("output_tokens").count());
    let total = input.and_then(|input| input.checked_add(output?));
    (input.is_some() || output.is_some()).then(|| Usage { input, output, total, ..Usage::default() })
}
