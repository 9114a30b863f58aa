//! What the configurations of several destinations have in common.

use std::time::Duration;

use ai_tracing_config::ai_tracing::Queue;

use crate::destination::QueueOptions;
use crate::tracer::TracerError;

/// How records are batched, and how they wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Batching {
    pub max_batch_size: usize,
    pub max_coalescing_delay: Duration,
    pub concurrency_limit: usize,
    pub queue: QueueOptions,
}

impl Batching {
    /// Reads the `queue` parameters.
    pub fn read(queue: &Queue) -> Result<Self, TracerError> {
        Ok(Self {
            max_batch_size: count(queue.max_batch_size).max(1),
            max_coalescing_delay: seconds("queue.max_coalescing_delay", queue.max_coalescing_delay)?,
            concurrency_limit: count(queue.concurrency_limit).max(1),
            queue: QueueOptions {
                max_entries: count(queue.max_entries).max(1),
                // Absent: bounded by the number of entries alone.
                max_bytes: queue.max_bytes.map_or(usize::MAX, count),
                max_retry_time: seconds("queue.max_retry_time", queue.max_retry_time)?,
                initial_retry_delay: seconds("queue.initial_retry_delay", queue.initial_retry_delay)?,
                max_retry_delay: seconds("queue.max_retry_delay", queue.max_retry_delay)?,
            },
        })
    }
}

/// A timeout in milliseconds.
pub(super) fn timeout(path: &str, milliseconds: f64) -> Result<Duration, TracerError> {
    match seconds(path, milliseconds / 1000.0) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err(TracerError::new(path, "must be a positive number")),
    }
}

fn count(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// A time in seconds.
pub(super) fn seconds(path: &str, seconds: f64) -> Result<Duration, TracerError> {
    Duration::try_from_secs_f64(seconds).map_err(|_| TracerError::new(path, "must be 0 or a positive number"))
}
