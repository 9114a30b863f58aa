//! Roughly how much memory a record takes, told once per record: queues are bounded by it, batches are cut by it.

use ai_tracing_core::record::{CallRecord, Choice, Content, Message, Part, ToolCall};
use serde_json::{Map, Value};

/// Everything of a record but its content: ids, names, numbers.
const BASE: usize = 1024;

/// Bytes of the record's texts, plus a constant for all that is small.
pub(crate) fn weigh(record: &CallRecord) -> usize {
    let request = &record.request;
    let response = &record.response;
    BASE + map(&record.context.metadata)
        + map(&request.params.other)
        + request.messages.iter().map(message).sum::<usize>()
        + request.tools.iter().map(value).sum::<usize>()
        + text(&response.text)
        + text(&response.reasoning)
        + text(&response.refusal)
        + response.tool_calls.iter().map(tool_call).sum::<usize>()
        + response.more_choices.iter().map(choice).sum::<usize>()
        + map(&response.extra)
        + record.error.as_ref().map_or(0, |error| text(&error.message))
        + record.issues.iter().map(String::len).sum::<usize>()
}

fn message(message: &Message) -> usize {
    let content = match &message.content {
        None => 0,
        Some(Content::Text(text)) => text.len(),
        Some(Content::Parts(parts)) => parts.iter().map(part).sum(),
    };
    48 + content
        + text(&message.reasoning)
        + text(&message.refusal)
        + message.tool_calls.iter().map(tool_call).sum::<usize>()
}

fn part(part: &Part) -> usize {
    16 + match part {
        Part::Text { text } => text.len(),
        Part::Media(media) => 64 + text(&media.uri),
        Part::Other { value: other } => value(other),
    }
}

fn choice(choice: &Choice) -> usize {
    32 + text(&choice.text)
        + text(&choice.reasoning)
        + text(&choice.refusal)
        + choice.tool_calls.iter().map(tool_call).sum::<usize>()
}

fn tool_call(call: &ToolCall) -> usize {
    64 + text(&call.name) + text(&call.arguments)
}

fn map(map: &Map<String, Value>) -> usize {
    map.iter().map(|(key, item)| key.len() + 8 + value(item)).sum()
}

fn value(item: &Value) -> usize {
    match item {
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
        Value::String(text) => text.len() + 8,
        Value::Array(items) => items.iter().map(value).sum::<usize>() + 8,
        Value::Object(object) => map(object) + 8,
    }
}

fn text(text: &Option<String>) -> usize {
    text.as_ref().map_or(0, String::len)
}
