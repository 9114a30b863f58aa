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
        ["model", "input", "prompt", "messages"].iter().any(|key| !request.get(key).is_null())
    }

    fn read_request(&self, body: &Json<'_>, facts: &mut RequestFacts) {
        openai::read_request(body, facts);
        facts.request.messages = openai::read_texts(body.get("input"));
    }

    fn read_response(&self, body: &Json<'_>, request: &RequestFacts, facts: &mut ResponseFacts) {
        openai::read_envelope(body, facts);
        let data = body.get("data");
        facts.embedding_count = data.count_items().map(|count| count as u64);
        facts.embedding_dims = data.items().first().and_then(|first| dims(first.get("embedding")));
        // Voyage and Mistral also make vectors of bytes.
        let asked = |key: &str| request.request.params.other.get(key)?.as_str();
        let is_bytes = asked("output_dtype").is_some_and(|kind| kind != "float");
        let first = data.items().first().map(|first| first.get("embedding"));
        if let Some(Json::String(base64)) = first.filter(|_| is_bytes) {
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
