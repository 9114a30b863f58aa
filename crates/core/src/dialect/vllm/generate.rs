//! vLLM's own `POST /generate` (its demo API server): `{"prompt", "stream", sampling parameters}` in, `{"text": [...]}`
//! out. No model, no id, no usage.
//!
//! Each text is the prompt followed by the output. Streams repeat it, ever longer, in JSON objects that end in LF
//! (newer versions) or NUL (older ones), with no media type.
//! Source: <https://github.com/vllm-project/vllm/blob/main/vllm/entrypoints/api_server.py>.

use crate::dialect::facts::{RequestFacts, ResponseFacts};
use crate::dialect::{Dialect, Event, openai};
use crate::json::Json;
use crate::record::Content;

/// See the module.
#[derive(Debug)]
pub struct VllmGenerate;

impl Dialect for VllmGenerate {
    fn name(&self) -> &'static str {
        "vllm_generate"
    }

    /// Many things are called `/generate`; TGI's request, for one, has `inputs` in place of `prompt`.
    fn accepts(&self, request: &Json<'_>) -> bool {
        !request.get("prompt").is_null()
    }

    fn read_request(&self, body: &Json<'_>, facts: &mut RequestFacts) {
        openai::read_request(body, facts);
        facts.request.messages = openai::read_texts(body.get("prompt"));
    }

    fn read_response(&self, body: &Json<'_>, request: &RequestFacts, facts: &mut ResponseFacts) {
        read(body, request, facts);
    }

    fn read_event(&self, event: &Event<'_>, request: &RequestFacts, facts: &mut ResponseFacts) {
        if read(event.body, request, facts) {
            facts.token_at(event.at);
        }
    }

    fn streams_json(&self) -> bool {
        true
    }
}

/// Each object holds the whole text so far: the last one counts. True when there is output beyond the prompt.
fn read(body: &Json<'_>, request: &RequestFacts, facts: &mut ResponseFacts) -> bool {
    let prompt = match request.request.messages.first().and_then(|message| message.content.as_ref()) {
        Some(Content::Text(prompt)) => prompt.as_str(),
        _ => "",
    };
    let mut token = false;
    for (index, text) in body.get("text").items().iter().enumerate() {
        if let (Some(text), Some(choice)) = (text.str(), facts.choice(index)) {
            let output = text.strip_prefix(prompt).unwrap_or(text);
            token |= !output.is_empty();
            choice.text = Some(output.to_owned());
        }
    }
    token
}
