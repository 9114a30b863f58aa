//! vLLM's `POST /inference/v1/generate`: token ids in, token ids out, for servers whose tokenizer is elsewhere.
//!
//! There is no text; the counts are the ids'.
//! Source: <https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html>.

use crate::dialect::facts::{RequestFacts, ResponseFacts, index, keep_first};
use crate::dialect::{Dialect, openai, params};
use crate::json::Json;
use crate::record::Usage;

/// See the module.
#[derive(Debug)]
pub struct VllmTokens;

impl Dialect for VllmTokens {
    fn name(&self) -> &'static str {
        "vllm_tokens"
    }

    fn accepts(&self, request: &Json<'_>) -> bool {
        !request.get("token_ids").is_null()
    }

    fn read_request(&self, body: &Json<'_>, facts: &mut RequestFacts) {
        facts.request.model = body.get("model").id();
        facts.request.stream = body.get("stream").bool().unwrap_or(false);
        params::read(body.get("sampling_params"), &[], &mut facts.request.params);
        facts.request.messages = openai::read_texts(body.get("token_ids"));
    }

    fn read_response(&self, body: &Json<'_>, _: &RequestFacts, facts: &mut ResponseFacts) {
        openai::read_envelope(body, facts);
        keep_first(&mut facts.id, body.get("request_id").id());
        let mut generated = None;
        for (position, choice) in body.get("choices").items().iter().enumerate() {
            openai::read_choice(choice, index(choice, position), facts);
            if let Some(count) = choice.get("token_ids").count_items() {
                generated = Some(generated.unwrap_or(0) + count as u64);
            }
        }
        if let Some(generated) = generated.filter(|_| facts.usage == Usage::default()) {
            facts.usage.output = Some(generated);
        }
    }
}
