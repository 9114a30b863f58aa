//! `capture_content = metadata_only`: what a record keeps when content must not leave.

use serde_json::{Map, Value};

use crate::record::CallRecord;

/// String parameters that are settings, not content.
const SETTINGS: [&str; 8] = [
    "reasoning_effort",
    "service_tier",
    "tool_choice",
    "verbosity",
    "encoding_format",
    "truncation",
    "modalities",
    "parallel_tool_calls",
];

/// Leaves out all content: messages, texts, tools, arguments, schemas. Counts, lengths, parameters, ids, finish reasons
/// and context stay. A provider's error message goes as well: validation errors quote the request.
pub fn drop_content(record: &mut CallRecord) {
    let request = &mut record.request;
    request.messages.clear();
    request.tools.clear();
    let other = std::mem::take(&mut request.params.other);
    request.params.other =
        other.into_iter().filter_map(|(key, value)| harmless(&key, value).map(|kept| (key, kept))).collect();
    let response = &mut record.response;
    response.text = None;
    response.reasoning = None;
    response.refusal = None;
    // What was generated has a size, and nothing else that may leave.
    for media in &mut response.media {
        (media.uri, media.sha256, media.content) = (None, None, None);
    }
    response.extra = Map::new();
    let choices = response.more_choices.iter_mut().map(|choice| {
        choice.text = None;
        choice.reasoning = None;
        choice.refusal = None;
        &mut choice.tool_calls
    });
    for call in choices.chain([&mut response.tool_calls]).flatten() {
        call.arguments = None;
    }
    if let Some(error) = &mut record.error {
        error.message = None;
    }
}

/// Numbers and booleans are no content, strings only where the parameter is a setting; of `response_format`, the type.
fn harmless(key: &str, value: Value) -> Option<Value> {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => Some(value),
        Value::String(_) => SETTINGS.contains(&key).then_some(value),
        Value::Object(members) if key == "response_format" => {
            let kind = members.into_iter().find(|(key, value)| key == "type" && value.is_string())?;
            Some(Value::Object([kind].into_iter().collect()))
        }
        Value::Object(members) if key == "stream_options" => Some(Value::Object(members)),
        Value::Array(_) | Value::Object(_) => None,
    }
}
