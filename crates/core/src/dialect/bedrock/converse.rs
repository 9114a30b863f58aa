//! Bedrock's Converse: `POST /model/{model}/converse` and `/converse-stream`, one format for the models of all makers.
//!
//! Sources: <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>,
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html>.
//! Amazon's Nova models speak it in `/invoke` as well, with each event of a stream inside an object that names it.

use serde_json::Value;

use super::{content, read_usage};
use crate::dialect::anthropic::answer;
use crate::dialect::anthropic::content::{call, read_content, read_message};
use crate::dialect::facts::{RequestFacts, ResponseFacts, append};
use crate::dialect::{Dialect, Event, openai};
use crate::json::Json;
use crate::record::Message;
use crate::time::At;

/// See the module.
#[derive(Debug)]
pub struct BedrockConverse;

impl Dialect for BedrockConverse {
    fn name(&self) -> &'static str {
        "bedrock_converse"
    }

    fn accepts(&self, request: &Json<'_>) -> bool {
        // A stored prompt needs its variables, if any, and nothing else.
        let keys = ["messages", "inferenceConfig", "promptVariables", "additionalModelRequestFields"];
        keys.iter().any(|key| !request.get(key).is_null())
    }

    fn read_request(&self, body: &Json<'_>, facts: &mut RequestFacts) {
        read_request(body, facts);
    }

    fn read_response(&self, body: &Json<'_>, _: &RequestFacts, facts: &mut ResponseFacts) {
        read_answer(body, facts);
    }

    fn read_event(&self, event: &Event<'_>, _: &RequestFacts, facts: &mut ResponseFacts) {
        read_event(event.name, event.body, event.at, facts);
    }

    fn read_usage(&self, usage: &Json<'_>, facts: &mut ResponseFacts) {
        read_usage(usage, facts);
    }
}

/// Members of a request that are content, context or read by themselves.
const NOT_PARAMETERS: [&str; 7] =
    ["messages", "system", "inferenceConfig", "toolConfig", "requestMetadata", "schemaVersion", "promptVariables"];

/// Reads a request; the model is in the path.
pub fn read_request(body: &Json<'_>, facts: &mut RequestFacts) {
    let request = &mut facts.request;
    let config = body.get("inferenceConfig");
    let first = |names: [&str; 2]| names.into_iter().map(|name| config.get(name)).find(|value| !value.is_null());
    let params = &mut request.params;
    params.temperature = config.get("temperature").f64();
    params.top_p = first(["topP", "top_p"]).and_then(Json::f64);
    params.max_tokens = first(["maxTokens", "max_new_tokens"]).and_then(Json::i64);
    params.stop = first(["stopSequences", "stop_sequences"]).and_then(openai::stop);
    openai::keep_other(body, &NOT_PARAMETERS, params);
    const CONFIGURED: [&str; 7] =
        ["temperature", "topP", "top_p", "maxTokens", "max_new_tokens", "stopSequences", "stop_sequences"];
    openai::keep_other(config, &CONFIGURED, params);
    let tools = body.get("toolConfig");
    request.tools = tools.get("tools").items().iter().map(Json::to_value).collect();
    if !tools.get("toolChoice").is_null() {
        params.other.insert("tool_choice".into(), tools.get("toolChoice").to_value());
    }
    if let Some(system) = read_content(body.get("system"), content::block) {
        request.messages.push(Message { role: "system".into(), content: Some(system), ..Message::default() });
    }
    let messages = body.get("messages");
    request.messages.extend(messages.items().iter().flat_map(|message| read_message(message, content::block)));
    request.message_count = messages.count_items().map(|count| count as u64);
    if let Value::Object(metadata) = body.get("requestMetadata").to_value() {
        facts.metadata = metadata;
    }
}

/// Reads a whole answer.
pub fn read_answer(body: &Json<'_>, facts: &mut ResponseFacts) {
    for (index, block) in body.get("output").get("message").get("content").items().iter().enumerate() {
        let index = Some(index as u64);
        for (kind, value) in block.members() {
            match kind.as_ref() {
                "toolUse" => {
                    begin_call(value, index, facts);
                    finish_call(index, facts);
                }
                "reasoningContent" => {
                    say_reasoning(value.get("reasoningText"), facts);
                }
                "citationsContent" => {
                    for text in value.get("content").items() {
                        say_text(text, facts);
                    }
                    for citation in value.get("citations").items() {
                        answer::keep(facts, answer::CITATIONS, citation.to_value());
                    }
                }
                _ => {
                    say_text(block, facts);
                }
            }
        }
    }
    read_ending(body, facts);
}

/// Reads what an answer has beside its message; in a stream, `messageStop` and `metadata` have it.
fn read_ending(body: &Json<'_>, facts: &mut ResponseFacts) {
    if let (Some(reason), Some(choice)) = (body.get("stopReason").id(), facts.choice(0)) {
        choice.finish_reason = Some(reason);
    }
    read_usage(body.get("usage"), facts);
    if let Some(tier) = body.get("serviceTier").get("type").word() {
        facts.service_tier = Some(tier);
    }
    for key in ["metrics", "trace", "performanceConfig", "additionalModelResponseFields"] {
        facts.keep_extra(key, body.get(key).to_value());
    }
}

/// Reads an event of a stream by its name; where that is missing, the body has it as its only member.
pub fn read_event(name: &str, body: &Json<'_>, at: At, facts: &mut ResponseFacts) {
    let index = body.get("contentBlockIndex").count();
    let token = match name {
        "contentBlockStart" => {
            let start = body.get("start").get("toolUse");
            start.is_object() && begin_call(start, index, facts)
        }
        "contentBlockDelta" => read_delta(body.get("delta"), index, facts),
        "contentBlockStop" => {
            finish_call(index, facts);
            false
        }
        "messageStop" | "metadata" => {
            read_ending(body, facts);
            false
        }
        "messageStart" => false,
        _ => {
            for (name, body) in body.members().iter().filter(|(name, body)| is_event(name) && body.is_object()) {
                read_event(name, body, at, facts);
            }
            false
        }
    };
    if token {
        facts.token_at(at);
    }
}

/// True for the names of a stream's events.
pub fn is_event(name: &str) -> bool {
    ["messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata"]
        .contains(&name)
}

fn read_delta(delta: &Json<'_>, index: Option<u64>, facts: &mut ResponseFacts) -> bool {
    if let Some(input) = delta.get("toolUse").get("input").str() {
        // Calls that Bedrock runs itself were not begun.
        let tools = facts.choices.first_mut().into_iter().flat_map(|choice| choice.tool_calls.iter_mut());
        return tools.into_iter().rfind(|tool| tool.index == index).is_some_and(|tool| {
            append(&mut tool.call.arguments, input);
            !input.is_empty()
        });
    }
    answer::keep(facts, answer::CITATIONS, delta.get("citation").to_value());
    if delta.get("reasoningContent").is_object() {
        return say_reasoning(delta.get("reasoningContent"), facts);
    }
    say_text(delta, facts)
}

fn say_text(value: &Json<'_>, facts: &mut ResponseFacts) -> bool {
    let (Some(text), Some(choice)) = (value.get("text").str(), facts.choice(0)) else { return false };
    append(&mut choice.text, text);
    !text.is_empty()
}

fn say_reasoning(value: &Json<'_>, facts: &mut ResponseFacts) -> bool {
    let (Some(text), Some(choice)) = (value.get("text").str(), facts.choice(0)) else { return false };
    append(&mut choice.reasoning, text);
    !text.is_empty()
}

/// Begins a tool call that the client has to run, with its input where that is there already.
fn begin_call(value: &Json<'_>, index: Option<u64>, facts: &mut ResponseFacts) -> bool {
    if value.get("type").str() == Some("server_tool_use") {
        return false;
    }
    let id = value.get("toolUseId").id();
    if let Some(tool) = facts.choice(0).and_then(|choice| choice.tool(index, id.as_deref())) {
        tool.call = call(id, value.get("name").id(), value.get("input"));
    }
    true
}

/// The block is complete: a call that said nothing has no arguments.
fn finish_call(index: Option<u64>, facts: &mut ResponseFacts) {
    answer::finish_block(index, facts);
}
