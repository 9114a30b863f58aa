//! What a receiver's answers mean. Pure: status, headers and body in, a delivery out.
//!
//! The protocol (<https://opentelemetry.io/docs/specs/otlp/#otlphttp-response>) says what is worth another try: 429,
//! 502, 503, 504. Beyond that, what an operator can mend while traces wait is tried again as well, as is every other
//! failure of the server's own.

use prost::Message as _;
use serde_json::Value;
use time::OffsetDateTime;

use crate::exporter::Delivery;
use crate::exporter::answer::{excerpt, is_web_page, redirect, retry_after, said};
use crate::exporter::proto::{ExportTracePartialSuccess, ExportTraceServiceResponse};
use crate::http::Answer;

/// An answer to a request with so many records, and what a receiver that took them all has to say about them.
pub(super) fn judge(answer: &Answer, records: usize, now: OffsetDateTime) -> (Delivery, Option<String>) {
    let status = answer.status.as_u16();
    let after = retry_after(&answer.headers, now);
    let retry = |why: String| Delivery::Retry { after, why };
    let delivery = match status {
        200..=299 if is_web_page(&answer.headers) => {
            retry(format!("HTTP {status} with a web page: check otlp_endpoint"))
        }
        200..=299 => return success(answer, records),
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

/// A success may be partial. Which spans were refused is not said, and nothing is sent again, as the protocol demands.
fn success(answer: &Answer, records: usize) -> (Delivery, Option<String>) {
    let Some(partial) = partial_success(answer) else { return (Delivery::Accepted, None) };
    let message = excerpt(partial.error_message.as_bytes());
    let rejected = usize::try_from(partial.rejected_spans).unwrap_or(0).min(records);
    if rejected == 0 {
        return (Delivery::Accepted, Some(message).filter(|message| !message.is_empty()));
    }
    let why = format!("the receiver refused {rejected} of {records} spans: {message}");
    if rejected < records {
        return (Delivery::Short { refused: rejected, why }, None);
    }
    let rejected = (0..records).map(|index| (index, why.clone())).collect();
    (Delivery::Partial { rejected, retry: Vec::new() }, None)
}

/// Receivers answer in the request's encoding, or in JSON nevertheless; what cannot be read says nothing.
fn partial_success(answer: &Answer) -> Option<ExportTracePartialSuccess> {
    let content_type = answer.headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if content_type.is_some_and(|content_type| content_type.contains("json")) {
        let body: Value = serde_json::from_slice(&answer.body).ok()?;
        let partial = body.get("partialSuccess")?;
        // 64-bit numbers are strings in protobuf's JSON.
        let rejected = partial.get("rejectedSpans");
        let rejected = rejected.and_then(|count| count.as_i64().or_else(|| count.as_str()?.parse().ok()));
        let message = partial.get("errorMessage").and_then(Value::as_str).unwrap_or_default();
        return Some(ExportTracePartialSuccess {
            rejected_spans: rejected.unwrap_or(0),
            error_message: message.to_owned(),
        });
    }
    ExportTraceServiceResponse::decode(answer.body.clone()).ok()?.partial_success
}
