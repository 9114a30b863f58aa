//! What an OTLP destination is made of, taken from the plugin's configuration.

use ai_tracing_config::ai_tracing::{AiTracing, OtlpSemconv};

use super::environment::{self, Lookup};
use super::signal::Signal;
use super::target::Target;
use crate::exporter::config::Batching;
use crate::exporter::identity::identity;
use crate::spool::LaneKey;
use crate::tracer::TracerError;

/// What a destination of spans is made of. Has no `Debug`, since headers hold secrets.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Config {
    pub target: Target,
    pub semconv: OtlpSemconv,
    /// Attributes of the resource.
    pub resource: Vec<(String, String)>,
    pub batching: Batching,
}

impl Config {
    /// Reads the `otlp_*` and `queue` parameters; `None` when no spans are to be sent. References are resolved by
    /// `lookup`.
    pub fn read(config: &AiTracing, lookup: Lookup<'_>) -> Result<Option<Self>, TracerError> {
        if !config.otlp_traces {
            return Ok(None);
        }
        let Some(target) = Target::read(Signal::Traces, config, lookup)? else { return Ok(None) };
        Ok(Some(Self {
            target,
            semconv: config.otlp_semconv,
            resource: environment::resource(lookup),
            batching: Batching::read(&config.queue)?,
        }))
    }

    /// Name and address, for people.
    pub fn label(&self) -> String {
        format!("otlp {}", self.target.url)
    }

    /// The same receiver and tenant, with the same form of its spans. Headers tell tenants apart, and which of them do
    /// is the receiver's secret: all count.
    pub fn identity(&self) -> LaneKey {
        let semconv = match self.semconv {
            OtlpSemconv::Openllmetry => "openllmetry",
            OtlpSemconv::Genai => "genai",
            OtlpSemconv::Both => "both",
        };
        let headers = self.target.headers.iter().flat_map(|(name, value)| [name.as_str(), value]);
        identity(&["otlp", &self.target.url, semconv].into_iter().chain(headers).collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ai_tracing_config::ai_tracing::OtlpProtocol;
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

    fn read(values: Value) -> Target {
        Config::read(&config(values), &environment).unwrap().unwrap().target
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
    fn grpc_knows_servers_and_no_paths() {
        for (endpoint, expected) in [
            ("http://localhost:4317", "http://localhost:4317"),
            ("https://collector.example.com/", "https://collector.example.com"),
            ("http://localhost:4317/v1/traces", "http://localhost:4317"),
        ] {
            let target = read(json!({"otlp_endpoint": endpoint, "otlp_protocol": "grpc"}));
            assert_eq!((target.url.as_str(), target.protocol), (expected, OtlpProtocol::Grpc));
        }
        let error = error(json!({"otlp_endpoint": "http://localhost:4317/api", "otlp_protocol": "grpc"}));
        assert_eq!(error, "otlp_endpoint: must have no path: gRPC takes none");
    }

    #[test]
    fn spans_are_a_switch_and_never_follow_the_variable_of_metrics() {
        let none = |values| Config::read(&config(values), &environment).unwrap().is_none();
        assert!(none(json!({"otlp_endpoint": "http://localhost:4318", "otlp_traces": false})));
        assert!(none(json!({"otlp_endpoint": "{vault://env/OTEL_EXPORTER_OTLP_METRICS_ENDPOINT}"})));
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
            (
                json!({"otlp_endpoint": at, "otlp_headers": {"grpc-timeout": "1S"}}),
                "otlp_headers.grpc-timeout: is set by the exporter itself",
            ),
        ] {
            assert_eq!(error(values), expected);
        }
    }
}
