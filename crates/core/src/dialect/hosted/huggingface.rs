//! Hugging Face's inference: `POST /models/{model}` and, for an endpoint of one's own, `POST /`.
//!
//! `inputs` and `parameters` in; what comes out depends on the model's task: texts in TGI's shape, vectors, or scores,
//! summaries and the like. Source: <https://huggingface.co/docs/inference-providers/providers/hf-inference>.

use super::read_media_type;
use crate::capture::KeptHeaders;
use crate::dialect::facts::{RequestFacts, ResponseFacts};
use crate::dialect::tgi::generate::TgiGenerate;
use crate::dialect::{Dialect, Event};
use crate::json::Json;
use crate::record::Operation;

/// See the module.
#[derive(Debug)]
pub struct HuggingFace;

/// `{owner}/{name}` behind `/models/`, or behind a task.
pub fn model(path: &str) -> Option<String> {
    let model = match path.split_once("/models/") {
        Some((_, rest)) => rest.split("/pipeline/").next()?,
        None => path.split_once("/pipeline/")?.1.split_once('/')?.1,
    };
    let model = model.trim_matches('/');
    (!model.is_empty()).then(|| model.to_owned())
}

impl Dialect for HuggingFace {
    fn name(&self) -> &'static str {
        "huggingface_inference"
    }

    fn accepts(&self, request: &Json<'_>) -> bool {
        TgiGenerate.accepts(request)
    }

    fn read_request(&self, body: &Json<'_>, facts: &mut RequestFacts) {
        TgiGenerate.read_request(body, facts);
        // Questions about a context, sentences to compare, labels to choose from: nothing is generated.
        if body.get("inputs").is_object() || !body.get("parameters").get("candidate_labels").is_null() {
            facts.operation = Some(Operation::Other);
        }
    }

    fn read_response(&self, body: &Json<'_>, request: &RequestFacts, facts: &mut ResponseFacts) {
        let first = body.items().first().unwrap_or(body);
        let inner = first.items().first().unwrap_or(first);
        if matches!(inner, Json::Numbers(..)) {
            // A vector, one a text, or one a token of each.
            let several = body.items().len().max(1);
            facts.operation = Some(Operation::Embeddings);
            facts.embedding_dims = inner.count_items().map(|dims| dims as u64);
            facts.embedding_count = Some(several as u64);
            return;
        }
        const NOT_GENERATED: [&str; 7] =
            ["label", "score", "summary_text", "translation_text", "answer", "word", "token_str"];
        if NOT_GENERATED.iter().any(|key| !inner.get(key).is_null()) {
            facts.operation = Some(Operation::Other);
            let text = ["summary_text", "translation_text", "answer"].iter().find_map(|key| inner.get(key).str());
            if let (Some(text), Some(choice)) = (text, facts.choice(0)) {
                choice.text = Some(text.to_owned());
            }
        }
        TgiGenerate.read_response(body, request, facts);
    }

    fn read_event(&self, event: &Event<'_>, request: &RequestFacts, facts: &mut ResponseFacts) {
        TgiGenerate.read_event(event, request, facts);
    }

    fn read_headers(&self, headers: &KeptHeaders, facts: &mut ResponseFacts) {
        TgiGenerate.read_headers(headers, facts);
        read_media_type(headers, facts);
    }
}
