//! Every kind of answer and what it means, as a table.

use ai_tracing_config::ai_tracing::OtlpProtocol;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use prost::Message as _;
use time::OffsetDateTime;
use time::macros::datetime;

use super::super::answer::{self, Sent};
use super::super::signal::Signal;
use crate::exporter::Delivery;
use crate::exporter::proto::{ExportTracePartialSuccess, ExportTraceServiceResponse};
use crate::http::Answer;

const NOW: OffsetDateTime = datetime!(2026-01-02 03:04:05 UTC);

fn answer(status: u16, headers: &[(&'static str, &'static str)], body: impl Into<Bytes>) -> Answer {
    let headers: HeaderMap =
        headers.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect();
    Answer { status: StatusCode::from_u16(status).unwrap(), headers, body: body.into(), trailers: HeaderMap::new() }
}

/// What an answer to spans by HTTP means.
fn judge(answer: &Answer, items: usize, now: OffsetDateTime) -> (Delivery, Option<String>) {
    answer::judge(answer, Sent { signal: Signal::Traces, protocol: OtlpProtocol::Http, items }, now)
}

fn told(delivery: Delivery) -> (&'static str, String) {
    match delivery {
        Delivery::Accepted => ("accepted", String::new()),
        Delivery::Partial { rejected, retry } => ("partial", format!("{} {}", rejected.len(), retry.len())),
        Delivery::Short { refused, why } => ("short", format!("{refused}: {why}")),
        Delivery::Retry { why, .. } => ("retry", why),
        Delivery::Split { why } => ("split", why),
        Delivery::Fatal { why } => ("fatal", why),
    }
}

#[test]
fn statuses() {
    for (status, means, why) in [
        (200, "accepted", ""),
        (202, "accepted", ""),
        (307, "retry", "HTTP 307 to elsewhere: check otlp_endpoint"),
        (400, "fatal", "HTTP 400: bad thing"),
        (401, "retry", "HTTP 401: bad thing: check otlp_headers and otlp_endpoint"),
        (403, "retry", "HTTP 403: bad thing: check otlp_headers and otlp_endpoint"),
        (404, "retry", "HTTP 404: bad thing: check otlp_endpoint"),
        (405, "retry", "HTTP 405: bad thing: check otlp_endpoint"),
        (408, "retry", "HTTP 408: bad thing"),
        (413, "split", "HTTP 413: bad thing"),
        (402, "retry", "HTTP 402: bad thing: check otlp_endpoint"),
        (415, "retry", "HTTP 415: bad thing: check otlp_endpoint"),
        (422, "fatal", "HTTP 422: bad thing"),
        (429, "retry", "HTTP 429: bad thing"),
        (500, "retry", "HTTP 500: bad thing"),
        (503, "retry", "HTTP 503: bad thing"),
    ] {
        let (delivery, remark) = judge(&answer(status, &[("content-type", "text/plain")], "bad\n  thing"), 3, NOW);
        assert_eq!((told(delivery), remark), ((means, why.to_owned()), None), "{status}");
    }
    let page = answer(200, &[("content-type", "text/html; charset=utf-8")], "<html>Sign in</html>");
    let why = "HTTP 200 with a web page: check otlp_endpoint".to_owned();
    assert_eq!(told(judge(&page, 3, NOW).0), ("retry", why));
}

#[test]
fn the_receivers_wish_is_heard() {
    for (value, expected) in [("7", Some(7)), ("Fri, 02 Jan 2026 03:05:05 GMT", Some(60)), ("0", None), ("soon", None)]
    {
        for status in [429, 503] {
            let (delivery, _) = judge(&answer(status, &[("retry-after", value)], ""), 1, NOW);
            let Delivery::Retry { after, .. } = delivery else { panic!("{delivery:?}") };
            assert_eq!(after.map(|after| after.as_secs()), expected, "{value}");
        }
    }
}

#[test]
fn a_partial_success_is_counted_and_not_tried_again() {
    let protobuf = |rejected_spans, error_message: &str| {
        let partial_success = Some(ExportTracePartialSuccess { rejected_spans, error_message: error_message.into() });
        let body = ExportTraceServiceResponse { partial_success }.encode_to_vec();
        answer(200, &[("content-type", "application/x-protobuf")], body)
    };
    let json = |body: &str| answer(200, &[("content-type", "application/json")], body.to_owned());
    for (answer, expected) in [
        (protobuf(2, "too old"), ("short", "2: the receiver refused 2 of 3 spans: too old")),
        (protobuf(99, ""), ("partial", "3 0")),
        (protobuf(-1, ""), ("accepted", "")),
        (
            json(r#"{"partialSuccess":{"rejectedSpans":"1","errorMessage":"too old"}}"#),
            ("short", "1: the receiver refused 1 of 3 spans: too old"),
        ),
        (json(r#"{"partialSuccess":{"rejectedSpans":2}}"#), ("short", "2: the receiver refused 2 of 3 spans: ")),
        (json(r#"{"partialSuccess":{}}"#), ("accepted", "")),
        (json("{}"), ("accepted", "")),
        (json("nonsense"), ("accepted", "")),
        (answer(200, &[], "nonsense"), ("accepted", "")),
        (answer(200, &[], ""), ("accepted", "")),
    ] {
        let (delivery, remark) = judge(&answer, 3, NOW);
        assert_eq!((told(delivery), remark), ((expected.0, expected.1.to_owned()), None), "{answer:?}");
    }
    let Delivery::Partial { rejected, .. } = judge(&protobuf(3, "too\nold"), 3, NOW).0 else { panic!() };
    assert_eq!(rejected[2], (2, "the receiver refused 3 of 3 spans: too old".into()));
    let (delivery, remark) = judge(&protobuf(0, "use gzip"), 3, NOW);
    assert_eq!((delivery, remark.as_deref()), (Delivery::Accepted, Some("use gzip")));
}

/// What an answer of gRPC to three spans means: its status and message, then the details as they stand in the header.
fn called(trailers: &[(&'static str, &'static str)]) -> (&'static str, String) {
    let trailers: HeaderMap =
        trailers.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect();
    let answer = Answer { trailers, ..answer(200, &[("content-type", "application/grpc")], "") };
    let sent = Sent { signal: Signal::Traces, protocol: OtlpProtocol::Grpc, items: 3 };
    told(answer::judge(&answer, sent, NOW).0)
}

#[test]
fn codes_of_grpc() {
    for (code, message, means, why) in [
        ("0", "", "accepted", ""),
        ("1", "", "retry", "gRPC CANCELLED"),
        ("2", "bad%0Athing", "retry", "gRPC UNKNOWN: bad thing"),
        ("3", "bad", "fatal", "gRPC INVALID_ARGUMENT: bad"),
        ("4", "", "retry", "gRPC DEADLINE_EXCEEDED"),
        ("5", "", "retry", "gRPC NOT_FOUND: check otlp_endpoint and otlp_protocol"),
        ("6", "", "fatal", "gRPC ALREADY_EXISTS"),
        ("7", "", "retry", "gRPC PERMISSION_DENIED: check otlp_headers and otlp_endpoint"),
        ("8", "quota", "retry", "gRPC RESOURCE_EXHAUSTED: quota"),
        ("8", "Received message larger than max (5 vs. 4)", "split", ""),
        ("8", "gRPC message exceeds maximum size 4: 5", "split", ""),
        ("9", "", "fatal", "gRPC FAILED_PRECONDITION"),
        ("10", "", "retry", "gRPC ABORTED"),
        ("11", "decoded message length too large: found 5 bytes", "split", ""),
        ("11", "", "retry", "gRPC OUT_OF_RANGE"),
        ("12", "", "retry", "gRPC UNIMPLEMENTED: check otlp_endpoint and otlp_protocol"),
        ("13", "", "retry", "gRPC INTERNAL"),
        ("14", "", "retry", "gRPC UNAVAILABLE"),
        ("15", "", "retry", "gRPC DATA_LOSS"),
        ("16", "", "retry", "gRPC UNAUTHENTICATED: check otlp_headers and otlp_endpoint"),
        ("99", "", "retry", "gRPC UNKNOWN"),
    ] {
        let (kind, said) = called(&[("grpc-status", code), ("grpc-message", message)]);
        assert_eq!(kind, means, "{code} {message}");
        assert!(said == why || kind == "split", "{code}: {said}");
    }
    let none = "HTTP 200 without a status of gRPC: check otlp_endpoint and otlp_protocol".to_owned();
    assert_eq!(called(&[]), ("retry", none));
}

#[test]
fn a_server_that_says_when_to_come_back_is_believed() {
    // google.rpc.Status with a RetryInfo of 7 seconds.
    const DETAILS: &str = "CAgaLgoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLlJldHJ5SW5mbxICCgA";
    const SEVEN: &str = "CAgaMAoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLlJldHJ5SW5mbxIECgIIBw";
    for (details, expected) in [(SEVEN, Some(7)), (DETAILS, None)] {
        let trailers =
            [("grpc-status", "8"), ("grpc-message", "larger than your quota"), ("grpc-status-details-bin", details)];
        let trailers: HeaderMap =
            trailers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        let answer = Answer { trailers, ..answer(200, &[], "") };
        let sent = Sent { signal: Signal::Traces, protocol: OtlpProtocol::Grpc, items: 3 };
        let Delivery::Retry { after, .. } = answer::judge(&answer, sent, NOW).0 else { panic!("{details}") };
        assert_eq!(after.map(|after| after.as_secs()), expected);
    }
}

#[test]
fn what_stands_between_us_and_a_server_of_grpc_answers_by_http() {
    let sent = Sent { signal: Signal::Traces, protocol: OtlpProtocol::Grpc, items: 3 };
    for (status, means) in
        [(401, "retry"), (404, "retry"), (413, "split"), (429, "retry"), (503, "retry"), (400, "fatal")]
    {
        assert_eq!(told(answer::judge(&answer(status, &[], "no"), sent, NOW).0).0, means, "{status}");
    }
}

#[test]
fn each_signal_has_its_own_words() {
    let sent = Sent { signal: Signal::Metrics, protocol: OtlpProtocol::Http, items: 5 };
    let body = r#"{"partialSuccess":{"rejectedDataPoints":2,"errorMessage":"cumulative"}}"#;
    let partial = answer(200, &[("content-type", "application/json")], body);
    let why = "the receiver refused 2 of 5 data points: cumulative".to_owned();
    assert_eq!(answer::judge(&partial, sent, NOW).0, Delivery::Short { refused: 2, why });
    let is_unsupported = |status, protocol| answer::is_unsupported(&answer(status, &[], ""), protocol);
    for status in [404, 405, 501] {
        assert!(is_unsupported(status, OtlpProtocol::Http) && is_unsupported(status, OtlpProtocol::Grpc));
    }
    assert!(!is_unsupported(503, OtlpProtocol::Http) && !is_unsupported(200, OtlpProtocol::Grpc));
}
