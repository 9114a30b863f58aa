//! What follows from the facts: lengths, estimated tokens, rates, cost.

use crate::dialect::TOKEN_IDS;
use crate::estimate;
use crate::record::{CallRecord, Content, End, Message, Operation, Part, Response, Timing};

/// What of an exchange was kept whole. Of what was cut, neither length nor tokens are known: a count of the rest would
/// be too small, and nobody could tell.
#[derive(Clone, Copy, Debug)]
pub struct Whole {
    /// The request's body.
    pub request: bool,
    /// The response's body.
    pub response: bool,
}

/// Fills everything that is calculated. `started_at` and the durations that were measured are set already.
pub fn fill(record: &mut CallRecord, whole: Whole, estimate_tokens: bool) {
    record.prompt_length = prompt_length(&record.request.messages).filter(|_| whole.request);
    let text = record.response.text.as_ref().filter(|_| whole.response);
    record.response_length = text.map(|text| text.chars().count() as u64);
    if estimate_tokens {
        estimate_usage(record, whole);
    }
    rates(record);
}

/// Characters of all messages' text; `None` where there is no text, such as in prompts of token ids.
fn prompt_length(messages: &[Message]) -> Option<u64> {
    let lengths = messages.iter().flat_map(texts).map(|text| text.chars().count() as u64);
    lengths.reduce(u64::saturating_add)
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

/// Tokens of a prompt that came as token ids.
fn token_ids(message: &Message) -> u64 {
    let Some(Content::Parts(parts)) = &message.content else { return 0 };
    let count = |part: &Part| match part {
        Part::Other { value } => value.get(TOKEN_IDS)?.as_u64(),
        Part::Text { .. } | Part::Media(_) => None,
    };
    parts.iter().filter_map(count).fold(0, u64::saturating_add)
}

/// Everything that was generated, in pieces.
fn generated(response: &Response) -> impl Iterator<Item = &str> {
    let first = [&response.text, &response.reasoning, &response.refusal].into_iter();
    let more = response.more_choices.iter().flat_map(|choice| [&choice.text, &choice.reasoning, &choice.refusal]);
    let calls = response.tool_calls.iter().chain(response.more_choices.iter().flat_map(|choice| &choice.tool_calls));
    let calls = calls.flat_map(|call| [&call.name, &call.arguments]);
    first.chain(more).chain(calls).flatten().map(String::as_str)
}

/// Counts tokens where the provider did not, and flags it. What was never said has no length that anybody knows of: a
/// call that was refused, an answer that could not be read, a stream that said nothing.
fn estimate_usage(record: &mut CallRecord, whole: Whole) {
    let response = &record.response;
    let generates = matches!(record.operation, Operation::Chat | Operation::TextCompletion);
    let embeds = record.operation == Operation::Embeddings;
    let succeeded = record.status.is_some_and(|status| (200..300).contains(&status)) && record.error.is_none();
    let said = generated(response).any(|text| !text.is_empty());
    let understood = response.id.is_some()
        || response.model.is_some()
        || !response.finish_reasons.is_empty()
        || response.embedding_count.is_some()
        || record.usage.output.is_some();
    let answered = succeeded && understood && record.end == End::Complete;
    if !(generates && (said || answered) || embeds && succeeded && understood) {
        return;
    }
    let model = response.model.as_deref().or(record.request.model.as_deref());
    let mut estimated = false;
    if embeds && record.usage.input.is_none() {
        // Nothing is generated: all there is was read. Voyage tells no more than that.
        record.usage.input = record.usage.total;
    }
    if record.usage.input.is_none() && whole.request && !record.request.messages.is_empty() {
        let messages = &record.request.messages;
        record.usage.input = Some(match record.operation {
            Operation::Chat => {
                estimate::estimate_chat(model, messages.iter().map(|message| (message.role.as_str(), joined(message))))
            }
            _ => {
                let ids = messages.iter().map(token_ids).fold(0, u64::saturating_add);
                estimate::estimate_texts(model, messages.iter().flat_map(texts)).saturating_add(ids)
            }
        });
        estimated = true;
    }
    if record.usage.output.is_none() && whole.response && generates && said {
        record.usage.output = Some(estimate::estimate_texts(model, generated(response)));
        estimated = true;
    }
    if estimated {
        record.tokens_estimated = true;
        if record.usage.total.is_none() && (embeds || record.usage.output.is_some()) {
            let output = record.usage.output.unwrap_or(0);
            record.usage.total = record.usage.input.map(|input| input.saturating_add(output));
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
        // When the tokens of a stream came is not known then; nor is what nobody measured.
        None => (!record.stream && total > 0.0).then(|| total / output as f64),
    };
    record.timing.throughput_tokens_per_second = (total > 0.0).then(|| output as f64 * 1000.0 / total);
    record.token_efficiency = record.usage.input.filter(|input| *input > 0).map(|input| output as f64 / input as f64);
}
