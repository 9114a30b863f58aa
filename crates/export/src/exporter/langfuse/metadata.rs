//! What stands in the metadata of the trace and of each observation. A key is there only when its value is known.

use ai_tracing_core::record::CallRecord;
use serde_json::{Map, Value};

use crate::exporter::some;

/// The model that answered; the one asked for where the answer names none. Langfuse prices by it.
pub(super) fn model(record: &CallRecord) -> Option<String> {
    some(&record.response.model).or_else(|| some(&record.request.model))
}

/// The parameters of the request, as sent.
pub(super) fn parameters(record: &CallRecord) -> Map<String, Value> {
    let mut map = match serde_json::to_value(&record.request.params) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    };
    map.retain(|_, value| !value.is_null());
    map
}

/// Of the call as a whole: stands on the trace and on its root.
pub(super) fn of_call(record: &CallRecord) -> Map<String, Value> {
    let context = &record.context;
    let timing = &record.timing;
    let asked = some(&record.request.model);
    let answered = model(record);
    let mut known = Known::default();
    known.put("provider", Some(record.provider.as_str()));
    known.put("model", answered.clone());
    known.put("request_model", asked.filter(|asked| Some(asked) != answered.as_ref()));
    known.put("operation", Some(record.operation.as_str()));
    known.put("stream", Some(record.stream));
    known.put("status_code", record.status);
    known.put("environment", some(&context.environment));
    known.put("total_duration_ms", finite(Some(timing.total_duration_ms)));
    known.put("time_to_first_token_ms", finite(timing.time_to_first_token_ms));
    known.put("time_per_token_ms", finite(timing.time_per_token_ms));
    known.put("throughput_tokens_per_second", finite(timing.throughput_tokens_per_second));
    known.put("upstream_ms", finite(timing.upstream_ms));
    known.put("gateway_ms", finite(timing.gateway_ms));
    known.put("user_id", some(&context.user_id));
    known.put("session_id", some(&context.session_id));
    known.put("chat_id", some(&context.chat_id));
    known.put("message_id", some(&context.message_id));
    known.put("organization_id", some(&context.organization_id));
    known.put("project_id", some(&context.project_id));
    known.put("service", some(&record.service));
    known.put("route", some(&record.route));
    known.put("consumer", some(&record.consumer));
    known.put("server_address", some(&record.server.address));
    known.put("server_port", record.server.port);
    known.put("call_id", some(&Some(record.id.clone())));
    known.put("request_id", some(&record.response.request_id));
    known.put("issues", Some(record.issues.clone()).filter(|issues| !issues.is_empty()));
    let mut map = known.0;
    for (key, value) in &context.metadata {
        if value.is_null() {
            continue;
        }
        // What the request says must not pass for what was measured.
        let key = if map.contains_key(key) { format!("request.{key}") } else { key.clone() };
        map.insert(key, value.clone());
    }
    map
}

/// Of what was asked.
pub(super) fn of_prompt(record: &CallRecord) -> Map<String, Value> {
    let params = &record.request.params;
    let mut known = Known::default();
    known.put("prompt_tokens", record.usage.input);
    known.put("cached_tokens", record.usage.cache_read);
    known.put("temperature", finite(params.temperature));
    known.put("max_tokens", params.max_tokens);
    known.put("top_p", finite(params.top_p));
    known.put("frequency_penalty", finite(params.frequency_penalty));
    known.put("presence_penalty", finite(params.presence_penalty));
    known.put("message_count", record.request.message_count);
    known.put("prompt_length", record.prompt_length);
    known.put("tools", Some(record.request.tools.clone()).filter(|tools| !tools.is_empty()));
    known.0
}

/// Of what was answered.
pub(super) fn of_completion(record: &CallRecord) -> Map<String, Value> {
    let response = &record.response;
    let mut known = Known::default();
    known.put("end", Some(record.end.as_str()));
    known.put("tokens_estimated", record.tokens_estimated.then_some(true));
    known.put("completion_tokens", record.usage.output);
    known.put("reasoning_tokens", record.usage.reasoning);
    known.put("total_tokens", record.usage.total);
    known.put("finish_reason", response.finish_reasons.first().cloned());
    known.put("finish_reasons", Some(response.finish_reasons.clone()).filter(|reasons| reasons.len() > 1));
    known.put("response_id", some(&response.id));
    known.put("response_length", record.response_length);
    known.put("token_efficiency", finite(record.token_efficiency));
    known.put("system_fingerprint", some(&response.system_fingerprint));
    known.put("service_tier", some(&response.service_tier));
    known.put("api_version", some(&response.api_version));
    known.put("extra", Some(Value::Object(response.extra.clone())).filter(|_| !response.extra.is_empty()));
    known.0
}

#[derive(Default)]
struct Known(Map<String, Value>);

impl Known {
    fn put(&mut self, key: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.0.insert(key.to_owned(), value.into());
        }
    }
}

/// JSON has no other numbers.
fn finite(number: Option<f64>) -> Option<f64> {
    number.filter(|number| number.is_finite())
}
