//! What a destination has to say about itself: how to encode a batch, how to send it, what the answer means.

mod answer;
mod ask;
mod chatml;
mod clean;
pub(crate) mod config;
mod endpoint;
mod exported;
mod fault;
pub(crate) mod identity;
mod ids;
pub(crate) mod langfuse;
pub(crate) mod otlp;
pub(crate) mod proto;

pub use exported::{Exported, exported};
pub use langfuse::payloads as langfuse_payloads;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use ai_tracing_core::record::CallRecord;

/// A destination of records.
///
/// `encode` is pure and deterministic: a retry sends the same bytes, so a destination that keys on ids never sees a
/// duplicate.
pub trait Exporter: Send + Sync + 'static {
    /// One encoded request.
    type Payload: Send + Sync;

    /// Name in logs and statistics, such as `langfuse`.
    fn name(&self) -> &'static str;

    /// Name and address for logs and statistics, such as `langfuse https://cloud.langfuse.com`; no credentials.
    fn label(&self) -> String {
        self.name().to_owned()
    }

    /// How much may go into one request.
    fn limits(&self) -> BatchLimits;

    /// Encodes a batch.
    fn encode(&self, records: &[Arc<CallRecord>]) -> Result<Self::Payload, EncodeError>;

    /// Sends a payload and says what became of it. Must end by itself: it has its own timeout.
    fn send(&self, payload: &Self::Payload) -> impl Future<Output = Delivery> + Send;
}

/// How much may go into one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BatchLimits {
    /// Records.
    pub max_records: usize,
    /// Approximate bytes of records; a batch of one record may be larger. `usize::MAX` where nothing is to be heeded.
    pub max_bytes: usize,
    /// Time to wait for a batch to fill.
    pub max_delay: Duration,
    /// Requests under way together, where more than one batch is full and the destination works; 1 or more.
    pub max_requests: usize,
}

/// Records that cannot be encoded never will be. Of several, one may be at fault: the others are tried without it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct EncodeError(pub String);

/// What became of a payload.
///
/// Only what a destination says of the records is a verdict on them. Whatever is wrong with the destination or with its
/// configuration, a wrong key or address above all, is a [`Delivery::Retry`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// All records were taken.
    Accepted,
    /// Some were taken. Indices into the batch; those in neither list were taken.
    Partial {
        /// Refused for good, with the reason.
        rejected: Vec<(usize, String)>,
        /// Worth another try.
        retry: Vec<usize>,
    },
    /// All but so many were taken, and which ones were not is not said: none can be sent again.
    Short {
        /// How many were refused for good; fewer than the batch has.
        refused: usize,
        /// One line for the log.
        why: String,
    },
    /// None were taken; try again, not before `after`.
    Retry {
        /// The destination's own wish (`Retry-After`).
        after: Option<Duration>,
        /// One line for the log.
        why: String,
    },
    /// The request was too large: halves are tried.
    Split {
        /// One line for the log.
        why: String,
    },
    /// None were taken, for what is in them. Of several records one may be at fault: halves are tried, until it stands
    /// alone.
    Fatal {
        /// One line for the log.
        why: String,
    },
}

/// An empty string tells nothing.
fn some(text: &Option<String>) -> Option<String> {
    text.clone().filter(|text| !text.is_empty())
}
