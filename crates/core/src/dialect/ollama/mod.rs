//! Ollama's native API. Its OpenAI-compatible paths are OpenAI's.
//!
//! Streams are on unless `stream` is false: JSON objects a line, the last of which has `done: true` and the counts.
//! Source: <https://docs.ollama.com/api>.

mod chat;
mod embed;
mod generate;

use super::facts::{RequestFacts, ResponseFacts, keep_first, sum};
use super::{Dialect, Endpoint, media, openai, params};
use crate::json::Json;
use crate::record::{Content, Message, Operation, Part, Usage};

/// Where they are found.
pub const ENDPOINTS: &[Endpoint] = &[
    ollama("/api/chat", &chat::OllamaChat, Operation::Chat),
    ollama("/api/generate", &generate::OllamaGenerate, Operation::TextCompletion),
    ollama("/api/embed", &embed::OllamaEmbed { input: "input" }, Operation::Embeddings),
    ollama("/api/embeddings", &embed::OllamaEmbed { input: "prompt" }, Operation::Embeddings),
    // Gateways that call OpenAI's API `/api` have this path as well.
    Endpoint::new("/api/embeddings", &openai::embeddings::OpenAiEmbeddings, Operation::Embeddings),
];

/// An endpoint whose path says little: the body has to say `model` and more.
const fn ollama(suffix: &'static str, dialect: &'static dyn Dialect, operation: Operation) -> Endpoint {
    Endpoint { anybodys: true, ..Endpoint::of("ollama", suffix, dialect, operation) }
}

/// Members that are content, or read elsewhere.
const NOT_PARAMETERS: [&str; 12] = [
    "model", "messages", "prompt", "input", "system", "suffix", "images", "context", "template", "tools", "stream",
    "options",
];

/// True when the body names a model and one of `keys`.
fn names_model_and(request: &Json<'_>, keys: &[&str]) -> bool {
    request.get("model").str().is_some() && keys.iter().any(|key| !request.get(key).is_null())
}

/// Reads model and parameters: the runtime's stand in `options`, others beside it.
fn read_request(body: &Json<'_>, facts: &mut RequestFacts) {
    facts.request.model = body.get("model").id();
    params::read(body, &NOT_PARAMETERS, &mut facts.request.params);
    params::read(body.get("options"), &[], &mut facts.request.params);
}

/// True when the answer will be a stream. A request with nothing to say loads or unloads a model: that is one object.
fn streams(body: &Json<'_>, says: bool) -> bool {
    says && body.get("stream").bool() != Some(false)
}

/// Adds a message's `images`, which are base64 without a type.
fn add_images(message: &mut Message, images: &Json<'_>) {
    if images.items().is_empty() {
        return;
    }
    let mut parts = match message.content.take() {
        Some(Content::Text(text)) if text.is_empty() => Vec::new(),
        Some(Content::Text(text)) => vec![Part::Text { text }],
        Some(Content::Parts(parts)) => parts,
        None => Vec::new(),
    };
    parts.extend(images.items().iter().map(|image| Part::Media(media::inline("image", None, image))));
    message.content = Some(Content::Parts(parts));
}

/// Reads what stands around the text: model, counts, durations in nanoseconds, why it ended.
fn read_envelope(body: &Json<'_>, facts: &mut ResponseFacts) {
    keep_first(&mut facts.model, body.get("model").id());
    // A prompt that is cached has no `prompt_eval_count` in older versions: unknown, not 0.
    let (input, output) = (body.get("prompt_eval_count").count(), body.get("eval_count").count());
    if input.is_some() || output.is_some() {
        facts.usage = Usage { input, output, total: sum(input, output), ..Usage::default() };
    }
    for (key, value) in body.members() {
        if matches!(key.as_ref(), "total_duration" | "load_duration" | "prompt_eval_duration" | "eval_duration") {
            facts.keep_extra(key, value.to_value());
        }
    }
    if let (Some(reason), Some(choice)) = (body.get("done_reason").word(), facts.choice(0)) {
        choice.finish_reason = Some(reason);
    }
}
