//! OpenAI embeddings: `POST .../embeddings`, texts in, vectors out.

use crate::dialect::facts::{RequestFacts, ResponseFacts};
use crate::dialect::{Dialect, media, openai};
use crate::json::Json;

/// See the module.
#[derive(Debug)]
pub struct OpenAiEmbeddings;

impl Dialect for OpenAiEmbeddings {
    fn name(&self) -> &'static str {
        "openai_embeddings"
    }

    /// Vector stores have paths of that name as well.
    fn accepts(&self, request: &Json<'_>) -> bool {
        ["model", "input", "inputs", "prompt", "messages"].iter().any(|key| !request.get(key).is_null())
    }

    fn read_request(&self, body: &Json<'_>, facts: &mut RequestFacts) {
        openai::read_request_but(body, &["inputs"], facts);
        facts.request.messages = openai::read_texts(body.get("input"));
        // Voyage: `{content}` of parts, or a list of texts that belong together.
        let inputs = body.get("inputs").items().iter();
        let content = |input: &Json<'_>| openai::content(if input.is_object() { input.get("content") } else { input });
        facts.request.messages.extend(inputs.map(|input| openai::user(content(input))));
    }

    fn read_response(&self, body: &Json<'_>, request: &RequestFacts, facts: &mut ResponseFacts) {
        openai::read_envelope(body, facts);
        let data = body.get("data");
        facts.embedding_count = data.count_items().map(|count| count as u64);
        // Voyage: a list of its own for each input of several texts.
        let lists = data.items().iter().map(|item| item.get("data"));
        let inner: usize = lists.clone().filter_map(Json::count_items).sum();
        if inner > 0 {
            facts.embedding_count = Some(inner as u64);
        }
        let data = lists.into_iter().find(|list| !list.items().is_empty()).unwrap_or(data);
        let first = data.items().first();
        // Jina: one vector a token.
        let several = || first?.get("embeddings").items().first();
        facts.embedding_dims = first.and_then(|first| dims(first.get("embedding"))).or_else(|| dims(several()?));
        // Voyage and Mistral also make vectors of bytes.
        let asked = |key: &str| request.request.params.other.get(key)?.as_str();
        let is_bytes = asked("output_dtype").is_some_and(|kind| kind != "float");
        if let Some(Json::String(base64)) = first.map(|first| first.get("embedding")).filter(|_| is_bytes) {
            facts.embedding_dims = Some(media::decoded_size(base64));
        }
    }
}

/// Length of a whole vector: a list of numbers, or base64 of little-endian 32-bit floats (`encoding_format: base64`).
pub fn dims(vector: &Json<'_>) -> Option<u64> {
    match vector {
        Json::String(base64) => Some(base64.trim_end_matches('=').len() as u64 * 3 / 4 / 4),
        other => other.count_items().map(|count| count as u64),
    }
}
