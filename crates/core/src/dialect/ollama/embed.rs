//! `POST /api/embed`: `input` (one text or several) in, `embeddings` out; and the older `/api/embeddings`: `prompt` in,
//! one `embedding` out, without counts.

use crate::dialect::facts::{RequestFacts, ResponseFacts};
use crate::dialect::{Dialect, ollama, openai};
use crate::json::Json;

/// See the module.
#[derive(Debug)]
pub struct OllamaEmbed {
    /// The member that holds the text: what tells this request from OpenAI's on the same path.
    pub input: &'static str,
}

impl Dialect for OllamaEmbed {
    fn name(&self) -> &'static str {
        "ollama_embed"
    }

    fn accepts(&self, request: &Json<'_>) -> bool {
        ollama::names_model_and(request, &[self.input])
    }

    fn read_request(&self, body: &Json<'_>, facts: &mut RequestFacts) {
        ollama::read_request(body, facts);
        facts.request.messages = openai::read_texts(body.get(self.input));
    }

    fn read_response(&self, body: &Json<'_>, _: &RequestFacts, facts: &mut ResponseFacts) {
        ollama::read_envelope(body, facts);
        let (several, one) = (body.get("embeddings"), body.get("embedding"));
        let first = several.items().first().unwrap_or(one);
        facts.embedding_dims = first.count_items().map(|count| count as u64);
        facts.embedding_count = several.count_items().or(one.count_items().map(|_| 1)).map(|count| count as u64);
    }
}
