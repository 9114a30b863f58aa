//! Langfuse: traces by OTLP, or by the batch API where a server has no OTLP.
//!
//! In `auto` the exporter begins with OTLP and remembers what worked: a 404 makes it use the batch API, and a batch
//! API that no longer takes traces (v4) makes it use OTLP. After a change it asks the worker to encode anew, at once.
//! Where OTLP worked before, a 404 is a failure like any other; where it never did, it is tried again now and then.
//! Both encodings of a record carry the same ids, so a change on the way duplicates nothing.

mod answer;
mod config;
mod endpoint;
mod environment;
mod ids;
mod ingestion;
mod metadata;
mod otlp;
mod shape;
mod usage;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ai_tracing_config::ai_tracing::{LangfuseApi, LangfuseObservations};
use ai_tracing_core::record::CallRecord;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, USER_AGENT};
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::Full;
use prost::Message as _;
use time::OffsetDateTime;
use tokio::time::Instant;

pub(crate) use config::Config;

use self::answer::Verdict;
use self::shape::Trace;
use super::answer::without;
use super::ask::{ask, oversize};
use super::proto::ExportTraceServiceRequest;
use super::{BatchLimits, Delivery, EncodeError, Exporter};
use crate::http::{Answer, Client, Version, gzip};
use crate::pause;
use crate::tracer::TracerError;

/// Largest OTLP request, before compression. A single record whose content is sent once may be larger: the server
/// decides.
const MAX_OTLP: usize = 4_000_000;
/// Largest request to the batch API, which takes no compression.
const MAX_INGESTION: usize = 3_500_000;
/// How often `full` sends a record's content at most: on the trace, the root, the prompt and the completion.
const COPIES_FULL: usize = 4;
/// How often `compact` does: on the trace and the generation.
const COPIES_COMPACT: usize = 2;
/// How long the batch API is used for want of OTLP before the server is asked for it again: it may have been updated, or
/// the answer may have come from a proxy.
const PROBE_EVERY: Duration = Duration::from_secs(600);

/// The exporter of one Langfuse project.
pub(crate) struct Langfuse {
    config: Config,
    client: Client,
    authorization: HeaderValue,
    otlp: Uri,
    ingestion: Uri,
    /// The API in use; changes only in `auto`.
    api: AtomicApi,
    /// The API that was logged as the one in use.
    announced: AtomicApi,
    /// OTLP took traces.
    otlp_worked: AtomicBool,
    /// When to ask for OTLP again.
    probe_at: Mutex<Option<Instant>>,
}

/// One of the two APIs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Api {
    Otlp,
    Ingestion,
}

/// One encoded request.
pub(crate) struct Payload {
    api: Api,
    body: Bytes,
    records: usize,
    /// Larger than one request may be: not to be sent, but cut.
    oversize: Option<usize>,
    /// The batch API's event ids, and the record that each belongs to.
    events: HashMap<String, usize>,
}

impl Langfuse {
    pub fn new(config: Config, client: Client) -> Result<Self, TracerError> {
        let token = STANDARD.encode(format!("{}:{}", config.public_key, config.secret_key));
        let mut authorization = HeaderValue::try_from(format!("Basic {token}"))
            .map_err(|_| TracerError::new("langfuse_public_key", "cannot be sent in a header"))?;
        authorization.set_sensitive(true);
        let uri = |path: &str| {
            Uri::try_from(format!("{}{path}", config.base))
                .map_err(|_| TracerError::new("langfuse_endpoint", "is no address that can be requested"))
        };
        let first = match config.api {
            LangfuseApi::Auto | LangfuseApi::Otlp => Api::Otlp,
            LangfuseApi::Ingestion => Api::Ingestion,
        };
        Ok(Self {
            otlp: uri(endpoint::OTLP)?,
            ingestion: uri(endpoint::INGESTION)?,
            api: AtomicApi::new(Some(first)),
            announced: AtomicApi::new(None),
            otlp_worked: AtomicBool::new(false),
            probe_at: Mutex::new(None),
            authorization,
            client,
            config,
        })
    }

    fn request(&self, payload: &Payload) -> Result<Request<Full<Bytes>>, http::Error> {
        let json = HeaderValue::from_static("application/json");
        let mut request = Request::builder()
            .method(Method::POST)
            .header(AUTHORIZATION, self.authorization.clone())
            .header(USER_AGENT, crate::http::USER_AGENT)
            .header(HeaderName::from_static("x-langfuse-sdk-name"), "ai-tracing")
            .header(HeaderName::from_static("x-langfuse-sdk-version"), env!("CARGO_PKG_VERSION"));
        request = match payload.api {
            Api::Ingestion => request.uri(self.ingestion.clone()).header(CONTENT_TYPE, json),
            Api::Otlp => request
                .uri(self.otlp.clone())
                .header(CONTENT_TYPE, "application/x-protobuf")
                .header(CONTENT_ENCODING, "gzip")
                .header(HeaderName::from_static("x-langfuse-ingestion-version"), "4"),
        };
        request.body(Full::new(payload.body.clone()))
    }

    /// Turns an answer into a delivery, and changes the API where that is what it takes.
    fn judge(&self, payload: &Payload, answer: &Answer) -> Delivery {
        let now = OffsetDateTime::now_utc();
        let verdict = match payload.api {
            Api::Otlp => answer::otlp(answer, now),
            Api::Ingestion => answer::ingestion(answer, &payload.events, payload.records, now),
        };
        match verdict {
            Verdict::OtherApi { why } => self.change(payload.api, &why),
            Verdict::Delivery(delivery) => {
                if matches!(delivery, Delivery::Accepted | Delivery::Partial { .. }) {
                    self.announce(payload.api);
                    if payload.api == Api::Otlp {
                        self.otlp_worked.store(true, Ordering::Relaxed);
                    }
                }
                delivery
            }
        }
    }

    fn change(&self, from: Api, why: &str) -> Delivery {
        if self.config.api != LangfuseApi::Auto {
            return Delivery::Retry { after: None, why: format!("{why}: check langfuse_endpoint and langfuse_api") };
        }
        match from {
            Api::Otlp if self.otlp_worked.load(Ordering::Relaxed) => {
                return Delivery::Retry { after: None, why: format!("{why}: check langfuse_endpoint") };
            }
            Api::Otlp => {
                self.api.set(Api::Ingestion);
                *self.probe_at.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + PROBE_EVERY);
            }
            Api::Ingestion => self.api.set(Api::Otlp),
        }
        // Where neither API is found, the worker soon stops doing this at once.
        Delivery::Retry { after: Some(Duration::ZERO), why: format!("{why}: check langfuse_endpoint") }
    }

    /// A server that repeats the credentials in its answer must not bring them into the log.
    fn without_secrets(&self, answer: Answer) -> Answer {
        let token = self.authorization.to_str().unwrap_or_default().trim_start_matches("Basic ");
        without(answer, &[&self.config.secret_key, token])
    }

    /// Logs which API is used, once for each change.
    fn announce(&self, api: Api) {
        if self.announced.get() != Some(api) {
            self.announced.set(api);
            let name = match api {
                Api::Otlp => "OTLP",
                Api::Ingestion => "the batch API",
            };
            tracing::info!("AI Tracing: Langfuse at {} takes traces by {name}", self.config.base);
        }
    }
}

impl Exporter for Langfuse {
    type Payload = Payload;

    fn name(&self) -> &'static str {
        "langfuse"
    }

    fn label(&self) -> String {
        self.config.label()
    }

    fn limits(&self) -> BatchLimits {
        let copies = match self.config.observations {
            LangfuseObservations::Full => COPIES_FULL,
            LangfuseObservations::Compact => COPIES_COMPACT,
        };
        BatchLimits {
            max_records: self.config.batching.max_batch_size,
            max_bytes: MAX_INGESTION / copies,
            max_delay: self.config.batching.max_coalescing_delay,
            max_requests: self.config.batching.concurrency_limit,
        }
    }

    fn encode(&self, records: &[Arc<CallRecord>]) -> Result<Payload, EncodeError> {
        let mut probe_at = self.probe_at.lock().unwrap_or_else(PoisonError::into_inner);
        if probe_at.is_some_and(|at| at <= Instant::now()) {
            *probe_at = None;
            self.api.set(Api::Otlp);
        }
        drop(probe_at);
        encode(records, self.config.observations, self.api.get().unwrap_or(Api::Otlp))
    }

    async fn send(&self, payload: &Payload) -> Delivery {
        if let Some(bytes) = payload.oversize {
            return oversize(bytes);
        }
        match ask(&self.client, Version::Http1, self.request(payload), self.config.timeout).await {
            Ok(answer) => self.judge(payload, &self.without_secrets(answer)),
            Err(delivery) => delivery,
        }
    }
}

/// The OTLP request of one record.
pub(crate) fn request(config: &Config, record: &CallRecord) -> ExportTraceServiceRequest {
    let request = |once| otlp::request(&[Trace::of(record, config.observations, once)]);
    let whole = request(false);
    if whole.encoded_len() > MAX_OTLP { request(true) } else { whole }
}

/// What would be sent for `records`, whole: by OTLP (protobuf, not compressed) and by the batch API (JSON). For looking
/// at payloads with other parsers.
///
/// # Errors
/// When the records have no JSON form.
pub fn payloads(
    records: &[Arc<CallRecord>],
    observations: LangfuseObservations,
) -> Result<(Vec<u8>, Vec<u8>), EncodeError> {
    let traces = || records.iter().map(|record| Trace::of(record, observations, false));
    let batch = ingestion::encode(&records.iter().zip(traces()).collect::<Vec<_>>());
    let batch = batch.map_err(|error| EncodeError(error.to_string()))?;
    Ok((otlp::request(&traces().collect::<Vec<_>>()).encode_to_vec(), batch.body))
}

fn encode(records: &[Arc<CallRecord>], observations: LangfuseObservations, api: Api) -> Result<Payload, EncodeError> {
    let (mut body, mut events) = body(records, observations, api, false)?;
    let max = match api {
        Api::Otlp => MAX_OTLP,
        Api::Ingestion => MAX_INGESTION,
    };
    let mut oversize = None;
    if body.len() > max {
        if records.len() > 1 {
            oversize = Some(body.len());
        } else {
            // It cannot be cut in halves, but its content need not be there more than once.
            (body, events) = self::body(records, observations, api, true)?;
        }
    }
    let body = match (api, oversize) {
        (_, Some(_)) => Bytes::new(),
        (Api::Otlp, None) => gzip(&body).map_err(|error| EncodeError(error.to_string()))?.into(),
        (Api::Ingestion, None) => body.into(),
    };
    Ok(Payload { api, body, records: records.len(), oversize, events })
}

/// The body of a request, and the batch API's events in it; with `once` content is sent once, whatever its size.
fn body(
    records: &[Arc<CallRecord>],
    observations: LangfuseObservations,
    api: Api,
    once: bool,
) -> Result<(Vec<u8>, HashMap<String, usize>), EncodeError> {
    let traces = records.iter().inspect(|_| pause()).map(|record| Trace::of(record, observations, once));
    match api {
        Api::Otlp => Ok((otlp::request(&traces.collect::<Vec<_>>()).encode_to_vec(), HashMap::new())),
        Api::Ingestion => {
            let traces: Vec<_> = records.iter().zip(traces).collect();
            let batch = ingestion::encode(&traces).map_err(|error| EncodeError(error.to_string()))?;
            Ok((batch.body, batch.events))
        }
    }
}

/// An [`Api`] that may change, or be none yet.
struct AtomicApi(AtomicU8);

impl AtomicApi {
    fn new(api: Option<Api>) -> Self {
        Self(AtomicU8::new(code(api)))
    }

    fn get(&self) -> Option<Api> {
        [Api::Otlp, Api::Ingestion].into_iter().find(|api| code(Some(*api)) == self.0.load(Ordering::Relaxed))
    }

    fn set(&self, api: Api) {
        self.0.store(code(Some(api)), Ordering::Relaxed);
    }
}

fn code(api: Option<Api>) -> u8 {
    match api {
        None => 0,
        Some(Api::Otlp) => 1,
        Some(Api::Ingestion) => 2,
    }
}
