//! OpenTelemetry's environment variables
//! (<https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>).
//!
//! `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` name what is sent and are always read. The variables that say
//! where to send it are read only by who asks for them: conversations must not leave because of a variable that was
//! set for something else, nor must credentials go to an endpoint that they were not made for.

use percent_encoding::percent_decode_str;

use super::signal::Signal;

/// An endpoint to which a signal's path is appended.
pub(super) const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
/// An endpoint that is used as it is.
pub(super) const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
/// The same for metrics.
pub(super) const METRICS_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT";
/// `delta`, `cumulative`, or `lowmemory`, which is `delta` for all that is measured here.
pub(super) const TEMPORALITY: &str = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";
/// Milliseconds between two sendings of metrics.
pub(super) const INTERVAL: &str = "OTEL_METRIC_EXPORT_INTERVAL";

/// What may be said of a signal, the more special variable first.
pub(super) struct Variables {
    pub headers: [&'static str; 2],
    /// Milliseconds.
    pub timeout: [&'static str; 2],
    pub protocol: [&'static str; 2],
}

/// The variables of a signal.
pub(super) fn variables(signal: Signal) -> Variables {
    match signal {
        Signal::Traces => Variables {
            headers: ["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"],
            timeout: ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"],
            protocol: ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"],
        },
        Signal::Metrics => Variables {
            headers: ["OTEL_EXPORTER_OTLP_METRICS_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"],
            timeout: ["OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"],
            protocol: ["OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"],
        },
    }
}

/// Pairs that are read of one variable.
const MAX_PAIRS: usize = 128;

/// Looks up environment variables.
pub(super) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The first of the variables that is set, with its value.
pub(super) fn first(names: &[&'static str], lookup: Lookup<'_>) -> Option<(&'static str, String)> {
    names.iter().find_map(|name| set(name, lookup).map(|value| (*name, value)))
}

/// Who we are: `service.name`, `service.version`, and what the operator says of us.
pub(super) fn resource(lookup: Lookup<'_>) -> Vec<(String, String)> {
    let mut attributes =
        vec![("service.name".to_owned(), "ai-tracing".to_owned()), ("service.version".to_owned(), VERSION.to_owned())];
    let named = set("OTEL_SERVICE_NAME", lookup).map(|name| ("service.name".to_owned(), name));
    let said = set("OTEL_RESOURCE_ATTRIBUTES", lookup).map(|text| pairs(&text)).unwrap_or_default();
    for (name, value) in said.into_iter().chain(named) {
        match attributes.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => attributes.push((name, value)),
        }
    }
    attributes
}

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// `name=value,name=value`, values percent-encoded; what is no pair is passed over.
pub(super) fn pairs(text: &str) -> Vec<(String, String)> {
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        let value = percent_decode_str(value.trim()).decode_utf8().ok()?.into_owned();
        Some((name.trim().to_owned(), value)).filter(|(name, value)| !name.is_empty() && !value.is_empty())
    };
    text.split(',').filter_map(pair).take(MAX_PAIRS).collect()
}

/// A variable's value, unless it is blank.
pub(super) fn set(name: &str, lookup: Lookup<'_>) -> Option<String> {
    lookup(name).filter(|value| !value.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operator_names_the_service() {
        let lookup = |name: &str| match name {
            "OTEL_RESOURCE_ATTRIBUTES" => Some("k8s.pod.name=a%2Cb, service.name=x,junk,=y,service.version=7".into()),
            "OTEL_SERVICE_NAME" => Some("gateway".into()),
            _ => None,
        };
        let pairs = |lookup: Lookup<'_>| -> Vec<String> {
            resource(lookup).into_iter().map(|(name, value)| format!("{name}={value}")).collect()
        };
        assert_eq!(pairs(&lookup), ["service.name=gateway", "service.version=7", "k8s.pod.name=a,b"]);
        let own = ["service.name=ai-tracing".to_owned(), format!("service.version={VERSION}")];
        assert_eq!(pairs(&|_| None), own);
    }
}
