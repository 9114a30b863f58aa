//! Carries encoded requests of one signal to a receiver, by HTTP or by gRPC, and says what it answered.

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ai_tracing_config::ai_tracing::OtlpProtocol;
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, TE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::Full;
use time::OffsetDateTime;
use tokio::time::Instant;

use super::answer::{self, Sent};
use super::grpc;
use super::signal::Signal;
use super::target::Target;
use crate::exporter::Delivery;
use crate::exporter::answer::without;
use crate::exporter::ask::ask;
use crate::http::{Answer, Client, Version, gzip};
use crate::log::Throttle;
use crate::tracer::TracerError;

/// How often a receiver's remarks are logged.
const LOG_EVERY: Duration = Duration::from_secs(60);
/// Shorter values of headers are no secrets, and stand in many answers.
const SHORTEST_SECRET: usize = 4;
/// Largest request in bytes before compression: Dynatrace's limit, which is below that of others.
const MAX_HTTP: usize = 8_000_000;
/// What every library of gRPC takes unless it is told otherwise is 4 MiB, counted after decompression.
const MAX_GRPC: usize = 4_000_000;

/// The way to one receiver.
pub(super) struct Transport {
    signal: Signal,
    target: Target,
    client: Client,
    uri: Uri,
    headers: HeaderMap,
    remarks: Mutex<Throttle>,
}

/// What became of a request.
pub(super) struct Outcome {
    pub delivery: Delivery,
    /// The receiver does not know the signal.
    pub unsupported: bool,
}

impl Transport {
    pub fn new(signal: Signal, target: Target, client: Client) -> Result<Self, TracerError> {
        let address = match target.protocol {
            OtlpProtocol::Http => target.url.clone(),
            OtlpProtocol::Grpc => format!("{}{}", target.url, signal.method()),
        };
        let uri = Uri::try_from(address)
            .map_err(|_| TracerError::new("otlp_endpoint", "is no address that can be requested"))?;
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static(crate::http::USER_AGENT));
        for (name, value) in &target.headers {
            let wrong = || TracerError::new(format!("otlp_headers.{name}"), "cannot be sent in a header");
            let mut value = HeaderValue::try_from(value).map_err(|_| wrong())?;
            value.set_sensitive(true);
            headers.insert(HeaderName::try_from(name).map_err(|_| wrong())?, value);
        }
        let own: &[(HeaderName, &str)] = match target.protocol {
            OtlpProtocol::Http => &[(CONTENT_TYPE, "application/x-protobuf"), (CONTENT_ENCODING, "gzip")],
            OtlpProtocol::Grpc => &[
                (CONTENT_TYPE, "application/grpc+proto"),
                (TE, "trailers"),
                (HeaderName::from_static("grpc-encoding"), "gzip"),
            ],
        };
        headers.extend(own.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))));
        Ok(Self { signal, target, client, uri, headers, remarks: Mutex::new(Throttle::new(LOG_EVERY)) })
    }

    /// Where it leads, for logs; no credentials.
    pub fn url(&self) -> &str {
        &self.target.url
    }

    /// Largest request in bytes before compression.
    pub fn max_request(&self) -> usize {
        max_request(self.target.protocol)
    }

    /// A message as the body of a request.
    pub fn pack(&self, message: &[u8]) -> io::Result<Bytes> {
        let compressed = gzip(message)?;
        match self.target.protocol {
            OtlpProtocol::Http => Ok(compressed.into()),
            OtlpProtocol::Grpc => {
                grpc::frame(&compressed).ok_or_else(|| io::Error::other("longer than a message may be"))
            }
        }
    }

    /// Sends a body with so many spans or data points.
    pub async fn send(&self, body: Bytes, items: usize) -> Outcome {
        let version = match self.target.protocol {
            OtlpProtocol::Http => Version::Http1,
            OtlpProtocol::Grpc => Version::Http2,
        };
        match ask(&self.client, version, self.request(body), self.target.timeout).await {
            Ok(answer) => self.judge(items, self.without_secrets(answer)),
            Err(delivery) => Outcome { delivery, unsupported: false },
        }
    }

    fn request(&self, body: Bytes) -> Result<Request<Full<Bytes>>, http::Error> {
        let mut request = Request::builder().method(Method::POST).uri(self.uri.clone()).body(Full::new(body))?;
        *request.headers_mut() = self.headers.clone();
        Ok(request)
    }

    fn judge(&self, items: usize, answer: Answer) -> Outcome {
        let sent = Sent { signal: self.signal, protocol: self.target.protocol, items };
        let (delivery, remark) = answer::judge(&answer, sent, OffsetDateTime::now_utc());
        if let Some(remark) = remark {
            let due = self.remarks.lock().unwrap_or_else(PoisonError::into_inner).admit(1, Instant::now());
            if due.is_some() {
                let url = self.url();
                tracing::warn!("AI Tracing: otlp {url} took all {}, and says: {remark}", self.signal.items());
            }
        }
        Outcome { delivery, unsupported: answer::is_unsupported(&answer, self.target.protocol) }
    }

    /// A receiver that repeats the credentials in its answer must not bring them into the log.
    fn without_secrets(&self, mut answer: Answer) -> Answer {
        let values = self.target.headers.iter().map(|(_, value)| value.as_str());
        // The whole value, and the token behind its scheme.
        let secrets = values.flat_map(|value| [value, value.rsplit(' ').next().unwrap_or_default()]);
        let secrets: Vec<_> = secrets.filter(|secret| secret.len() >= SHORTEST_SECRET).collect();
        grpc::hide(&mut answer.headers, &secrets);
        grpc::hide(&mut answer.trailers, &secrets);
        without(answer, &secrets)
    }
}

/// Largest request in bytes before compression.
pub(super) fn max_request(protocol: OtlpProtocol) -> usize {
    match protocol {
        OtlpProtocol::Http => MAX_HTTP,
        OtlpProtocol::Grpc => MAX_GRPC,
    }
}
