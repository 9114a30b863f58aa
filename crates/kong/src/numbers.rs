//! What Kong's log serializer is told of a call: the numbers that Kong's own `prometheus` plugin and its log plugins
//! read, in the names that Kong's AI plugins use.

use ai_tracing_core::record::CallRecord;
use serde::Serialize;

/// Values of `ai.ai-tracing` in Kong's log; what is not known is left out.
#[derive(Debug, PartialEq, Serialize)]
pub struct Numbers<'a> {
    meta: Meta<'a>,
    usage: Usage,
}

#[derive(Debug, PartialEq, Serialize)]
struct Meta<'a> {
    provider_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_model: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_model: Option<&'a str>,
    /// Milliseconds from handing the request to the upstream to the last byte of its answer.
    llm_latency: f64,
}

#[derive(Debug, PartialEq, Serialize)]
struct Usage {
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completion_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_tokens: Option<u64>,
    /// Milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    time_per_token: Option<f64>,
    /// US dollars.
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<f64>,
}

impl<'a> Numbers<'a> {
    /// The numbers of a call.
    pub fn of(record: &'a CallRecord) -> Self {
        let (timing, usage) = (&record.timing, &record.usage);
        let llm_latency = (timing.total_duration_ms - timing.gateway_ms.unwrap_or(0.0)).max(0.0);
        Self {
            meta: Meta {
                provider_name: &record.provider,
                request_model: record.request.model.as_deref(),
                response_model: record.response.model.as_deref(),
                llm_latency,
            },
            usage: Usage {
                prompt_tokens: usage.input,
                completion_tokens: usage.output,
                total_tokens: usage.total,
                // Kong's own: the whole latency over the tokens of the answer.
                time_per_token: usage.output.filter(|tokens| *tokens > 0).map(|tokens| llm_latency / tokens as f64),
                cost: record.cost.map(|cost| cost.total),
            },
        }
    }
}
