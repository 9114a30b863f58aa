//! `...:embedContent`: `content` in, `embedding.values` out; `...:batchEmbedContents`: many of them, as `requests` in
//! and `embeddings` out. Source: <https://ai.google.dev/api/embeddings>.

use super::{body_model, content, generate};
use crate::dialect::facts::{RequestFacts, ResponseFacts};
use crate::dialect::{Dialect, openai};
use crate::json::Json;

/// Members of a request that are no parameters.
const NOT_PARAMETERS: [&str; 4] = ["model", "content", "requests", "title"];

/// See the module.
#[derive(Debug)]
pub struct GeminiEmbed;

impl Dialect for GeminiEmbed {
    fn name(&self) -> &'static str {
        "gemini_embed"
    }

    fn read_request(&self, body: &Json<'_>, facts: &mut RequestFacts) {
        let single = std::slice::from_ref(body);
        let requests = Some(body.get("requests").items()).filter(|items| !items.is_empty()).unwrap_or(single);
        let request = &mut facts.request;
        for one in requests {
            content::read_contents(one.get("content"), &mut request.messages);
        }
        // All requests of a batch are for the same model; they hardly differ in the rest.
        if let Some(first) = requests.first() {
            request.model = body_model(first);
            openai::keep_other(first, &NOT_PARAMETERS, &mut request.params);
        }
    }

    fn read_response(&self, body: &Json<'_>, _: &RequestFacts, facts: &mut ResponseFacts) {
        let (one, many) = (body.get("embedding"), body.get("embeddings"));
        if one.is_object() {
            facts.embedding_count = Some(1);
            facts.embedding_dims = dims(one);
        } else if let Some(count) = many.count_items() {
            facts.embedding_count = Some(count as u64);
            facts.embedding_dims = many.items().first().and_then(dims);
        }
        generate::read_usage(body.get("usageMetadata"), facts);
    }

    fn tail_names(&self) -> [&'static str; 2] {
        ["usageMetadata", "modelVersion"]
    }

    fn read_usage(&self, usage: &Json<'_>, facts: &mut ResponseFacts) {
        generate::read_usage(usage, facts);
    }
}

fn dims(embedding: &Json<'_>) -> Option<u64> {
    embedding.get("values").count_items().map(|count| count as u64)
}
