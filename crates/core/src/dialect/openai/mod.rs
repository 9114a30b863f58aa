//! What OpenAI's endpoints, and the many that copy them, have in common.
//!
//! Source: OpenAI's API reference (<https://platform.openai.com/docs/api-reference>) and the habits of compatible
//! servers (Azure, Groq, DeepSeek, Mistral, OpenRouter, xAI, vLLM, llama.cpp, …).

mod chat;
mod completions;
pub mod embeddings;

use serde_json::Value;

use super::facts::{ChoiceFacts, RequestFacts, ResponseFacts, append, keep_first};
use super::{Dialect, Endpoint, media};
use crate::json::Json;
use crate::record::{Content, Message, Operation, Params, Part, ToolCall, Usage};

/// Where they are found.
pub const ENDPOINTS: &[Endpoint] = &[
    openai("/chat/completions", &chat::OpenAiChat, Operation::Chat),
    // Mistral's agents.
    openai("/agents/completions", &chat::OpenAiChat, Operation::Chat),
    openai("/completions", &completions::OpenAiCompletions, Operation::TextCompletion),
    openai("/embeddings", &embeddings::OpenAiEmbeddings, Operation::Embeddings),
];

/// An endpoint that Azure has as well, below a deployment.
const fn openai(suffix: &'static str, dialect: &'static dyn Dialect, operation: Operation) -> Endpoint {
    Endpoint { model: deployment, ..Endpoint::new(suffix, dialect, operation) }
}

/// The deployment in Azure's `/openai/deployments/{deployment}/...`.
fn deployment(path: &str) -> Option<String> {
    azure_deployment(path).map(str::to_owned)
}

/// See [`deployment`].
pub fn azure_deployment(path: &str) -> Option<&str> {
    let (_, rest) = path.split_once("/openai/deployments/")?;
    rest.split('/').next().filter(|deployment| !deployment.is_empty())
}

/// Members of a request that are content, context or read elsewhere; all others are parameters.
const NOT_PARAMETERS: [&str; 21] = [
    "model",
    "messages",
    "prompt",
    "input",
    "suffix",
    "tools",
    "functions",
    "user",
    "metadata",
    "stream",
    "temperature",
    "top_p",
    "max_tokens",
    "frequency_penalty",
    "presence_penalty",
    "seed",
    "random_seed",
    "stop",
    "n",
    "prediction",
    "documents",
];

/// Stands for a prompt of token ids: their number, never the ids.
pub const TOKEN_IDS: &str = "token_ids";

/// Other parameters kept of one request.
const MAX_OTHER: usize = 64;

/// Reads what every request of the family has: model, parameters, user, metadata.
pub fn read_request(body: &Json<'_>, facts: &mut RequestFacts) {
    read_request_but(body, &[], facts);
}

/// Reads what every request has, but for members that are no parameters in a format of its own.
pub fn read_request_but(body: &Json<'_>, not_parameters: &[&str], facts: &mut RequestFacts) {
    let request = &mut facts.request;
    request.model = body.get("model").id();
    request.stream = body.get("stream").bool().unwrap_or(false);
    let params = &mut request.params;
    params.temperature = body.get("temperature").f64();
    params.top_p = body.get("top_p").f64();
    params.max_tokens = body.get("max_tokens").i64().or_else(|| body.get("max_completion_tokens").i64());
    params.frequency_penalty = body.get("frequency_penalty").f64();
    params.presence_penalty = body.get("presence_penalty").f64();
    // Mistral calls it random_seed.
    params.seed = body.get("seed").i64().or_else(|| body.get("random_seed").i64());
    params.n = body.get("n").i64();
    params.stop = stop(body.get("stop"));
    keep_other(body, &[&NOT_PARAMETERS, not_parameters].concat(), params);
    facts.user = body.get("user").id();
    if let Value::Object(metadata) = body.get("metadata").to_value() {
        facts.metadata = metadata;
    }
}

/// Keeps the members that are whole and not `known` as other parameters.
pub fn keep_other(body: &Json<'_>, known: &[&str], params: &mut Params) {
    for (key, value) in body.members() {
        let cut = matches!(value, Json::Null | Json::CutString(_));
        if !known.contains(&key.as_ref()) && !cut && params.other.len() < MAX_OTHER {
            params.other.insert(key.to_string(), value.to_value());
        }
    }
}

/// Stop sequences: a string or a list of strings.
pub fn stop(value: &Json<'_>) -> Option<Vec<String>> {
    match value {
        Json::String(text) => Some(vec![text.to_string()]),
        Json::Array(items) => Some(items.iter().filter_map(|item| item.str().map(str::to_owned)).collect()),
        _ => None,
    }
    .filter(|stop| !stop.is_empty())
}

/// Reads a prompt or an input as user messages: a string, a list of strings, or token ids.
pub fn read_texts(value: &Json<'_>) -> Vec<Message> {
    let user = |content| Message { role: "user".into(), content: Some(content), ..Message::default() };
    let text = |text: &str| user(Content::Text(text.to_owned()));
    let tokens = |count: usize| {
        let value = serde_json::json!({ TOKEN_IDS: count });
        user(Content::Parts(vec![Part::Other { value }]))
    };
    match value {
        Json::String(one) | Json::CutString(one) => vec![text(one)],
        Json::Numbers(count, _) => vec![tokens(*count)],
        Json::Array(items) => {
            let message = |item: &Json<'_>| match item {
                Json::String(one) | Json::CutString(one) => text(one),
                Json::Numbers(count, _) => tokens(*count),
                other => user(content(other).unwrap_or_else(|| Content::Text(String::new()))),
            };
            items.iter().map(message).collect()
        }
        other => content(other).map(user).into_iter().collect(),
    }
}

/// Reads one message of a conversation.
pub fn read_message(message: &Json<'_>) -> Message {
    let mut calls: Vec<ToolCall> = message.get("tool_calls").items().iter().map(tool_call).collect();
    let legacy = message.get("function_call");
    if legacy.is_object() {
        calls.push(function(legacy, None));
    }
    Message {
        role: message.get("role").word().unwrap_or_default(),
        content: content(message.get("content")),
        name: message.get("name").id(),
        reasoning: reasoning(message).map(str::to_owned),
        refusal: message.get("refusal").filled().map(str::to_owned),
        tool_calls: calls,
        tool_call_id: message.get("tool_call_id").id(),
    }
}

/// The content of a message: a text, or parts.
pub fn content(value: &Json<'_>) -> Option<Content> {
    match value {
        Json::Null => None,
        Json::String(text) | Json::CutString(text) => Some(Content::Text(text.to_string())),
        Json::Array(items) => Some(Content::Parts(items.iter().map(part).collect())),
        other => Some(Content::Parts(vec![part(other)])),
    }
}

fn part(value: &Json<'_>) -> Part {
    let text = |text: &str| Part::Text { text: text.to_owned() };
    match (value, value.get("type").str()) {
        (Json::String(one) | Json::CutString(one), _) => text(one),
        (_, Some("text" | "input_text" | "output_text")) => text(value.get("text").str().unwrap_or_default()),
        (_, Some("image_url")) => {
            let image = value.get("image_url");
            let address = if image.is_object() { image.get("url") } else { image };
            Part::Media(media::address("image", address))
        }
        (_, Some("video_url")) => Part::Media(media::address("video", value.get("video_url").get("url"))),
        (_, Some("input_audio")) => {
            let audio = value.get("input_audio");
            let mime_type = audio.get("format").filled().map(|format| format!("audio/{format}"));
            Part::Media(media::inline("audio", mime_type.as_deref(), audio.get("data")))
        }
        (_, Some("file")) => {
            let file = value.get("file");
            let mut media = media::address("file", file.get("file_data"));
            media.file_id = file.get("file_id").id();
            Part::Media(media)
        }
        _ => Part::Other { value: value.to_value() },
    }
}

/// A tool call in a message: `{id, type, function: {name, arguments}}`, or custom tools' `{id, custom: {name, input}}`.
pub fn tool_call(value: &Json<'_>) -> ToolCall {
    let id = value.get("id").id();
    let custom = value.get("custom");
    if custom.is_object() {
        return ToolCall { id, name: custom.get("name").id(), arguments: arguments(custom.get("input")) };
    }
    function(value.get("function"), id)
}

fn function(value: &Json<'_>, id: Option<String>) -> ToolCall {
    ToolCall { id, name: value.get("name").id(), arguments: arguments(value.get("arguments")) }
}

/// Arguments are JSON text; some servers send the object itself.
pub fn arguments(value: &Json<'_>) -> Option<String> {
    match value {
        Json::Null => None,
        Json::String(text) | Json::CutString(text) => Some(text.to_string()),
        other => Some(other.to_value().to_string()),
    }
}

fn reasoning<'s>(message: &'s Json<'_>) -> Option<&'s str> {
    message.get("reasoning_content").filled().or_else(|| message.get("reasoning").filled())
}

/// Reads one message, `whole` or a stream's delta, into a choice. True when it carried a generated token.
pub fn read_answer(message: &Json<'_>, whole: bool, choice: &mut ChoiceFacts) -> bool {
    let mut token = false;
    let mut say = |slot: &mut Option<String>, text: &str| {
        token |= !text.is_empty();
        append(slot, text);
    };
    match message.get("content") {
        Json::String(text) | Json::CutString(text) => say(&mut choice.text, text),
        // Mistral answers with parts: text, and thinking, which is a list of parts itself.
        Json::Array(parts) => {
            for part in parts {
                match part.get("type").str() {
                    Some("thinking") => match part.get("thinking") {
                        Json::String(text) | Json::CutString(text) => say(&mut choice.reasoning, text),
                        list => {
                            for text in list.items().iter().filter_map(|item| item.get("text").str()) {
                                say(&mut choice.reasoning, text);
                            }
                        }
                    },
                    Some("refusal") => say(&mut choice.refusal, part.get("refusal").str().unwrap_or_default()),
                    _ => {
                        if let Some(text) = part.get("text").str() {
                            say(&mut choice.text, text);
                        }
                    }
                }
            }
        }
        _ => {}
    }
    if let Some(text) = reasoning(message) {
        say(&mut choice.reasoning, text);
    }
    if let Some(text) = message.get("refusal").filled() {
        say(&mut choice.refusal, text);
    }
    for (position, piece) in message.get("tool_calls").items().iter().enumerate() {
        token = true;
        let read = tool_call(piece);
        // Whole calls stand one after another, with or without an id; pieces say which call they continue.
        let index = if whole { Some(position as u64) } else { piece.get("index").count() };
        if let Some(tool) = choice.tool(index, read.id.as_deref()) {
            merge(&mut tool.call, read);
        }
    }
    let legacy = message.get("function_call");
    if legacy.is_object() {
        token = true;
        let read = function(legacy, None);
        if let Some(tool) = choice.tool(None, None) {
            merge(&mut tool.call, read);
        }
    }
    token
}

/// Adds a piece of a tool call: id and name come once, arguments in pieces.
pub fn merge(call: &mut ToolCall, piece: ToolCall) {
    keep_first(&mut call.id, piece.id);
    keep_first(&mut call.name, piece.name);
    if let Some(arguments) = piece.arguments {
        append(&mut call.arguments, &arguments);
    }
}

/// Reads what every answer and every stream chunk has around its choices.
pub fn read_envelope(body: &Json<'_>, facts: &mut ResponseFacts) {
    keep_first(&mut facts.id, body.get("id").id());
    keep_first(&mut facts.model, body.get("model").id());
    if let Some(fingerprint) = body.get("system_fingerprint").word() {
        if fingerprint == "fp_ollama" {
            facts.provider = Some("ollama");
        }
        facts.system_fingerprint = Some(fingerprint);
    }
    if let Some(tier) = body.get("service_tier").word() {
        facts.service_tier = Some(tier);
    }
    for key in ["prompt_filter_results", "citations", "provider"] {
        keep_extra(facts, key, body.get(key));
    }
    // Members that only these servers send, be they null or not.
    for (key, _) in body.members() {
        match key.as_ref() {
            "prompt_logprobs" | "kv_transfer_params" => facts.provider = Some("vllm"),
            "timings" => facts.provider = Some("llamacpp"),
            "x_groq" => facts.provider = Some("groq"),
            _ => {}
        }
    }
    read_usage(body.get("usage"), facts);
    read_usage(body.get("x_groq").get("usage"), facts);
}

/// Reads what stands beside a choice's message: why it ended, and Azure's content filter.
pub fn read_choice(choice: &Json<'_>, index: usize, facts: &mut ResponseFacts) {
    if let (Some(reason), Some(kept)) = (choice.get("finish_reason").id(), facts.choice(index)) {
        kept.finish_reason = Some(reason);
    }
    let filter = choice.get("content_filter_results");
    if index == 0 && !filter.members().is_empty() {
        facts.extra.insert("content_filter_results".into(), filter.to_value());
    }
    // Moonshot puts the usage into the choice.
    read_usage(choice.get("usage"), facts);
}

/// Keeps a member that says something.
pub fn keep_extra(facts: &mut ResponseFacts, key: &str, value: &Json<'_>) {
    let says = value.count_items().is_some_and(|count| count > 0) || value.is_object() || value.filled().is_some();
    if says {
        facts.extra.insert(key.to_owned(), value.to_value());
    }
}

/// Reads a usage object; the last one of a stream counts, whole: counts are never mixed from several.
pub fn read_usage(usage: &Json<'_>, facts: &mut ResponseFacts) {
    if usage.members().is_empty() {
        return;
    }
    let first = |names: &[&str]| names.iter().find_map(|name| usage.get(name).count());
    let detail = |groups: &[&str], names: &[&str]| {
        groups.iter().find_map(|group| names.iter().find_map(|name| usage.get(group).get(name).count()))
    };
    let prompt_details = ["prompt_tokens_details", "input_tokens_details"];
    let completion_details = ["completion_tokens_details", "output_tokens_details"];
    let input = first(&["prompt_tokens", "input_tokens"]);
    let mut output = first(&["completion_tokens", "output_tokens"]);
    let reasoning = detail(&completion_details, &["reasoning_tokens"]).or_else(|| first(&["reasoning_tokens"]));
    let reported_total = first(&["total_tokens"]);
    // xAI counts reasoning beside the completion instead of inside it; the total gives it away.
    if let (Some(input), Some(completion), Some(reasoning @ 1..), Some(total)) =
        (input, output, reasoning, reported_total)
        && total == input.saturating_add(completion).saturating_add(reasoning)
    {
        output = Some(completion + reasoning);
    }
    facts.usage = Usage {
        input,
        output,
        total: reported_total.or_else(|| input?.checked_add(output?)),
        cache_read: detail(&prompt_details, &["cached_tokens"])
            .or_else(|| first(&["prompt_cache_hit_tokens", "cached_tokens"])),
        cache_write: detail(&prompt_details, &["cache_write_tokens", "cache_creation_tokens"]),
        reasoning,
    };
}
