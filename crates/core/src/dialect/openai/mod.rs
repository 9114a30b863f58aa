//! What OpenAI's endpoints, and the many that copy them, have in common.
//!
//! Source: OpenAI's API reference (<https://platform.openai.com/docs/api-reference>) and the habits of compatible
//! servers (Azure, Groq, DeepSeek, Mistral, OpenRouter, xAI, vLLM, llama.cpp, …).

pub(super) mod chat;
pub(super) mod completions;
pub(super) mod embeddings;
mod images;
mod items;
mod moderation;
mod responses;
mod sound;
mod speech;
mod transcription;
mod usage;

use serde_json::Value;

pub use items::lean;
pub use usage::read_usage;

use super::facts::{ChoiceFacts, RequestFacts, ResponseFacts, ToolFacts, append, keep_first};
use super::{Dialect, Endpoint, media};
use crate::json::{self, Json};
use crate::record::{CallError, Content, Media, Message, Operation, Params, Part, ToolCall};

/// Where they are found.
pub const ENDPOINTS: &[Endpoint] = &[
    // The first is what a rule without a dialect stands for, where the path says nothing.
    openai("/chat/completions", &chat::OpenAiChat, Operation::Chat),
    // Mistral's agents.
    openai("/agents/completions", &chat::OpenAiChat, Operation::Chat),
    // Writer calls it so; Cohere's first version has the same path.
    Endpoint { only_at: Some("writer"), ..openai("/v1/chat", &chat::OpenAiChat, Operation::Chat) },
    openai("/responses", &responses::OpenAiResponses, Operation::Chat),
    openai("/responses/compact", &responses::OpenAiResponses, Operation::Other),
    openai("/responses/input_tokens", &responses::OpenAiResponses, Operation::CountTokens),
    openai("/completions", &completions::OpenAiCompletions, Operation::TextCompletion),
    openai("/embeddings", &embeddings::OpenAiEmbeddings, Operation::Embeddings),
    // Voyage's, of pictures among texts and of texts in their context.
    Endpoint::of("voyage", "/multimodalembeddings", &embeddings::OpenAiEmbeddings, Operation::Embeddings),
    Endpoint::of("voyage", "/contextualizedembeddings", &embeddings::OpenAiEmbeddings, Operation::Embeddings),
    openai("/moderations", &moderation::OpenAiModeration, Operation::Moderation),
    openai("/images/generations", &images::OpenAiImages, Operation::ImageGeneration),
    openai("/images/edits", &images::OpenAiImages, Operation::ImageGeneration),
    openai("/images/variations", &images::OpenAiImages, Operation::ImageGeneration),
    openai("/audio/transcriptions", &transcription::OpenAiTranscription, Operation::Transcription),
    openai("/audio/translations", &transcription::OpenAiTranscription, Operation::Transcription),
    openai("/audio/speech", &speech::OpenAiSpeech, Operation::Speech),
];

/// An endpoint that Azure has as well, below a deployment.
const fn openai(suffix: &'static str, dialect: &'static dyn Dialect, operation: Operation) -> Endpoint {
    Endpoint { model: deployment, ..Endpoint::new(suffix, dialect, operation) }
}

/// The deployment in Azure's `/openai/deployments/{deployment}/...`, the model in OpenAI's old `/engines/{model}/...`.
fn deployment(path: &str) -> Option<String> {
    segment_behind(path, "/openai/deployments/").or_else(|| segment_behind(path, "/v1/engines/")).map(str::to_owned)
}

/// The segment of a path that follows `start`.
fn segment_behind<'a>(path: &'a str, start: &str) -> Option<&'a str> {
    // Every request is asked, few have it: `contains` says so in a fifth of the time that `split_once` takes to begin.
    let (_, rest) = path.contains(start).then(|| path.split_once(start))??;
    rest.split('/').next().filter(|segment| !segment.is_empty())
}

/// Members of a request that are content, context or read elsewhere; all others are parameters.
const NOT_PARAMETERS: [&str; 26] = [
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
    "file",
    "image",
    "images",
    "image_prompt",
    "mask",
];

/// Stands for a prompt of token ids: their number, never the ids.
pub const TOKEN_IDS: &str = "token_ids";

/// Other parameters kept of one request.
pub const MAX_OTHER: usize = 64;

/// Length of arguments that are parsed again and again, to see whether they are whole.
const MAX_PARSED: usize = 16 << 10;

/// Citations, server-side tools and the like that are kept of one answer.
const MAX_KEPT: usize = 256;

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
    let limits = ["max_tokens", "max_completion_tokens", "max_output_tokens"];
    params.max_tokens = limits.iter().find_map(|limit| body.get(limit).i64());
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
            params.other.insert(key.to_string(), lean(value));
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

/// What a user says.
pub fn user(content: Option<Content>) -> Message {
    Message { role: "user".into(), content, ..Message::default() }
}

/// A file of a form, as the reader of forms describes it.
pub fn form_file(file: &Json<'_>) -> Media {
    let mime_type = file.get("mime_type").word().filter(|kind| kind != "application/octet-stream");
    Media {
        modality: media::modality(mime_type.as_deref().unwrap_or_default()).to_owned(),
        mime_type,
        bytes: file.get("bytes").count(),
        sha256: file.get("sha256").word(),
        content: file.get("content").filled().map(str::to_owned),
        ..Media::default()
    }
}

/// Reads a prompt or an input as user messages: a string, a list of strings, or token ids.
pub fn read_texts(value: &Json<'_>) -> Vec<Message> {
    let user = |content| user(Some(content));
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
        reasoning: reasoning(message),
        refusal: message.get("refusal").filled().map(str::to_owned),
        tool_calls: calls,
        tool_call_id: message.get("tool_call_id").id(),
    }
}

/// Reads the content of a message: a text, a part, or a list of either.
pub fn content(value: &Json<'_>) -> Option<Content> {
    match value {
        Json::Null => None,
        Json::String(text) | Json::CutString(text) => Some(Content::Text(text.to_string())),
        Json::Array(items) => Some(Content::Parts(items.iter().map(part).collect())),
        other => Some(Content::Parts(vec![part(other)])),
    }
}

/// Reads one part of a content. Chats and Responses name the same things differently; Mistral, Qwen and vLLM add
/// addresses of documents, sounds and videos.
pub fn part(value: &Json<'_>) -> Part {
    let text = |text: &str| Part::Text { text: text.to_owned() };
    // `{"image_url": {"url": "..."}}` or `{"image_url": "..."}`
    let address = |modality: &str, key: &str| {
        let told = value.get(key);
        let mut media = media::address(modality, if told.is_object() { told.get("url") } else { told });
        media.file_id = value.get("file_id").id();
        Part::Media(media)
    };
    match (value, value.get("type").str()) {
        (Json::String(one) | Json::CutString(one), _) => text(one),
        (_, Some("text" | "input_text" | "output_text" | "summary_text" | "reasoning_text")) => {
            text(value.get("text").str().unwrap_or_default())
        }
        (_, Some("refusal")) => text(value.get("refusal").str().unwrap_or_default()),
        (_, Some("image_url" | "input_image" | "computer_screenshot")) => address("image", "image_url"),
        (_, Some("video_url")) => address("video", "video_url"),
        (_, Some("audio_url")) => address("audio", "audio_url"),
        (_, Some("document_url")) => address("file", "document_url"),
        (_, Some("input_audio")) => Part::Media(sound::input(value.get("input_audio"))),
        (_, Some("file")) => Part::Media(file(value.get("file"))),
        (_, Some("input_file")) => Part::Media(file(value)),
        // Inputs of Jina's and Voyage's embeddings.
        (_, None) if value.get("text").filled().is_some() => text(value.get("text").str().unwrap_or_default()),
        (_, None) if value.get("image").filled().is_some() => Part::Media(picture(value.get("image"))),
        (_, Some("image_base64")) => Part::Media(picture(value.get("image_base64"))),
        _ => Part::Other { value: lean(value) },
    }
}

/// A picture: its address, or its base64 by itself.
fn picture(value: &Json<'_>) -> Media {
    match value.str() {
        Some(text) if !text.contains(':') => media::inline("image", images::signature(text), value),
        _ => media::address("image", value),
    }
}

/// A file: its content in base64 or as a `data:` address, its address elsewhere, or its id.
fn file(value: &Json<'_>) -> Media {
    let data = value.get("file_data");
    let mut media = match data.str() {
        Some(text) if !text.starts_with("data:") => media::inline("file", None, data),
        Some(_) => media::address("file", data),
        None => media::address("file", value.get("file_url")),
    };
    media.file_id = value.get("file_id").id();
    media
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

/// Reasoning in one of the members that servers keep it in; OpenRouter's list of details is read where there is nothing
/// else.
fn reasoning(message: &Json<'_>) -> Option<String> {
    // The last is Copilot's.
    let names = ["reasoning_content", "reasoning", "reasoning_text"];
    let told = names.iter().find_map(|key| message.get(key).filled());
    told.map(str::to_owned).or_else(|| {
        let details = message.get("reasoning_details").items().iter();
        let texts: String = details.filter_map(|one| one.get("text").str().or(one.get("summary").str())).collect();
        (!texts.is_empty()).then_some(texts)
    })
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
                    // Databricks: {"type": "reasoning", "summary": [{"type": "summary_text", "text": "..."}]}
                    Some("reasoning") => {
                        let summary = part.get("summary").items().iter();
                        for text in summary.filter_map(|item| item.get("text").str()) {
                            say(&mut choice.reasoning, text);
                        }
                    }
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
        say(&mut choice.reasoning, &text);
    }
    // What an answer in sound says: its content is null.
    if let Some(text) = message.get("audio").get("transcript").filled() {
        say(&mut choice.text, text);
    }
    if let Some(text) = message.get("refusal").filled() {
        say(&mut choice.refusal, text);
    }
    // TGI's older streams have one call in place of a list.
    let calls = message.get("tool_calls");
    let calls = if calls.is_object() { std::slice::from_ref(calls) } else { calls.items() };
    for (position, piece) in calls.iter().enumerate() {
        token = true;
        let read = tool_call(piece);
        // Whole calls stand one after another, with or without an id; pieces say which call they continue.
        let index = if whole { Some(position as u64) } else { piece.get("index").count() };
        let index =
            if begins_another(&read, index, &choice.tool_calls) { Some(choice.tool_calls.len() as u64) } else { index };
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

/// True for a piece without an id whose name begins another call, once the one of its index has arguments: where there
/// is no index, or where all calls have the same one (Gemini).
fn begins_another(piece: &ToolCall, index: Option<u64>, known: &[ToolFacts]) -> bool {
    let last = known.iter().rfind(|tool| index.is_none() || tool.index == index);
    let (Some(last), Some(name), None) = (last, &piece.name, &piece.id) else { return false };
    let Some(told) = last.call.arguments.as_deref() else { return false };
    if index.is_none() {
        return true;
    }
    // A few servers repeat the name in each piece: that begins no other call before the arguments are whole.
    let whole = || told.len() <= MAX_PARSED && told.ends_with('}') && json::parse(told).problem.is_none();
    let says = piece.arguments.as_ref().is_some_and(|more| !more.is_empty());
    !told.is_empty() && (last.call.name.as_ref() != Some(name) || says && whole())
}

/// Adds a piece of a tool call: the id comes once, arguments in pieces. So may the name, before there are arguments; a
/// few servers repeat it in each piece.
pub fn merge(call: &mut ToolCall, piece: ToolCall) {
    keep_first(&mut call.id, piece.id);
    match (&mut call.name, piece.name) {
        (Some(name), Some(more)) if call.arguments.as_ref().is_none_or(String::is_empty) && *name != more => {
            name.push_str(&more);
        }
        (name, told) => keep_first(name, told),
    }
    if let Some(arguments) = piece.arguments {
        append(&mut call.arguments, &arguments);
    }
}

/// What is kept of an answer as it is: Azure's filters, the sources of Perplexity and xAI, OpenRouter's upstream, the
/// id of xAI's deferred answers, Cerebras' and Groq's times.
const KEPT_OF_ANSWERS: [&str; 8] = [
    "prompt_filter_results",
    "citations",
    "search_results",
    "related_questions",
    "provider",
    "request_id",
    "time_info",
    "usage_breakdown",
];

/// Reads what every answer and every stream chunk has around its choices.
pub fn read_envelope(body: &Json<'_>, facts: &mut ResponseFacts) {
    // One pass, and nothing copied that is known already: every event of a stream repeats it.
    for (key, value) in body.members() {
        match key.as_ref() {
            "id" if facts.id.is_none() => facts.id = value.id(),
            "model" if facts.model.is_none() => facts.model = value.id(),
            "system_fingerprint" => {
                if value.str() == Some("fp_ollama") {
                    facts.provider = Some("ollama");
                }
                keep_last(&mut facts.system_fingerprint, value);
            }
            "service_tier" => keep_last(&mut facts.service_tier, value),
            "usage" => read_usage(value, facts),
            // Members that only these servers send, be they null or not.
            "prompt_logprobs" | "kv_transfer_params" => facts.provider = Some("vllm"),
            "timings" => facts.provider = Some("llamacpp"),
            "x_groq" => {
                facts.provider = Some("groq");
                read_usage(value.get("usage"), facts);
            }
            key if KEPT_OF_ANSWERS.contains(&key) => keep_extra(facts, key, value),
            _ => {}
        }
    }
}

/// Keeps a word in place of what was told before.
fn keep_last(slot: &mut Option<String>, value: &Json<'_>) {
    if value.str() != slot.as_deref() {
        *slot = value.word().or(slot.take());
    }
}

/// Reads what stands beside a choice's message: why it ended, and Azure's content filter.
pub fn read_choice(choice: &Json<'_>, index: usize, facts: &mut ResponseFacts) {
    if let (Some(reason), Some(kept)) = (choice.get("finish_reason").id(), facts.choice(index)) {
        kept.finish_reason = Some(reason);
    }
    if index == 0 {
        for key in ["content_filter_results", "native_finish_reason"] {
            keep_extra(facts, key, choice.get(key));
        }
    }
    // OpenRouter tells what went wrong upstream where the choice is.
    let error = choice.get("error");
    if facts.error.is_none() && !error.members().is_empty() {
        let message = error.get("message").filled().map(str::to_owned);
        facts.error = Some(CallError { kind: error.get("code").word(), message });
    }
    // Moonshot puts the usage into the choice.
    read_usage(choice.get("usage"), facts);
}

/// Keeps a member that says something.
pub fn keep_extra(facts: &mut ResponseFacts, key: &str, value: &Json<'_>) {
    let says = match value {
        Json::Null | Json::Bool(_) => false,
        Json::Number(_) | Json::Numbers(..) => true,
        Json::String(text) | Json::CutString(text) => !text.is_empty(),
        Json::Array(items) => !items.is_empty(),
        Json::Object(members) => !members.is_empty(),
    };
    if says {
        facts.keep_extra(key, lean(value));
    }
}

/// Keeps a list under a name of its own, behind what earlier pieces of a stream told.
pub fn keep_list(facts: &mut ResponseFacts, key: &str, values: impl IntoIterator<Item = Value>) {
    let mut values = values.into_iter().peekable();
    if values.peek().is_none() {
        return;
    }
    let slot = facts.extra.entry(key).or_insert_with(|| Value::Array(Vec::new()));
    if let Value::Array(kept) = slot {
        let room = MAX_KEPT.saturating_sub(kept.len());
        kept.extend(values.take(room));
    }
}
