//! Every kind of answer and what it means, as a table.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use prost::Message as _;
use time::OffsetDateTime;
use time::macros::datetime;

use super::super::answer::judge;
use crate::exporter::Delivery;
use crate::exporter::proto::{ExportTracePartialSuccess, ExportTraceServiceResponse};
use crate::http::Answer;

const NOW: OffsetDateTime = datetime!(2026-01-02 03:04:05 UTC);

fn answer(status: u16, headers: &[(&'static str, &'static str)], body: impl Into<Bytes>) -> Answer {
    let headers: HeaderMap =
        headers.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect();
    Answer { status: StatusCode::from_u16(status).unwrap(), headers, body: body.into() }
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
