//! `POST .../rerank`, as Cohere began it and Voyage, Jina, vLLM and TEI followed: `query` and `documents` (TEI:
//! `texts`) in; `results` (Voyage: `data`, TEI: the answer itself) of `{index, relevance_score}` out, the best first.
//!
//! Sources: <https://docs.cohere.com/reference/rerank>, <https://docs.voyageai.com/reference/reranker-api>,
//! <https://jina.ai/reranker>, <https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html#re-rank-api>,
//! <https://huggingface.github.io/text-embeddings-inference>.

use serde_json::{Value, json};

use crate::dialect::facts::{RequestFacts, ResponseFacts, keep_first};
use crate::dialect::{Dialect, cohere, openai};
use crate::json::Json;
use crate::record::Message;

/// Results of one answer that are kept.
const MAX_RESULTS: usize = 100;

/// Members of a request that are no parameters.
const NOT_PARAMETERS: [&str; 2] = ["query", "texts"];

/// See the module.
#[derive(Debug)]
pub struct Rerank;

impl Dialect for Rerank {
    fn name(&self) -> &'static str {
        "rerank"
    }

    fn accepts(&self, request: &Json<'_>) -> bool {
        !request.get("query").is_null()
            && ["documents", "texts"].iter().any(|key| request.get(key).count_items().is_some())
    }

    /// The query is the user's; documents are messages of their own.
    fn read_request(&self, body: &Json<'_>, facts: &mut RequestFacts) {
        openai::read_request_but(body, &NOT_PARAMETERS, facts);
        let messages = &mut facts.request.messages;
        let query = openai::content(body.get("query"));
        messages.push(Message { role: "user".to_owned(), content: query, ..Message::default() });
        for document in [body.get("documents"), body.get("texts")].iter().flat_map(|documents| documents.items()) {
            let text = document.get("text");
            let content = openai::content(if text.is_null() { document } else { text });
            messages.push(Message { role: "document".to_owned(), content, ..Message::default() });
        }
    }

    fn read_response(&self, body: &Json<'_>, _: &RequestFacts, facts: &mut ResponseFacts) {
        keep_first(&mut facts.id, body.get("id").id());
        keep_first(&mut facts.model, body.get("model").id());
        let list = [body.get("results"), body.get("data")].into_iter().find(|list| list.count_items().is_some());
        keep_results(list.unwrap_or(body), facts);
        let meta = body.get("meta");
        cohere::read_meta(meta, facts);
        openai::read_usage(body.get("usage"), facts);
        if meta.get("api_version").is_object() {
            facts.provider = Some("cohere");
        } else if facts.id.as_deref().is_some_and(|id| id.starts_with("rerank-")) {
            facts.provider = Some("vllm");
        }
        // The format is many's, but not OpenAI's.
        facts.provider.get_or_insert("custom_provider");
    }
}

/// Keeps the scores of a list of results.
pub fn keep_results(list: &Json<'_>, facts: &mut ResponseFacts) {
    let results: Vec<Value> = list.items().iter().filter_map(result).take(MAX_RESULTS).collect();
    if !results.is_empty() {
        facts.keep_extra("results", Value::Array(results));
    }
}

/// Which document, and how relevant; not its text again.
fn result(result: &Json<'_>) -> Option<Value> {
    let score = result.get("relevance_score").f64().or_else(|| result.get("score").f64())?;
    Some(json!({ "index": result.get("index").count()?, "relevance_score": score }))
}
