//! The `ai-tracing` plugin's configuration, typed. What it accepts is decided by its schema; this is what a validated
//! configuration with all defaults filled deserializes into.

mod schema;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Invalid;
pub use schema::{DIALECTS, schema};

/// A validated configuration of the `ai-tracing` plugin. Its `Debug` shows no credentials.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AiTracing {
    /// Send traces to Langfuse. Default false.
    pub langfuse_enabled: bool,
    /// Langfuse public key; required once enabled. May be a vault reference (`{vault://env/NAME}`).
    pub langfuse_public_key: Option<String>,
    /// Langfuse secret key; required once enabled. May be a vault reference.
    pub langfuse_secret_key: Option<String>,
    /// Base URL, `.../api/public/ingestion` or `.../api/public/otel/v1/traces`; the base is derived from any of them.
    pub langfuse_endpoint: String,
    /// Milliseconds for one export request. Default 5000.
    pub langfuse_timeout: f64,
    /// Which of Langfuse's APIs to use. Default auto.
    pub langfuse_api: LangfuseApi,
    /// Observations per call. Default full.
    pub langfuse_observations: LangfuseObservations,
    /// Base URL of an OTLP receiver; `None`: there is none. May be a vault reference.
    pub otlp_endpoint: Option<String>,
    /// How it is spoken to; `None`: `http/protobuf`.
    pub otlp_protocol: Option<OtlpProtocol>,
    /// Whether it gets spans. Default true.
    pub otlp_traces: bool,
    /// Whether it gets metrics. Default true.
    pub otlp_metrics: bool,
    /// What metrics count from; `None`: what suits the receiver.
    pub otlp_metrics_temporality: Option<OtlpTemporality>,
    /// Seconds between two sendings of metrics; `None`: 60.
    pub otlp_metrics_interval: Option<f64>,
    /// Headers of each OTLP request; values may be vault references.
    pub otlp_headers: Option<BTreeMap<String, String>>,
    /// Milliseconds for one OTLP request; `None`: 10000.
    pub otlp_timeout: Option<f64>,
    /// Whose attribute names OTLP spans and metrics carry. Default both.
    pub otlp_semconv: OtlpSemconv,
    /// Tag of all traces. Default `production`.
    pub environment: String,
    /// Default info.
    pub log_level: LogLevel,
    /// Whether content is recorded. Default full.
    pub capture_content: CaptureContent,
    /// What the local store keeps of the HTTP exchange. Default headers.
    pub capture_http: CaptureHttp,
    /// Bytes kept of each request and each response body. Default 4 MiB.
    pub max_body_size: u64,
    /// Share of traces to keep, 0 to 1; failed and slow calls are always kept. Default 1.
    pub sampling_ratio: f64,
    /// Milliseconds from which on a call is slow; `None`: none is. Default 30000.
    pub sampling_slow_ms: Option<f64>,
    /// Batches and retries, in the names of Kong's queue.
    pub queue: Queue,
    /// Names of the six context headers.
    pub context_headers: ContextHeaders,
    /// Custom detection rules.
    pub providers: Vec<Provider>,
    /// Prices that come before the built-in table.
    pub prices: Vec<Price>,
    /// What is replaced in everything recorded.
    pub redact: Vec<Redact>,
    /// What is recognised and replaced without a pattern, before `redact`.
    pub redact_builtin: Vec<RedactBuiltin>,
}

impl AiTracing {
    /// The configuration that `config` describes, with defaults for what it leaves out.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn from_value(config: &Value) -> Result<Self, Invalid> {
        let complete = schema().create(config.clone())?;
        // The schema and this struct describe the same thing, so this cannot fail; the tests hold them together.
        Self::deserialize(complete).map_err(|error| Invalid::at("config", error.to_string()))
    }

    /// The plugin's `config` when nothing is said about it.
    pub fn default_value() -> Value {
        schema().defaults()
    }
}

impl fmt::Debug for AiTracing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Every field is named here, so that a new one cannot be shown or left out by accident.
        let Self {
            langfuse_enabled,
            langfuse_public_key,
            langfuse_secret_key,
            langfuse_endpoint,
            langfuse_timeout,
            langfuse_api,
            langfuse_observations,
            otlp_endpoint,
            otlp_protocol,
            otlp_traces,
            otlp_metrics,
            otlp_metrics_temporality,
            otlp_metrics_interval,
            otlp_headers,
            otlp_timeout,
            otlp_semconv,
            environment,
            log_level,
            capture_content,
            capture_http,
            max_body_size,
            sampling_ratio,
            sampling_slow_ms,
            queue,
            context_headers,
            providers,
            prices,
            redact,
            redact_builtin,
        } = self;
        f.debug_struct("AiTracing")
            .field("langfuse_enabled", langfuse_enabled)
            .field("langfuse_public_key", &Hidden(langfuse_public_key))
            .field("langfuse_secret_key", &Hidden(langfuse_secret_key))
            .field("langfuse_endpoint", langfuse_endpoint)
            .field("langfuse_timeout", langfuse_timeout)
            .field("langfuse_api", langfuse_api)
            .field("langfuse_observations", langfuse_observations)
            .field("otlp_endpoint", otlp_endpoint)
            .field("otlp_protocol", otlp_protocol)
            .field("otlp_traces", otlp_traces)
            .field("otlp_metrics", otlp_metrics)
            .field("otlp_metrics_temporality", otlp_metrics_temporality)
            .field("otlp_metrics_interval", otlp_metrics_interval)
            .field("otlp_headers", &otlp_headers.as_ref().map(|headers| headers.keys().collect::<Vec<_>>()))
            .field("otlp_timeout", otlp_timeout)
            .field("otlp_semconv", otlp_semconv)
            .field("environment", environment)
            .field("log_level", log_level)
            .field("capture_content", capture_content)
            .field("capture_http", capture_http)
            .field("max_body_size", max_body_size)
            .field("sampling_ratio", sampling_ratio)
            .field("sampling_slow_ms", sampling_slow_ms)
            .field("queue", queue)
            .field("context_headers", context_headers)
            .field("providers", providers)
            .field("prices", prices)
            .field("redact", redact)
            .field("redact_builtin", redact_builtin)
            .finish()
    }
}

/// Shows whether a value is there, and nothing of it.
struct Hidden<'a>(&'a Option<String>);

impl fmt::Debug for Hidden<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Some([hidden])" } else { "None" })
    }
}

/// Which of Langfuse's APIs to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LangfuseApi {
    /// OTLP first, the batch API where the server has no OTLP.
    Auto,
    /// OTLP only.
    Otlp,
    /// The batch API only (v2 and v3 servers).
    Ingestion,
}

/// Observations per call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LangfuseObservations {
    /// A span with a `prompt` event and a `completion` generation.
    Full,
    /// One generation.
    Compact,
}

/// How an OTLP receiver is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum OtlpProtocol {
    /// Protobuf in HTTP requests.
    #[serde(rename = "http/protobuf")]
    Http,
    /// gRPC.
    #[serde(rename = "grpc")]
    Grpc,
}

/// What the sums of metrics count from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OtlpTemporality {
    /// When they were last sent.
    Delta,
    /// The start.
    Cumulative,
}

/// Whose attribute names OTLP spans and metrics carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OtlpSemconv {
    /// OpenLLMetry's.
    Openllmetry,
    /// OpenTelemetry's, for generative AI.
    Genai,
    /// Both, side by side.
    Both,
}

impl OtlpSemconv {
    /// Whether OpenLLMetry's names are wanted.
    pub fn openllmetry(self) -> bool {
        self != Self::Genai
    }

    /// Whether OpenTelemetry's names are wanted.
    pub fn genai(self) -> bool {
        self != Self::Openllmetry
    }
}

/// How much the plugin logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// Bodies too.
    Debug,
    /// A line per traced call.
    Info,
    /// Only what an operator should look at.
    Warn,
    /// Only failures.
    Error,
}

/// Whether content is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CaptureContent {
    /// Messages, texts, tools.
    Full,
    /// Numbers, booleans and names only.
    MetadataOnly,
}

/// What the gateway's local store keeps of the HTTP exchange beside the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CaptureHttp {
    /// Nothing.
    None,
    /// Request line, headers, and when the pieces of the answer passed.
    Headers,
    /// The bodies as well.
    Full,
}

/// Batches and retries; names and units are those of Kong's queue (seconds).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Queue {
    /// Records in one export request.
    pub max_batch_size: u64,
    /// Seconds to wait for a batch to fill.
    pub max_coalescing_delay: f64,
    /// Records that may wait.
    pub max_entries: u64,
    /// Bytes of records that may wait.
    pub max_bytes: Option<u64>,
    /// Seconds until a batch that cannot be delivered is given up (and counted).
    pub max_retry_time: f64,
    /// Seconds before the first retry; doubles with each.
    pub initial_retry_delay: f64,
    /// Longest time between retries in seconds.
    pub max_retry_delay: f64,
    /// Requests under way together.
    pub concurrency_limit: u64,
}

/// Names of the six context headers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)] // each field is the header that carries what its name says
pub struct ContextHeaders {
    pub user_id: String,
    pub session_id: String,
    pub chat_id: String,
    pub message_id: String,
    pub organization_id: String,
    pub project_id: String,
}

/// A custom detection rule: what is given must match, all of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// The record's provider; default `custom_provider`.
    pub name: String,
    /// Path prefix, or, beginning with `*`, what the path ends with.
    pub path: Option<String>,
    /// Host of the request or of the upstream; `*.example.com` matches subdomains.
    pub host: Option<String>,
    /// Header that must be present: `name`, or `name: value`.
    pub header: Option<String>,
    /// Wire format; `None`: told by path and body.
    pub dialect: Option<String>,
}

/// A price in US dollars per million tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Model name; `*` stands for any characters.
    pub model: String,
    /// Prompt tokens.
    pub input: f64,
    /// Completion tokens.
    pub output: f64,
    /// Prompt tokens read from a cache; `None`: as `input`.
    pub cached: Option<f64>,
}

/// What is replaced in everything recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Redact {
    /// Regular expression (Rust's `regex` syntax: linear time, no look-around).
    pub pattern: String,
    /// What stands in its place; default `[REDACTED]`.
    pub replacement: String,
}

/// What is recognised without a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RedactBuiltin {
    /// Keys, tokens, private keys, credentials in URLs.
    ApiKey,
    /// E-mail addresses.
    Email,
    /// Bank account numbers.
    Iban,
    /// Card numbers.
    CreditCard,
    /// Phone numbers.
    Phone,
}
