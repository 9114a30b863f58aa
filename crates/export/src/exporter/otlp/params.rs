//! Parameters that providers name differently.

use ai_tracing_core::record::{CallRecord, Operation};
use serde_json::Value;

/// The first of the named parameters that was sent.
pub(super) fn first<'a>(record: &'a CallRecord, names: &[&str]) -> Option<&'a Value> {
    names.iter().find_map(|name| record.request.params.other.get(*name)).filter(|value| !value.is_null())
}

/// The same, at a path of names.
fn at<'a>(record: &'a CallRecord, path: &[&str]) -> Option<&'a Value> {
    let (name, rest) = path.split_first()?;
    rest.iter().try_fold(first(record, &[name])?, |value, name| value.get(name)).filter(|value| !value.is_null())
}

/// How many of the likeliest tokens are considered.
pub(super) fn top_k(record: &CallRecord) -> Option<f64> {
    first(record, &["top_k", "topK", "k"])?.as_f64()
}

/// How hard the model is to think.
pub(super) fn reasoning_effort(record: &CallRecord) -> Option<&str> {
    first(record, &["reasoning_effort"])
        .or_else(|| at(record, &["reasoning", "effort"]))
        .or_else(|| at(record, &["output_config", "effort"]))?
        .as_str()
}

/// The JSON schema that the answer has to follow.
pub(super) fn output_schema(record: &CallRecord) -> Option<&Value> {
    at(record, &["response_format", "json_schema", "schema"])
        .or_else(|| at(record, &["response_format", "json_schema"]))
        .or_else(|| at(record, &["text", "format", "schema"]))
        .or_else(|| at(record, &["output_config", "format", "schema"]))
        .or_else(|| first(record, &["responseJsonSchema", "responseSchema", "response_schema"]))
        .or_else(|| first(record, &["format"]).filter(|format| format.is_object()))
}

/// `gen_ai.output.type`: what kind of answer was asked for.
pub(super) fn output_type(record: &CallRecord) -> Option<&'static str> {
    match record.operation {
        Operation::ImageGeneration => return Some("image"),
        Operation::Speech => return Some("speech"),
        _ => {}
    }
    if let Some(modalities) = first(record, &["modalities", "responseModalities"]).and_then(Value::as_array) {
        let asks = |what: &str| {
            modalities.iter().filter_map(Value::as_str).any(|modality| modality.eq_ignore_ascii_case(what))
        };
        if asks("audio") {
            return Some("speech");
        }
        if asks("image") {
            return Some("image");
        }
    }
    let kind = at(record, &["response_format", "type"]).or_else(|| at(record, &["text", "format", "type"]));
    match kind.and_then(Value::as_str) {
        Some("json_object" | "json_schema") => return Some("json"),
        Some("text") => return Some("text"),
        _ => {}
    }
    let json = first(record, &["responseMimeType", "response_mime_type"]).and_then(Value::as_str)
        == Some("application/json")
        || first(record, &["format"]).is_some_and(|format| format == "json" || format.is_object());
    json.then_some("json")
}

/// The encodings that were asked for of an embedding.
pub(super) fn encoding_formats(record: &CallRecord) -> Vec<String> {
    match first(record, &["encoding_format", "encoding_formats", "embedding_types"]) {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(several)) => several.iter().filter_map(|it| it.as_str().map(str::to_owned)).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing;

    #[test]
    fn what_was_asked_for_is_told_in_every_spelling() {
        let table = [
            (json!({"response_format": {"type": "json_object"}}), Some("json")),
            (json!({"response_format": {"type": "text"}}), Some("text")),
            (json!({"text": {"format": {"type": "json_schema", "schema": {}}}}), Some("json")),
            (json!({"responseMimeType": "application/json"}), Some("json")),
            (json!({"format": "json"}), Some("json")),
            (json!({"modalities": ["text", "audio"]}), Some("speech")),
            (json!({"responseModalities": ["TEXT", "IMAGE"]}), Some("image")),
            (json!({"response_format": null, "top_k": 40}), None),
        ];
        for (params, expected) in table {
            let mut record = testing::minimal("a");
            record["request"]["params"] = params.clone();
            assert_eq!(output_type(&testing::from_json(record)), expected, "{params}");
        }
    }
}
