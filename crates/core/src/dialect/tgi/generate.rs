//! `POST /generate` and `/generate_stream`: `{"inputs", "parameters"}` in, `{"generated_text", "details"}` out.
//!
//! Each event of a stream has one `token`; the last one has the whole text and the details as well. `details` are there
//! where the request asked for them; the counts are in headers, too. Text of special tokens is no text.

use crate::capture::KeptHeaders;
use crate::dialect::facts::{RequestFacts, ResponseFacts, append, sum};
use crate::dialect::{Dialect, Event, openai, params};
use crate::json::Json;

/// See the module.
#[derive(Debug)]
pub struct TgiGenerate;

impl Dialect for TgiGenerate {
    fn name(&self) -> &'static str {
        "tgi_generate"
    }

    fn accepts(&self, request: &Json<'_>) -> bool {
        !request.get("inputs").is_null()
    }

    fn read_request(&self, body: &Json<'_>, facts: &mut RequestFacts) {
        facts.request.stream = body.get("stream").bool().unwrap_or(false);
        facts.request.model = body.get("model").id();
        params::read(body, &["inputs", "parameters", "stream", "model"], &mut facts.request.params);
        params::read(body.get("parameters"), &[], &mut facts.request.params);
        facts.request.messages = openai::read_texts(body.get("inputs"));
    }

    fn read_response(&self, body: &Json<'_>, _: &RequestFacts, facts: &mut ResponseFacts) {
        read_error(body, facts);
        if body.is_object() {
            read_generated(body, 0, facts);
        }
        // `POST /` answers with a list of one; a list of prompts with one of each.
        for (index, item) in body.items().iter().enumerate() {
            read_generated(item.items().first().unwrap_or(item), index, facts);
        }
    }

    fn read_event(&self, event: &Event<'_>, _: &RequestFacts, facts: &mut ResponseFacts) {
        let body = event.body.items().first().unwrap_or(event.body);
        read_error(body, facts);
        let token = body.get("token");
        let text = token.get("text").str().filter(|_| token.get("special").bool() != Some(true));
        if let (Some(text), Some(choice)) = (text, facts.choice(0)) {
            append(&mut choice.text, text);
            if !text.is_empty() {
                facts.token_at(event.at);
            }
        }
        read_generated(body, 0, facts);
    }

    fn read_headers(&self, headers: &KeptHeaders, facts: &mut ResponseFacts) {
        let usage = &mut facts.usage;
        usage.input = usage.input.or_else(|| headers.count("x-prompt-tokens"));
        usage.output = usage.output.or_else(|| headers.count("x-generated-tokens"));
        usage.total = usage.total.or_else(|| sum(usage.input, usage.output));
    }
}

/// Errors have their type beside them.
fn read_error(body: &Json<'_>, facts: &mut ResponseFacts) {
    if let (Some(error), Some(kind)) = (&mut facts.error, body.get("error_type").word()) {
        error.kind.get_or_insert(kind);
    }
}

/// Reads a text with its details: an answer, the last event of a stream.
fn read_generated(body: &Json<'_>, index: usize, facts: &mut ResponseFacts) {
    let details = body.get("details");
    read_sequence(body, details, index, facts);
    let usage = &mut facts.usage;
    usage.output = details.get("generated_tokens").count().or(usage.output);
    // The prompt's tokens are listed where the request asks for them; streams tell their number.
    let prefill = details.get("prefill").count_items().filter(|count| *count > 0).map(|count| count as u64);
    usage.input = details.get("input_length").count().or(prefill).or(usage.input);
    usage.total = sum(usage.input, usage.output);
    facts.keep_extra("seed", details.get("seed").to_value());
    for (position, other) in details.get("best_of_sequences").items().iter().enumerate() {
        read_sequence(other, other, index + position + 1, facts);
    }
}

fn read_sequence(body: &Json<'_>, details: &Json<'_>, index: usize, facts: &mut ResponseFacts) {
    let (text, reason) = (body.get("generated_text").str(), details.get("finish_reason").word());
    if text.is_none() && reason.is_none() {
        return;
    }
    if let Some(choice) = facts.choice(index) {
        if let Some(text) = text {
            choice.text = Some(text.to_owned());
        }
        choice.finish_reason = reason.or(choice.finish_reason.take());
    }
}
