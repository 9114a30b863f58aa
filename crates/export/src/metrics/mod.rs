//! What happened, in numbers: Kong's metrics of LLM calls, and our own of the pipeline, for Prometheus.
//!
//! In: each record, before sampling, on the engine's thread. Out: a [`Page`] of text when somebody scrapes. Names,
//! labels and buckets are Kong's where Kong has them; docs/metrics.md lists them all.
//!
//! Everything is bounded: a model's name is whatever a client writes, so there are no more label sets than
//! [`Options::max_label_sets`]; what comes after has the model `other`, and is counted.

mod active;
mod histogram;
mod llm;
mod pipeline;
#[cfg(test)]
mod tests;
mod text;

pub use histogram::Histogram;
pub use llm::LlmMetrics;
pub(crate) use llm::error_type;
pub use pipeline::write as write_pipeline;
pub use text::{CONTENT_TYPE, Kind, Labels, Metric, Page};

/// What everything beyond the bounds is called.
pub const OTHER: &str = "other";
/// Kong's name of the only workspace there is.
pub const WORKSPACE: &str = "default";
/// Longest label value in bytes.
const MAX_VALUE: usize = 128;

/// How the metrics of LLM calls are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Combinations of provider, model, mode and consumer that are told apart.
    pub max_label_sets: usize,
    /// Whether there is a label `consumer`.
    pub consumer: bool,
    /// `ai_llm_requests_total` instead of `kong_ai_llm_requests_total`, and so on.
    pub unprefixed: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { max_label_sets: 500, consumer: false, unprefixed: false }
    }
}

/// A label value of bounded length.
pub fn bounded(value: &str) -> &str {
    value.get(..value.floor_char_boundary(MAX_VALUE)).unwrap_or(value)
}
