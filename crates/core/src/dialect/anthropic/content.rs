//! Content blocks of a request's messages. Anthropic and Bedrock name them differently, and mean the same: a message is
//! a list of texts, media, reasoning, tool calls and results of tools.
//!
//! A result of a tool stands in a `user` message; here it becomes a `tool` message of its own, as everywhere else.

use serde_json::json;

use crate::dialect::media;
use crate::json::Json;
use crate::record::{Content, Media, Message, Part, ToolCall};

/// What a block is.
pub enum Block {
    /// Part of what is said.
    Part(Part),
    /// Reasoning of an earlier turn.
    Reasoning(String),
    /// A call of a tool.
    Call(ToolCall),
    /// What a tool answered.
    Result(Message),
}

/// Reads one block.
pub type ReadBlock = fn(&Json<'_>) -> Block;

/// Reads a message: itself, with the results of tools before it.
pub fn read_message(message: &Json<'_>, block: ReadBlock) -> Vec<Message> {
    let mut said = Message { role: message.get("role").word().unwrap_or_default(), ..Message::default() };
    let content = message.get("content");
    if content.items().is_empty() {
        said.content = read_content(content, block);
        return vec![said];
    }
    let mut messages = Vec::new();
    let mut parts = Vec::new();
    for item in content.items() {
        match block(item) {
            Block::Part(part) => parts.push(part),
            Block::Reasoning(text) => said.reasoning.get_or_insert_default().push_str(&text),
            Block::Call(call) => said.tool_calls.push(call),
            Block::Result(result) => messages.push(result),
        }
    }
    let more = !parts.is_empty() || !said.tool_calls.is_empty() || said.reasoning.is_some();
    said.content = (!parts.is_empty()).then_some(Content::Parts(parts));
    if more || messages.is_empty() {
        messages.push(said);
    }
    messages
}

/// Reads content that calls nothing: a string, or blocks.
pub fn read_content(content: &Json<'_>, block: ReadBlock) -> Option<Content> {
    let part = |item: &Json<'_>| match block(item) {
        Block::Part(part) => part,
        Block::Reasoning(text) => Part::Text { text },
        Block::Call(_) | Block::Result(_) => Part::Other { value: item.to_value() },
    };
    match content {
        Json::Null => None,
        Json::String(text) | Json::CutString(text) => Some(Content::Text(text.to_string())),
        Json::Array(items) if items.is_empty() => None,
        Json::Array(items) => Some(Content::Parts(items.iter().map(part).collect())),
        other => Some(Content::Parts(vec![part(other)])),
    }
}

/// The `tool` message of a result; that it is an error, providers say beside its content.
pub fn tool_result(id: Option<String>, content: Option<Content>, failed: bool) -> Block {
    let content = if failed {
        let mut parts = match content {
            Some(Content::Parts(parts)) => parts,
            Some(Content::Text(text)) => vec![Part::Text { text }],
            None => Vec::new(),
        };
        parts.push(Part::Other { value: json!({ "is_error": true }) });
        Some(Content::Parts(parts))
    } else {
        content
    };
    Block::Result(Message { role: "tool".into(), content, tool_call_id: id, ..Message::default() })
}

/// A call with its input, which is an object, as JSON text.
pub fn call(id: Option<String>, name: Option<String>, input: &Json<'_>) -> ToolCall {
    let arguments = match input {
        Json::Null => None,
        Json::String(text) | Json::CutString(text) => Some(text.to_string()),
        other => Some(other.to_value().to_string()),
    };
    ToolCall { id, name, arguments }
}

/// Reads one of Anthropic's blocks.
pub fn block(block: &Json<'_>) -> Block {
    let other = || Block::Part(Part::Other { value: block.to_value() });
    match (block.get("type").str(), block) {
        (_, Json::String(text) | Json::CutString(text)) => Block::Part(Part::Text { text: text.to_string() }),
        (Some("text"), _) => text(block.get("text")),
        (Some("image"), _) => media("image", block.get("source")),
        (Some("document"), _) => {
            let source = block.get("source");
            match source.get("type").str() {
                Some("text") => text(source.get("data")),
                // A document of text blocks.
                Some("content") => other(),
                _ => media("file", source),
            }
        }
        (Some("container_upload"), _) => {
            let file_id = block.get("file_id").id();
            Block::Part(Part::Media(Media { modality: "file".into(), file_id, ..Media::default() }))
        }
        (Some("thinking"), _) => Block::Reasoning(block.get("thinking").str().unwrap_or_default().to_owned()),
        (Some("tool_use"), _) => Block::Call(call(block.get("id").id(), block.get("name").id(), block.get("input"))),
        (Some("tool_result"), _) => {
            let content = read_content(block.get("content"), self::block);
            let failed = block.get("is_error").bool() == Some(true);
            tool_result(block.get("tool_use_id").id(), content, failed)
        }
        // What Anthropic's own tools did, search results, what is encrypted.
        _ => other(),
    }
}

fn text(text: &Json<'_>) -> Block {
    Block::Part(Part::Text { text: text.str().unwrap_or_default().to_owned() })
}

/// Media by its source: base64, an address, or a file that was uploaded before.
fn media(modality: &str, source: &Json<'_>) -> Block {
    let mime_type = source.get("media_type").str();
    let mut media = match source.get("type").str() {
        Some("url") => media::address(modality, source.get("url")),
        Some("file") => Media { modality: modality.to_owned(), ..Media::default() },
        _ => media::inline(modality, mime_type, source.get("data")),
    };
    media.file_id = source.get("file_id").id();
    Block::Part(Part::Media(media))
}
