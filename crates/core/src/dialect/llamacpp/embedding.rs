//! `POST /embedding`: `content` in, vectors out: `{"embedding": [...]}`, or, in newer versions, a list of
//! `{"index", "embedding": [[...], ...]}` with one vector, or one a token where nothing is pooled.

use crate::dialect::facts::{RequestFacts, ResponseFacts};
use crate::dialect::{Dialect, openai, params};
use crate::json::Json;

/// See the module.
#[derive(Debug)]
pub struct LlamaCppEmbedding;

impl Dialect for LlamaCppEmbedding {
    fn name(&self) -> &'static str {
        "llamacpp_embedding"
    }

    fn accepts(&self, request: &Json<'_>) -> bool {
        !request.get("content").is_null() || !request.get("input").is_null()
    }

    fn read_request(&self, body: &Json<'_>, facts: &mut RequestFacts) {
        facts.request.model = body.get("model").id();
        params::read(body, &["model", "content", "input", "image_data"], &mut facts.request.params);
        let texts = [body.get("content"), body.get("input")];
        facts.request.messages = texts.into_iter().flat_map(openai::read_texts).collect();
    }

    fn read_response(&self, body: &Json<'_>, _: &RequestFacts, facts: &mut ResponseFacts) {
        let items = if body.is_object() { std::slice::from_ref(body) } else { body.items() };
        let vectors = items.iter().map(|item| item.get("embedding"));
        let (mut count, mut dims) = (0, None);
        for vector in vectors {
            let first = vector.items().first().unwrap_or(vector);
            dims = dims.or(first.count_items());
            count += vector.items().len().max(usize::from(vector.count_items().is_some()));
        }
        facts.embedding_dims = dims.map(|dims| dims as u64);
        facts.embedding_count = dims.map(|_| count as u64);
    }
}
