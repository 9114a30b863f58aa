//! OTLP: traces to any receiver of OpenTelemetry's protocol, by HTTP with protobuf
//! (<https://opentelemetry.io/docs/specs/otlp/#otlphttp>).
//!
//! One span for each call, with the attributes of OpenLLMetry, of OpenTelemetry's convention for generative AI, or of
//! both. What is sent is in docs/otlp.md.

mod answer;
mod attributes;
mod bounds;
mod config;
mod encode;
mod environment;
mod genai;
mod messages;
mod names;
mod openllmetry;
mod params;
mod span;
mod tools;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ai_tracing_config::ai_tracing::OtlpSemconv;
use ai_tracing_core::record::CallRecord;
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::Full;
use time::OffsetDateTime;
use tokio::time::Instant;

pub(crate) use config::Config;

use self::encode::{Encoded, MAX_REQUEST};
use super::answer::without;
use super::ask::{ask, oversize};
use super::{BatchLimits, Delivery, EncodeError, Exporter};
use crate::http::{Answer, Client, gzip};
use crate::log::Throttle;
use crate::tracer::TracerError;

/// How often a receiver's remarks are logged.
const LOG_EVERY: Duration = Duration::from_secs(60);
/// Shorter values of headers are no secrets, and stand in many answers.
const SHORTEST_SECRET: usize = 4;

/// The exporter of one receiver.
pub(crate) struct Otlp {
    config: Config,
    client: Client,
    uri: Uri,
    headers: HeaderMap,
    remarks: Mutex<Throttle>,
}

/// One encoded request.
pub(crate) struct Payload {
    body: Bytes,
    records: usize,
    /// Larger than one request may be: not to be sent, but cut.
    oversize: Option<usize>,
}

impl Otlp {
    pub fn new(config: Config, client: Client) -> Result<Self, TracerError> {
        let uri = Uri::try_from(&config.url)
            .map_err(|_| TracerError::new("otlp_endpoint", "is no address that can be requested"))?;
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static(crate::http::USER_AGENT));
        for (name, value) in &config.headers {
            let wrong = || TracerError::new(format!("otlp_headers.{name}"), "cannot be sent in a header");
            let mut value = HeaderValue::try_from(value).map_err(|_| wrong())?;
            value.set_sensitive(true);
            headers.insert(HeaderName::try_from(name).map_err(|_| wrong())?, value);
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        Ok(Self { config, client, uri, headers, remarks: Mutex::new(Throttle::new(LOG_EVERY)) })
    }

    fn request(&self, payload: &Payload) -> Result<Request<Full<Bytes>>, http::Error> {
        let mut request =
            Request::builder().method(Method::POST).uri(self.uri.clone()).body(Full::new(payload.body.clone()))?;
        *request.headers_mut() = self.headers.clone();
        Ok(request)
    }

    /// A receiver that repeats the credentials in its answer must not bring them into the log.
    fn without_secrets(&self, answer: Answer) -> Answer {
        let values = self.config.headers.iter().map(|(_, value)| value.as_str());
        // The whole value, and the token behind its scheme.
        let secrets = values.flat_map(|value| [value, value.rsplit(' ').next().unwrap_or_default()]);
        without(answer, &secrets.filter(|secret| secret.len() >= SHORTEST_SECRET).collect::<Vec<_>>())
    }

    fn judge(&self, payload: &Payload, answer: &Answer) -> Delivery {
        let (delivery, remark) = answer::judge(answer, payload.records, OffsetDateTime::now_utc());
        if let Some(remark) = remark {
            let due = self.remarks.lock().unwrap_or_else(PoisonError::into_inner).admit(1, Instant::now());
            if due.is_some() {
                tracing::warn!("AI Tracing: {} took all records, and says: {remark}", self.label());
            }
        }
        delivery
    }
}

impl Exporter for Otlp {
    type Payload = Payload;

    fn name(&self) -> &'static str {
        "otlp"
    }

    fn label(&self) -> String {
        format!("otlp {}", self.config.url)
    }

    fn limits(&self) -> BatchLimits {
        // Each convention has its own copy of the content.
        let copies = if self.config.semconv == OtlpSemconv::Both { 2 } else { 1 };
        BatchLimits {
            max_records: self.config.batching.max_batch_size,
            max_bytes: MAX_REQUEST / copies,
            max_delay: self.config.batching.max_coalescing_delay,
        }
    }

    fn encode(&self, records: &[Arc<CallRecord>]) -> Result<Payload, EncodeError> {
        let (body, oversize) = match encode::encode(records, self.config.semconv, &self.config.resource) {
            Encoded::Fits(body) => (gzip(&body).map_err(|error| EncodeError(error.to_string()))?.into(), None),
            Encoded::Oversize(bytes) => (Bytes::new(), Some(bytes)),
        };
        Ok(Payload { body, records: records.len(), oversize })
    }

    async fn send(&self, payload: &Payload) -> Delivery {
        if let Some(bytes) = payload.oversize {
            return oversize(bytes);
        }
        match ask(&self.client, self.request(payload), self.config.timeout).await {
            Ok(answer) => self.judge(payload, &self.without_secrets(answer)),
            Err(delivery) => delivery,
        }
    }
}
