//! Vertex AI's `...:predict`, for whatever model: `{"instances": [...], "parameters": {...}}` in, `{"predictions":
//! [...]}` out. What the first instance has tells what for:
//! - `content`: text embeddings (`predictions[].embeddings.{values, statistics.token_count}`),
//! - `text` or `image` without a prompt: multimodal embeddings (`predictions[].{textEmbedding, imageEmbedding}`),
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
use crate::record::{Content, Media, Message, Operation, Part};

/// See the module.
#[derive(Debug)]
pub struct VertexPredict;

impl Dialect for VertexPredict {
    fn name(&self) -> &'static str {
        "vertex_predict"
    }

    /// Models of any kind predict.
    fn accepts(&self, request: &Json<'_>) -> bool {
        let instance = request.get("instances").items().first();
        instance.is_some_and(|instance| {
            ["content", "prompt"].iter().any(|key| instance.get(key).str().is_some())
                || instance.get("messages").count_items().is_some()
        })
    }

    fn read_request(&self, body: &Json<'_>, facts: &mut RequestFacts) {
        facts.operation = operation(body);
        let request = &mut facts.request;
        for instance in body.get("instances").items() {
            for key in ["content", "prompt", "text"] {
                request.messages.append(&mut openai::read_texts(instance.get(key)));
            }
            let image = instance.get("image");
            if image.is_object() {
                let content = Some(Content::Parts(vec![Part::Media(read_image(image))]));
                request.messages.push(Message { role: "user".to_owned(), content, ..Message::default() });
            }
            let messages = instance.get("messages").items();
            request.messages.extend(messages.iter().map(openai::read_message));
        }
        if facts.operation == Some(Operation::Chat) {
            request.message_count = Some(request.messages.len() as u64);
        }
        let parameters = body.get("parameters");
        read_config(parameters, &mut request.params);
        // Servers of open models take OpenAI's parameters, in the instance.
        if let Some(instance) = body.get("instances").items().first().filter(|_| parameters.is_null()) {
            let mut inside = RequestFacts::default();
            openai::read_request_but(instance, &["content", "text", "image", "video"], &mut inside);
            request.params = inside.request.params;
        }
        let pictures = either(parameters, "sampleCount", "sample_count").i64();
        request.params.n = request.params.n.or(pictures);
    }

    fn read_response(&self, body: &Json<'_>, request: &RequestFacts, facts: &mut ResponseFacts) {
        let predictions = body.get("predictions").items();
        let embeds = request.operation == Some(Operation::Embeddings);
        if let Some(first) = predictions.first().filter(|_| embeds) {
            facts.embedding_count = Some(predictions.len() as u64);
            let vectors =
                [first.get("embeddings").get("values"), first.get("textEmbedding"), first.get("imageEmbedding")];
            facts.embedding_dims = vectors.iter().find_map(|vector| vector.count_items()).map(|count| count as u64);
            facts.usage.input = predictions.iter().try_fold(0_u64, |sum, prediction| {
                let statistics = prediction.get("embeddings").get("statistics");
                sum.checked_add(either(statistics, "token_count", "tokenCount").count()?)
            });
        }
        for (index, prediction) in predictions.iter().enumerate().filter(|_| !embeds) {
            if prediction.get("bytesBase64Encoded").filled().is_some() {
                facts.keep_media([read_image(prediction)]);
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

/// A picture: `{bytesBase64Encoded, mimeType}`, or `{gcsUri}`.
fn read_image(image: &Json<'_>) -> Media {
    let mime_type = image.get("mimeType").word();
    let modality = mime_type.as_deref().map_or("image", media::modality);
    let base64 = image.get("bytesBase64Encoded");
    if base64.is_null() {
        let media = media::address(modality, image.get("gcsUri"));
        return Media { mime_type, ..media };
    }
    media::inline(modality, mime_type.as_deref(), base64)
}

/// What the first instance shows; `None` where there is none.
fn operation(request: &Json<'_>) -> Option<Operation> {
    let instance = request.get("instances").items().first()?;
    let has = |key: &str| !instance.get(key).is_null();
    if has("content") {
        return Some(Operation::Embeddings);
    }
    if has("messages") {
        return Some(Operation::Chat);
    }
    if !has("prompt") {
        let embeds = ["text", "image", "video"].into_iter().any(has);
        return Some(if embeds { Operation::Embeddings } else { Operation::Other });
    }
    let names = ["temperature", "maxOutputTokens", "max_tokens", "topK", "topP"];
    let generates = |value: &Json<'_>| names.iter().any(|name| !value.get(name).is_null());
    let is_text = generates(request.get("parameters")) || generates(instance);
    Some(if is_text { Operation::TextCompletion } else { Operation::ImageGeneration })
}
