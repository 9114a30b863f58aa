//! The record of one LLM call: what every exporter, the local store and the command line speak.
//!
//! A [`CallRecord`] is made once, when the exchange has ended, and never changed afterwards. Its serde form *is* the
//! documented JSON line (`ai-tracing traces --format jsonl`, docs/record.md): what is stored is what is printed.
//!
//! Two rules hold for every field:
//! - **`None` is not 0.** A number the provider did not report is absent (`null`), never 0; a reported 0 stays 0.
//! - **Estimated is flagged.** Token counts that come from a tokenizer instead of the provider set
//!   [`CallRecord::tokens_estimated`].

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::http::Http;
use crate::time::At;

/// The version of the record's JSON shape; raised when a field changes its meaning.
pub const SCHEMA_VERSION: u32 = 1;

/// One LLM call, from the request's first byte to the response's last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CallRecord {
    /// Unique id of the call: a UUIDv7, so ids sort by the time the call began.
    pub id: String,
    /// Always true: a record exists only for traffic that was recognised. Part of the printed contract.
    pub detected: bool,
    /// [`SCHEMA_VERSION`] at the time of writing.
    pub schema_version: u32,
    /// Who serves the model: `openai`, `azure`, `groq`, `vllm`, …; `openai_compatible` or `custom_provider` where
    /// nothing better is known.
    pub provider: String,
    /// The wire format that was read: `openai_chat`, `openai_completions`, `openai_embeddings`, `vllm_generate`, ….
    pub dialect: String,
    /// What the call asked for.
    pub operation: Operation,
    /// True when the answer was framed as a stream, whatever the request asked for.
    pub stream: bool,
    /// HTTP status of the response as the client saw it; `None` when none was sent.
    pub status: Option<u16>,
    /// W3C trace id, 32 lower-case hex digits; the caller's when it sent a valid `traceparent`.
    pub trace_id: String,
    /// Our span, 16 lower-case hex digits: the parent that the upstream saw.
    pub span_id: String,
    /// The caller's span, when it sent a valid `traceparent`.
    pub parent_span_id: Option<String>,
    /// The W3C `tracestate` header, as received; where sampling leaves calls out, with OpenTelemetry's threshold (`ot=th:`).
    pub tracestate: Option<String>,
    /// Name of the trace: the request's path as the client sent it, without the query.
    pub name: String,
    /// HTTP request method.
    pub method: String,
    /// Name (or id) of the gateway's service.
    pub service: Option<String>,
    /// Name (or id) of the gateway's route.
    pub route: Option<String>,
    /// Name (or id) of the gateway's consumer.
    pub consumer: Option<String>,
    /// Where the call went.
    pub server: Server,
    /// Who made the call.
    pub context: Context,
    /// What was asked.
    pub request: Request,
    /// What was answered.
    pub response: Response,
    /// How many tokens.
    pub usage: Usage,
    /// True when any count in `usage` comes from a tokenizer instead of the provider.
    pub tokens_estimated: bool,
    /// Completion tokens per prompt token.
    pub token_efficiency: Option<f64>,
    /// Characters in the prompt: the text of all messages, or of the prompt or input strings.
    pub prompt_length: Option<u64>,
    /// Characters in the answer's text.
    pub response_length: Option<u64>,
    /// Cost in US dollars; `None` when the price or the usage is unknown.
    pub cost: Option<Cost>,
    /// How fast.
    pub timing: Timing,
    /// How it ended.
    pub end: End,
    /// The error that the provider reported: in the body of a failed response, or as an event inside a 200 stream.
    pub error: Option<CallError>,
    /// What could not be read or was cut, in plain words; empty for a clean exchange.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub issues: Vec<String>,
    /// The HTTP exchange itself, where it is kept. No part of the JSON: it goes to the local store alone, and a record that
    /// was read back from a file has none.
    #[serde(skip)]
    pub http: Option<Box<Http>>,
}

impl CallRecord {
    /// True when the call failed in any way: HTTP status >= 400, an error in the body, or an end other than complete.
    pub fn is_error(&self) -> bool {
        self.status.is_some_and(|status| status >= 400) || self.error.is_some() || self.end != End::Complete
    }
}

/// What a call asks the model to do. The names are those of the printed contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// A conversation in, a message out.
    Chat,
    /// A prompt in, its continuation out.
    TextCompletion,
    /// Texts in, vectors out.
    Embeddings,
    /// Query and documents in, scores out.
    Rerank,
    /// Content in, policy categories out.
    Moderation,
    /// Text in, pictures out.
    ImageGeneration,
    /// Speech in, text out.
    Transcription,
    /// Text in, speech out.
    Speech,
    /// Content in, its token count out.
    CountTokens,
    /// Anything else that an LLM provider serves.
    Other,
}

impl Operation {
    /// The name in the printed record.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::TextCompletion => "text_completion",
            Self::Embeddings => "embeddings",
            Self::Rerank => "rerank",
            Self::Moderation => "moderation",
            Self::ImageGeneration => "image_generation",
            Self::Transcription => "transcription",
            Self::Speech => "speech",
            Self::CountTokens => "count_tokens",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The upstream that answered (OpenTelemetry's `server.address`, `server.port`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// Host name or IP address.
    pub address: Option<String>,
    /// TCP port.
    pub port: Option<u16>,
}

/// Who made the call: six headers, or the body's `metadata`; a header wins.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Context {
    /// `X-User-Id`, `metadata.user_id`, or the body's `user`.
    pub user_id: Option<String>,
    /// `X-Session-Id`, `metadata.session_id`; `chat_id` stands in where both are missing.
    pub session_id: Option<String>,
    /// `X-Chat-Id` or `metadata.chat_id`.
    pub chat_id: Option<String>,
    /// `X-Message-Id` or `metadata.message_id`.
    pub message_id: Option<String>,
    /// `X-Organization-Id` or `metadata.organization_id`.
    pub organization_id: Option<String>,
    /// `X-Project-Id` or `metadata.project_id`.
    pub project_id: Option<String>,
    /// The plugin's `environment`.
    pub environment: Option<String>,
    /// Everything else in the body's `metadata`, `features` and `variables` included.
    #[serde(default)]
    pub metadata: Map<String, Value>,
}

/// What was asked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// The model that the request names.
    pub model: Option<String>,
    /// Number of messages of a conversation; `None` for other operations.
    pub message_count: Option<u64>,
    /// Sampling and output parameters as sent.
    pub params: Params,
    /// True when the request asked for a stream.
    #[serde(default)]
    pub stream: bool,
    /// The conversation, or the prompts or inputs as `user` messages.
    #[serde(default)]
    pub messages: Vec<Message>,
    /// Tool definitions as sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Value>,
}

/// Request parameters; absent when not sent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Params {
    /// Sampling temperature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Nucleus sampling mass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// Upper limit of generated tokens: `max_tokens`, or `max_completion_tokens` where that is what was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<i64>,
    /// Frequency penalty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frequency_penalty: Option<f64>,
    /// Presence penalty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub presence_penalty: Option<f64>,
    /// Sampling seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<i64>,
    /// Stop sequences, always as a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<Vec<String>>,
    /// Number of choices asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<i64>,
    /// Everything else that steers the generation and is no content, as sent: `response_format`, `tool_choice`,
    /// `reasoning_effort`, `max_completion_tokens`, `top_k`, `dimensions`, ….
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

impl Params {
    /// Moves members of [`Self::other`] that bear the name of a parameter of our own to that parameter, where it is not
    /// known and the value fits. In JSON both stand side by side: a name must not come twice.
    pub(crate) fn settle(&mut self) {
        let other = &mut self.other;
        let numbers = [
            ("temperature", &mut self.temperature),
            ("top_p", &mut self.top_p),
            ("frequency_penalty", &mut self.frequency_penalty),
            ("presence_penalty", &mut self.presence_penalty),
        ];
        for (name, known) in numbers {
            let value = other.shift_remove(name);
            *known = known.or(value.and_then(|value| value.as_f64()));
        }
        for (name, known) in [("max_tokens", &mut self.max_tokens), ("seed", &mut self.seed), ("n", &mut self.n)] {
            let value = other.shift_remove(name);
            *known = known.or(value.and_then(|value| value.as_i64()));
        }
        let stop = match other.shift_remove("stop") {
            Some(Value::String(text)) => Some(vec![text]),
            Some(Value::Array(items)) => {
                Some(items.iter().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>())
            }
            _ => None,
        };
        self.stop = self.stop.take().or(stop.filter(|stop| !stop.is_empty()));
    }
}

/// One message of a conversation, the same for every dialect.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `developer`, `user`, `assistant`, `tool`, or the provider's own word.
    pub role: String,
    /// What it says; `None` for a message of tool calls alone.
    pub content: Option<Content>,
    /// The participant's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The reasoning that came with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<String>,
    /// The model's refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
    /// Tools that the message calls.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// The call that a `tool` message answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
}

/// The content of a message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Content {
    /// Plain text.
    Text(String),
    /// Several parts.
    Parts(Vec<Part>),
}

/// One part of a message's content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Part {
    /// Text.
    Text {
        /// The text.
        text: String,
    },
    /// An image, a sound, a video or a file.
    Media(Media),
    /// Whatever else the provider allows, as sent.
    Other {
        /// The part as it stood in the body.
        value: Value,
    },
}

/// Media in a message: what it is and where, never megabytes of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Media {
    /// `image`, `audio`, `video` or `file`.
    pub modality: String,
    /// Media type such as `image/png`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mime_type: Option<String>,
    /// Address of the content; a `data:` address is replaced by its size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// The provider's file id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_id: Option<String>,
    /// Size in bytes of content that was sent inline, after base64 decoding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// SHA-256 of content that was sent inline, 64 lower-case hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The content itself, base64, where it is small; see docs/record.md.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
}

/// A tool call of the model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// The provider's id of the call; legacy function calls have none.
    pub id: Option<String>,
    /// Name of the tool.
    pub name: Option<String>,
    /// Arguments as the model wrote them: JSON text, as a rule.
    pub arguments: Option<String>,
}

/// What was answered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// The provider's id of the response.
    pub id: Option<String>,
    /// The model that answered.
    pub model: Option<String>,
    /// Text of choice 0: not its reasoning, not its tool arguments.
    pub text: Option<String>,
    /// Reasoning of choice 0.
    pub reasoning: Option<String>,
    /// Refusal of choice 0.
    pub refusal: Option<String>,
    /// Tool calls of choice 0.
    #[serde(default)]
    pub tool_calls: Vec<ToolCall>,
    /// The provider's finish reasons, one a choice.
    #[serde(default)]
    pub finish_reasons: Vec<String>,
    /// Choices 1 and up of an answer with several (`n` > 1).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more_choices: Vec<Choice>,
    /// Length of the first embedding vector.
    pub embedding_dims: Option<u64>,
    /// Number of embedding vectors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedding_count: Option<u64>,
    /// OpenAI's `system_fingerprint`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_fingerprint: Option<String>,
    /// OpenAI's `service_tier`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<String>,
    /// Images and sound that were generated.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub media: Vec<Media>,
    /// The provider's request id (`x-request-id` and its relatives).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// API version: the `openai-version` header, or Azure's `api-version`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
    /// What else the provider says that operators look for (content filter results, annotations, …).
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub extra: Map<String, Value>,
}

/// One further choice of an answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// Text of the choice.
    pub text: Option<String>,
    /// Reasoning of the choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<String>,
    /// Refusal of the choice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
    /// Tool calls of the choice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// Why it ended.
    pub finish_reason: Option<String>,
}

/// Token counts. `input` includes cached tokens, `output` includes reasoning tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Prompt tokens, cached ones included.
    pub input: Option<u64>,
    /// Completion tokens, reasoning included.
    pub output: Option<u64>,
    /// The provider's total, else input + output.
    pub total: Option<u64>,
    /// Prompt tokens read from a cache; part of `input`.
    pub cache_read: Option<u64>,
    /// Prompt tokens written to a cache; part of `input`.
    pub cache_write: Option<u64>,
    /// Reasoning tokens; part of `output`.
    pub reasoning: Option<u64>,
}

/// Cost in US dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Prompt, cached tokens at their own price.
    pub input: f64,
    /// Completion.
    pub output: f64,
    /// Input + output.
    pub total: f64,
}

/// When, and how fast. Durations in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// When the request's head had been read; RFC 3339 in JSON.
    #[serde(with = "crate::time::rfc3339")]
    pub started_at: At,
    /// From `started_at` to the last byte of the response.
    pub total_duration_ms: f64,
    /// Streams: from `started_at` to the chunk that carried the first generated token.
    pub time_to_first_token_ms: Option<f64>,
    /// Streams: (duration - time to first token) / (completion tokens - 1), the time between tokens. Whole answers:
    /// duration / completion tokens.
    pub time_per_token_ms: Option<f64>,
    /// Completion tokens per second of total duration.
    pub throughput_tokens_per_second: Option<f64>,
    /// From handing the request to the upstream to the head of its response.
    pub upstream_ms: Option<f64>,
    /// What the gateway added before the upstream saw the request.
    pub gateway_ms: Option<f64>,
}

impl Timing {
    /// When the response's last byte had passed.
    pub fn ended_at(&self) -> At {
        self.started_at.plus_ms(self.total_duration_ms)
    }

    /// When the first generated token passed.
    pub fn first_token_at(&self) -> Option<At> {
        self.time_to_first_token_ms.map(|ms| self.started_at.plus_ms(ms))
    }
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The upstream's response passed to its end, whatever its status.
    Complete,
    /// The client went away before the response's end; what had passed is in the record.
    ClientGone,
    /// The upstream could not be reached, or broke off.
    UpstreamError,
    /// The upstream took too long.
    Timeout,
    /// The gateway refused the request before it reached an upstream.
    Rejected,
}

impl End {
    /// The name in the printed record.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::ClientGone => "client_gone",
            Self::UpstreamError => "upstream_error",
            Self::Timeout => "timeout",
            Self::Rejected => "rejected",
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error as the provider told it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallError {
    /// The provider's type or code, such as `rate_limit_exceeded`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// The provider's message.
    pub message: Option<String>,
}
