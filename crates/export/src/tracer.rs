//! A plugin configuration, compiled: what the capture has to know, and where the records go.

use std::sync::Arc;

use ai_tracing_config::ai_tracing::{AiTracing, CaptureContent, CaptureHttp, LogLevel, RedactBuiltin};
use ai_tracing_core::cost::{Price, Prices};
use ai_tracing_core::record::CallRecord;
use ai_tracing_core::redact::{Builtin, Redactor};
use ai_tracing_core::settings::{ContentPolicy, ContextHeaders, HttpPolicy, Limits, ProviderRule, Settings};

use crate::destination::Lease;
use crate::exporter::otlp::metrics;

/// One plugin configuration, ready for use; shared by all its calls.
///
/// As long as it lives, its destinations stay open: every call that waits in the sink holds its tracer.
pub struct Tracer {
    /// What the capture has to know.
    pub settings: Arc<Settings>,
    /// How much is logged about each call.
    pub log_level: LogLevel,
    destinations: Vec<Lease>,
    meter: Option<Arc<metrics::Lease>>,
}

/// A configuration that passed its schema and still cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct TracerError {
    /// The parameter, relative to the plugin's `config`: `langfuse_endpoint`, `redact[1].pattern`.
    pub path: String,
    /// What is wrong with it; never its value.
    pub message: String,
}

impl TracerError {
    pub(crate) fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }
}

impl Tracer {
    pub(crate) fn new(
        settings: Settings,
        log_level: LogLevel,
        destinations: Vec<Lease>,
        meter: Option<Arc<metrics::Lease>>,
    ) -> Self {
        Self { settings: Arc::new(settings), log_level, destinations, meter }
    }

    pub(crate) fn destinations(&self) -> &[Lease] {
        &self.destinations
    }

    /// Counts a call, whatever sampling makes of it.
    pub(crate) fn measure(&self, record: &CallRecord) {
        if let Some(meter) = &self.meter {
            meter.observe(record);
        }
    }
}

/// What a plugin configuration means for the capture, in a host that keeps no HTTP exchanges.
///
/// # Errors
/// Names the parameter that cannot work; never its value.
pub fn settings(config: &AiTracing) -> Result<Settings, TracerError> {
    let names = &config.context_headers;
    let lower = |name: &String| name.trim().to_lowercase();
    let max_body_size = usize::try_from(config.max_body_size).unwrap_or(usize::MAX);
    Ok(Settings {
        limits: Limits { max_body_size, max_inflated_size: max_inflated_size(max_body_size) },
        context_headers: ContextHeaders {
            user_id: lower(&names.user_id),
            session_id: lower(&names.session_id),
            chat_id: lower(&names.chat_id),
            message_id: lower(&names.message_id),
            organization_id: lower(&names.organization_id),
            project_id: lower(&names.project_id),
        },
        providers: config.providers.iter().map(provider).collect(),
        prices: prices(config),
        content: match config.capture_content {
            CaptureContent::Full => ContentPolicy::Full,
            CaptureContent::MetadataOnly => ContentPolicy::MetadataOnly,
        },
        http: HttpPolicy::Off,
        redactor: redactor(config)?,
        estimate_tokens: true,
        environment: config.environment.clone(),
        sampling_ratio: config.sampling_ratio,
        sampling_slow_ms: config.sampling_slow_ms,
    })
}

/// What a host that keeps HTTP exchanges is to keep of them.
pub(crate) fn http(config: &AiTracing) -> HttpPolicy {
    match config.capture_http {
        CaptureHttp::None => HttpPolicy::Off,
        CaptureHttp::Headers => HttpPolicy::Headers,
        CaptureHttp::Full => HttpPolicy::Full,
    }
}

/// Text compresses to an eighth at best, as a rule: what is kept of a compressed body may inflate to eight times as much,
/// within 1 MiB and 1 GiB.
fn max_inflated_size(max_body_size: usize) -> usize {
    max_body_size.saturating_mul(8).clamp(1 << 20, 1 << 30)
}

fn provider(rule: &ai_tracing_config::ai_tracing::Provider) -> ProviderRule {
    let header = rule.header.as_deref().map(|header| match header.split_once(':') {
        Some((name, value)) => (name.trim().to_lowercase(), Some(value.trim().to_owned())),
        None => (header.trim().to_lowercase(), None),
    });
    ProviderRule {
        name: rule.name.clone(),
        path: rule.path.clone(),
        host: rule.host.as_deref().map(str::to_lowercase),
        header,
        dialect: rule.dialect.clone(),
    }
}

fn prices(config: &AiTracing) -> Prices {
    let own = config.prices.iter().map(|price| Price {
        model: price.model.clone(),
        input: price.input,
        output: price.output,
        cached: price.cached,
    });
    Prices::new(own.collect())
}

fn redactor(config: &AiTracing) -> Result<Redactor, TracerError> {
    let rules = config.redact.iter().map(|rule| (rule.pattern.as_str(), rule.replacement.as_str()));
    let redactor =
        Redactor::new(rules).map_err(|(index, why)| TracerError::new(format!("redact[{}].pattern", index + 1), why))?;
    Ok(redactor.with_builtin(config.redact_builtin.iter().map(|kind| match kind {
        RedactBuiltin::ApiKey => Builtin::ApiKey,
        RedactBuiltin::Email => Builtin::Email,
        RedactBuiltin::Iban => Builtin::Iban,
        RedactBuiltin::CreditCard => Builtin::CreditCard,
        RedactBuiltin::Phone => Builtin::Phone,
    })))
}

#[cfg(test)]
impl Tracer {
    /// A tracer whose records go nowhere, for tests of what comes before.
    pub fn without_destinations() -> Self {
        let settings = Settings { sampling_ratio: 1.0, ..Settings::default() };
        Self { settings: Arc::new(settings), log_level: LogLevel::Info, destinations: Vec::new(), meter: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_kind_can_be_asked_for() {
        let config = serde_json::json!({
            "redact_builtin": ["phone", "credit_card", "iban", "email", "api_key"],
            "redact": [{"pattern": "EMAIL", "replacement": "MAIL"}], "sampling_slow_ms": 250,
        });
        let settings = settings(&AiTracing::from_value(&config).unwrap()).unwrap();
        let text = "AKIAIOSFODNN7EXAMPLE jo@example.com DE89370400440532013000 4111111111111111, +49 30 1234567";
        let redacted = settings.redactor.redact(text).unwrap();
        assert_eq!(redacted, "[API_KEY] [MAIL] [IBAN] [CREDIT_CARD], [PHONE]");
        assert_eq!(settings.sampling_slow_ms, Some(250.0));
        let default = super::settings(&AiTracing::from_value(&serde_json::json!({})).unwrap()).unwrap();
        assert!(default.redactor.is_empty() && default.sampling_slow_ms == Some(30_000.0));
    }

    #[test]
    fn what_a_body_may_inflate_to_follows_what_is_kept_of_it() {
        let inflated = [1, 1 << 20, 4 << 20, 1 << 30, usize::MAX].map(max_inflated_size);
        assert_eq!(inflated, [1 << 20, 8 << 20, 32 << 20, 1 << 30, 1 << 30]);
        assert_eq!(max_inflated_size(Limits::default().max_body_size), Limits::default().max_inflated_size);
    }
}
