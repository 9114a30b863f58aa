//! OTLP: traces and metrics to any receiver of OpenTelemetry's protocol, by HTTP with protobuf or by gRPC
//! (<https://opentelemetry.io/docs/specs/otlp/>).
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
mod grpc;
mod messages;
pub(crate) mod metrics;
mod names;
mod openllmetry;
mod params;
mod signal;
mod span;
mod target;
mod tools;
mod transport;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use ai_tracing_config::ai_tracing::OtlpSemconv;
use ai_tracing_core::record::CallRecord;
use bytes::Bytes;

pub(crate) use config::Config;

use self::encode::Encoded;
use self::signal::Signal;
use self::transport::Transport;
use super::ask::oversize;
use super::proto::ExportTraceServiceRequest;
use super::{BatchLimits, Delivery, EncodeError, Exporter};
use crate::http::Client;
use crate::tracer::TracerError;

/// The exporter of one receiver.
pub(crate) struct Otlp {
    config: Config,
    transport: Transport,
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
        let transport = Transport::new(Signal::Traces, config.target.clone(), client)?;
        Ok(Self { config, transport })
    }
}

/// The request of one record; how large it would be where it does not fit.
pub(crate) fn request(config: &Config, record: &Arc<CallRecord>) -> Result<ExportTraceServiceRequest, usize> {
    let max = transport::max_request(config.target.protocol);
    encode::fitting(std::slice::from_ref(record), config.semconv, &config.resource, max)
}

impl Exporter for Otlp {
    type Payload = Payload;

    fn name(&self) -> &'static str {
        "otlp"
    }

    fn label(&self) -> String {
        self.config.label()
    }

    fn limits(&self) -> BatchLimits {
        // Each convention has its own copy of the content.
        let copies = if self.config.semconv == OtlpSemconv::Both { 2 } else { 1 };
        BatchLimits {
            max_records: self.config.batching.max_batch_size,
            max_bytes: self.transport.max_request() / copies,
            max_delay: self.config.batching.max_coalescing_delay,
            max_requests: self.config.batching.concurrency_limit,
        }
    }

    fn encode(&self, records: &[Arc<CallRecord>]) -> Result<Payload, EncodeError> {
        let max = self.transport.max_request();
        let (body, oversize) = match encode::encode(records, self.config.semconv, &self.config.resource, max) {
            Encoded::Fits(body) => (self.transport.pack(&body).map_err(|error| EncodeError(error.to_string()))?, None),
            Encoded::Oversize(bytes) => (Bytes::new(), Some(bytes)),
        };
        Ok(Payload { body, records: records.len(), oversize })
    }

    async fn send(&self, payload: &Payload) -> Delivery {
        if let Some(bytes) = payload.oversize {
            return oversize(bytes);
        }
        self.transport.send(payload.body.clone(), payload.records).await.delivery
    }
}
