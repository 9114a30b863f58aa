//! What a Langfuse destination is made of, taken from the plugin's configuration.

use std::time::Duration;

use ai_tracing_config::ai_tracing::{AiTracing, LangfuseApi, LangfuseObservations};
use ai_tracing_config::vault;

use super::endpoint;
use crate::exporter::config::{Batching, timeout};
use crate::exporter::identity::identity;
use crate::spool::LaneKey;
use crate::tracer::TracerError;

/// What a destination is made of. Has no `Debug`, since it holds the secret key.
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
    pub batching: Batching,
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
        Ok(Self {
            base,
            public_key,
            secret_key,
            api: config.langfuse_api,
            observations: config.langfuse_observations,
            timeout: timeout("langfuse_timeout", config.langfuse_timeout)?,
            batching: Batching::read(&config.queue)?,
        })
    }

    /// Name and address, for people.
    pub fn label(&self) -> String {
        format!("langfuse {}", self.base)
    }

    /// The same project, with the same form of its traces; a corrected secret delivers what waits.
    pub fn identity(&self) -> LaneKey {
        let observations = match self.observations {
            LangfuseObservations::Full => "full",
            LangfuseObservations::Compact => "compact",
        };
        identity(&["langfuse", &self.base, &self.public_key, observations])
    }
}
