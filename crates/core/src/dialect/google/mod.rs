//! Google's formats: the Gemini API and Vertex AI.
//!
//! Sources: <https://ai.google.dev/api>, <https://cloud.google.com/vertex-ai/generative-ai/docs/reference/rest>. Both
//! are protocol buffers in JSON: members are named in camel case, requests may have them in snake case as well.

mod content;
mod count;
mod embed;
mod generate;
mod interactions;
mod predict;

use percent_encoding::percent_decode_str;

use super::facts::ResponseFacts;
use super::{Dialect, Endpoint};
use crate::json::Json;
use crate::record::{Media, Operation, Params, Usage};

/// Where they are found. Of two that share their end, Vertex is the one that names a location.
pub const ENDPOINTS: &[Endpoint] = &[
    vertex(":generateContent", &generate::GeminiGenerate, Operation::Chat),
    gemini(":generateContent", &generate::GeminiGenerate, Operation::Chat),
    streams(vertex(":streamGenerateContent", &generate::GeminiGenerate, Operation::Chat)),
    streams(gemini(":streamGenerateContent", &generate::GeminiGenerate, Operation::Chat)),
    vertex(":embedContent", &embed::GeminiEmbed, Operation::Embeddings),
    gemini(":embedContent", &embed::GeminiEmbed, Operation::Embeddings),
    gemini(":batchEmbedContents", &embed::GeminiEmbed, Operation::Embeddings),
    vertex(":countTokens", &count::GeminiCountTokens, Operation::CountTokens),
    gemini(":countTokens", &count::GeminiCountTokens, Operation::CountTokens),
    // TensorFlow Serving and KServe have this path as well, for models of any kind.
    Endpoint { within: "/publishers/", ..vertex(":predict", &predict::VertexPredict, Operation::ImageGeneration) },
    Endpoint { anybodys: true, ..vertex(":predict", &predict::VertexPredict, Operation::ImageGeneration) },
    Endpoint { within: "/models/imagen", ..gemini(":predict", &predict::VertexPredict, Operation::ImageGeneration) },
    Endpoint { anybodys: true, ..vertex("/interactions", &interactions::GeminiInteractions, Operation::Chat) },
    Endpoint { anybodys: true, ..gemini("/interactions", &interactions::GeminiInteractions, Operation::Chat) },
];

const fn gemini(suffix: &'static str, dialect: &'static dyn Dialect, operation: Operation) -> Endpoint {
    Endpoint { model, ..Endpoint::of("gemini", suffix, dialect, operation) }
}

const fn vertex(suffix: &'static str, dialect: &'static dyn Dialect, operation: Operation) -> Endpoint {
    Endpoint { model, within: "/locations/", ..Endpoint::of("vertex", suffix, dialect, operation) }
}

const fn streams(endpoint: Endpoint) -> Endpoint {
    Endpoint { stream: true, ..endpoint }
}

/// The model in `.../models/{model}:{method}`; tuned models and deployments stand below other names.
fn model(path: &str) -> Option<String> {
    let (before, last) = path.rsplit_once('/')?;
    let (model, _) = last.rsplit_once(':')?;
    let named = ["/models", "/tunedModels", "/endpoints"].iter().any(|parent| before.ends_with(parent));
    (named && !model.is_empty()).then(|| percent_decode_str(model).decode_utf8_lossy().into_owned())
}

/// The model that a body names, without the collection it stands in.
fn body_model(body: &Json<'_>) -> Option<String> {
    let model = body.get("model").word()?;
    Some(model.rsplit('/').next().unwrap_or(&model).to_owned())
}

/// The member of either name.
fn either<'s, 'a>(value: &'s Json<'a>, camel: &str, snake: &str) -> &'s Json<'a> {
    let found = value.get(camel);
    if found.is_null() { value.get(snake) } else { found }
}

/// Members of a generation's configuration that parameters have names for.
const NAMED: [&str; 14] = [
    "temperature",
    "topP",
    "top_p",
    "maxOutputTokens",
    "max_output_tokens",
    "stopSequences",
    "stop_sequences",
    "candidateCount",
    "candidate_count",
    "seed",
    "presencePenalty",
    "presence_penalty",
    "frequencyPenalty",
    "frequency_penalty",
];

/// Reads a `generationConfig`.
fn read_config(config: &Json<'_>, params: &mut Params) {
    params.temperature = config.get("temperature").f64();
    params.top_p = either(config, "topP", "top_p").f64();
    params.max_tokens = either(config, "maxOutputTokens", "max_output_tokens").i64();
    params.stop = super::openai::stop(either(config, "stopSequences", "stop_sequences"));
    params.n = either(config, "candidateCount", "candidate_count").i64();
    params.seed = config.get("seed").i64();
    params.presence_penalty = either(config, "presencePenalty", "presence_penalty").f64();
    params.frequency_penalty = either(config, "frequencyPenalty", "frequency_penalty").f64();
    super::openai::keep_other(config, &NAMED, params);
}

/// Media that are kept of one answer.
const MAX_MEDIA: usize = 128;

fn keep_media(facts: &mut ResponseFacts, media: Media) {
    if facts.media.len() < MAX_MEDIA {
        facts.media.push(media);
    }
}

/// What the two shapes of usage have in common: what tools add comes beside the prompt, thoughts beside the answer.
fn usage(
    prompt: Option<u64>,
    tools: Option<u64>,
    answer: Option<u64>,
    thoughts: Option<u64>,
    total: Option<u64>,
) -> Usage {
    let sum = |one: Option<u64>, other: Option<u64>| match (one, other) {
        (Some(one), Some(other)) => Some(one.saturating_add(other)),
        (one, other) => one.or(other),
    };
    let (input, output) = (sum(prompt, tools), sum(answer, thoughts));
    let total = total.or_else(|| input?.checked_add(output?));
    Usage { input, output, total, reasoning: thoughts, ..Usage::default() }
}

#[cfg(test)]
mod tests {
    use super::model;

    #[test]
    fn the_path_names_the_model() {
        for (path, name) in [
            ("/v1beta/models/gemini-2.5-flash:generateContent", Some("gemini-2.5-flash")),
            ("/v1beta/tunedModels/mine-1:generateContent", Some("mine-1")),
            ("/v1/projects/p/locations/l/publishers/google/models/m:predict", Some("m")),
            ("/v1/projects/p/locations/l/endpoints/123:generateContent", Some("123")),
            ("/v1/projects/p/locations/l/publishers/google/models/m%40001:predict", Some("m@001")),
            ("/v1internal:generateContent", None),
            ("/v1beta/interactions", None),
            ("/v1beta/models/:generateContent", None),
        ] {
            assert_eq!(model(path).as_deref(), name, "{path}");
        }
    }
}
