//! Content blocks of an answer, whole or in pieces; how it ended; and its usage.
//!
//! Only what the client has to run is a tool call. What Anthropic's servers run themselves (web search, code execution,
//! MCP) is kept aside, calls and results in their order.

use serde_json::Value;

use super::content;
use crate::dialect::facts::{ResponseFacts, append, keep_first};
use crate::json::Json;

/// Where citations are kept.
pub const CITATIONS: &str = "citations";
/// Where blocks of the server's own tools are kept.
const SERVER_TOOLS: &str = "server_tools";
/// Blocks or citations kept of one answer.
const MAX_KEPT: usize = 256;

/// Reads what a message has around its content.
pub fn read_message(message: &Json<'_>, facts: &mut ResponseFacts) {
    keep_first(&mut facts.id, message.get("id").id());
    keep_first(&mut facts.model, message.get("model").id());
}

/// Reads how a message ended: in a whole one, or in the pieces of `message_delta`.
pub fn read_ending(body: &Json<'_>, facts: &mut ResponseFacts) {
    if let (Some(reason), Some(choice)) = (body.get("stop_reason").id(), facts.choice(0)) {
        choice.finish_reason = Some(reason);
    }
    for key in ["stop_sequence", "stop_details", "container", "context_management", "diagnostics"] {
        facts.keep_extra(key, body.get(key).to_value());
    }
    read_usage(body.get("usage"), facts);
}

/// Reads a block: a whole one, or what a stream begins it with. True when it carried a generated token.
pub fn read_block(block: &Json<'_>, index: Option<u64>, facts: &mut ResponseFacts) -> bool {
    match block.get("type").str() {
        Some("text") => {
            for citation in block.get("citations").items() {
                keep(facts, CITATIONS, citation.to_value());
            }
            read_delta(block, index, facts)
        }
        Some("thinking") => read_delta(block, index, facts),
        Some("tool_use") => {
            let id = block.get("id").id();
            let tool = facts.choice(0).and_then(|choice| choice.tool(index, id.as_deref()));
            if let Some(tool) = tool {
                // Streams begin with an empty input, and say it in pieces.
                let input = block.get("input");
                let input = if input.is_object() && input.members().is_empty() { &Json::Null } else { input };
                tool.call = content::call(id, block.get("name").id(), input);
            }
            true
        }
        // Encrypted, and of no use to anybody else.
        Some("redacted_thinking") | None => false,
        Some(_) => {
            keep(facts, SERVER_TOOLS, block.to_value());
            false
        }
    }
}

/// Reads a piece of a block. True when it carried a generated token.
pub fn read_delta(delta: &Json<'_>, index: Option<u64>, facts: &mut ResponseFacts) -> bool {
    match delta.get("type").str() {
        Some("text_delta" | "text") => {
            let (Some(text), Some(choice)) = (delta.get("text").str(), facts.choice(0)) else { return false };
            append(&mut choice.text, text);
            !text.is_empty()
        }
        Some("thinking_delta" | "thinking") => {
            let (Some(text), Some(choice)) = (delta.get("thinking").str(), facts.choice(0)) else { return false };
            append(&mut choice.reasoning, text);
            !text.is_empty()
        }
        Some("input_json_delta") => read_input(delta.get("partial_json").str().unwrap_or_default(), index, facts),
        Some("citations_delta") => {
            keep(facts, CITATIONS, delta.get("citation").to_value());
            false
        }
        // Signatures.
        _ => false,
    }
}

/// Adds a piece of input to the tool call of that index, else to the server's call that was begun last.
fn read_input(piece: &str, index: Option<u64>, facts: &mut ResponseFacts) -> bool {
    let mut tools = facts.choices.first_mut().into_iter().flat_map(|choice| choice.tool_calls.iter_mut());
    if let Some(tool) = tools.rfind(|tool| tool.index == index) {
        append(&mut tool.call.arguments, piece);
        return !piece.is_empty();
    }
    match server_input(facts) {
        Some(Value::String(input)) => input.push_str(piece),
        Some(input) => *input = Value::String(piece.to_owned()),
        None => {}
    }
    false
}

/// The block is complete: a tool call that said nothing has no arguments, and a server's call is JSON.
pub fn finish_block(index: Option<u64>, facts: &mut ResponseFacts) {
    let tools = facts.choices.first_mut().into_iter().flat_map(|choice| choice.tool_calls.iter_mut());
    for tool in tools.filter(|tool| tool.index == index) {
        let arguments = tool.call.arguments.get_or_insert_default();
        if arguments.is_empty() {
            "{}".clone_into(arguments);
        }
    }
    if let Some(Value::String(input)) = server_input(facts) {
        let text = std::mem::take(input);
        let whole = serde_json::from_str(&text).ok();
        if let Some(Value::Object(block)) = server_block(facts) {
            // What is no JSON is not tried again.
            let (key, value) = whole.map_or_else(|| ("partial_input", Value::String(text)), |value| ("input", value));
            block.remove("input");
            block.insert(key.to_owned(), value);
        }
    }
}

/// The block of the server's tools that was begun last.
fn server_block(facts: &mut ResponseFacts) -> Option<&mut Value> {
    facts.extra.get_mut(SERVER_TOOLS)?.as_array_mut()?.last_mut()
}

/// The input of the server's call that was begun last.
fn server_input(facts: &mut ResponseFacts) -> Option<&mut Value> {
    server_block(facts)?.get_mut("input")
}

/// Adds to a list of what is kept aside.
pub fn keep(facts: &mut ResponseFacts, key: &str, value: Value) {
    if value.is_null() {
        return;
    }
    let list = facts.extra.entry(key).or_insert_with(|| Value::Array(Vec::new()));
    if let Some(list) = list.as_array_mut().filter(|list| list.len() < MAX_KEPT) {
        list.push(value);
    }
}

/// Reads a usage object. That of `message_delta` repeats, corrects or completes that of `message_start`: what it names,
/// it replaces.
pub fn read_usage(usage: &Json<'_>, facts: &mut ResponseFacts) {
    if usage.members().is_empty() {
        return;
    }
    let count = |name: &str| usage.get(name).count();
    let kept = &mut facts.usage;
    facts.uncached_input = count("input_tokens").or(facts.uncached_input);
    kept.output = count("output_tokens").or(kept.output);
    kept.cache_read = count("cache_read_input_tokens").or(kept.cache_read);
    kept.cache_write = count("cache_creation_input_tokens").or(kept.cache_write);
    let details = usage.get("output_tokens_details");
    let thinking = details.get("thinking_tokens").count().or_else(|| details.get("reasoning_tokens").count());
    kept.reasoning = thinking.or(kept.reasoning);
    facts.count_with_cache(None);
    if let Some(tier) = usage.get("service_tier").word() {
        facts.service_tier = Some(tier);
    }
    for key in ["cache_creation", "server_tool_use", "iterations", "inference_geo", "speed"] {
        facts.keep_extra(key, usage.get(key).to_value());
    }
}
