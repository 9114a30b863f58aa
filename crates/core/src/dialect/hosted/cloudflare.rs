//! Cloudflare Workers AI: `POST .../ai/run/{model}`; `prompt` or `messages` in, `{"result": {"response", "usage"}}` out.
//!
//! `text` in and `result.data` out are embeddings. Events of a stream have a piece of `response`. Newer models answer in
//! OpenAI's shape. Source: <https://developers.cloudflare.com/workers-ai/get-started/rest-api/>.

use super::{read_errors, read_media_type};
use crate::capture::KeptHeaders;
use crate::dialect::facts::{RequestFacts, ResponseFacts, append};
use crate::dialect::openai::chat::OpenAiChat;
use crate::dialect::{Dialect, Event, media, openai};
use crate::json::Json;
use crate::record::Operation;

/// See the module.
#[derive(Debug)]
pub struct WorkersAi;

/// All that begins with `@`.
pub fn model(path: &str) -> Option<String> {
    let at =
        ["/ai/run/@", "/workers-ai/@"].into_iter().find_map(|before| Some(path.find(before)? + before.len() - 1))?;
    path.get(at..).map(|model| model.trim_end_matches('/').to_owned())
}

impl Dialect for WorkersAi {
    fn name(&self) -> &'static str {
        "cloudflare_run"
    }

    fn accepts(&self, request: &Json<'_>) -> bool {
        ["messages", "prompt", "text", "input"].iter().any(|key| !request.get(key).is_null())
    }

    fn read_request(&self, body: &Json<'_>, facts: &mut RequestFacts) {
        OpenAiChat.read_request(body, facts);
        let request = &mut facts.request;
        // Media and texts to embed are no parameters.
        for key in ["text", "image", "image_b64", "audio", "mask", "mask_b64"] {
            request.params.other.remove(key);
        }
        let [prompt, text] = [body.get("prompt"), body.get("text")];
        facts.operation = if !body.get("messages").is_null() {
            Some(Operation::Chat)
        } else if !prompt.is_null() {
            request.messages = openai::read_texts(prompt);
            Some(Operation::TextCompletion)
        } else {
            request.messages = openai::read_texts(text);
            None
        };
    }

    fn read_response(&self, body: &Json<'_>, request: &RequestFacts, facts: &mut ResponseFacts) {
        read_errors(body, facts);
        let result = body.get("result");
        OpenAiChat.read_response(result, request, facts);
        read(result, facts);
        let data = result.get("data");
        if let Some(dims) = data.items().first().and_then(Json::count_items) {
            facts.operation = Some(Operation::Embeddings);
            facts.embedding_dims = Some(dims as u64);
            facts.embedding_count = data.count_items().map(|count| count as u64);
        }
        // Pictures come as base64.
        if result.get("image").str().is_some() {
            facts.operation = Some(Operation::ImageGeneration);
            facts.keep_media([media::inline("image", None, result.get("image"))]);
        }
    }

    fn read_event(&self, event: &Event<'_>, request: &RequestFacts, facts: &mut ResponseFacts) {
        OpenAiChat.read_event(event, request, facts);
        if read(event.body, facts) {
            facts.token_at(event.at);
        }
    }

    fn read_headers(&self, headers: &KeptHeaders, facts: &mut ResponseFacts) {
        if facts.operation.is_none() {
            read_media_type(headers, facts);
        }
    }
}

/// Reads the platform's own shape. True when it carried a generated token.
fn read(result: &Json<'_>, facts: &mut ResponseFacts) -> bool {
    let (response, calls) = (result.get("response"), result.get("tool_calls").items());
    if response.is_null() && calls.is_empty() {
        return false;
    }
    let Some(choice) = facts.choice(0) else { return false };
    let mut token = false;
    match response {
        // An answer that follows a schema is an object.
        Json::Object(_) => append(&mut choice.text, &response.to_value().to_string()),
        // A token that is a number comes as one.
        Json::Number(digits) => {
            token = true;
            append(&mut choice.text, digits);
        }
        other => {
            if let Some(text) = other.str() {
                token |= !text.is_empty();
                append(&mut choice.text, text);
            }
        }
    }
    for call in calls {
        token = true;
        let next = choice.tool_calls.len() as u64;
        if let Some(tool) = choice.tool(Some(next), None) {
            let function = call.get("function");
            let function = if function.is_object() { function } else { call };
            tool.call.id = call.get("id").id();
            tool.call.name = function.get("name").id();
            tool.call.arguments = openai::arguments(function.get("arguments"));
        }
    }
    token
}
