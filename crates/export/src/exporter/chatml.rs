//! Input and output as OpenAI's chat messages (ChatML): what Langfuse renders as a conversation, and what OpenLLMetry
//! makes of content in parts.

use ai_tracing_core::record::{CallRecord, Choice, Content, Media, Message, Operation, Part, ToolCall};
use serde_json::{Map, Value, json};

/// The conversation as a list of messages; for embeddings the list of texts. `None` when nothing was recorded.
pub(super) fn input(record: &CallRecord) -> Option<Value> {
    let messages = &record.request.messages;
    if messages.is_empty() {
        return None;
    }
    Some(match record.operation {
        Operation::Embeddings => messages.iter().filter_map(|message| message.content.as_ref()).map(content).collect(),
        _ => messages.iter().map(message).collect(),
    })
}

/// The answer: an assistant's message, a list of them for several choices, the bare text of a text completion, and
/// for embeddings their shape. `None` when there was none, or none was recorded.
pub(super) fn output(record: &CallRecord) -> Option<Value> {
    let response = &record.response;
    if record.operation == Operation::Embeddings {
        let mut shape = Map::new();
        shape.extend(response.embedding_dims.map(|dims| ("dimensions".to_owned(), dims.into())));
        shape.extend(response.embedding_count.map(|count| ("count".to_owned(), count.into())));
        return (!shape.is_empty()).then_some(Value::Object(shape));
    }
    let first = Choice {
        text: response.text.clone(),
        reasoning: response.reasoning.clone(),
        refusal: response.refusal.clone(),
        tool_calls: response.tool_calls.clone(),
        finish_reason: None,
    };
    let plain = record.operation != Operation::Chat;
    let mut choices: Vec<Option<Value>> =
        std::iter::once(&first).chain(&response.more_choices).map(|choice| self::choice(choice, plain)).collect();
    if choices.len() > 1 && choices.iter().any(Option::is_some) {
        // A choice without content keeps its place, or the numbering would be wrong.
        let empty = || json!({"role": "assistant"});
        return Some(choices.into_iter().map(|choice| choice.unwrap_or_else(empty)).collect());
    }
    choices.pop().flatten()
}

fn message(message: &Message) -> Value {
    let mut map = Map::new();
    map.insert("role".into(), message.role.clone().into());
    if let Some(text) = &message.content {
        map.insert("content".into(), content(text));
    }
    let texts = [
        ("name", &message.name),
        ("reasoning", &message.reasoning),
        ("refusal", &message.refusal),
        ("tool_call_id", &message.tool_call_id),
    ];
    put_texts(&mut map, texts);
    put_tool_calls(&mut map, &message.tool_calls);
    Value::Object(map)
}

fn choice(choice: &Choice, plain: bool) -> Option<Value> {
    let bare = choice.reasoning.is_none() && choice.refusal.is_none() && choice.tool_calls.is_empty();
    if bare && (plain || choice.text.is_none()) {
        return choice.text.clone().map(Value::String);
    }
    let mut map = Map::new();
    map.insert("role".into(), "assistant".into());
    put_texts(&mut map, [("content", &choice.text), ("reasoning", &choice.reasoning), ("refusal", &choice.refusal)]);
    put_tool_calls(&mut map, &choice.tool_calls);
    Some(Value::Object(map))
}

fn put_texts<const N: usize>(map: &mut Map<String, Value>, texts: [(&str, &Option<String>); N]) {
    for (key, text) in texts {
        if let Some(text) = text {
            map.insert(key.to_owned(), text.clone().into());
        }
    }
}

fn put_tool_calls(map: &mut Map<String, Value>, calls: &[ToolCall]) {
    if !calls.is_empty() {
        map.insert("tool_calls".into(), calls.iter().map(tool_call).collect());
    }
}

fn tool_call(call: &ToolCall) -> Value {
    let mut function = Map::new();
    put_texts(&mut function, [("name", &call.name), ("arguments", &call.arguments)]);
    let mut map = Map::new();
    put_texts(&mut map, [("id", &call.id)]);
    map.insert("type".into(), "function".into());
    map.insert("function".into(), Value::Object(function));
    Value::Object(map)
}

/// A string, or a list of parts.
pub(super) fn content(content: &Content) -> Value {
    match content {
        Content::Text(text) => text.clone().into(),
        Content::Parts(parts) => parts.iter().map(part).collect(),
    }
}

fn part(part: &Part) -> Value {
    match part {
        Part::Text { text } => json!({"type": "text", "text": text}),
        Part::Media(media) => self::media(media),
        Part::Other { value } => value.clone(),
    }
}

/// A picture with an address in OpenAI's form, which Langfuse shows as a picture; any other medium by what is known
/// of it.
fn media(media: &Media) -> Value {
    if let ("image", Some(url)) = (media.modality.as_str(), &media.uri) {
        return json!({"type": "image_url", "image_url": {"url": url}});
    }
    let mut map = Map::new();
    map.insert("type".into(), media.modality.clone().into());
    put_texts(&mut map, [("mime_type", &media.mime_type), ("uri", &media.uri), ("file_id", &media.file_id)]);
    map.extend(media.bytes.map(|bytes| ("bytes".to_owned(), bytes.into())));
    Value::Object(map)
}
