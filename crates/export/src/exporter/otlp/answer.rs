//! What a receiver's answers mean. Pure: status, headers and body in, a delivery out.
//!
//! The protocol (<https://opentelemetry.io/docs/specs/otlp/#failures>) says what is worth another try: by HTTP 429, 502,
//! 503 and 504, by gRPC the codes that a server answers with while it is out of order. Beyond that, what an operator can
//! mend while data waits is tried again as well, as is every other failure of the server's own.

use ai_tracing_config::ai_tracing::OtlpProtocol;
use bytes::Bytes;
use prost::Message as _;
use serde_json::Value;
use time::OffsetDateTime;

use super::grpc;
use super::signal::Signal;
use crate::exporter::Delivery;
use crate::exporter::answer::{excerpt, is_web_page, redirect, retry_after, said};
use crate::exporter::proto::{ExportTracePartialSuccess, ExportTraceServiceResponse};
use crate::http::Answer;

/// What was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    pub signal: Signal,
    pub protocol: OtlpProtocol,
    /// Spans or data points.
    pub items: usize,
}

/// An answer's meaning, and what a receiver that took everything has to say about it.
pub(super) fn judge(answer: &Answer, sent: Sent, now: OffsetDateTime) -> (Delivery, Option<String>) {
    if sent.protocol == OtlpProtocol::Grpc && answer.status.as_u16() == 200 {
        return match grpc::status(&answer.headers, &answer.trailers) {
            Some(status) => called(answer, &status, sent),
            None => (
                Delivery::Retry {
                    after: None,
                    why: "HTTP 200 without a status of gRPC: check otlp_endpoint and otlp_protocol".into(),
                },
                None,
            ),
        };
    }
    let status = answer.status.as_u16();
    let after = retry_after(&answer.headers, now);
    let retry = |why: String| Delivery::Retry { after, why };
    let delivery = match status {
        200..=299 if is_web_page(&answer.headers) => {
            retry(format!("HTTP {status} with a web page: check otlp_endpoint"))
        }
        200..=299 => return success(partial_success(answer, sent.signal), sent),
        300..=399 => retry(format!("{}: check otlp_endpoint", redirect(answer))),
        401 | 403 => retry(format!("{}: check otlp_headers and otlp_endpoint", said(answer))),
        404 | 405 | 410 => retry(format!("{}: check otlp_endpoint", said(answer))),
        408 | 425 | 429 | 500.. => retry(said(answer)),
        413 => Delivery::Split { why: said(answer) },
        400 | 422 => Delivery::Fatal { why: said(answer) },
        // 402, 406, 415 and so on are not about the records.
        _ => retry(format!("{}: check otlp_endpoint", said(answer))),
    };
    (delivery, None)
}

/// Whether a receiver says that it does not know the signal at all.
pub(super) fn is_unsupported(answer: &Answer, protocol: OtlpProtocol) -> bool {
    match (answer.status.as_u16(), protocol) {
        (404 | 405 | 501, _) => true,
        (200, OtlpProtocol::Grpc) => {
            grpc::status(&answer.headers, &answer.trailers).is_some_and(|status| status.code == UNIMPLEMENTED)
        }
        _ => false,
    }
}

const UNIMPLEMENTED: u32 = 12;

/// The codes of gRPC, in their order.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// What the libraries say of a message that is longer than they take, with RESOURCE_EXHAUSTED or OUT_OF_RANGE.
const TOO_LONG: [&str; 3] = ["larger than", "too large", "exceeds max"];

/// A call that came back with a status of gRPC.
fn called(answer: &Answer, status: &grpc::Status, sent: Sent) -> (Delivery, Option<String>) {
    let name = usize::try_from(status.code).ok().and_then(|code| CODES.get(code).copied()).unwrap_or("UNKNOWN");
    let why = match excerpt(status.message.as_bytes()) {
        said if said.is_empty() => format!("gRPC {name}"),
        said => format!("gRPC {name}: {said}"),
    };
    let after = status.retry_after.filter(|after| !after.is_zero());
    let retry = |why: String| Delivery::Retry { after, why };
    let message = status.message.to_lowercase();
    let too_long = TOO_LONG.iter().any(|words| message.contains(words));
    let delivery = match name {
        "OK" => return success(grpc::message(&answer.body).and_then(decoded), sent),
        "RESOURCE_EXHAUSTED" | "OUT_OF_RANGE" if too_long && status.retry_after.is_none() => Delivery::Split { why },
        "UNAUTHENTICATED" | "PERMISSION_DENIED" => retry(format!("{why}: check otlp_headers and otlp_endpoint")),
        "UNIMPLEMENTED" | "NOT_FOUND" => retry(format!("{why}: check otlp_endpoint and otlp_protocol")),
        "INVALID_ARGUMENT" | "ALREADY_EXISTS" | "FAILED_PRECONDITION" => Delivery::Fatal { why },
        _ => retry(why),
    };
    (delivery, None)
}

/// A success may be partial. Which items were refused is not said, and nothing is sent again, as the protocol demands.
fn success(partial: Option<ExportTracePartialSuccess>, sent: Sent) -> (Delivery, Option<String>) {
    let Some(partial) = partial else { return (Delivery::Accepted, None) };
    let message = excerpt(partial.error_message.as_bytes());
    let rejected = usize::try_from(partial.rejected_spans).unwrap_or(0).min(sent.items);
    if rejected == 0 {
        return (Delivery::Accepted, Some(message).filter(|message| !message.is_empty()));
    }
    let why = format!("the receiver refused {rejected} of {} {}: {message}", sent.items, sent.signal.items());
    if rejected < sent.items {
        return (Delivery::Short { refused: rejected, why }, None);
    }
    let rejected = (0..sent.items).map(|index| (index, why.clone())).collect();
    (Delivery::Partial { rejected, retry: Vec::new() }, None)
}

/// Receivers answer in the request's encoding, or in JSON nevertheless; what cannot be read says nothing.
fn partial_success(answer: &Answer, signal: Signal) -> Option<ExportTracePartialSuccess> {
    let content_type = answer.headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if content_type.is_some_and(|content_type| content_type.contains("json")) {
        let body: Value = serde_json::from_slice(&answer.body).ok()?;
        let partial = body.get("partialSuccess")?;
        // 64-bit numbers are strings in protobuf's JSON.
        let rejected = partial.get(signal.rejected());
        let rejected = rejected.and_then(|count| count.as_i64().or_else(|| count.as_str()?.parse().ok()));
        let message = partial.get("errorMessage").and_then(Value::as_str).unwrap_or_default();
        return Some(ExportTracePartialSuccess {
            rejected_spans: rejected.unwrap_or(0),
            error_message: message.to_owned(),
        });
    }
    decoded(answer.body.clone())
}

/// The answers of both signals are the same on the wire.
fn decoded(message: Bytes) -> Option<ExportTracePartialSuccess> {
    ExportTraceServiceResponse::decode(message).ok()?.partial_success
}
