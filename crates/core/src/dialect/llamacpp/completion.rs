//! `POST /completion` and `POST /infill`: a prompt, or what stands around a gap, in; `content` out.
//!
//! Streams are server-sent events with a piece of `content` each; the last one has `stop: true` and the counts.

use crate::dialect::facts::{RequestFacts, ResponseFacts, append, index, keep_first, sum};
use crate::dialect::{Dialect, Event, openai, params};
use crate::json::Json;
use crate::record::Usage;

/// See the module.
#[derive(Debug)]
pub struct LlamaCppCompletion {
    /// The member that the request must have.
    pub prompt: &'static str,
}

/// Members that are content, or read elsewhere.
const NOT_PARAMETERS: [&str; 8] =
    ["prompt", "stream", "model", "input_prefix", "input_suffix", "input_extra", "image_data", "multimodal_data"];

impl Dialect for LlamaCppCompletion {
    fn name(&self) -> &'static str {
        match self.prompt {
            "prompt" => "llamacpp_completion",
            _ => "llamacpp_infill",
        }
    }

    /// Web applications have completions, too: their pages send the prompt and at most an id.
    fn accepts(&self, request: &Json<'_>) -> bool {
        let tells_more = |key: &str| !["prompt", "id"].contains(&key);
        !request.get(self.prompt).is_null() && request.members().iter().any(|(key, _)| tells_more(key))
    }

    fn read_request(&self, body: &Json<'_>, facts: &mut RequestFacts) {
        facts.request.model = body.get("model").id();
        facts.request.stream = body.get("stream").bool().unwrap_or(false);
        params::read(body, &NOT_PARAMETERS, &mut facts.request.params);
        let prompt = body.get("prompt");
        // Prompts with media: `{"prompt_string", "multimodal_data"}`.
        let prompt = if prompt.is_object() { prompt.get("prompt_string") } else { prompt };
        let texts = [body.get("input_prefix"), prompt, body.get("input_suffix")];
        facts.request.messages = texts.into_iter().flat_map(openai::read_texts).collect();
    }

    fn read_response(&self, body: &Json<'_>, _: &RequestFacts, facts: &mut ResponseFacts) {
        read(body, 0, facts);
        // A list of prompts is answered by a list: its counts are of different prompts.
        let mut usage: Option<Usage> = None;
        for (position, item) in body.items().iter().enumerate() {
            read(item, position, facts);
            usage = Some(usage.map_or(facts.usage, |so_far| add(&so_far, &facts.usage)));
        }
        facts.usage = usage.unwrap_or(facts.usage);
    }

    fn read_event(&self, event: &Event<'_>, _: &RequestFacts, facts: &mut ResponseFacts) {
        if read(event.body, 0, facts) {
            facts.token_at(event.at);
        }
    }
}

/// Whole answers and chunks have the same shape. True when it carried a generated token.
fn read(body: &Json<'_>, position: usize, facts: &mut ResponseFacts) -> bool {
    let index = index(body, position);
    let settings = body.get("generation_settings");
    keep_first(&mut facts.model, body.get("model").id().or_else(|| settings.get("model").id()));
    let ended = body.get("stop").bool() == Some(true);
    let mut token = false;
    if let (Some(text), Some(choice)) = (body.get("content").str(), facts.choice(index)) {
        token = !text.is_empty();
        append(&mut choice.text, text);
        if ended || !body.get("stop_type").is_null() {
            choice.finish_reason = finish_reason(body).or(choice.finish_reason.take());
        }
    }
    let (input, output) = (body.get("tokens_evaluated").count(), body.get("tokens_predicted").count());
    if input.is_some() || output.is_some() {
        let total = sum(input, output);
        // `tokens_cached` is the length of the whole context afterwards: no count of what was read from the cache.
        let cache_read = body.get("timings").get("cache_n").count();
        facts.usage = Usage { input, output, total, cache_read, ..Usage::default() };
    }
    for key in ["timings", "tokens_cached", "truncated"] {
        facts.keep_extra(key, body.get(key).to_value());
    }
    if let Some(word) = body.get("stopping_word").word() {
        facts.keep_extra("stopping_word", word.into());
    }
    token
}

/// `stop_type`: `eos`, `limit` or `word`; before it there were flags of these names.
fn finish_reason(body: &Json<'_>) -> Option<String> {
    let told = body.get("stop_type").word().filter(|kind| kind != "none");
    told.or_else(|| {
        let flags = [("stopped_eos", "eos"), ("stopped_word", "word"), ("stopped_limit", "limit")];
        let set = flags.iter().find(|(flag, _)| body.get(flag).bool() == Some(true));
        set.map(|(_, name)| (*name).to_owned())
    })
}

fn add(one: &Usage, other: &Usage) -> Usage {
    Usage {
        input: sum(one.input, other.input),
        output: sum(one.output, other.output),
        total: sum(one.total, other.total),
        cache_read: sum(one.cache_read, other.cache_read),
        ..Usage::default()
    }
}
