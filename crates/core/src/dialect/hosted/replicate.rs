//! Replicate: `POST /v1/predictions`, `/v1/models/{owner}/{name}/predictions`, `/v1/deployments/.../predictions`.
//!
//! `input` and `output` are what the model's author made them. A prediction that is not awaited answers with its state
//! alone; streams are fetched elsewhere. Source: <https://replicate.com/docs/reference/http>.

use crate::dialect::facts::{RequestFacts, ResponseFacts, append, keep_first, sum};
use crate::dialect::{Dialect, media, openai, params};
use crate::json::Json;
use crate::record::{Content, Message, Part};

/// See the module.
#[derive(Debug)]
pub struct Predictions;

/// `{owner}/{name}` of a model or a deployment.
pub fn model(path: &str) -> Option<String> {
    let before = ["/models/", "/deployments/"].into_iter().find(|before| path.contains(before))?;
    let (_, rest) = path.split_once(before)?;
    let model = rest.trim_end_matches('/').strip_suffix("/predictions")?;
    (!model.is_empty()).then(|| model.to_owned())
}

impl Dialect for Predictions {
    fn name(&self) -> &'static str {
        "replicate_predictions"
    }

    fn read_request(&self, body: &Json<'_>, facts: &mut RequestFacts) {
        facts.request.stream = body.get("stream").bool().unwrap_or(false);
        // `owner/name:version`, or a version alone, which names no model.
        facts.request.model = body.get("version").word().filter(|version| version.contains('/'));
        params::read(body, &["input", "stream", "webhook", "webhook_events_filter"], &mut facts.request.params);
        let input = body.get("input");
        params::read(input, &["prompt", "system_prompt", "messages"], &mut facts.request.params);
        let mut messages = openai::read_texts(input.get("system_prompt"));
        for message in &mut messages {
            message.role = "system".into();
        }
        messages.extend(input.get("messages").items().iter().map(openai::read_message));
        messages.append(&mut openai::read_texts(input.get("prompt")));
        let files =
            input.members().iter().filter(|(_, value)| value.str().is_some_and(|text| text.starts_with("data:")));
        let files: Vec<Part> = files.map(|(_, value)| Part::Media(data_address(value))).collect();
        if !files.is_empty() {
            messages.push(Message { role: "user".into(), content: Some(Content::Parts(files)), ..Message::default() });
        }
        facts.request.messages = messages;
    }

    fn read_response(&self, body: &Json<'_>, _: &RequestFacts, facts: &mut ResponseFacts) {
        keep_first(&mut facts.id, body.get("id").id());
        keep_first(&mut facts.model, body.get("model").id());
        let output = body.get("output");
        let pieces = if output.str().is_some() { std::slice::from_ref(output) } else { output.items() };
        for piece in pieces {
            let Some(text) = piece.str() else { continue };
            if text.starts_with("data:") {
                facts.keep_media([data_address(piece)]);
            } else if text.starts_with("https://") && !text.contains(char::is_whitespace) {
                let kind = text.rsplit('.').next().and_then(modality).unwrap_or("file");
                facts.keep_media([media::address(kind, piece)]);
            } else if let Some(choice) = facts.choice(0) {
                append(&mut choice.text, text);
            }
        }
        let metrics = body.get("metrics");
        let usage = &mut facts.usage;
        usage.input = metrics.get("input_token_count").count();
        usage.output = metrics.get("output_token_count").count();
        usage.total = sum(usage.input, usage.output);
        // In an error, `status` is HTTP's.
        if let Some(status) = body.get("status").word() {
            facts.keep_extra("status", status.into());
        }
        if metrics.is_object() {
            facts.keep_extra("metrics", metrics.to_value());
        }
        facts.keep_extra("version", body.get("version").to_value());
    }
}

/// Media whose address says what they are.
fn data_address(value: &Json<'_>) -> crate::record::Media {
    let mime_type = value.str().and_then(|text| text.strip_prefix("data:")).unwrap_or_default();
    media::address(media::modality(mime_type), value)
}

/// What a file's extension says.
fn modality(extension: &str) -> Option<&'static str> {
    match extension {
        "png" | "jpg" | "jpeg" | "webp" | "gif" | "svg" => Some("image"),
        "mp4" | "webm" | "mov" => Some("video"),
        "mp3" | "wav" | "ogg" | "flac" => Some("audio"),
        _ => None,
    }
}
