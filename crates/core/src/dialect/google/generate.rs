//! `...:generateContent` and `...:streamGenerateContent`: contents in, candidates out.
//!
//! Streams are one JSON array that grows, or server-sent events (`?alt=sse`); their items have the shape of a whole
//! answer, and usage counts everything so far. Function calls come whole, rarely with an id: each is another call; on
//! Vertex AI their arguments may come in pieces (see [`arguments`]).
//! Google's code assistants send the same inside `request`, and answer it inside `response`.
//! Source: <https://ai.google.dev/api/generate-content>.

use serde_json::Value;

use super::{arguments, content, either, read_config, read_model, usage};
use crate::dialect::facts::{RequestFacts, ResponseFacts, append, index, keep_first};
use crate::dialect::{ChoiceFacts, Dialect, Event, openai};
use crate::json::Json;

/// Members of a request that are no parameters.
const NOT_PARAMETERS: [&str; 10] = [
    "model",
    "contents",
    "systemInstruction",
    "system_instruction",
    "generationConfig",
    "generation_config",
    "tools",
    "labels",
    "stream",
    "instances",
];

/// What is kept of a candidate as it stands.
const CANDIDATE_EXTRA: [&str; 7] = [
    "finishMessage",
    "safetyRatings",
    "citationMetadata",
    "groundingMetadata",
    "groundingAttributions",
    "urlContextMetadata",
    "avgLogprobs",
];

/// See the module.
#[derive(Debug)]
pub struct GeminiGenerate;

impl Dialect for GeminiGenerate {
    fn name(&self) -> &'static str {
        "gemini_generate"
    }

    fn read_request(&self, body: &Json<'_>, facts: &mut RequestFacts) {
        read_model(body, &mut facts.request);
        let body = inside(body, "request");
        read_generation(body, facts);
        facts.request.message_count = content::count(body.get("contents"));
    }

    fn read_response(&self, body: &Json<'_>, _: &RequestFacts, facts: &mut ResponseFacts) {
        read(inside(body, "response"), facts);
    }

    fn read_event(&self, event: &Event<'_>, _: &RequestFacts, facts: &mut ResponseFacts) {
        if read(inside(event.body, "response"), facts) {
            facts.token_at(event.at);
        }
    }

    fn tail_names(&self) -> [&'static str; 2] {
        ["usageMetadata", "modelVersion"]
    }

    fn read_usage(&self, usage: &Json<'_>, facts: &mut ResponseFacts) {
        read_usage(usage, facts);
    }

    fn streams_json(&self) -> bool {
        true
    }
}

/// The object of that name, or the body itself.
fn inside<'s, 'a>(body: &'s Json<'a>, key: &str) -> &'s Json<'a> {
    Some(body.get(key)).filter(|inner| inner.is_object()).unwrap_or(body)
}

/// Reads what a request generates from; requests to count tokens have the same.
pub fn read_generation(body: &Json<'_>, facts: &mut RequestFacts) {
    let request = &mut facts.request;
    content::read_content(either(body, "systemInstruction", "system_instruction"), "system", &mut request.messages);
    content::read_contents(body.get("contents"), &mut request.messages);
    read_config(either(body, "generationConfig", "generation_config"), &mut request.params);
    openai::keep_other(body, &NOT_PARAMETERS, &mut request.params);
    request.tools = match body.get("tools") {
        tool @ Json::Object(_) => vec![tool.to_value()],
        tools => tools.items().iter().map(Json::to_value).collect(),
    };
    if let Value::Object(labels) = body.get("labels").to_value() {
        facts.metadata = labels;
    }
}

/// Whole answers and the items of streams have the same shape. True when it carried something that was generated.
fn read(body: &Json<'_>, facts: &mut ResponseFacts) -> bool {
    keep_first(&mut facts.id, body.get("responseId").id());
    keep_first(&mut facts.model, body.get("modelVersion").id());
    openai::keep_extra(facts, "promptFeedback", body.get("promptFeedback"));
    let mut token = false;
    for (position, candidate) in body.get("candidates").items().iter().enumerate() {
        let index = index(candidate, position);
        for part in candidate.get("content").get("parts").items() {
            if let Some(media) = content::read_media(part) {
                // Drafts of pictures are thoughts.
                if !content::is_thought(part) {
                    facts.keep_media([media]);
                }
                token = true;
            } else if let Some(choice) = facts.choice(index) {
                token |= read_part(part, choice);
            }
            for key in ["executableCode", "codeExecutionResult"] {
                // Code that the server ran, and what came of it.
                let value = part.get(key);
                if index == 0 && value.is_object() {
                    openai::keep_list(facts, key, [value.to_value()]);
                }
            }
        }
        if let (Some(reason), Some(choice)) = (candidate.get("finishReason").id(), facts.choice(index)) {
            choice.finish_reason = Some(reason);
        }
        if index == 0 {
            for key in CANDIDATE_EXTRA {
                match candidate.get(key) {
                    number @ Json::Number(_) => facts.keep_extra(key, number.to_value()),
                    // Streams repeat an empty one.
                    value if value.is_object() && value.members().is_empty() => {}
                    value => openai::keep_extra(facts, key, value),
                }
            }
        }
    }
    read_usage(body.get("usageMetadata"), facts);
    token
}

fn read_part(part: &Json<'_>, choice: &mut ChoiceFacts) -> bool {
    if let Some(text) = part.get("text").str() {
        append(if content::is_thought(part) { &mut choice.reasoning } else { &mut choice.text }, text);
        return !text.is_empty();
    }
    let Some(call) = content::read_call(part) else { return false };
    // Arguments in pieces continue the call that was named before.
    let begun = call.name.is_none() && !choice.tool_calls.is_empty();
    let next = choice.tool_calls.len() as u64;
    if !begun && let Some(tool) = choice.tool(Some(next), None) {
        tool.call = call;
    }
    if let Some(tool) = choice.tool_calls.last_mut() {
        for piece in either(either(part, "functionCall", "function_call"), "partialArgs", "partial_args").items() {
            arguments::add(piece, &mut tool.values);
        }
    }
    true
}

/// Reads a `usageMetadata`; the last one counts everything.
pub fn read_usage(metadata: &Json<'_>, facts: &mut ResponseFacts) {
    if metadata.members().is_empty() {
        return;
    }
    let count = |key: &str| metadata.get(key).count();
    facts.usage = usage(
        count("promptTokenCount"),
        count("toolUsePromptTokenCount"),
        count("candidatesTokenCount").or_else(|| count("responseTokenCount")),
        count("thoughtsTokenCount"),
        count("totalTokenCount"),
    );
    facts.usage.cache_read = count("cachedContentTokenCount");
    openai::keep_extra(facts, "trafficType", metadata.get("trafficType"));
    keep_first(&mut facts.service_tier, metadata.get("serviceTier").word());
}
