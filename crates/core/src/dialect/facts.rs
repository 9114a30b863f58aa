//! What dialects fill in while they read.

use serde_json::{Map, Value};

use crate::capture::KeptHeaders;
use crate::json::Json;
use crate::record::{CallError, Choice, Media, Operation, Request, Response, ToolCall, Usage};
use crate::time::At;

/// Media that are kept of one answer.
const MAX_MEDIA: usize = 128;
/// Choices of one answer that are kept; `n` is small in practice, and hostile indices must not allocate.
const MAX_CHOICES: usize = 128;
/// Tool calls of one choice that are kept.
const MAX_TOOL_CALLS: usize = 1024;

/// What a request says.
#[derive(Debug, Default)]
pub struct RequestFacts {
    /// The record's part.
    pub request: Request,
    /// What the body shows the call to be, where the path does not tell.
    pub operation: Option<Operation>,
    /// Request headers that tell a dialect more; set before the body is read.
    pub headers: KeptHeaders,
    /// OpenAI's `user`.
    pub user: Option<String>,
    /// The body's `metadata`.
    pub metadata: Map<String, Value>,
}

/// What an answer says.
#[derive(Debug, Default)]
pub struct ResponseFacts {
    /// The provider's id of the response.
    pub id: Option<String>,
    /// The model that answered.
    pub model: Option<String>,
    /// The choices, by index.
    pub choices: Vec<ChoiceFacts>,
    /// Token counts as reported; in a stream the last ones.
    pub usage: Usage,
    /// Prompt tokens without those of the cache, where the provider counts them apart (Anthropic, Bedrock): what
    /// [`Self::count_with_cache`] makes `usage.input` of.
    pub uncached_input: Option<u64>,
    /// Tokens that are paid for, where the provider bills others than it counts (Cohere).
    pub billed: Option<Usage>,
    /// Completion tokens that were counted before there were more, where the provider counts anew at the end (Anthropic).
    pub output_before: Option<u64>,
    /// Length of the first vector.
    pub embedding_dims: Option<u64>,
    /// Number of vectors.
    pub embedding_count: Option<u64>,
    /// OpenAI's `system_fingerprint`.
    pub system_fingerprint: Option<String>,
    /// OpenAI's `service_tier`.
    pub service_tier: Option<String>,
    /// Media that were generated.
    pub media: Vec<Media>,
    /// What else is worth keeping.
    pub extra: Map<String, Value>,
    /// An error in the body.
    pub error: Option<CallError>,
    /// When the first generated token passed.
    pub first_token_at: Option<At>,
    /// A provider that the body gives away.
    pub provider: Option<&'static str>,
    /// What the answer shows the call to have been, where it tells more than path and request.
    pub operation: Option<Operation>,
    /// What could not be read.
    pub issues: Vec<String>,
}

/// One choice, as far as it is known.
#[derive(Debug, Default)]
pub struct ChoiceFacts {
    /// Text so far; `None` until the answer says any, if only an empty one.
    pub text: Option<String>,
    /// Reasoning so far.
    pub reasoning: Option<String>,
    /// Refusal so far.
    pub refusal: Option<String>,
    /// Tool calls so far.
    pub tool_calls: Vec<ToolFacts>,
    /// Why it ended.
    pub finish_reason: Option<String>,
}

/// One tool call, as far as it is known.
#[derive(Debug, Default)]
pub struct ToolFacts {
    /// The provider's index in the stream.
    pub index: Option<u64>,
    /// The call.
    pub call: ToolCall,
    /// Its arguments, where they come value by value instead of as text (Vertex AI).
    pub values: Value,
}

impl ResponseFacts {
    /// The choice of that index; `None` beyond the bound.
    pub fn choice(&mut self, index: usize) -> Option<&mut ChoiceFacts> {
        if index >= MAX_CHOICES {
            return None;
        }
        if self.choices.len() <= index {
            self.choices.resize_with(index + 1, ChoiceFacts::default);
        }
        self.choices.get_mut(index)
    }

    /// Notes that a generated token passed at `at`; the first time counts.
    pub fn token_at(&mut self, at: At) {
        self.first_token_at.get_or_insert(at);
    }

    /// Sets `usage.input`, and a `usage.total` that the provider did not give, where cached tokens are counted beside
    /// the input instead of inside it.
    pub fn count_with_cache(&mut self, reported_total: Option<u64>) {
        let usage = &mut self.usage;
        let cached = usage.cache_read.unwrap_or(0).saturating_add(usage.cache_write.unwrap_or(0));
        usage.input = self.uncached_input.map(|input| input.saturating_add(cached));
        usage.total = reported_total.or_else(|| sum(usage.input, usage.output));
    }

    /// Keeps media that were generated, up to a bound.
    pub fn keep_media(&mut self, media: impl IntoIterator<Item = Media>) {
        let room = MAX_MEDIA.saturating_sub(self.media.len());
        self.media.extend(media.into_iter().take(room));
    }

    /// Keeps something under a name of its own.
    pub fn keep_extra(&mut self, key: &str, value: Value) {
        if !value.is_null() {
            self.extra.insert(key.to_owned(), value);
        }
    }

    /// The record's part; `request_id` and `api_version` come from the headers.
    pub fn into_response(self, request_id: Option<String>, api_version: Option<String>) -> Response {
        let finish_reasons = self.choices.iter().filter_map(|choice| choice.finish_reason.clone()).collect();
        let mut choices = self.choices.into_iter();
        let first = choices.next().unwrap_or_default();
        let calls = |tools: Vec<ToolFacts>| tools.into_iter().map(ToolFacts::into_call).collect();
        Response {
            id: self.id,
            model: self.model,
            text: first.text,
            reasoning: first.reasoning,
            refusal: first.refusal,
            tool_calls: calls(first.tool_calls),
            finish_reasons,
            more_choices: choices
                .map(|choice| Choice {
                    text: choice.text,
                    reasoning: choice.reasoning,
                    refusal: choice.refusal,
                    tool_calls: calls(choice.tool_calls),
                    finish_reason: choice.finish_reason,
                })
                .collect(),
            embedding_dims: self.embedding_dims,
            embedding_count: self.embedding_count,
            system_fingerprint: self.system_fingerprint,
            service_tier: self.service_tier,
            media: self.media,
            request_id,
            api_version,
            extra: self.extra,
        }
    }
}

impl ToolFacts {
    fn into_call(self) -> ToolCall {
        let arguments = if self.values.is_null() { self.call.arguments } else { Some(self.values.to_string()) };
        ToolCall { arguments, ..self.call }
    }
}

impl ChoiceFacts {
    /// The tool call that a piece of a stream continues, or a new one. Providers tell calls apart by `index`, by `id`,
    /// or by both; some give every call index 0 and a new id.
    pub fn tool(&mut self, index: Option<u64>, id: Option<&str>) -> Option<&mut ToolFacts> {
        let known = self.tool_calls.iter().rposition(|tool| {
            let same_index = index.is_none() || tool.index == index;
            let same_id = id.is_none() || tool.call.id.is_none() || tool.call.id.as_deref() == id;
            same_index && same_id
        });
        let position = match known {
            Some(position) => position,
            None if self.tool_calls.len() < MAX_TOOL_CALLS => {
                self.tool_calls.push(ToolFacts { index, ..ToolFacts::default() });
                self.tool_calls.len() - 1
            }
            None => return None,
        };
        self.tool_calls.get_mut(position)
    }
}

/// The sum of two counts, where both are known.
pub fn sum(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.zip(other).map(|(one, other)| one.saturating_add(other))
}

/// A choice's own index, else its position.
pub fn index(choice: &Json<'_>, position: usize) -> usize {
    choice.get("index").count().and_then(|index| usize::try_from(index).ok()).unwrap_or(position)
}

/// Appends to a text that may not have begun.
pub fn append(text: &mut Option<String>, piece: &str) {
    text.get_or_insert_default().push_str(piece);
}

/// Keeps the first value that says something.
pub fn keep_first(slot: &mut Option<String>, value: Option<String>) {
    if slot.is_none() {
        *slot = value;
    }
}
