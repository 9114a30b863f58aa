//! vLLM's endpoints of pooling models: `POST /score` (pairs in, scores out), `/pooling` (texts in, what the model's last
//! layer says out), `/classify` (texts in, classes out).
//!
//! Around them is OpenAI's envelope: `id`, `model`, `data`, `usage`.
//! Source: <https://docs.vllm.ai/en/stable/serving/openai_compatible_server.html>.

use crate::dialect::facts::{RequestFacts, ResponseFacts};
use crate::dialect::{Dialect, openai, params};
use crate::json::Json;

/// See the module.
#[derive(Debug)]
pub struct VllmPooling {
    name: &'static str,
    /// Pairs of members of which the request has to have one.
    pairs: &'static [[&'static str; 2]],
}

impl VllmPooling {
    pub const SCORE: Self = Self {
        name: "vllm_score",
        pairs: &[["text_1", "text_2"], ["queries", "documents"], ["queries", "items"], ["data_1", "data_2"]],
    };
    pub const POOLING: Self = Self { name: "vllm_pooling", pairs: &[["model", "input"], ["model", "messages"]] };
    pub const CLASSIFY: Self = Self { name: "vllm_classify", pairs: &[["model", "input"], ["model", "messages"]] };
}

/// Members that are content, or read elsewhere.
const NOT_PARAMETERS: [&str; 12] = [
    "model",
    "input",
    "messages",
    "text_1",
    "text_2",
    "queries",
    "documents",
    "items",
    "data_1",
    "data_2",
    "user",
    "stream",
];

impl Dialect for VllmPooling {
    fn name(&self) -> &'static str {
        self.name
    }

    fn accepts(&self, request: &Json<'_>) -> bool {
        self.pairs.iter().any(|pair| pair.iter().all(|key| !request.get(key).is_null()))
    }

    fn read_request(&self, body: &Json<'_>, facts: &mut RequestFacts) {
        facts.request.model = body.get("model").id();
        facts.user = body.get("user").id();
        params::read(body, &NOT_PARAMETERS, &mut facts.request.params);
        let texts = ["input", "text_1", "queries", "data_1", "text_2", "documents", "items", "data_2"];
        facts.request.messages = texts.into_iter().flat_map(|key| openai::read_texts(body.get(key))).collect();
        facts.request.messages.extend(body.get("messages").items().iter().map(openai::read_message));
    }

    fn read_response(&self, body: &Json<'_>, _: &RequestFacts, facts: &mut ResponseFacts) {
        openai::read_envelope(body, facts);
        let data = body.get("data");
        if self.name == "vllm_pooling" {
            // One vector a text, or a list of them: one a token.
            let first = data.items().first().map(|item| item.get("data"));
            let vector = first.map(|first| first.items().first().unwrap_or(first));
            facts.embedding_dims = vector.and_then(openai::embeddings::dims);
            facts.embedding_count = data.count_items().map(|count| count as u64);
        } else if data.count_items().is_some_and(|count| count <= MAX_RESULTS) {
            facts.keep_extra("results", data.to_value());
        }
    }
}

/// Scores or classes up to which they are kept.
const MAX_RESULTS: usize = 128;
