//! Where a signal goes and how, taken from the plugin's configuration and, where that refers to them, from
//! OpenTelemetry's variables.

use std::time::Duration;

use ai_tracing_config::ai_tracing::{AiTracing, OtlpProtocol};
use ai_tracing_config::vault;
use http::{HeaderName, HeaderValue};

use super::environment::{self, ENDPOINT, Lookup, METRICS_ENDPOINT, TRACES_ENDPOINT};
use super::signal::Signal;
use crate::exporter::config::timeout;
use crate::exporter::endpoint;
use crate::tracer::TracerError;

/// OpenTelemetry's own default.
const DEFAULT_TIMEOUT_MS: f64 = 10_000.0;
/// Headers that say how the request itself is made.
const OWN: [&str; 7] =
    ["connection", "content-encoding", "content-length", "content-type", "host", "te", "transfer-encoding"];

/// Where a signal goes and how. Has no `Debug`, since headers hold secrets.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    /// Where requests go; by gRPC the server alone.
    pub url: String,
    pub protocol: OtlpProtocol,
    /// Names in lower case, in alphabetical order.
    pub headers: Vec<(String, String)>,
    /// For one request.
    pub timeout: Duration,
}

/// An endpoint, and who named it.
struct Named {
    /// For messages: `otlp_endpoint`, with the variable where it is not the one that the parameter refers to.
    path: String,
    endpoint: String,
    /// Nothing is appended.
    whole: bool,
    /// The parameter names it, so that the parameter's headers are meant for it.
    own: bool,
}

impl Target {
    /// Reads the parameters; `None` when they name no endpoint for the signal. References are resolved by `lookup`.
    ///
    /// An endpoint that refers to one of OpenTelemetry's own variables brings what their siblings say with it, where
    /// the parameters say nothing.
    pub(super) fn read(signal: Signal, config: &AiTracing, lookup: Lookup<'_>) -> Result<Option<Self>, TracerError> {
        let Some(named) = named(signal, config, lookup)? else { return Ok(None) };
        let siblings = refers(config);
        let protocol = protocol(signal, config, siblings, lookup)?;
        let url = url(signal, protocol, &named).map_err(|message| TracerError::new(named.path.clone(), message))?;
        Ok(Some(Self {
            url,
            protocol,
            headers: headers(signal, config, &named, siblings, lookup)?,
            timeout: request_timeout(signal, config, siblings, lookup)?,
        }))
    }
}

/// Whether the endpoint refers to one of OpenTelemetry's variables, so that its siblings count.
pub(super) fn refers(config: &AiTracing) -> bool {
    let variable = config.otlp_endpoint.as_deref().and_then(|given| vault::variable(given.trim()));
    matches!(variable.as_deref(), Some(ENDPOINT | TRACES_ENDPOINT | METRICS_ENDPOINT))
}

/// Conversations go only where the parameter says; metrics hold none, so they follow the variables' own rules.
fn named(signal: Signal, config: &AiTracing, lookup: Lookup<'_>) -> Result<Option<Named>, TracerError> {
    let Some(given) = config.otlp_endpoint.as_deref().map(str::trim) else { return Ok(None) };
    let variable = vault::variable(given);
    let sibling = |name: &'static str, whole: bool| {
        let endpoint = environment::set(name, lookup)?;
        Some(Named { path: format!("otlp_endpoint ({name})"), endpoint, whole, own: false })
    };
    let whole = match (signal, variable.as_deref()) {
        (Signal::Traces, Some(METRICS_ENDPOINT)) => return Ok(None),
        (Signal::Metrics, Some(TRACES_ENDPOINT)) => {
            return Ok(sibling(METRICS_ENDPOINT, true).or_else(|| sibling(ENDPOINT, false)));
        }
        (Signal::Metrics, Some(ENDPOINT)) => match sibling(METRICS_ENDPOINT, true) {
            Some(named) => return Ok(Some(named)),
            None => false,
        },
        (_, variable) => matches!(variable, Some(TRACES_ENDPOINT | METRICS_ENDPOINT)),
    };
    let endpoint =
        vault::resolve(given, lookup).map_err(|error| TracerError::new("otlp_endpoint", error.to_string()))?;
    Ok(Some(Named { path: "otlp_endpoint".into(), endpoint, whole, own: true }))
}

fn url(signal: Signal, protocol: OtlpProtocol, named: &Named) -> Result<String, String> {
    const EXAMPLE: &str = "https://collector.example.com:4318";
    let base = |suffixes| endpoint::base(named.endpoint.trim(), suffixes, EXAMPLE, "otlp_headers");
    let below = [Signal::Traces.path(), Signal::Metrics.path()];
    match protocol {
        OtlpProtocol::Grpc => {
            let base = base(&below)?;
            let path = base.split_once("://").and_then(|(_, rest)| rest.split_once('/'));
            if path.is_some() { Err("must have no path: gRPC takes none".into()) } else { Ok(base) }
        }
        OtlpProtocol::Http if named.whole => base(&[]),
        OtlpProtocol::Http => Ok(base(&below)? + signal.path()),
    }
}

fn protocol(
    signal: Signal,
    config: &AiTracing,
    siblings: bool,
    lookup: Lookup<'_>,
) -> Result<OtlpProtocol, TracerError> {
    if let Some(protocol) = config.otlp_protocol {
        return Ok(protocol);
    }
    let said = environment::first(&environment::variables(signal).protocol, lookup).filter(|_| siblings);
    match said.as_ref().map(|(variable, text)| (*variable, text.trim())) {
        None | Some((_, "http/protobuf")) => Ok(OtlpProtocol::Http),
        Some((_, "grpc")) => Ok(OtlpProtocol::Grpc),
        Some((variable, _)) => {
            Err(TracerError::new(format!("otlp_protocol ({variable})"), "must be http/protobuf or grpc"))
        }
    }
}

fn headers(
    signal: Signal,
    config: &AiTracing,
    named: &Named,
    siblings: bool,
    lookup: Lookup<'_>,
) -> Result<Vec<(String, String)>, TracerError> {
    let mut headers = Vec::new();
    let mut add = |path: String, name: &str, value: String| {
        let name = name.to_lowercase();
        let wrong = |message: &str| Err(TracerError::new(path.clone(), message));
        if OWN.contains(&name.as_str()) || name.starts_with("grpc-") {
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
    // What was made for one endpoint must not go to another.
    match config.otlp_headers.as_ref().filter(|_| named.own) {
        Some(given) => {
            for (name, value) in given {
                let path = format!("otlp_headers.{name}");
                let value = vault::resolve(value.trim(), lookup)
                    .map_err(|error| TracerError::new(path.clone(), error.to_string()))?;
                add(path, name, value.trim().to_owned())?;
            }
        }
        None if siblings => {
            if let Some((variable, text)) = environment::first(&environment::variables(signal).headers, lookup) {
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

fn request_timeout(
    signal: Signal,
    config: &AiTracing,
    siblings: bool,
    lookup: Lookup<'_>,
) -> Result<Duration, TracerError> {
    if let Some(milliseconds) = config.otlp_timeout {
        return timeout("otlp_timeout", milliseconds);
    }
    match environment::first(&environment::variables(signal).timeout, lookup).filter(|_| siblings) {
        Some((variable, text)) => {
            timeout(&format!("otlp_timeout ({variable})"), text.trim().parse().unwrap_or_default())
        }
        None => timeout("otlp_timeout", DEFAULT_TIMEOUT_MS),
    }
}
