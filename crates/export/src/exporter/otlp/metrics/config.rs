//! What the metrics of a receiver are made of, taken from the plugin's configuration.

use std::time::Duration;

use ai_tracing_config::ai_tracing::{AiTracing, OtlpSemconv, OtlpTemporality};
use url::Url;

use super::super::environment::{self, Lookup};
use super::super::signal::Signal;
use super::super::target::{self, Target};
use crate::exporter::config::{Batching, seconds};
use crate::retry::RetryOptions;
use crate::tracer::TracerError;

/// OpenTelemetry's own default.
const DEFAULT_INTERVAL: f64 = 60.0;
/// No shorter, whatever a variable says.
const SHORTEST_INTERVAL: f64 = 0.1;

/// One stream of metrics; configurations that agree in all of this share it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Config {
    pub target: Target,
    pub semconv: OtlpSemconv,
    pub temporality: OtlpTemporality,
    pub interval: Duration,
    pub retry: RetryOptions,
    /// Attributes of the resource.
    pub resource: Vec<(String, String)>,
    pub environment: String,
}

impl Config {
    /// Reads the `otlp_*` parameters; `None` when no metrics are to be sent. References are resolved by `lookup`.
    pub fn read(config: &AiTracing, lookup: Lookup<'_>) -> Result<Option<Self>, TracerError> {
        if !config.otlp_metrics {
            return Ok(None);
        }
        let Some(target) = Target::read(Signal::Metrics, config, lookup)? else { return Ok(None) };
        let siblings = target::refers(config);
        let interval = interval(config, siblings, lookup)?;
        // A pause is never longer than the time to the next sending.
        let retry = Batching::read(&config.queue)?.queue.retry();
        Ok(Some(Self {
            semconv: config.otlp_semconv,
            temporality: temporality(config, siblings, &target.url, lookup)?,
            interval,
            retry: RetryOptions { max_delay: retry.max_delay.min(interval), ..retry },
            resource: environment::resource(lookup),
            environment: config.environment.clone(),
            target,
        }))
    }
}

fn interval(config: &AiTracing, siblings: bool, lookup: Lookup<'_>) -> Result<Duration, TracerError> {
    let said = environment::set(environment::INTERVAL, lookup).filter(|_| siblings);
    let (path, given) = match (config.otlp_metrics_interval, said) {
        (Some(given), _) => ("otlp_metrics_interval".to_owned(), given),
        (None, Some(text)) => {
            let milliseconds: f64 = text.trim().parse().unwrap_or(-1.0);
            (format!("otlp_metrics_interval ({})", environment::INTERVAL), milliseconds / 1000.0)
        }
        (None, None) => ("otlp_metrics_interval".to_owned(), DEFAULT_INTERVAL),
    };
    Ok(seconds(&path, given)?.max(Duration::from_secs_f64(SHORTEST_INTERVAL)))
}

fn temporality(
    config: &AiTracing,
    siblings: bool,
    url: &str,
    lookup: Lookup<'_>,
) -> Result<OtlpTemporality, TracerError> {
    if let Some(temporality) = config.otlp_metrics_temporality {
        return Ok(temporality);
    }
    match environment::set(environment::TEMPORALITY, lookup).filter(|_| siblings) {
        Some(said) => match said.trim().to_lowercase().as_str() {
            "delta" | "lowmemory" => Ok(OtlpTemporality::Delta),
            "cumulative" => Ok(OtlpTemporality::Cumulative),
            _ => {
                let path = format!("otlp_metrics_temporality ({})", environment::TEMPORALITY);
                Err(TracerError::new(path, "must be delta, cumulative or lowmemory"))
            }
        },
        None if is_dynatrace(url) => Ok(OtlpTemporality::Delta),
        None => Ok(OtlpTemporality::Cumulative),
    }
}

/// Dynatrace refuses cumulative counters. Its own addresses, or its path on an ActiveGate or behind a proxy.
fn is_dynatrace(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else { return false };
    let host = url.host_str().unwrap_or_default();
    let domain = |domain: &str| host == domain || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
    domain("dynatrace.com") || domain("dynatracelabs.com") || url.path().contains("/api/v2/otlp")
}

#[cfg(test)]
mod tests {
    use ai_tracing_config::ai_tracing::OtlpProtocol;
    use serde_json::{Value, json};

    use super::*;

    fn read_with(values: Value, environment: &[(&str, &str)]) -> Result<Option<Config>, TracerError> {
        let config = AiTracing::from_value(&values).unwrap();
        let lookup =
            |name: &str| environment.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Config::read(&config, &lookup)
    }

    fn read(values: Value) -> Config {
        read_with(values, &[]).ok().unwrap().unwrap()
    }

    #[test]
    fn metrics_follow_the_endpoint_unless_they_are_off() {
        let config = read(json!({"otlp_endpoint": "http://c:4318/base/", "otlp_headers": {"A": "b"}}));
        assert_eq!(config.target.url, "http://c:4318/base/v1/metrics");
        assert_eq!(config.target.headers, [("a".to_owned(), "b".to_owned())]);
        assert_eq!((config.interval, config.environment.as_str()), (Duration::from_secs(60), "production"));
        let traces = read(json!({"otlp_endpoint": "http://c:4318/v1/traces", "otlp_metrics_interval": 5}));
        assert_eq!((traces.target.url.as_str(), traces.interval.as_secs()), ("http://c:4318/v1/metrics", 5));
        for off in [json!({"otlp_endpoint": "http://c", "otlp_metrics": false}), json!({})] {
            assert!(read_with(off, &[]).ok().unwrap().is_none());
        }
    }

    #[test]
    fn dynatrace_gets_deltas_and_others_totals() {
        for (endpoint, given, expected) in [
            ("https://abc12345.live.dynatrace.com/api/v2/otlp", None, OtlpTemporality::Delta),
            ("https://abc12345.dev.dynatracelabs.com/x", None, OtlpTemporality::Delta),
            ("https://gate:9999/e/abc/api/v2/otlp", None, OtlpTemporality::Delta),
            ("https://notdynatrace.com", None, OtlpTemporality::Cumulative),
            ("http://localhost:4318", None, OtlpTemporality::Cumulative),
            ("http://localhost:4318", Some("delta"), OtlpTemporality::Delta),
            ("https://abc12345.live.dynatrace.com/api/v2/otlp", Some("cumulative"), OtlpTemporality::Cumulative),
        ] {
            let config = read(json!({"otlp_endpoint": endpoint, "otlp_metrics_temporality": given}));
            assert_eq!(config.temporality, expected, "{endpoint}");
        }
    }

    #[test]
    fn the_standard_variables_count_for_who_refers_to_them() {
        const ALL: [(&str, &str); 9] = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all:4317"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://traces:4317"),
            ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://metrics:4317"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a=all"),
            ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "a=metrics"),
            ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "700"),
            ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "LowMemory"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "15000"),
        ];
        let refer = |variable: &str| json!({"otlp_endpoint": format!("{{vault://env/{variable}}}")});
        for variable in ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", ALL[2].0] {
            let config = read_with(refer(variable), &ALL).ok().unwrap().unwrap();
            let Config { target, temporality, interval, .. } = config;
            assert_eq!((target.url.as_str(), target.protocol), ("http://metrics:4317", OtlpProtocol::Grpc));
            assert_eq!(target.headers, [("a".to_owned(), "metrics".to_owned())]);
            assert_eq!((target.timeout, interval), (Duration::from_millis(700), Duration::from_secs(15)));
            assert_eq!(temporality, OtlpTemporality::Delta);
        }
        let other = read_with(json!({"otlp_endpoint": "http://own:4318"}), &ALL).ok().unwrap().unwrap();
        assert_eq!((other.target.url.as_str(), other.target.headers.len()), ("http://own:4318/v1/metrics", 0));
        assert_eq!((other.interval.as_secs(), other.temporality), (60, OtlpTemporality::Cumulative));

        // The variables one by one: what names no place for metrics sends none.
        let url = |variable: &str, environment: &[(&str, &str)]| {
            read_with(refer(variable), environment).ok().unwrap().map(|config| config.target.url)
        };
        assert_eq!(url(ALL[1].0, &ALL[1..2]), None);
        let base = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all:4318"), ALL[1]];
        assert_eq!(url(ALL[1].0, &base).as_deref(), Some("http://all:4318/v1/metrics"));
        assert_eq!(url(ALL[0].0, &base).as_deref(), Some("http://all:4318/v1/metrics"));
        let whole = [ALL[0], ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://m:4318/custom")];
        assert_eq!(url(ALL[0].0, &whole).as_deref(), Some("http://m:4318/custom"));
    }

    #[test]
    fn headers_go_only_where_they_were_made_for() {
        let environment = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all:4318"),
            ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://other:4318"),
        ];
        let values = json!({
            "otlp_endpoint": "{vault://env/OTEL_EXPORTER_OTLP_ENDPOINT}", "otlp_headers": {"Authorization": "secret"},
        });
        assert!(read_with(values.clone(), &environment).ok().unwrap().unwrap().target.headers.is_empty());
        assert_eq!(read_with(values, &environment[..1]).ok().unwrap().unwrap().target.headers.len(), 1);
    }

    #[test]
    fn what_a_variable_says_wrongly_is_told_with_its_name() {
        let at = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all:4318");
        let values = json!({"otlp_endpoint": "{vault://env/OTEL_EXPORTER_OTLP_ENDPOINT}"});
        for (name, value, expected) in [
            (
                "OTEL_EXPORTER_OTLP_PROTOCOL",
                "http/json",
                "otlp_protocol (OTEL_EXPORTER_OTLP_PROTOCOL): must be http/protobuf or grpc",
            ),
            (
                "OTEL_METRIC_EXPORT_INTERVAL",
                "soon",
                "otlp_metrics_interval (OTEL_METRIC_EXPORT_INTERVAL): must be 0 or a positive number",
            ),
            (
                "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE",
                "x",
                "otlp_metrics_temporality (OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE): \
                 must be delta, cumulative or lowmemory",
            ),
            (
                "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
                "collector",
                "otlp_endpoint (OTEL_EXPORTER_OTLP_METRICS_ENDPOINT): \
                 must be a URL such as https://collector.example.com:4318",
            ),
        ] {
            let error = read_with(values.clone(), &[at, (name, value)]).err().unwrap();
            assert_eq!(error.to_string(), expected);
        }
    }
}
