//! What is measured: names, units and buckets of OpenTelemetry's conventions for generative AI (v1.41.1,
//! <https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/>) and of OpenLLMetry, and the values of a call.

use ai_tracing_config::ai_tracing::OtlpSemconv;
use ai_tracing_core::record::{CallRecord, Operation};

const DURATION: &[f64] = &[0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
const TOKENS: &[f64] = &[
    1.0,
    4.0,
    16.0,
    64.0,
    256.0,
    1024.0,
    4096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
];
const FIRST_TOKEN: &[f64] =
    &[0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
const PER_TOKEN: &[f64] = &[0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5];

/// One of the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Instrument {
    Choices,
    Duration,
    Tokens,
    VectorSize,
    TimeToFirstToken,
    TimePerToken,
}

/// Whose tokens are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum TokenType {
    Input,
    Output,
}

/// A value of a call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    /// Is added.
    Count(u64),
    /// Goes into a bucket.
    Size(f64),
}

impl TokenType {
    /// `gen_ai.token.type`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
        }
    }
}

impl Instrument {
    pub fn name(self) -> &'static str {
        match self {
            Self::Choices => "gen_ai.client.generation.choices",
            Self::Duration => "gen_ai.client.operation.duration",
            Self::Tokens => "gen_ai.client.token.usage",
            Self::VectorSize => "llm.openai.embeddings.vector_size",
            Self::TimeToFirstToken => "gen_ai.server.time_to_first_token",
            Self::TimePerToken => "gen_ai.server.time_per_output_token",
        }
    }

    /// Tokens are told apart by who writes the unit; the rest have one author.
    pub fn unit(self, semconv: OtlpSemconv) -> &'static str {
        match self {
            Self::Choices => "choice",
            Self::VectorSize => "element",
            Self::Tokens if semconv.genai() => "{token}",
            Self::Tokens => "token",
            Self::Duration | Self::TimeToFirstToken | Self::TimePerToken => "s",
        }
    }

    pub fn description(self) -> &'static str {
        match self {
            Self::Choices => "Number of choices returned by chat completions call",
            Self::Duration => "GenAI operation duration",
            Self::Tokens => "Number of input and output tokens used",
            Self::VectorSize => "The size of returned vector",
            Self::TimeToFirstToken => "Time to generate the first token of a streamed response",
            Self::TimePerToken => "Time per output token after the first of a streamed response",
        }
    }

    /// Upper bounds of the buckets of a histogram; `None` for a counter.
    pub fn bounds(self) -> Option<&'static [f64]> {
        match self {
            Self::Choices | Self::VectorSize => None,
            Self::Duration => Some(DURATION),
            Self::Tokens => Some(TOKENS),
            Self::TimeToFirstToken => Some(FIRST_TOKEN),
            Self::TimePerToken => Some(PER_TOKEN),
        }
    }
}

/// The values of a call. What is unknown has none; estimated tokens count like those that a provider reported, as they
/// do on the page for Prometheus.
pub(super) fn values(record: &CallRecord, mut each: impl FnMut(Instrument, Option<TokenType>, Value)) {
    let seconds = |ms: f64| Value::Size(ms / 1000.0);
    let timing = &record.timing;
    each(Instrument::Duration, None, seconds(timing.total_duration_ms));
    for (kind, tokens) in [(TokenType::Input, record.usage.input), (TokenType::Output, record.usage.output)] {
        if let Some(tokens) = tokens {
            each(Instrument::Tokens, Some(kind), Value::Size(tokens as f64));
        }
    }
    if let Some(choices) = choices(record) {
        each(Instrument::Choices, None, Value::Count(choices));
    }
    if let Some(size) = record.response.embedding_dims {
        each(Instrument::VectorSize, None, Value::Count(size));
    }
    if let Some(first) = timing.time_to_first_token_ms {
        each(Instrument::TimeToFirstToken, None, seconds(first));
        // Of whole answers it is another measure: the duration by token.
        if let Some(next) = timing.time_per_token_ms {
            each(Instrument::TimePerToken, None, seconds(next));
        }
    }
}

/// The choices that were returned, each one once.
fn choices(record: &CallRecord) -> Option<u64> {
    if !matches!(record.operation, Operation::Chat | Operation::TextCompletion) {
        return None;
    }
    let response = &record.response;
    // Of content that must not leave, finish reasons and lengths stay.
    let answered = !response.finish_reasons.is_empty()
        || !response.more_choices.is_empty()
        || !response.tool_calls.is_empty()
        || record.response_length.is_some_and(|length| length > 0)
        || [&response.text, &response.reasoning, &response.refusal]
            .into_iter()
            .any(|text| crate::exporter::some(text).is_some());
    let choices = (1 + response.more_choices.len()).max(response.finish_reasons.len());
    answered.then_some(choices as u64)
}
