//! How much memory a record takes, told once per record: queues are bounded by it, batches are cut by it.

use ai_tracing_core::http::Http;
use ai_tracing_core::record::{CallRecord, Choice, Content, Message, Part, ToolCall};
use serde_json::{Map, Value};

/// What a map's entry takes besides its key's text and its value: the key, and its share of the tree.
const ENTRY: usize = size_of::<String>() + 16;

/// Bytes of the record: its own, and those of everything that it holds.
pub(crate) fn weigh(record: &CallRecord) -> usize {
    let CallRecord { context, request, response, server, error, .. } = record;
    let params = &request.params;
    let names = [&record.id, &record.provider, &record.dialect, &record.trace_id, &record.span_id];
    let names = names.into_iter().chain([&record.name, &record.method]);
    let ids = [
        &record.parent_span_id,
        &record.tracestate,
        &record.service,
        &record.route,
        &record.consumer,
        &server.address,
        &context.user_id,
        &context.session_id,
        &context.chat_id,
        &context.message_id,
        &context.organization_id,
        &context.project_id,
        &context.environment,
        &request.model,
        &response.id,
        &response.model,
        &response.text,
        &response.reasoning,
        &response.refusal,
        &response.system_fingerprint,
        &response.service_tier,
        &response.request_id,
        &response.api_version,
    ];
    size_of::<CallRecord>()
        + names.map(String::len).sum::<usize>()
        + texts(ids)
        + map(&context.metadata)
        + map(&params.other)
        + params.stop.as_deref().map_or(0, list)
        + request.messages.iter().map(message).sum::<usize>()
        + request.tools.iter().map(value).sum::<usize>()
        + tool_calls(&response.tool_calls)
        + list(&response.finish_reasons)
        + response.more_choices.iter().map(choice).sum::<usize>()
        + map(&response.extra)
        + error.as_ref().map_or(0, |error| texts([&error.kind, &error.message]))
        + list(&record.issues)
        + record.http.as_deref().map_or(0, Http::weight)
}

fn message(message: &Message) -> usize {
    let content = match &message.content {
        None => 0,
        Some(Content::Text(text)) => text.len(),
        Some(Content::Parts(parts)) => parts.iter().map(part).sum(),
    };
    size_of::<Message>()
        + content
        + message.role.len()
        + texts([&message.name, &message.reasoning, &message.refusal, &message.tool_call_id])
        + tool_calls(&message.tool_calls)
}

fn part(part: &Part) -> usize {
    size_of::<Part>()
        + match part {
            Part::Text { text } => text.len(),
            Part::Media(media) => media.modality.len() + texts([&media.mime_type, &media.uri, &media.file_id]),
            Part::Other { value: other } => value(other),
        }
}

fn choice(choice: &Choice) -> usize {
    size_of::<Choice>()
        + texts([&choice.text, &choice.reasoning, &choice.refusal, &choice.finish_reason])
        + tool_calls(&choice.tool_calls)
}

fn tool_calls(calls: &[ToolCall]) -> usize {
    calls.iter().map(|call| size_of::<ToolCall>() + texts([&call.id, &call.name, &call.arguments])).sum()
}

fn map(map: &Map<String, Value>) -> usize {
    map.iter().map(|(key, item)| ENTRY + key.len() + value(item)).sum()
}

fn value(item: &Value) -> usize {
    size_of::<Value>()
        + match item {
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
            Value::String(text) => text.len(),
            Value::Array(items) => items.iter().map(value).sum(),
            Value::Object(object) => map(object),
        }
}

fn list(texts: &[String]) -> usize {
    texts.iter().map(|text| size_of::<String>() + text.len()).sum()
}

fn texts<'a>(texts: impl IntoIterator<Item = &'a Option<String>>) -> usize {
    texts.into_iter().flatten().map(String::len).sum()
}

#[cfg(test)]
mod tests {
    use ai_tracing_core::record::CallRecord;
    use serde_json::{Value, json};

    use super::*;
    use crate::testing;

    /// Every text of a record made `long`, wherever it is; numbers and what has a fixed form stay.
    fn lengthen(value: &mut Value, key: &str, long: &str) {
        match value {
            Value::String(text) if !["operation", "end", "type", "started_at"].contains(&key) => text.push_str(long),
            Value::Array(items) => items.iter_mut().for_each(|item| lengthen(item, key, long)),
            Value::Object(map) => map.iter_mut().for_each(|(key, item)| lengthen(item, key, long)),
            _ => {}
        }
    }

    fn full() -> Value {
        let mut record = testing::minimal("a");
        for key in ["parent_span_id", "tracestate", "service", "route", "consumer"] {
            record[key] = json!("x");
        }
        record["server"]["address"] = json!("x");
        let ids = ["user_id", "session_id", "chat_id", "message_id", "organization_id", "project_id", "environment"];
        for key in ids {
            record["context"][key] = json!("x");
        }
        record["context"]["metadata"] = json!({"a": ["x", {"b": "x"}]});
        let call = json!({"id": "x", "name": "x", "arguments": "x"});
        let parts = json!([{"type": "text", "text": "x"}, {"type": "other", "value": {"v": "x"}},
            {"type": "media", "modality": "x", "mime_type": "x", "uri": "x", "file_id": "x"}]);
        let message = json!({"role": "x", "content": parts, "name": "x", "reasoning": "x", "refusal": "x",
            "tool_calls": [call], "tool_call_id": "x"});
        record["request"] = json!({"model": "x", "message_count": 1, "params": {"stop": ["x"], "other": "x"},
            "stream": false, "messages": [message], "tools": [{"name": "x"}]});
        let choice = json!({"text": "x", "reasoning": "x", "refusal": "x", "tool_calls": [call], "finish_reason": "x"});
        record["response"] = json!({"id": "x", "model": "x", "text": "x", "reasoning": "x", "refusal": "x",
            "tool_calls": [call], "finish_reasons": ["x"], "more_choices": [choice], "embedding_dims": null,
            "system_fingerprint": "x", "service_tier": "x", "request_id": "x", "api_version": "x", "extra": {"a": "x"}});
        record["error"] = json!({"type": "x", "message": "x"});
        record["issues"] = json!(["x"]);
        record
    }

    #[test]
    fn every_text_counts() {
        let weight = |value: &Value| weigh(&serde_json::from_value::<CallRecord>(value.clone()).unwrap());
        let short = full();
        let mut long = short.clone();
        lengthen(&mut long, "", &"y".repeat(1000));
        let texts = long.to_string().matches(&"y".repeat(1000)).count();
        assert!(texts > 50, "{texts}");
        assert_eq!(weight(&long) - weight(&short), texts * 1000);
    }

    #[test]
    fn the_http_exchange_counts() {
        let mut record = serde_json::from_value::<CallRecord>(full()).unwrap();
        let without = weigh(&record);
        let fields = json!({"fields": [["x", "y".repeat(1000)]], "left_out": 0});
        let request = json!({"method": "POST", "path": "/", "query": fields, "headers": fields, "body_bytes": 1000,
            "body": {"encoding": null, "start": {"text": "y".repeat(1000)}, "missing": null, "end": null}});
        let http = json!({"request": request, "response": null, "bodies": "kept", "timeline": null});
        record.http = Some(Box::new(serde_json::from_value(http).unwrap()));
        assert!((3000..4000).contains(&(weigh(&record) - without)), "{}", weigh(&record) - without);
    }

    #[test]
    fn many_small_values_weigh_what_they_take() {
        let mut record = testing::minimal("a");
        record["context"]["metadata"] = json!({"numbers": vec![0; 100_000]});
        assert!(weigh(&testing::from_json(record)) >= 100_000 * size_of::<Value>());
    }
}
