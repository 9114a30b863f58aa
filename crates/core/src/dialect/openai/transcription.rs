//! OpenAI transcription: `POST .../audio/transcriptions` and `.../audio/translations`, a form with a sound file in, its
//! text out: as JSON, as plain text or subtitles, or as `transcript.text.*` events (Mistral: `transcription.*`).
//!
//! Source: <https://platform.openai.com/docs/api-reference/audio>.

use crate::dialect::facts::{RequestFacts, ResponseFacts, append};
use crate::dialect::openai::items;
use crate::dialect::{Dialect, Event, media, openai};
use crate::json::Json;
use crate::record::{Content, Media, Part};

/// See the module.
#[derive(Debug)]
pub struct OpenAiTranscription;

impl Dialect for OpenAiTranscription {
    fn name(&self) -> &'static str {
        "openai_transcription"
    }

    fn read_request(&self, body: &Json<'_>, facts: &mut RequestFacts) {
        openai::read_request(body, facts);
        // A prompt is what was said before, or words to expect.
        let prompt = body.get("prompt").filled().map(|text| Part::Text { text: text.to_owned() });
        let sound = sound(body).map(Part::Media);
        let parts: Vec<Part> = prompt.into_iter().chain(sound).collect();
        if !parts.is_empty() {
            facts.request.messages = vec![openai::user(Some(Content::Parts(parts)))];
        }
        for content in ["url", "file_url", "audio"] {
            facts.request.params.other.remove(content);
        }
    }

    fn read_response(&self, body: &Json<'_>, _: &RequestFacts, facts: &mut ResponseFacts) {
        openai::read_envelope(body, facts);
        read_duration(body, facts);
        if let (Some(text), Some(choice)) = (body.get("text").str(), facts.choice(0)) {
            choice.text = Some(text.to_owned());
        }
        for key in ["language", "duration", "task"] {
            openai::keep_extra(facts, key, body.get(key));
        }
        keep_segments(body.get("segments").items(), facts);
    }

    fn read_event(&self, event: &Event<'_>, request: &RequestFacts, facts: &mut ResponseFacts) {
        match event.body.get("type").str().unwrap_or(event.name) {
            "transcript.text.delta" | "transcription.text.delta" => {
                let delta = event.body.get("delta").filled().or(event.body.get("text").filled());
                if let (Some(delta), Some(choice)) = (delta, facts.choice(0)) {
                    append(&mut choice.text, delta);
                    facts.token_at(event.at);
                }
            }
            // The deltas say its text as well.
            "transcript.text.segment" | "transcription.segment" => keep_segments([event.body], facts),
            // The whole text, with the usage.
            _ => self.read_response(event.body, request, facts),
        }
    }

    fn read_text(&self, text: &str, facts: &mut ResponseFacts) {
        if let Some(choice) = facts.choice(0) {
            choice.text = Some(text.to_owned());
        }
    }
}

/// The file of the form, or its address (Groq, Mistral).
fn sound(body: &Json<'_>) -> Option<Media> {
    let file = body.get("file");
    if file.is_object() {
        let mut media = openai::form_file(file);
        media.modality = "audio".into();
        return Some(media);
    }
    let address = ["url", "file_url", "file"].into_iter().map(|key| body.get(key)).find(|told| told.filled().is_some());
    address.map(|address| media::address("audio", address))
}

/// Keeps who said what; segments without a speaker say no more than the text.
fn keep_segments<'j>(segments: impl IntoIterator<Item = &'j Json<'j>>, facts: &mut ResponseFacts) {
    // Mistral calls it `speaker_id`.
    let names = ["speaker", "speaker_id"];
    let spoken = segments.into_iter().filter(|segment| names.iter().any(|name| segment.get(name).filled().is_some()));
    openai::keep_list(facts, "segments", spoken.map(items::lean));
}

/// Models that bill by time tell seconds instead of tokens.
fn read_duration(body: &Json<'_>, facts: &mut ResponseFacts) {
    let usage = body.get("usage");
    if usage.get("type").str() == Some("duration") {
        openai::keep_extra(facts, "duration", usage.get("seconds"));
    }
    openai::keep_extra(facts, "prompt_audio_seconds", usage.get("prompt_audio_seconds"));
}
