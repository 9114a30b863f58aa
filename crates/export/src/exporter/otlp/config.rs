//! What an OTLP destination is made of, taken from the plugin's configuration.

use std::time::Duration;

use ai_tracing_config::ai_tracing::{AiTracing, OtlpSemconv};
use ai_tracing_config::vault;
use http::{HeaderName, HeaderValue};

use super::environment::{self, Lookup};
use crate::exporter::config::{Batching, timeout};
use crate::exporter::endpoint;
use crate::exporter::identity::identity;
use crate::spool::LaneKey;
use crate::tracer::TracerError;

/// Path of traces below an endpoint.
const TRACES: &str = "/v1/traces";
/// OpenTelemetry's own default.
const DEFAULT_TIMEOUT_MS: f64 = 10_000.0;
/// Headers that say how the request itself is made.
const OWN: [&str; 6] =
    ["connection", "content-encoding", "content-length", "content-type", "host", "transfer-encoding"];

/// What a destination is made of. Has no `Debug`, since headers hold secrets.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Config {
    /// Where requests go.
    pub url: String,
    /// Names in lower case, in alphabetical order.
    pub headers: Vec<(String, String)>,
    pub semconv: OtlpSemconv,
    /// Attributes of the resource.
    pub resource: Vec<(String, String)>,
    /// For one request.
    pub timeout: Duration,
    pub batching: Batching,
}

impl Config {
    /// Reads the `otlp_*` and `queue` parameters; `None` when there is no endpoint. References are resolved by `lookup`.
    ///
    /// An endpoint that refers to one of OpenTelemetry's own variables brings the headers and the timeout of their
    /// siblings with it, where those parameters are not given.
    pub fn read(config: &AiTracing, lookup: Lookup<'_>) -> Result<Option<Self>, TracerError> {
        let Some(given) = config.otlp_endpoint.as_deref().map(str::trim) else { return Ok(None) };
        let variable = vault::variable(given);
        let siblings = matches!(variable.as_deref(), Some(environment::ENDPOINT | environment::TRACES_ENDPOINT));
        let whole = variable.as_deref() == Some(environment::TRACES_ENDPOINT);
        let url = vault::resolve(given, lookup)
            .map_err(|error| error.to_string())
            .and_then(|endpoint| url(endpoint.trim(), whole))
            .map_err(|message| TracerError::new("otlp_endpoint", message))?;
        Ok(Some(Self {
            url,
            headers: headers(config, siblings, lookup)?,
            semconv: config.otlp_semconv,
            resource: environment::resource(lookup),
            timeout: request_timeout(config, siblings, lookup)?,
            batching: Batching::read(&config.queue)?,
        }))
    }

    /// The same receiver and tenant, with the same form of its spans. Headers tell tenants apart, and which of them do
    /// is the receiver's secret: all count.
    pub fn identity(&self) -> LaneKey {
        let semconv = match self.semconv {
            OtlpSemconv::Openllmetry => "openllmetry",
            OtlpSemconv::Genai => "genai",
            OtlpSemconv::Both => "both",
        };
        let headers = self.headers.iter().flat_map(|(name, value)| [name.as_str(), value]);
        identity(&["otlp", &self.url, semconv].into_iter().chain(headers).collect::<Vec<_>>())
    }
}

/// `whole`: nothing is appended.
fn url(endpoint: &str, whole: bool) -> Result<String, String> {
    let suffixes: &[&str] = if whole { &[] } else { &[TRACES] };
    let base = endpoint::base(endpoint, suffixes, "https://collector.example.com:4318", "otlp_headers")?;
    Ok(if whole { base } else { base + TRACES })
}

fn headers(config: &AiTracing, siblings: bool, lookup: Lookup<'_>) -> Result<Vec<(String, String)>, TracerError> {
    let mut headers = Vec::new();
    let mut add = |path: String, name: &str, value: String| {
        let name = name.to_lowercase();
        let wrong = |message: &str| Err(TracerError::new(path.clone(), message));
        if OWN.contains(&name.as_str()) {
            return wrong("is set by the exporter itself");
        }
        if HeaderName::try_from(&name).is_err() || HeaderValue::try_from(&value).is_err() {
            return wrong("cannot be sent in a header");
        }
        if headers.iter().any(|(known, _)| *known == name) {
            return wrong("is given twice");
        }
        headers.push((name, value));
        Ok(())
    };
    match &config.otlp_headers {
        Some(given) => {
            for (name, value) in given {
                let path = format!("otlp_headers.{name}");
                let value = vault::resolve(value.trim(), lookup)
                    .map_err(|error| TracerError::new(path.clone(), error.to_string()))?;
                add(path, name, value.trim().to_owned())?;
            }
        }
        None if siblings => {
            if let Some((variable, text)) = environment::first(&environment::HEADERS, lookup) {
                for (name, value) in environment::pairs(&text) {
                    add(format!("otlp_headers ({variable})"), &name, value)?;
                }
            }
        }
        None => {}
    }
    headers.sort();
    Ok(headers)
}

fn request_timeout(config: &AiTracing, siblings: bool, lookup: Lookup<'_>) -> Result<Duration, TracerError> {
    if let Some(milliseconds) = config.otlp_timeout {
        return timeout("otlp_timeout", milliseconds);
    }
    match environment::first(&environment::TIMEOUT, lookup).filter(|_| siblings) {
        Some((variable, text)) => {
            timeout(&format!("otlp_timeout ({variable})"), text.trim().parse().unwrap_or_default())
        }
        None => timeout("otlp_timeout", DEFAULT_TIMEOUT_MS),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn config(values: Value) -> AiTracing {
        AiTracing::from_value(&values).unwrap()
    }

    fn environment(name: &str) -> Option<String> {
        let value = match name {
            "OTEL_EXPORTER_OTLP_ENDPOINT" => "http://collector:4318/",
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" => "http://collector:4318/custom",
            "OTEL_EXPORTER_OTLP_HEADERS" => "authorization=Bearer%20secret1,X-Tenant=a",
            "OTEL_EXPORTER_OTLP_TIMEOUT" => "2500",
            "TOKEN" => "Api-Token secret2",
            _ => return None,
        };
        Some(value.to_owned())
    }

    fn read(values: Value) -> Config {
        Config::read(&config(values), &environment).unwrap().unwrap()
    }

    fn error(values: Value) -> String {
        Config::read(&config(values), &environment).err().unwrap().to_string()
    }

    #[test]
    fn no_endpoint_is_no_destination_whatever_the_environment_says() {
        assert!(Config::read(&config(json!({"otlp_headers": {"a": "b"}})), &environment).unwrap().is_none());
    }

    #[test]
    fn every_spelling_leads_to_the_traces() {
        for (endpoint, expected) in [
            ("http://localhost:4318", "http://localhost:4318/v1/traces"),
            ("http://localhost:4318/v1/traces", "http://localhost:4318/v1/traces"),
            ("https://e.live.dynatrace.com/api/v2/otlp/", "https://e.live.dynatrace.com/api/v2/otlp/v1/traces"),
            ("https://api.example.com/otlp/v1/traces/", "https://api.example.com/otlp/v1/traces"),
        ] {
            let config = read(json!({"otlp_endpoint": endpoint}));
            assert_eq!(config.url, expected);
            assert!(config.headers.is_empty(), "the environment's headers are not for this endpoint");
            assert_eq!(config.timeout, Duration::from_secs(10));
        }
    }

    #[test]
    fn the_standard_variables_count_for_who_refers_to_them() {
        let headers = [("authorization", "Bearer secret1"), ("x-tenant", "a")];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let base = read(json!({"otlp_endpoint": "{vault://env/OTEL_EXPORTER_OTLP_ENDPOINT}"}));
        assert_eq!((base.url.as_str(), base.timeout), ("http://collector:4318/v1/traces", Duration::from_millis(2500)));
        assert_eq!(base.headers, headers);
        let whole = read(json!({"otlp_endpoint": "{vault://env/otel-exporter-otlp-traces-endpoint}"}));
        assert_eq!((whole.url.as_str(), whole.headers), ("http://collector:4318/custom", headers.to_vec()));
        let own = read(json!({
            "otlp_endpoint": "{vault://env/OTEL_EXPORTER_OTLP_ENDPOINT}",
            "otlp_headers": {"Authorization": "{vault://env/TOKEN}"}, "otlp_timeout": 100,
        }));
        assert_eq!(own.headers, [("authorization".to_owned(), "Api-Token secret2".to_owned())]);
        assert_eq!(own.timeout, Duration::from_millis(100));
    }

    #[test]
    fn errors_name_the_parameter_and_never_its_value() {
        let at = "http://localhost:4318";
        for (values, expected) in [
            (json!({"otlp_endpoint": "{vault://env/NO}"}), "otlp_endpoint: environment variable NO is not set"),
            (json!({"otlp_endpoint": "http://a/?token=secret3"}), "otlp_endpoint: must not have a query or a fragment"),
            (
                json!({"otlp_endpoint": at, "otlp_headers": {"A": "{vault://env/NO}"}}),
                "otlp_headers.A: environment variable NO is not set",
            ),
            (
                json!({"otlp_endpoint": at, "otlp_headers": {"A": "secret4\n5"}}),
                "otlp_headers.A: cannot be sent in a header",
            ),
            (json!({"otlp_endpoint": at, "otlp_headers": {"A": "b", "a": "b"}}), "otlp_headers.a: is given twice"),
            (
                json!({"otlp_endpoint": at, "otlp_headers": {"Content-Type": "text/plain"}}),
                "otlp_headers.Content-Type: is set by the exporter itself",
            ),
        ] {
            assert_eq!(error(values), expected);
        }
    }
}
