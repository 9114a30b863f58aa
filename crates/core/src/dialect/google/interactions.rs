//! Gemini's interactions, `POST .../interactions`: `input` in, steps out.
//!
//! An interaction has `steps` (`model_output` with contents, `thought`, `function_call`, …); in earlier versions it has
//! `outputs`, contents without steps around them. Streams tell of either: `step.*` or `content.*`, between the
//! interaction's beginning and its end, which carries the usage.
//! Source: <https://ai.google.dev/gemini-api/docs/interactions>.

use super::{read_config, usage};
use crate::dialect::facts::{RequestFacts, ResponseFacts, append, keep_first};
use crate::dialect::{ChoiceFacts, Dialect, Event, media, openai};
use crate::json::Json;
use crate::record::{Content, Media, Message, Part, ToolCall};

/// Members of a request that are no parameters.
const NOT_PARAMETERS: [&str; 7] =
    ["model", "agent", "input", "system_instruction", "generation_config", "tools", "stream"];

/// See the module.
#[derive(Debug)]
pub struct GeminiInteractions;

impl Dialect for GeminiInteractions {
    fn name(&self) -> &'static str {
        "gemini_interactions"
    }

    /// People interact, too.
    fn accepts(&self, request: &Json<'_>) -> bool {
        let served = ["model", "agent"].iter().any(|key| request.get(key).filled().is_some());
        served && !request.get("input").is_null()
    }

    fn read_request(&self, body: &Json<'_>, facts: &mut RequestFacts) {
        let request = &mut facts.request;
        request.model = body.get("model").word().or_else(|| body.get("agent").word());
        request.stream = body.get("stream").bool().unwrap_or(false);
        if let Some(content) = openai::content(body.get("system_instruction")) {
            request.messages.push(Message { role: "system".into(), content: Some(content), ..Message::default() });
        }
        let input = body.get("input");
        match input {
            Json::Array(items) => request.messages.extend(items.iter().map(read_item)),
            Json::Null => {}
            one => request.messages.push(read_item(one)),
        }
        request.message_count = super::content::count(input);
        request.tools = body.get("tools").items().iter().map(Json::to_value).collect();
        read_config(body.get("generation_config"), &mut request.params);
        openai::keep_other(body, &NOT_PARAMETERS, &mut request.params);
    }

    fn read_response(&self, body: &Json<'_>, _: &RequestFacts, facts: &mut ResponseFacts) {
        read_interaction(body, facts);
        read_outputs(body, facts);
    }

    fn read_event(&self, event: &Event<'_>, _: &RequestFacts, facts: &mut ResponseFacts) {
        let body = event.body;
        let interaction = body.get("interaction");
        read_interaction(interaction, facts);
        let index = body.get("index").count();
        let mut token = false;
        for begun in [body.get("step"), body.get("content"), body.get("delta")] {
            token |= read_output(begun, index, facts);
        }
        // The end repeats what was said, if it says it at all.
        let silent = facts.media.is_empty()
            && facts.choices.first().is_none_or(|choice| {
                choice.text.is_none() && choice.reasoning.is_none() && choice.tool_calls.is_empty()
            });
        if silent {
            token |= read_outputs(interaction, facts);
        }
        if token {
            facts.token_at(event.at);
        }
    }

    fn read_usage(&self, usage: &Json<'_>, facts: &mut ResponseFacts) {
        read_usage(usage, facts);
    }
}

/// A turn, a step, or a content of the input.
fn read_item(item: &Json<'_>) -> Message {
    let role = match (item.get("role").str(), item.get("type").str()) {
        (Some("model"), _) | (None, Some("model_output" | "thought" | "function_call")) => "assistant",
        (None, Some("function_result")) => "tool",
        (Some(role), _) => role,
        _ => "user",
    };
    let mut message = Message { role: role.to_owned(), ..Message::default() };
    match item.get("type").str() {
        Some("function_call") => message.tool_calls.push(call(item)),
        Some("function_result") => {
            message.content = openai::arguments(item.get("result")).map(Content::Text);
            message.name = item.get("name").id();
            message.tool_call_id = item.get("call_id").id();
        }
        _ => {
            let content = item.get("content");
            message.content = match if content.is_null() { item } else { content } {
                Json::String(text) | Json::CutString(text) => Some(Content::Text(text.to_string())),
                Json::Array(parts) => Some(Content::Parts(parts.iter().map(part).collect())),
                one => Some(Content::Parts(vec![part(one)])),
            };
        }
    }
    message
}

fn part(value: &Json<'_>) -> Part {
    match value.str().or_else(|| value.get("text").str()) {
        Some(text) => Part::Text { text: text.to_owned() },
        None => read_media(value).map_or_else(|| Part::Other { value: value.to_value() }, Part::Media),
    }
}

fn read_media(value: &Json<'_>) -> Option<Media> {
    let kind = value.get("type").str()?;
    let modality = ["image", "audio", "video"].into_iter().find(|modality| *modality == kind);
    let modality = modality.or((kind == "document").then_some("file"))?;
    let mime_type = value.get("mime_type").word();
    if value.get("data").filled().is_some() {
        return Some(media::inline(modality, mime_type.as_deref(), value.get("data")));
    }
    value.get("uri").filled()?;
    let media = media::address(modality, value.get("uri"));
    Some(Media { mime_type: media.mime_type.clone().or(mime_type), ..media })
}

/// Where arguments come in pieces, the call begins with empty ones.
fn call(value: &Json<'_>) -> ToolCall {
    ToolCall {
        id: value.get("id").id(),
        name: value.get("name").id(),
        arguments: openai::arguments(value.get("arguments")).filter(|arguments| arguments != "{}"),
    }
}

/// What an interaction has around what was said.
fn read_interaction(interaction: &Json<'_>, facts: &mut ResponseFacts) {
    keep_first(&mut facts.id, interaction.get("id").id());
    keep_first(&mut facts.model, interaction.get("model").id());
    if let Some(status) = interaction.get("status").word().filter(|status| status != "in_progress")
        && let Some(choice) = facts.choice(0)
    {
        choice.finish_reason = Some(status);
    }
    keep_first(&mut facts.service_tier, interaction.get("service_tier").word());
    read_usage(interaction.get("usage"), facts);
}

fn read_outputs(interaction: &Json<'_>, facts: &mut ResponseFacts) -> bool {
    let mut token = false;
    for list in [interaction.get("steps"), interaction.get("outputs")] {
        for (position, output) in list.items().iter().enumerate() {
            token |= read_output(output, Some(position as u64), facts);
        }
    }
    token
}

/// Reads a step, a content, or a piece of either. True when it carried something that was generated.
fn read_output(output: &Json<'_>, index: Option<u64>, facts: &mut ResponseFacts) -> bool {
    let kind = output.get("type").str().unwrap_or_default();
    if kind == "model_output" {
        let contents = output.get("content").items().iter();
        return contents.fold(false, |token, content| read_output(content, index, facts) | token);
    }
    if let Some(media) = read_media(output) {
        facts.keep_media([media]);
        return true;
    }
    let Some(choice) = facts.choice(0) else { return false };
    match kind {
        "text" => say(&mut choice.text, output.get("text")),
        "thought" => {
            let summary = output.get("summary");
            let pieces = summary.items().iter().map(|item| item.get("text")).chain([summary]);
            pieces.fold(false, |token, text| say(&mut choice.reasoning, text) | token)
        }
        "thought_summary" => say(&mut choice.reasoning, output.get("content").get("text")),
        "function_call" | "arguments_delta" => read_call(output, index, choice),
        _ => false,
    }
}

fn say(slot: &mut Option<String>, text: &Json<'_>) -> bool {
    let Some(text) = text.str() else { return false };
    append(slot, text);
    !text.is_empty()
}

fn read_call(output: &Json<'_>, index: Option<u64>, choice: &mut ChoiceFacts) -> bool {
    let piece = call(output);
    if let Some(tool) = choice.tool(index, piece.id.as_deref()) {
        openai::merge(&mut tool.call, piece);
    }
    true
}

fn read_usage(counts: &Json<'_>, facts: &mut ResponseFacts) {
    if counts.members().is_empty() {
        return;
    }
    let count = |key: &str| counts.get(key).count();
    facts.usage = usage(
        count("total_input_tokens"),
        count("total_tool_use_tokens"),
        count("total_output_tokens"),
        count("total_thought_tokens"),
        count("total_tokens"),
    );
    facts.usage.cache_read = count("total_cached_tokens");
}
