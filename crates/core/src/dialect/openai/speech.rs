//! OpenAI speech: `POST .../audio/speech`, a text in, sound out.
//!
//! The answer is the sound itself, or, with `stream_format: sse`, `speech.audio.delta` events and a `speech.audio.done`
//! with the usage. Source: <https://platform.openai.com/docs/api-reference/audio/createSpeech>.

use crate::dialect::facts::{RequestFacts, ResponseFacts};
use crate::dialect::openai::sound;
use crate::dialect::{Dialect, Event, openai};
use crate::json::Json;

/// See the module.
#[derive(Debug)]
pub struct OpenAiSpeech;

impl Dialect for OpenAiSpeech {
    fn name(&self) -> &'static str {
        "openai_speech"
    }

    fn accepts(&self, request: &Json<'_>) -> bool {
        ["input", "text"].iter().any(|key| !request.get(key).is_null())
    }

    fn read_request(&self, body: &Json<'_>, facts: &mut RequestFacts) {
        openai::read_request(body, facts);
        facts.request.messages = openai::read_texts(body.get("input"));
        facts.request.stream |= body.get("stream_format").str() == Some("sse");
    }

    /// Sound is no JSON: what comes as such is an error, or an event in the wrong place.
    fn read_response(&self, body: &Json<'_>, request: &RequestFacts, facts: &mut ResponseFacts) {
        openai::read_envelope(body, facts);
        // Some servers wrap it: {"audio": "<base64>"} or {"data": "<base64>"}.
        let audio = ["audio", "data"].into_iter().map(|key| body.get(key)).find(|audio| audio.filled().is_some());
        if let Some(audio) = audio {
            sound::add(facts, format(request), audio);
        }
    }

    fn read_event(&self, event: &Event<'_>, request: &RequestFacts, facts: &mut ResponseFacts) {
        self.read_response(event.body, request, facts);
        if !facts.media.is_empty() {
            facts.token_at(event.at);
        }
    }
}

fn format(request: &RequestFacts) -> Option<&str> {
    request.request.params.other.get("response_format").and_then(|format| format.as_str())
}
