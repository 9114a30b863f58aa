//! OpenAI images: `POST .../images/generations`, `.../images/edits` and `.../images/variations`, a prompt and pictures
//! in, pictures out: addresses or base64, in one answer or as `image_generation.*` and `image_edit.*` events.
//!
//! Source: <https://platform.openai.com/docs/api-reference/images>.

use serde_json::Value;

use crate::dialect::facts::{RequestFacts, ResponseFacts};
use crate::dialect::{Dialect, Event, media, openai};
use crate::json::Json;
use crate::record::{Content, Media, Part};

/// See the module.
#[derive(Debug)]
pub struct OpenAiImages;

impl Dialect for OpenAiImages {
    fn name(&self) -> &'static str {
        "openai_images"
    }

    /// Pictures have many paths of that name.
    fn accepts(&self, request: &Json<'_>) -> bool {
        !request.get("prompt").is_null() || !request.get("model").is_null() || request.get("image").is_object()
    }

    fn read_request(&self, body: &Json<'_>, facts: &mut RequestFacts) {
        openai::read_request(body, facts);
        let prompt = body.get("prompt").str();
        let mut pictures = Vec::new();
        for key in ["image", "images", "image_prompt", "mask"] {
            match body.get(key) {
                Json::Null => {}
                Json::Array(items) => pictures.extend(items.iter().map(picture)),
                one => pictures.push(picture(one)),
            }
        }
        let content = match (prompt, pictures.is_empty()) {
            (None, true) => return,
            (Some(prompt), true) => Content::Text(prompt.to_owned()),
            (prompt, false) => {
                let prompt = prompt.map(|text| Part::Text { text: text.to_owned() });
                Content::Parts(prompt.into_iter().chain(pictures.into_iter().map(Part::Media)).collect())
            }
        };
        facts.request.messages = vec![openai::user(Some(content))];
    }

    fn read_response(&self, body: &Json<'_>, request: &RequestFacts, facts: &mut ResponseFacts) {
        openai::read_envelope(body, facts);
        // What was made may differ from what was asked for: `auto` becomes something.
        for key in ["size", "quality", "background", "output_format"] {
            openai::keep_extra(facts, key, body.get(key));
        }
        let format = body.get("output_format").str().map(str::to_owned).or_else(|| asked_format(request));
        let images = body.get("data").items();
        facts.keep_media(images.iter().map(|image| generated(image, format.as_deref())));
        let revised = images.iter().filter_map(|image| image.get("revised_prompt").filled());
        openai::keep_list(facts, "revised_prompts", revised.map(Value::from));
        if let Some(first) = images.first() {
            openai::keep_extra(facts, "content_filter_results", first.get("content_filter_results"));
        }
    }

    fn read_event(&self, event: &Event<'_>, request: &RequestFacts, facts: &mut ResponseFacts) {
        let body = event.body;
        let kind = body.get("type").str().unwrap_or(event.name);
        if kind.ends_with(".partial_image") {
            facts.token_at(event.at);
        } else if kind.ends_with(".completed") {
            facts.token_at(event.at);
            self.read_response(body, request, facts);
            facts.keep_media([generated(body, body.get("output_format").str())]);
        } else {
            self.read_response(body, request, facts);
        }
    }
}

/// A picture of a request: a file of a form, an address or an id in JSON.
fn picture(value: &Json<'_>) -> Media {
    if value.str().is_some() {
        return media::address("image", value);
    }
    let address = value.get("image_url");
    let address = if address.is_object() { address.get("url") } else { address };
    let mut media = match address.str() {
        Some(_) => media::address("image", address),
        None => openai::form_file(value),
    };
    media.modality = "image".into();
    media.file_id = value.get("file_id").id();
    media
}

/// A generated picture: `{url}` or `{b64_json}`.
fn generated(image: &Json<'_>, format: Option<&str>) -> Media {
    let base64 = image.get("b64_json");
    match base64.filled() {
        Some(text) => {
            let told = format.filter(|format| !format.is_empty()).map(|format| format!("image/{format}"));
            media::inline("image", told.as_deref().or_else(|| signature(text)), base64)
        }
        None => media::address("image", image.get("url")),
    }
}

/// The media type that the first bytes tell, in base64.
pub(super) fn signature(base64: &str) -> Option<&'static str> {
    const SIGNATURES: [(&str, &str); 4] =
        [("iVBORw0", "image/png"), ("/9j/", "image/jpeg"), ("UklGR", "image/webp"), ("R0lGOD", "image/gif")];
    SIGNATURES.iter().find(|(start, _)| base64.starts_with(start)).map(|(_, kind)| *kind)
}

fn asked_format(request: &RequestFacts) -> Option<String> {
    request.request.params.other.get("output_format").and_then(Value::as_str).map(str::to_owned)
}
