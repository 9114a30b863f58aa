//! What a Langfuse destination is made of, taken from the plugin's configuration.

use std::time::Duration;

use ai_tracing_config::ai_tracing::{AiTracing, LangfuseApi, LangfuseObservations};
use ai_tracing_config::vault;

use super::endpoint;
use crate::destination::QueueOptions;
use crate::tracer::TracerError;

/// One destination; configurations that agree in all of this share it. Has no `Debug`, since it holds the secret key.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Config {
    /// Base URL without a trailing slash.
    pub base: String,
    pub public_key: String,
    pub secret_key: String,
    pub api: LangfuseApi,
    pub observations: LangfuseObservations,
    /// For one request.
    pub timeout: Duration,
    pub max_batch_size: usize,
    pub max_coalescing_delay: Duration,
    pub queue: QueueOptions,
}

impl Config {
    /// Reads the `langfuse_*` and `queue` parameters; secrets may be references that `lookup` resolves.
    pub fn read(config: &AiTracing, lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, TracerError> {
        let required = |path: &str, value: &Option<String>| match value.as_deref().map(str::trim) {
            None | Some("") => Err(TracerError::new(path, "required when langfuse_enabled is true")),
            Some(value) => vault::resolve(value, lookup).map_err(|error| TracerError::new(path, error.to_string())),
        };
        let public_key = required("langfuse_public_key", &config.langfuse_public_key)?;
        let secret_key = required("langfuse_secret_key", &config.langfuse_secret_key)?;
        let base = vault::resolve(config.langfuse_endpoint.trim(), lookup)
            .map_err(|error| error.to_string())
            .and_then(|endpoint| endpoint::base(&endpoint))
            .map_err(|message| TracerError::new("langfuse_endpoint", message))?;
        let queue = &config.queue;
        Ok(Self {
            base,
            public_key,
            secret_key,
            api: config.langfuse_api,
            observations: config.langfuse_observations,
            timeout: positive("langfuse_timeout", config.langfuse_timeout / 1000.0)?,
            max_batch_size: count(queue.max_batch_size).max(1),
            max_coalescing_delay: seconds("queue.max_coalescing_delay", queue.max_coalescing_delay)?,
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

fn count(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn seconds(path: &str, seconds: f64) -> Result<Duration, TracerError> {
    Duration::try_from_secs_f64(seconds).map_err(|_| TracerError::new(path, "must be 0 or a positive number"))
}

fn positive(path: &str, duration: f64) -> Result<Duration, TracerError> {
    match seconds(path, duration) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err(TracerError::new(path, "must be a positive number")),
    }
}
