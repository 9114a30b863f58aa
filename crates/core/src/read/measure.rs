//! What follows from the facts: lengths, estimated tokens, rates, cost.

use crate::estimate;
use crate::record::{CallRecord, Content, End, Message, Operation, Part, Timing};

/// Fills everything that is calculated. `started_at` and the durations that were measured are set already.
pub fn fill(record: &mut CallRecord, estimate_tokens: bool) {
    record.prompt_length = prompt_length(&record.request.messages);
    record.response_length = record.response.text.as_ref().map(|text| text.chars().count() as u64);
    if estimate_tokens {
        estimate_usage(record);
    }
    rates(record);
}

/// Characters of all messages' text; `None` where there is no message.
fn prompt_length(messages: &[Message]) -> Option<u64> {
    let length = messages.iter().flat_map(texts).map(|text| text.chars().count() as u64).sum();
    (!messages.is_empty()).then_some(length)
}

/// The texts of a message.
fn texts(message: &Message) -> impl Iterator<Item = &str> {
    let (one, parts) = match &message.content {
        Some(Content::Text(text)) => (Some(text.as_str()), [].as_slice()),
        Some(Content::Parts(parts)) => (None, parts.as_slice()),
        None => (None, [].as_slice()),
    };
    let parts = parts.iter().filter_map(|part| match part {
        Part::Text { text } => Some(text.as_str()),
        Part::Media(_) | Part::Other { .. } => None,
    });
    one.into_iter().chain(parts)
}

/// Counts tokens where the provider did not, and flags it. A call that was refused used none that anybody knows of.
fn estimate_usage(record: &mut CallRecord) {
    let generates = matches!(record.operation, Operation::Chat | Operation::TextCompletion);
    let embeds = record.operation == Operation::Embeddings;
    let answered = record.status.is_some_and(|status| (200..300).contains(&status)) && record.error.is_none();
    let said =
        record.response.text.is_some() || record.response.reasoning.is_some() || !record.response.tool_calls.is_empty();
    if !(generates && (said || answered && record.end == End::Complete) || embeds && answered) {
        return;
    }
    let model = record.response.model.as_deref().or(record.request.model.as_deref());
    let mut estimated = false;
    if record.usage.input.is_none() && !record.request.messages.is_empty() {
        record.usage.input = Some(match record.operation {
            Operation::Chat => {
                let messages = record.request.messages.iter();
                estimate::estimate_chat(model, messages.map(|message| (message.role.as_str(), joined(message))))
            }
            _ => estimate::estimate_texts(model, record.request.messages.iter().flat_map(texts)),
        });
        estimated = true;
    }
    if record.usage.output.is_none() && generates {
        let response = &record.response;
        let first = [&response.text, &response.reasoning, &response.refusal].into_iter().flatten();
        let more = response.more_choices.iter().flat_map(|choice| [&choice.text, &choice.reasoning, &choice.refusal]);
        let calls =
            response.tool_calls.iter().chain(response.more_choices.iter().flat_map(|choice| &choice.tool_calls));
        let calls = calls.flat_map(|call| [&call.name, &call.arguments]);
        let texts = first.chain(more.flatten()).chain(calls.flatten());
        record.usage.output = Some(estimate::estimate_texts(model, texts));
        estimated = true;
    }
    if estimated {
        record.tokens_estimated = true;
        if record.usage.total.is_none() {
            record.usage.total = record.usage.input.map(|input| input + record.usage.output.unwrap_or(0));
        }
    }
}

fn joined(message: &Message) -> String {
    texts(message).collect::<Vec<_>>().join("\n")
}

/// Time per token, throughput, efficiency.
fn rates(record: &mut CallRecord) {
    let Timing { total_duration_ms: total, time_to_first_token_ms: first, .. } = record.timing;
    let Some(output) = record.usage.output.filter(|output| *output > 0) else { return };
    record.timing.time_per_token_ms = match first {
        // The first token is what the time to it was spent on.
        Some(first) => (output > 1).then(|| (total - first).max(0.0) / (output - 1) as f64),
        None => Some(total / output as f64),
    };
    record.timing.throughput_tokens_per_second = (total > 0.0).then(|| output as f64 * 1000.0 / total);
    record.token_efficiency = record.usage.input.filter(|input| *input > 0).map(|input| output as f64 / input as f64);
}
