//! Alibaba Cloud's DashScope: `POST /api/v1/services/aigc/{text,multimodal}-generation/generation`.
//!
//! `{"model", "input": {"messages" or "prompt"}, "parameters"}` in, `{"output", "usage", "request_id"}` out. Events of a
//! stream have all the text so far, or, with `incremental_output`, a piece of it.
//! Source: <https://help.aliyun.com/en/model-studio/qwen-api-via-dashscope>.

use crate::dialect::facts::{RequestFacts, ResponseFacts, append, index, keep_first};
use crate::dialect::{Dialect, Event, media, openai, params};
use crate::json::Json;
use crate::record::{Content, Message, Operation, Part};

/// See the module.
#[derive(Debug)]
pub struct DashScope;

impl Dialect for DashScope {
    fn name(&self) -> &'static str {
        "dashscope_generation"
    }

    fn read_request(&self, body: &Json<'_>, facts: &mut RequestFacts) {
        facts.request.model = body.get("model").id();
        params::read(body.get("parameters"), &["tools", "stream"], &mut facts.request.params);
        facts.request.tools = body.get("parameters").get("tools").items().iter().map(Json::to_value).collect();
        let (messages, prompt) = (body.get("input").get("messages"), body.get("input").get("prompt"));
        facts.request.messages = messages.items().iter().map(message).collect();
        facts.request.message_count = messages.count_items().map(|count| count as u64);
        if messages.is_null() && !prompt.is_null() {
            facts.operation = Some(Operation::TextCompletion);
            facts.request.messages = openai::read_texts(prompt);
        }
    }

    fn read_response(&self, body: &Json<'_>, _: &RequestFacts, facts: &mut ResponseFacts) {
        read(body, true, facts);
    }

    fn read_event(&self, event: &Event<'_>, request: &RequestFacts, facts: &mut ResponseFacts) {
        let incremental = request.request.params.other.get("incremental_output").and_then(serde_json::Value::as_bool);
        if read(event.body, incremental == Some(true), facts) {
            facts.token_at(event.at);
        }
    }
}

/// Parts are `{"text"}`, `{"image"}`, `{"audio"}` or `{"video"}`.
fn message(value: &Json<'_>) -> Message {
    let mut message = openai::read_message(value);
    if let Json::Array(parts) = value.get("content") {
        let part = |part: &Json<'_>| {
            let kinds = ["image", "audio", "video"].into_iter();
            let media =
                kinds.filter(|kind| part.get(kind).str().is_some()).map(|kind| media::address(kind, part.get(kind)));
            let text = || part.get("text").str().map(|text| Part::Text { text: text.to_owned() });
            media.map(Part::Media).next().or_else(text).unwrap_or_else(|| Part::Other { value: part.to_value() })
        };
        message.content = Some(Content::Parts(parts.iter().map(part).collect()));
    }
    message
}

/// Reads a whole answer or an event; `pieces` where its texts continue what came before. True when it carried a
/// generated token.
fn read(body: &Json<'_>, pieces: bool, facts: &mut ResponseFacts) -> bool {
    keep_first(&mut facts.id, body.get("request_id").id());
    openai::read_usage(body.get("usage"), facts);
    let output = body.get("output");
    let mut token = false;
    if let (true, Some(choice)) = (output.get("text").str().is_some(), facts.choice(0)) {
        token |= say(&mut choice.text, output.get("text").str(), pieces);
        choice.finish_reason = finish_reason(output).or(choice.finish_reason.take());
    }
    for (position, item) in output.get("choices").items().iter().enumerate() {
        let Some(choice) = facts.choice(index(item, position)) else { continue };
        let message = item.get("message");
        match message.get("content") {
            Json::Array(parts) if parts.is_empty() => {}
            Json::Array(parts) => {
                let texts: String = parts.iter().filter_map(|part| part.get("text").str()).collect();
                token |= say(&mut choice.text, Some(&texts), pieces);
            }
            text => token |= say(&mut choice.text, text.str(), pieces),
        }
        token |= say(&mut choice.reasoning, message.get("reasoning_content").filled(), pieces);
        for (position, call) in message.get("tool_calls").items().iter().enumerate() {
            token = true;
            let index = call.get("index").count().unwrap_or(position as u64);
            let read = openai::tool_call(call);
            if let Some(tool) = choice.tool(Some(index), None) {
                keep_first(&mut tool.call.id, read.id);
                keep_first(&mut tool.call.name, read.name);
                if let Some(arguments) = read.arguments {
                    join(&mut tool.call.arguments, &arguments, pieces);
                }
            }
        }
        choice.finish_reason = finish_reason(item).or(choice.finish_reason.take());
    }
    token
}

fn say(slot: &mut Option<String>, text: Option<&str>, pieces: bool) -> bool {
    let Some(text) = text else { return false };
    join(slot, text, pieces);
    !text.is_empty()
}

/// Some models stream pieces without being asked to: what does not begin with what came before continues it.
fn join(slot: &mut Option<String>, text: &str, pieces: bool) {
    match slot {
        Some(so_far) if !pieces && text.starts_with(so_far.as_str()) => text.clone_into(so_far),
        _ => append(slot, text),
    }
}

/// The word `null` stands for none.
fn finish_reason(value: &Json<'_>) -> Option<String> {
    value.get("finish_reason").word().filter(|reason| reason != "null")
}
