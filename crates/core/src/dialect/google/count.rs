//! `...:countTokens`: `contents`, or a whole `generateContentRequest`, in; `{"totalTokens", "cachedContentTokenCount"}`
//! out. Source: <https://ai.google.dev/api/tokens>.

use super::{body_model, content, generate};
use crate::dialect::Dialect;
use crate::dialect::facts::{RequestFacts, ResponseFacts};
use crate::json::Json;
use crate::record::Usage;

/// See the module.
#[derive(Debug)]
pub struct GeminiCountTokens;

impl Dialect for GeminiCountTokens {
    fn name(&self) -> &'static str {
        "gemini_count_tokens"
    }

    fn read_request(&self, body: &Json<'_>, facts: &mut RequestFacts) {
        let names = ["generateContentRequest", "generate_content_request", "request"];
        let body = names.iter().map(|name| body.get(name)).find(|inner| inner.is_object()).unwrap_or(body);
        facts.request.model = body_model(body);
        generate::read_generation(body, facts);
        facts.request.message_count = content::count(body.get("contents"));
    }

    fn read_response(&self, body: &Json<'_>, _: &RequestFacts, facts: &mut ResponseFacts) {
        let total = body.get("totalTokens").count();
        let cache_read = body.get("cachedContentTokenCount").count();
        facts.usage = Usage { input: total, total, cache_read, ..Usage::default() };
        facts.keep_extra("totalBillableCharacters", body.get("totalBillableCharacters").to_value());
    }
}
