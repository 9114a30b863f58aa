//! The makers' answers that are no conversation of Anthropic's, Amazon's or OpenAI's kind, whole or in pieces: both have
//! the same shape.

use crate::dialect::facts::{ResponseFacts, append, index, keep_first};
use crate::dialect::{media, openai};
use crate::json::Json;
use crate::record::{Operation, Usage};

/// Reads an answer, `whole` or a piece of one. True when it carried a generated token.
pub fn read(body: &Json<'_>, whole: bool, facts: &mut ResponseFacts) -> bool {
    for key in ["id", "response_id", "generation_id"] {
        keep_first(&mut facts.id, body.get(key).id());
    }
    keep_first(&mut facts.model, body.get("model").id());
    let token = read_texts(body, whole, facts);
    read_calls(body.get("tool_calls"), facts);
    read_vectors(body, facts);
    read_images(body, facts);
    read_usage(body, facts);
    facts.keep_extra("billed_units", body.get("meta").get("billed_units").to_value());
    let response = body.get("response");
    if response.is_object() {
        // The end of a Command R stream repeats all of it; what was not said before is at most who said it.
        keep_first(&mut facts.id, response.get("response_id").id().or_else(|| response.get("generation_id").id()));
        read_usage(response, facts);
    }
    token
}

/// Where texts are: the list, each item's text, and why it ended.
const TEXTS: [(&str, &[&str], &str); 5] = [
    // Amazon Titan.
    ("results", &["outputText"], "completionReason"),
    // Cohere Command.
    ("generations", &["text"], "finish_reason"),
    // Mistral.
    ("outputs", &["text"], "stop_reason"),
    // AI21 Jurassic.
    ("completions", &["data", "text"], "finishReason"),
    // Models of one's own, served by Hugging Face's text generation.
    ("", &["generated_text"], "finish_reason"),
];

/// Where a text stands by itself, and why it ended: Titan's chunks, Meta Llama, Anthropic's older Claude, Cohere's
/// chunks and Command R, Twelve Labs, text generation.
const TEXT: [(&str, &str); 6] = [
    ("outputText", "completionReason"),
    ("generation", "stop_reason"),
    ("completion", "stop_reason"),
    ("text", "finish_reason"),
    ("message", "finishReason"),
    ("generated_text", "finish_reason"),
];

fn read_texts(body: &Json<'_>, whole: bool, facts: &mut ResponseFacts) -> bool {
    let mut token = false;
    for (list, path, reason) in TEXTS {
        let items = if list.is_empty() { body.items() } else { body.get(list).items() };
        for (index, item) in items.iter().enumerate() {
            let text = path.iter().fold(item, |value, key| value.get(key)).str();
            token |= say(text, item.get(reason), index, facts);
        }
    }
    let index = index(body, 0);
    // Errors have a message as well, but end for no reason; in streams they are exceptions.
    let is_text = |key: &str, reason: &str| key != "message" || !whole || !body.get(reason).is_null();
    let found = TEXT.iter().find(|(key, reason)| body.get(key).str().is_some() && is_text(key, reason));
    if let Some((key, reason)) = found {
        token |= say(body.get(key).str(), body.get(reason), index, facts);
    } else if let Some((_, reason)) = TEXT.iter().find(|(_, reason)| !body.get(reason).is_null()) {
        say(None, body.get(reason), index, facts);
    }
    token
}

/// Adds a text, if there is one, and a reason, if there is one.
fn say(text: Option<&str>, reason: &Json<'_>, index: usize, facts: &mut ResponseFacts) -> bool {
    // AI21's reason is an object.
    let reason = reason.id().or_else(|| reason.get("reason").id());
    if text.is_none() && reason.is_none() {
        return false;
    }
    let Some(choice) = facts.choice(index) else { return false };
    if let Some(text) = text {
        append(&mut choice.text, text);
    }
    if reason.is_some() {
        choice.finish_reason = reason;
    }
    text.is_some_and(|text| !text.is_empty())
}

/// Mistral's chats on Bedrock end for a `stop_reason`.
pub fn read_stop_reasons(body: &Json<'_>, facts: &mut ResponseFacts) {
    for (index, choice) in body.get("choices").items().iter().enumerate() {
        if let (Some(reason), Some(kept)) = (choice.get("stop_reason").id(), facts.choice(index)) {
            keep_first(&mut kept.finish_reason, Some(reason));
        }
    }
}

/// Command R's calls: no ids, whole.
fn read_calls(calls: &Json<'_>, facts: &mut ResponseFacts) {
    for (index, call) in calls.items().iter().enumerate() {
        let tool = facts.choice(0).and_then(|choice| choice.tool(Some(index as u64), None));
        if let Some(tool) = tool {
            tool.call.name = call.get("name").id();
            tool.call.arguments = openai::arguments(call.get("parameters"));
        }
    }
}

/// One vector, vectors, or vectors by their type.
fn read_vectors(body: &Json<'_>, facts: &mut ResponseFacts) {
    let (one, many) = (body.get("embedding"), body.get("embeddings"));
    let by_type = |types: &Json<'_>| {
        let names = ["float", "int8", "uint8"];
        names.iter().map(|name| types.get(name).count_items()).find(Option::is_some).flatten()
    };
    let first = many.items().first();
    let (dims, count) = if let Some(dims) = one.count_items().or_else(|| by_type(body.get("embeddingsByType"))) {
        (Some(dims), Some(1))
    } else if let Some(first) = first {
        let dims = first.count_items().or_else(|| first.get("embedding").count_items());
        (dims, many.count_items())
    } else if many.is_object() {
        let lists = ["float", "int8", "uint8"].map(|name| many.get(name));
        let list = lists.into_iter().find(|list| list.count_items().is_some());
        let dims = list.and_then(|list| list.items().first()?.count_items());
        (dims, list.and_then(Json::count_items))
    } else {
        return;
    };
    // An ARN hides what kind of model it stands for.
    facts.operation = Some(Operation::Embeddings);
    facts.embedding_dims = dims.map(|dims| dims as u64);
    facts.embedding_count = count.map(|count| count as u64);
}

/// Base64 of the pictures that were painted: in `images`, or in the `artifacts` of Stability's older models.
fn read_images(body: &Json<'_>, facts: &mut ResponseFacts) {
    let artifacts = body.get("artifacts").items().iter().map(|artifact| artifact.get("base64"));
    let images = body.get("images").items().iter().chain(artifacts).filter(|image| image.str().is_some());
    facts.keep_media(images.map(|image| media::inline("image", None, image)));
    let reasons = body.get("finish_reasons").items().iter().chain(body.get("artifacts").items());
    for (index, reason) in reasons.enumerate() {
        let reason = if reason.is_object() { reason.get("finishReason") } else { reason };
        say(None, reason, index, facts);
    }
}

/// Counts that stand in the answer itself, under each maker's names. Null says nothing; the last one counts.
fn read_usage(body: &Json<'_>, facts: &mut ResponseFacts) {
    let tokens = body.get("meta").get("tokens");
    let results = body.get("results").items().iter().filter_map(|result| result.get("tokenCount").count());
    let input = ["inputTextTokenCount", "prompt_token_count"].iter().find_map(|name| body.get(name).count());
    let output = ["totalOutputTextTokenCount", "generation_token_count"].iter().find_map(|name| body.get(name).count());
    let output = output.or_else(|| results.reduce(u64::saturating_add));
    let input = input.or_else(|| tokens.get("input_tokens").count()).or(facts.usage.input);
    let output = output.or_else(|| tokens.get("output_tokens").count()).or(facts.usage.output);
    if input.is_some() || output.is_some() {
        let total = input.and_then(|input| input.checked_add(output?));
        facts.usage = Usage { input, output, total, ..facts.usage };
    }
}
