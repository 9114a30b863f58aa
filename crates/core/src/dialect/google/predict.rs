//! Vertex AI's `...:predict`, for whatever model: `{"instances": [...], "parameters": {...}}` in, `{"predictions":
//! [...]}` out. What the first instance has tells what for:
//! - `content`: text embeddings (`predictions[].embeddings.{values, statistics.token_count}`),
//! - `prompt`: pictures by Imagen (`predictions[].bytesBase64Encoded`, also on the Gemini API), or text, where the
//!   parameters are a text model's,
//! - `messages`: a chat.
//!
//! Source: <https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api>,
//! <https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/imagen-api>.

use super::{either, read_config};
use crate::dialect::facts::{RequestFacts, ResponseFacts};
use crate::dialect::{Dialect, media, openai};
use crate::json::Json;
use crate::record::Operation;

/// See the module.
#[derive(Debug)]
pub struct VertexPredict;

impl Dialect for VertexPredict {
    fn name(&self) -> &'static str {
        "vertex_predict"
    }

    /// Models of any kind predict.
    fn accepts(&self, request: &Json<'_>) -> bool {
        operation(request).is_some()
    }

    fn read_request(&self, body: &Json<'_>, facts: &mut RequestFacts) {
        facts.operation = operation(body);
        let request = &mut facts.request;
        for instance in body.get("instances").items() {
            for text in [instance.get("content"), instance.get("prompt")] {
                request.messages.append(&mut openai::read_texts(text));
            }
            let messages = instance.get("messages").items();
            request.messages.extend(messages.iter().map(openai::read_message));
        }
        if facts.operation == Some(Operation::Chat) {
            request.message_count = Some(request.messages.len() as u64);
        }
        let parameters = body.get("parameters");
        read_config(parameters, &mut request.params);
        let pictures = either(parameters, "sampleCount", "sample_count").i64();
        request.params.n = request.params.n.or(pictures);
    }

    fn read_response(&self, body: &Json<'_>, request: &RequestFacts, facts: &mut ResponseFacts) {
        let predictions = body.get("predictions").items();
        let embeds = request.operation == Some(Operation::Embeddings);
        if let Some(first) = predictions.first().filter(|_| embeds) {
            facts.embedding_count = Some(predictions.len() as u64);
            facts.embedding_dims = first.get("embeddings").get("values").count_items().map(|count| count as u64);
            facts.usage.input = predictions.iter().try_fold(0_u64, |sum, prediction| {
                let statistics = prediction.get("embeddings").get("statistics");
                sum.checked_add(either(statistics, "token_count", "tokenCount").count()?)
            });
        }
        for (index, prediction) in predictions.iter().enumerate().filter(|_| !embeds) {
            let base64 = prediction.get("bytesBase64Encoded");
            if base64.filled().is_some() {
                let mime_type = prediction.get("mimeType").word();
                let modality = mime_type.as_deref().map_or("image", media::modality);
                facts.media.push(media::inline(modality, mime_type.as_deref(), base64));
            } else if let Some(text) = prediction.str().or_else(|| prediction.get("content").str())
                && let Some(choice) = facts.choice(index)
            {
                choice.text = Some(text.to_owned());
            }
        }
        for key in ["metadata", "deployedModelId", "modelDisplayName"] {
            openai::keep_extra(facts, key, body.get(key));
        }
    }
}

/// What the first instance shows; `None` for models of other kinds.
fn operation(request: &Json<'_>) -> Option<Operation> {
    let instance = request.get("instances").items().first()?;
    if instance.get("content").str().is_some() {
        return Some(Operation::Embeddings);
    }
    if instance.get("messages").count_items().is_some() {
        return Some(Operation::Chat);
    }
    instance.get("prompt").str()?;
    let names = ["temperature", "maxOutputTokens", "max_tokens", "topK", "topP"];
    let generates = |value: &Json<'_>| names.iter().any(|name| !value.get(name).is_null());
    let is_text = generates(request.get("parameters")) || generates(instance);
    Some(if is_text { Operation::TextCompletion } else { Operation::ImageGeneration })
}
