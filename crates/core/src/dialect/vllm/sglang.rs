//! SGLang's `POST /generate`: `{"text" or "input_ids", "sampling_params", "stream"}` in, `{"text", "meta_info"}` out; a
//! list of them for several prompts, or several answers to one.
//!
//! Streams are server-sent events, each with all the text so far.
//! Source: <https://docs.sglang.io/basic_usage/native_api.html>.

use crate::dialect::facts::{RequestFacts, ResponseFacts, index, keep_first, sum};
use crate::dialect::{Dialect, Event, openai, params};
use crate::json::Json;
use crate::record::Usage;

/// See the module.
#[derive(Debug)]
pub struct SglangGenerate;

/// Members that are content, or read elsewhere.
const NOT_PARAMETERS: [&str; 9] = [
    "text",
    "input_ids",
    "input_embeds",
    "image_data",
    "audio_data",
    "video_data",
    "sampling_params",
    "stream",
    "model",
];

impl Dialect for SglangGenerate {
    fn name(&self) -> &'static str {
        "sglang_generate"
    }

    fn accepts(&self, request: &Json<'_>) -> bool {
        let prompted = ["text", "input_ids", "input_embeds"].iter().any(|key| !request.get(key).is_null());
        prompted && !request.get("sampling_params").is_null()
    }

    fn read_request(&self, body: &Json<'_>, facts: &mut RequestFacts) {
        facts.request.model = body.get("model").id();
        facts.request.stream = body.get("stream").bool().unwrap_or(false);
        params::read(body, &NOT_PARAMETERS, &mut facts.request.params);
        params::read(body.get("sampling_params"), &[], &mut facts.request.params);
        let texts = [body.get("text"), body.get("input_ids")];
        facts.request.messages = texts.into_iter().flat_map(openai::read_texts).collect();
    }

    fn read_response(&self, body: &Json<'_>, request: &RequestFacts, facts: &mut ResponseFacts) {
        read(body, 0, facts);
        // Several prompts have tokens of their own, several answers to one share its.
        let several = request.request.messages.len() > 1;
        let mut usage = None;
        for (position, item) in body.items().iter().enumerate() {
            read(item, position, facts);
            usage = Some(usage.map_or(facts.usage, |so_far| add(&so_far, &facts.usage, several)));
        }
        facts.usage = usage.unwrap_or(facts.usage);
    }

    fn read_event(&self, event: &Event<'_>, _: &RequestFacts, facts: &mut ResponseFacts) {
        if read(event.body, 0, facts) {
            facts.token_at(event.at);
        }
    }
}

/// Reads one answer, or all of it so far. True when it carried generated tokens.
fn read(body: &Json<'_>, position: usize, facts: &mut ResponseFacts) -> bool {
    let index = index(body, position);
    let meta = body.get("meta_info");
    let text = body.get("text").str();
    if let Some(choice) = facts.choice(index).filter(|_| body.is_object()) {
        if let Some(text) = text {
            choice.text = Some(text.to_owned());
        }
        let reason = meta.get("finish_reason");
        choice.finish_reason = reason.get("type").word().or_else(|| reason.word()).or(choice.finish_reason.take());
    }
    keep_first(&mut facts.id, meta.get("id").id());
    let count = |key: &str| meta.get(key).count();
    let (input, output) = (count("prompt_tokens"), count("completion_tokens"));
    if input.is_some() || output.is_some() {
        facts.usage = Usage {
            input,
            output,
            total: sum(input, output),
            cache_read: count("cached_tokens"),
            reasoning: count("reasoning_tokens"),
            cache_write: None,
        };
    }
    facts.keep_extra("e2e_latency", meta.get("e2e_latency").to_value());
    text.is_some_and(|text| !text.is_empty())
}

fn add(one: &Usage, other: &Usage, prompts: bool) -> Usage {
    let of_prompt = |one, other| if prompts { sum(one, other) } else { one };
    let (input, output) = (of_prompt(one.input, other.input), sum(one.output, other.output));
    Usage {
        input,
        output,
        total: sum(input, output),
        cache_read: of_prompt(one.cache_read, other.cache_read),
        cache_write: None,
        reasoning: sum(one.reasoning, other.reasoning),
    }
}
