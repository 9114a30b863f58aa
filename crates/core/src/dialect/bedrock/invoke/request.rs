//! What the makers' requests have in common, under names of their own.

use super::super::converse;
use crate::dialect::anthropic::messages::AnthropicMessages;
use crate::dialect::facts::RequestFacts;
use crate::dialect::openai::chat::OpenAiChat;
use crate::dialect::{Dialect, media, openai};
use crate::json::Json;
use crate::record::{Content, Message, Operation, Part};

/// Members of which every request has one.
const TELLING: [&str; 13] = [
    "messages",
    "message",
    "prompt",
    "inputText",
    "inputs",
    "inputPrompt",
    "inputType",
    "inputImage",
    "texts",
    "images",
    "query",
    "taskType",
    "text_prompts",
];

/// True for what might be said to a model.
pub fn is_known(body: &Json<'_>) -> bool {
    TELLING.iter().any(|key| !body.get(key).is_null())
}

/// Reads a request; the model is that of the path, and stays it.
pub fn read(body: &Json<'_>, facts: &mut RequestFacts) {
    let model = facts.request.model.take();
    let name = model.as_deref().unwrap_or_default();
    facts.operation = Some(operation(body, name));
    let has = |key: &str| !body.get(key).is_null();
    if has("messages") {
        if has("anthropic_version") || name.contains("anthropic.") {
            AnthropicMessages.read_request(body, facts);
        } else if is_converse(body) {
            converse::read_request(body, facts);
        } else {
            OpenAiChat.read_request(body, facts);
        }
    } else {
        read_params(body, facts);
        if has("message") {
            read_cohere(body, facts);
        } else {
            facts.request.messages = prompts(body);
        }
    }
    facts.request.model = model;
}

/// Content blocks without a type are Amazon's own.
fn is_converse(body: &Json<'_>) -> bool {
    let untyped = |message: &Json<'_>| {
        message.get("content").items().first().is_some_and(|block| block.is_object() && block.get("type").is_null())
    };
    body.get("inferenceConfig").is_object() || body.get("messages").items().iter().any(untyped)
}

fn operation(body: &Json<'_>, model: &str) -> Operation {
    let has = |key: &str| !body.get(key).is_null();
    let named = |names: &[&str]| names.iter().any(|name| model.contains(name));
    let embeds = |task: &str| task.ends_with("_EMBEDDING");
    if has("messages") || has("message") {
        Operation::Chat
    } else if has("query") && has("documents") {
        Operation::Rerank
    } else if named(&["embed"])
        || ["texts", "embeddingConfig", "embeddingTypes", "inputImage", "input_type"].iter().any(|key| has(key))
        || body.get("taskType").str().is_some_and(embeds)
    {
        Operation::Embeddings
    } else if named(&["stability.", "canvas", "image-generator"]) || has("taskType") || has("text_prompts") {
        Operation::ImageGeneration
    } else {
        Operation::TextCompletion
    }
}

/// Objects that hold parameters.
const GROUPS: [&str; 4] = ["textGenerationConfig", "imageGenerationConfig", "inferenceConfig", "parameters"];
const TOP_P: [&str; 3] = ["top_p", "topP", "p"];
const MAX_TOKENS: [&str; 8] = [
    "max_tokens",
    "max_completion_tokens",
    "max_tokens_to_sample",
    "max_gen_len",
    "maxTokens",
    "maxTokenCount",
    "maxOutputTokens",
    "max_new_tokens",
];
const STOP: [&str; 3] = ["stop", "stop_sequences", "stopSequences"];
const N: [&str; 5] = ["n", "num_generations", "numResults", "numberOfImages", "samples"];
/// Members that are content, or read by themselves.
const NOT_PARAMETERS: [&str; 40] = [
    "model",
    "message",
    "chat_history",
    "prompt",
    "inputText",
    "inputs",
    "inputPrompt",
    "inputImage",
    "texts",
    "images",
    "image",
    "query",
    "documents",
    "text_prompts",
    "textToImageParams",
    "inPaintingParams",
    "outPaintingParams",
    "imageVariationParams",
    "colorGuidedGenerationParams",
    "backgroundRemovalParams",
    "conditionImage",
    "init_image",
    "mediaSource",
    "preamble",
    "tools",
    "tool_results",
    "stream",
    "temperature",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "anthropic_version",
    "suffix",
    "mask",
    "textGenerationConfig",
    "imageGenerationConfig",
    "inferenceConfig",
    "parameters",
    "singleEmbeddingParams",
    "segmentedEmbeddingParams",
];

fn read_params(body: &Json<'_>, facts: &mut RequestFacts) {
    let request = &mut facts.request;
    request.stream |= body.get("stream").bool().unwrap_or(false);
    request.tools = body.get("tools").items().iter().map(Json::to_value).collect();
    let params = &mut request.params;
    let mut known: Vec<&str> = NOT_PARAMETERS.to_vec();
    known.extend(TOP_P.iter().chain(&MAX_TOKENS).chain(&STOP).chain(&N));
    for group in [body].into_iter().chain(GROUPS.map(|group| body.get(group))) {
        let first = |names: &[&str]| names.iter().map(|name| group.get(name)).find(|value| !value.is_null());
        params.temperature = params.temperature.or(group.get("temperature").f64());
        params.top_p = params.top_p.or(first(&TOP_P).and_then(Json::f64));
        params.max_tokens = params.max_tokens.or(first(&MAX_TOKENS).and_then(Json::i64));
        params.n = params.n.or(first(&N).and_then(Json::i64));
        params.seed = params.seed.or(group.get("seed").i64());
        params.frequency_penalty = params.frequency_penalty.or(group.get("frequency_penalty").f64());
        params.presence_penalty = params.presence_penalty.or(group.get("presence_penalty").f64());
        if params.stop.is_none() {
            params.stop = first(&STOP).and_then(openai::stop);
        }
        openai::keep_other(group, &known, params);
    }
}

fn said(role: &str, text: &Json<'_>) -> Option<Message> {
    let content = Some(Content::Text(text.str()?.to_owned()));
    Some(Message { role: role.to_owned(), content, ..Message::default() })
}

/// Cohere's Command R: a message, and what was said before.
fn read_cohere(body: &Json<'_>, facts: &mut RequestFacts) {
    let history = body.get("chat_history").items();
    let turn = |turn: &Json<'_>| {
        let role = turn.get("role").word()?.to_lowercase();
        said(if role == "chatbot" { "assistant" } else { &role }, turn.get("message"))
    };
    let messages = &mut facts.request.messages;
    messages.extend(said("system", body.get("preamble")));
    messages.extend(history.iter().filter_map(turn));
    messages.extend(said("user", body.get("message")));
    facts.request.message_count = Some(history.len() as u64 + 1);
}

/// Prompts, or the texts to be embedded, as user messages.
fn prompts(body: &Json<'_>) -> Vec<Message> {
    let task = ["textToImageParams", "inPaintingParams", "outPaintingParams", "imageVariationParams"]
        .map(|task| body.get(task).get("text"));
    let direct = ["prompt", "inputText", "inputPrompt", "inputs", "texts", "query"].map(|key| body.get(key));
    let text = direct.into_iter().chain(task).find(|text| !text.is_null());
    let mut messages = text.map(openai::read_texts).unwrap_or_default();
    // Stability's older models weigh several prompts.
    messages.extend(body.get("text_prompts").items().iter().filter_map(|prompt| said("user", prompt.get("text"))));
    let images = [body.get("inputImage"), body.get("image"), body.get("init_image")].into_iter();
    let images: Vec<Part> = images.chain(body.get("images").items()).filter_map(picture).collect();
    if !images.is_empty() {
        let content = Some(Content::Parts(images));
        messages.push(Message { role: "user".into(), content, ..Message::default() });
    }
    messages
}

/// A picture as base64, or in a `data:` address.
fn picture(image: &Json<'_>) -> Option<Part> {
    let data = image.str()?.starts_with("data:");
    Some(Part::Media(if data { media::address("image", image) } else { media::inline("image", None, image) }))
}
