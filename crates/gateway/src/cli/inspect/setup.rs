//! What the options and the environment say about reading and sending.

use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use ai_tracing_config::ai_tracing::AiTracing;
use ai_tracing_core::settings::Settings;
use ai_tracing_export::Courier;
use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;

use super::Inspect;
use crate::cli::options;
use crate::db::declarative;
use crate::entity::Plugin;
use crate::har::MAX_BODY;
use crate::plugin;

/// Ready to read and to send.
pub struct Setup {
    /// What the engine is told.
    pub settings: Arc<Settings>,
    /// Who takes the records, with `--export`.
    pub courier: Option<Courier>,
}

impl Setup {
    /// Reads the configuration; `lookup` reads environment variables.
    pub fn new(options: &Inspect, lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let mut config = match &options.config {
            Some(file) => from_file(file)?,
            // A recording says nothing of an environment, and all of it is there to be read.
            None => AiTracing {
                environment: String::new(),
                max_body_size: MAX_BODY as u64,
                ..AiTracing::from_value(&Value::Object(serde_json::Map::new())).map_err(|why| anyhow!("{why}"))?
            },
        };
        let courier = if options.export {
            langfuse(&mut config, options, lookup)?;
            Some(Courier::start(&config, lookup).context("--export")?)
        } else {
            None
        };
        let settings = ai_tracing_export::settings(&config).map_err(|why| match &options.config {
            Some(file) => anyhow!("{}: {why}", file.display()),
            None => anyhow!(why),
        })?;
        let settings = Settings { estimate_tokens: options.estimate, ..settings };
        Ok(Self { settings: Arc::new(settings), courier })
    }
}

/// Completes what is known of Langfuse: the file's word first, then the environment's; an option before both.
fn langfuse(config: &mut AiTracing, options: &Inspect, lookup: &dyn Fn(&str) -> Option<String>) -> Result<()> {
    if !config.langfuse_enabled {
        let environment = options::langfuse(lookup);
        let value = |name: &str| environment.get(name).and_then(Value::as_str).map(str::to_owned);
        config.langfuse_public_key = value("langfuse_public_key").or(config.langfuse_public_key.take());
        config.langfuse_secret_key = value("langfuse_secret_key").or(config.langfuse_secret_key.take());
        if let Some(endpoint) = value("langfuse_endpoint") {
            config.langfuse_endpoint = endpoint;
        }
        if let Some((_, missing)) = options::half_a_key(lookup) {
            bail!("--export: {} is not set", missing.join(" or "));
        }
        if config.langfuse_public_key.is_none() || config.langfuse_secret_key.is_none() {
            bail!("--export: set LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY, or use --config with langfuse_enabled");
        }
        config.langfuse_enabled = true;
    }
    if let Some(endpoint) = &options.langfuse_endpoint {
        config.langfuse_endpoint.clone_from(endpoint);
    }
    // Langfuse is what was asked for: a receiver in the file is meant for live traffic.
    config.otlp_endpoint = None;
    Ok(())
}

/// The plugin of a declarative file: the one for everything, else the only one.
fn from_file(file: &Path) -> Result<AiTracing> {
    let place = || file.display().to_string();
    let document = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    let tables = declarative::read(&document).and_then(|document| declarative::parse(document, now));
    let tables = tables.map_err(|errors| anyhow!("{}: {errors}", file.display()))?;
    let entities = tables.entities().with_context(place)?;
    let plugins: Vec<&Plugin> =
        entities.plugins.iter().filter(|plugin| plugin.enabled && plugin.name == plugin::NAME).collect();
    let global = plugins.iter().find(|plugin| plugin.service.is_none() && plugin.route.is_none());
    let plugin = match (global, plugins.as_slice()) {
        (Some(plugin), _) | (None, [plugin]) => plugin,
        (None, []) => bail!("{}: no {} plugin is enabled in it", file.display(), plugin::NAME),
        (None, several) => bail!(
            "{}: {} {} plugins, and none of them is for all services and routes",
            file.display(),
            several.len(),
            plugin::NAME
        ),
    };
    serde_json::from_value(plugin.config.clone()).with_context(place)
}
