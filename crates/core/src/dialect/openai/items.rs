//! Items: what inputs and outputs of the Responses API consist of.
//!
//! Messages are items, and so are calls of tools, their results, and reasoning.
//! Source: <https://platform.openai.com/docs/api-reference/responses/create>.

use serde_json::{Map, Value};

use crate::dialect::facts::{ChoiceFacts, append};
use crate::dialect::{media, openai};
use crate::json::Json;
use crate::record::{Content, Message, Part, ToolCall};

/// Length from which a string of nothing but base64's letters is no word that anybody reads.
const MIN_BASE64: usize = 1024;

/// Reads an item of an input as a message.
pub fn message(item: &Json<'_>) -> Message {
    let kind = item.get("type").str().unwrap_or_default();
    let of = |role: &str| Message { role: role.to_owned(), ..Message::default() };
    let as_is = || Some(Content::Parts(vec![Part::Other { value: lean(item) }]));
    match kind {
        _ if item.str().is_some() => openai::user(openai::content(item)),
        "" | "message" => openai::read_message(item),
        "function_call" | "custom_tool_call" => Message { tool_calls: vec![call(item)], ..of("assistant") },
        "reasoning" => Message { reasoning: reasoning(item), ..of("assistant") },
        _ if kind.ends_with("_output") => Message {
            content: openai::content(item.get("output")),
            tool_call_id: item.get("call_id").id(),
            ..of("tool")
        },
        _ if kind.ends_with("_call") => Message { content: as_is(), ..of("assistant") },
        other => Message { content: as_is(), ..of(other) },
    }
}

/// Reads an item of an output, the one of that index, into a choice: a message, reasoning, or a call of one of the
/// client's tools.
pub fn read(item: &Json<'_>, index: Option<u64>, choice: &mut ChoiceFacts) {
    match item.get("type").str() {
        // Compacted conversations repeat what the user said.
        Some("message") if item.get("role").str() != Some("user") => {
            let content = item.get("content");
            if let Some(text) = content.str() {
                append(&mut choice.text, text);
            }
            for part in content.items() {
                if let Some(text) = part.get("text").str() {
                    append(&mut choice.text, text);
                }
                if let Some(refusal) = part.get("refusal").str() {
                    append(&mut choice.refusal, refusal);
                }
            }
        }
        Some("reasoning") => {
            if let Some(text) = reasoning(item) {
                paragraph(&mut choice.reasoning);
                append(&mut choice.reasoning, &text);
            }
        }
        Some("function_call" | "custom_tool_call") => read_call(item, index, choice),
        _ => {}
    }
}

/// Reads a call of a client's tool; what is known of it already is replaced by what the item says.
pub fn read_call(item: &Json<'_>, index: Option<u64>, choice: &mut ChoiceFacts) {
    let read = call(item);
    if let Some(tool) = choice.tool(index, read.id.as_deref()) {
        let known = &mut tool.call;
        known.id = read.id.or_else(|| known.id.take());
        known.name = read.name.or_else(|| known.name.take());
        known.arguments = read.arguments.or_else(|| known.arguments.take());
    }
}

/// Ends a paragraph of a text that has begun.
pub fn paragraph(text: &mut Option<String>) {
    if let Some(text) = text.as_mut().filter(|text| !text.is_empty()) {
        text.push_str("\n\n");
    }
}

/// `function_call` has arguments, `custom_tool_call` an input. The id that results refer to is `call_id`.
fn call(item: &Json<'_>) -> ToolCall {
    let said = ["arguments", "input"].into_iter().map(|key| item.get(key)).find(|said| !said.is_null());
    ToolCall {
        id: item.get("call_id").id().or_else(|| item.get("id").id()),
        name: item.get("name").id(),
        arguments: said.and_then(openai::arguments),
    }
}

/// The summary of reasoning, and the reasoning itself where models show it.
fn reasoning(item: &Json<'_>) -> Option<String> {
    let parts = [item.get("summary"), item.get("content")];
    let texts: Vec<&str> =
        parts.iter().flat_map(|list| list.items()).filter_map(|part| part.get("text").filled()).collect();
    (!texts.is_empty()).then(|| texts.join("\n\n"))
}

/// A tool as sent, but for the secrets that open an MCP server.
pub fn tool(tool: &Json<'_>) -> Value {
    let mut value = tool.to_value();
    if let Some(members) = value.as_object_mut() {
        for secret in ["authorization", "headers"] {
            members.remove(secret);
        }
    }
    value
}

/// A copy without what nobody can read: encrypted content is left out, base64 becomes its type, size and hash.
pub fn lean(value: &Json<'_>) -> Value {
    match value {
        Json::String(text) if is_bulk(text) => {
            let mut media = match text.starts_with("data:") {
                true => media::address("file", value),
                false => media::inline("file", None, value),
            };
            media.content = None;
            serde_json::to_value(media).unwrap_or_default()
        }
        Json::CutString(text) if is_bulk(text) => Value::Null,
        Json::Array(items) => items.iter().map(lean).collect(),
        Json::Object(members) => {
            // What forms tell of a file has content beside its hash.
            let is_file = !value.get("sha256").is_null();
            let readable =
                members.iter().filter(|(key, _)| key != "encrypted_content" && !(is_file && key == "content"));
            Value::Object(readable.map(|(key, value)| (key.to_string(), lean(value))).collect::<Map<_, _>>())
        }
        other => other.to_value(),
    }
}

fn is_bulk(text: &str) -> bool {
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_' | b'=');
    text.len() >= MIN_BASE64 && (text.starts_with("data:") || text.bytes().all(letters))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::parse;

    #[test]
    fn a_lean_copy_has_no_bulk() {
        let base64 = "QUJD".repeat(300);
        let body = format!(
            r#"{{"a":"{base64}","b":{{"url":"data:image/png;base64,{base64}"}},"encrypted_content":"x","c":[1,"words"]}}"#
        );
        let copy = lean(&parse(&body).value);
        assert_eq!(copy.pointer("/a/bytes"), Some(&900.into()));
        assert_eq!(copy.pointer("/b/url/mime_type"), Some(&"image/png".into()));
        assert_eq!(copy.pointer("/a/content").or(copy.get("encrypted_content")), None);
        assert_eq!(copy.get("c"), Some(&serde_json::json!([1, "words"])));
    }

    #[test]
    fn a_cut_item_claims_no_more_than_it_says() {
        let cut = parse(r#"{"type":"function_call","call_id":"c1","name":"f","arguments":"{\"a\":"#).value;
        let call = message(&cut).tool_calls.pop().unwrap_or_default();
        assert_eq!((call.id.as_deref(), call.arguments.as_deref()), (Some("c1"), Some("{\"a\":")));
    }
}
