//! `Content` and its `Part`s, the same in requests and answers: <https://ai.google.dev/api/caching#Content>.

use super::either;
use crate::dialect::{media, openai};
use crate::json::Json;
use crate::record::{Content, Media, Message, Part, ToolCall};

/// Reads `contents`: a list, one content, or a text.
pub fn read_contents(contents: &Json<'_>, messages: &mut Vec<Message>) {
    match contents {
        Json::Array(items) => {
            for item in items {
                read_content(item, "user", messages);
            }
        }
        one => read_content(one, "user", messages),
    }
}

/// Number of contents; a single one need not be in a list.
pub fn count(contents: &Json<'_>) -> Option<u64> {
    match contents {
        Json::Null => None,
        list @ (Json::Array(_) | Json::Numbers(..)) => list.count_items().map(|count| count as u64),
        _ => Some(1),
    }
}

/// Reads one content as a message, and the results of functions in it as messages of their own.
pub fn read_content(content: &Json<'_>, default_role: &str, messages: &mut Vec<Message>) {
    let single = std::slice::from_ref(content);
    let parts = match (content, content.get("parts")) {
        (Json::Null, _) => return,
        (Json::Object(_), Json::Array(parts)) => parts.as_slice(),
        (Json::Object(_), one @ Json::Object(_)) => std::slice::from_ref(one),
        _ => single,
    };
    let role = match content.get("role").str() {
        Some("model") => "assistant",
        // What the instructions are sent with is ignored.
        Some(role) if !role.is_empty() && default_role != "system" => role,
        _ => default_role,
    };
    let mut message = Message { role: role.to_owned(), ..Message::default() };
    let mut said = Vec::new();
    let mut results = Vec::new();
    for part in parts {
        read_part(part, &mut message, &mut said, &mut results);
    }
    message.content = content_of(said);
    let empty = message.content.is_none() && message.tool_calls.is_empty() && message.reasoning.is_none();
    if !empty || results.is_empty() {
        messages.push(message);
    }
    messages.append(&mut results);
}

/// A single text is no list of parts.
fn content_of(mut parts: Vec<Part>) -> Option<Content> {
    match parts.pop()? {
        Part::Text { text } if parts.is_empty() => Some(Content::Text(text)),
        last => {
            parts.push(last);
            Some(Content::Parts(parts))
        }
    }
}

fn read_part(part: &Json<'_>, message: &mut Message, said: &mut Vec<Part>, results: &mut Vec<Message>) {
    if let Some(text) = part.str().or_else(|| part.get("text").str()) {
        if is_thought(part) {
            message.reasoning.get_or_insert_default().push_str(text);
        } else {
            said.push(Part::Text { text: text.to_owned() });
        }
    } else if let Some(media) = read_media(part) {
        said.push(Part::Media(media));
    } else if let Some(call) = read_call(part) {
        message.tool_calls.push(call);
    } else {
        let result = either(part, "functionResponse", "function_response");
        if result.is_object() {
            results.push(Message {
                role: "tool".to_owned(),
                content: openai::arguments(result.get("response")).map(Content::Text),
                name: result.get("name").id(),
                tool_call_id: result.get("id").id(),
                ..Message::default()
            });
        } else if part.members().iter().any(|(key, _)| !is_signature(key)) {
            said.push(Part::Other { value: part.to_value() });
        }
    }
}

/// Signatures of thoughts stand beside what they sign, or alone.
fn is_signature(key: &str) -> bool {
    matches!(key, "thoughtSignature" | "thought_signature" | "thought")
}

/// True for what the model only thought.
pub fn is_thought(part: &Json<'_>) -> bool {
    part.get("thought").bool() == Some(true)
}

/// Media in a part: inline, or an uploaded file.
pub fn read_media(part: &Json<'_>) -> Option<Media> {
    let (inline, file) = (either(part, "inlineData", "inline_data"), either(part, "fileData", "file_data"));
    let source = if inline.is_object() { inline } else { file };
    if !source.is_object() {
        return None;
    }
    let mime_type = either(source, "mimeType", "mime_type").word();
    let modality = mime_type.as_deref().map_or("file", media::modality);
    if inline.is_object() {
        return Some(media::inline(modality, mime_type.as_deref(), inline.get("data")));
    }
    let mut media = media::address(modality, either(file, "fileUri", "file_uri"));
    media.mime_type = media.mime_type.or(mime_type);
    Some(media)
}

/// A function call in a part; few have an id.
pub fn read_call(part: &Json<'_>) -> Option<ToolCall> {
    let call = either(part, "functionCall", "function_call");
    call.is_object().then(|| ToolCall {
        id: call.get("id").id(),
        name: call.get("name").id(),
        arguments: openai::arguments(call.get("args")),
    })
}
