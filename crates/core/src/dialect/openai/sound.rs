//! Sound in base64: what requests say, and what answers say in pieces.

use crate::dialect::facts::{ResponseFacts, sum};
use crate::dialect::media;
use crate::json::Json;
use crate::record::Media;

/// Sound of a message: `{data, format}`; Mistral takes the base64, or an address, by itself.
pub fn input(audio: &Json<'_>) -> Media {
    match audio.str() {
        Some(text) if text.contains(':') => media::address("audio", audio),
        Some(_) => media::inline("audio", None, audio),
        None => media::inline("audio", mime_type(audio.get("format").filled()).as_deref(), audio.get("data")),
    }
}

/// Adds a piece of generated sound. Of several pieces the size is known, not the hash: only the first is one by itself.
pub fn add(facts: &mut ResponseFacts, format: Option<&str>, base64: &Json<'_>) {
    let piece = media::inline("audio", mime_type(format).as_deref(), base64);
    match facts.media.iter_mut().find(|media| media.modality == "audio") {
        Some(known) => {
            known.bytes = sum(known.bytes, piece.bytes);
            (known.sha256, known.content) = (None, None);
        }
        None => facts.media.push(piece),
    }
}

/// The media type of a format's short name.
pub fn mime_type(format: Option<&str>) -> Option<String> {
    let kind = match format? {
        "" => return None,
        "mp3" => "mpeg",
        "opus" => "ogg",
        "pcm" | "pcm16" => "pcm",
        other => other,
    };
    Some(format!("audio/{kind}"))
}
