//! Every kind of answer and what it means, as a table.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::datetime;

use super::super::answer::{self, Verdict};
use crate::exporter::Delivery;
use crate::http::Answer;

const NOW: OffsetDateTime = datetime!(2026-01-02 03:04:05 UTC);

/// What is expected, without its wording.
#[derive(Debug, PartialEq)]
enum Means {
    Accepted,
    Retry(Option<u64>),
    Split,
    Fatal,
    OtherApi,
    Partial { rejected: Vec<usize>, retry: Vec<usize> },
}

fn means(verdict: &Verdict) -> Means {
    match verdict {
        Verdict::OtherApi { .. } => Means::OtherApi,
        Verdict::Delivery(Delivery::Accepted) => Means::Accepted,
        Verdict::Delivery(Delivery::Retry { after, .. }) => Means::Retry(after.map(|after| after.as_secs())),
        Verdict::Delivery(Delivery::Short { .. }) => panic!("Langfuse tells by name: {verdict:?}"),
        Verdict::Delivery(Delivery::Split { .. }) => Means::Split,
        Verdict::Delivery(Delivery::Fatal { .. }) => Means::Fatal,
        Verdict::Delivery(Delivery::Partial { rejected, retry }) => {
            Means::Partial { rejected: rejected.iter().map(|(index, _)| *index).collect(), retry: retry.clone() }
        }
    }
}

fn why(verdict: &Verdict) -> &str {
    match verdict {
        Verdict::OtherApi { why }
        | Verdict::Delivery(Delivery::Retry { why, .. } | Delivery::Split { why } | Delivery::Fatal { why }) => why,
        Verdict::Delivery(_) => "",
    }
}

fn answer(status: u16, headers: &[(&'static str, &'static str)], body: impl Into<Bytes>) -> Answer {
    let headers: HeaderMap =
        headers.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect();
    Answer { status: StatusCode::from_u16(status).unwrap(), headers, body: body.into(), trailers: HeaderMap::new() }
}

fn events() -> HashMap<String, usize> {
    [("a1", 0), ("a2", 0), ("b1", 1), ("b2", 1), ("c1", 2), ("c2", 2)].map(|(id, index)| (id.to_owned(), index)).into()
}

fn ingestion(answer: &Answer) -> Verdict {
    answer::ingestion(answer, &events(), 3, NOW)
}

#[test]
fn statuses() {
    let table = [
        (300, Means::Retry(None), "HTTP 300 to elsewhere: check langfuse_endpoint"),
        (307, Means::Retry(None), "HTTP 307 to elsewhere: check langfuse_endpoint"),
        (400, Means::Fatal, "HTTP 400: bad thing"),
        (401, Means::Retry(None), "HTTP 401: check langfuse_public_key, langfuse_secret_key and langfuse_endpoint"),
        (403, Means::Retry(None), "HTTP 403: check langfuse_public_key, langfuse_secret_key and langfuse_endpoint"),
        (402, Means::Retry(None), "HTTP 402: bad thing: check langfuse_endpoint"),
        (404, Means::OtherApi, "HTTP 404: no such API"),
        (405, Means::OtherApi, "HTTP 405: no such API"),
        (408, Means::Retry(None), "HTTP 408: bad thing"),
        (410, Means::OtherApi, "HTTP 410: no such API"),
        (413, Means::Split, "HTTP 413: bad thing"),
        (415, Means::Retry(None), "HTTP 415: bad thing: check langfuse_endpoint"),
        (422, Means::Fatal, "HTTP 422: bad thing"),
        (425, Means::Retry(None), "HTTP 425: bad thing"),
        (429, Means::Retry(None), "HTTP 429: bad thing"),
        (500, Means::Retry(None), "HTTP 500: bad thing"),
        (501, Means::Retry(None), "HTTP 501: bad thing"),
        (503, Means::Retry(None), "HTTP 503: bad thing"),
        (599, Means::Retry(None), "HTTP 599: bad thing"),
    ];
    for (status, expected, words) in table {
        let answer = answer(status, &[], "bad\n  thing");
        for verdict in [answer::otlp(&answer, NOW), ingestion(&answer)] {
            assert_eq!(means(&verdict), expected, "{status}");
            assert_eq!(why(&verdict), words);
        }
    }
}

#[test]
fn a_redirect_tells_where_to() {
    let verdict = answer::otlp(&answer(308, &[("location", "https://eu.example.com/otel?key=1")], ""), NOW);
    assert_eq!(why(&verdict), "HTTP 308 to https://eu.example.com/otel: check langfuse_endpoint");
}

#[test]
fn success_of_otlp_needs_no_body_but_is_no_web_page() {
    for status in [200, 202, 207] {
        assert_eq!(means(&answer::otlp(&answer(status, &[], "whatever"), NOW)), Means::Accepted);
    }
    let page = answer(200, &[("content-type", "text/html; charset=utf-8")], "<html>Sign in</html>");
    for verdict in [answer::otlp(&page, NOW), ingestion(&page)] {
        assert_eq!(means(&verdict), Means::Retry(None));
        assert_eq!(why(&verdict), "HTTP 200 with a web page: check langfuse_endpoint");
    }
}

#[test]
fn retry_after_in_seconds_and_as_a_date() {
    for (value, expected) in [
        ("7", Some(7)),
        (" 12 ", Some(12)),
        ("0.5", Some(1)),
        ("0", None),
        ("-3", None),
        ("soon", None),
        ("Fri, 02 Jan 2026 03:05:05 GMT", Some(60)),
        ("Fri, 02 Jan 2026 03:00:00 GMT", None),
    ] {
        for status in [429, 503] {
            let verdict = answer::otlp(&answer(status, &[("retry-after", value)], ""), NOW);
            assert_eq!(means(&verdict), Means::Retry(expected), "{value}");
        }
    }
    let at_once = answer::otlp(&answer(429, &[("retry-after", "0")], ""), NOW);
    assert!(!matches!(at_once, Verdict::Delivery(Delivery::Retry { after: Some(Duration::ZERO), .. })));
}

#[test]
fn the_batch_apis_report_is_read_by_record() {
    let ok = |ids: &[&str]| ids.iter().map(|id| json!({"id": id, "status": 201})).collect::<Vec<_>>();
    let bad = |id: &str, status: u16| json!({"id": id, "status": status, "message": "m", "error": "e"});
    let table: [(Vec<Value>, Vec<Value>, Means); 10] = [
        (ok(&["a1", "a2", "b1", "b2", "c1", "c2"]), vec![], Means::Accepted),
        (
            ok(&["a1", "a2", "b1", "c1", "c2"]),
            vec![bad("b2", 400)],
            Means::Partial { rejected: vec![1], retry: vec![] },
        ),
        (
            ok(&["a1", "a2", "b1", "c1", "c2"]),
            vec![bad("b2", 500)],
            Means::Partial { rejected: vec![], retry: vec![1] },
        ),
        (
            ok(&["a1", "a2", "b1", "c1", "c2"]),
            vec![bad("b2", 429)],
            Means::Partial { rejected: vec![], retry: vec![1] },
        ),
        // Refused for good weighs more than put off.
        (
            ok(&["a1", "a2", "c1", "c2"]),
            vec![bad("b1", 500), bad("b2", 400)],
            Means::Partial { rejected: vec![1], retry: vec![] },
        ),
        // A wrong key is no verdict on the record.
        (
            ok(&["a1", "a2", "b1", "c1", "c2"]),
            vec![bad("b2", 403)],
            Means::Partial { rejected: vec![], retry: vec![1] },
        ),
        (
            ok(&["a1"]),
            vec![bad("a2", 404), bad("b1", 503), bad("c2", 400)],
            Means::Partial { rejected: vec![0, 2], retry: vec![1] },
        ),
        // Not mentioned is not taken.
        (ok(&["a1", "a2", "b1", "c1", "c2"]), vec![], Means::Partial { rejected: vec![], retry: vec![1] }),
        (vec![], vec![], Means::Retry(None)),
        // Unknown ids change nothing.
        (ok(&["a1", "a2", "b1", "b2", "c1", "c2", "x"]), vec![bad("y", 400)], Means::Accepted),
    ];
    for (successes, errors, expected) in table {
        let body = json!({"successes": successes, "errors": errors}).to_string();
        for status in [200, 207] {
            assert_eq!(means(&ingestion(&answer(status, &[], body.clone()))), expected, "{body}");
        }
    }
    let rejected = ingestion(&answer(
        207,
        &[],
        json!({"successes": ok(&["a1", "a2", "b1", "c1", "c2"]), "errors": [bad("b2", 400)]}).to_string(),
    ));
    let reason = "HTTP 400 for an event: m: e".to_owned();
    assert_eq!(rejected, Verdict::Delivery(Delivery::Partial { rejected: vec![(1, reason)], retry: vec![] }));
}

#[test]
fn a_batch_api_without_traces_is_told_by_its_words() {
    for error in [
        json!({"id": "a1", "status": 400, "message": "Event type not accepted"}),
        json!({"id": "a1", "status": 400, "message": "Invalid request data", "error": "Event type not accepted: trace-create"}),
        json!({"id": "a1", "status": 400, "error": {"message": "Event type not accepted"}}),
    ] {
        let body = json!({"successes": [], "errors": [error]}).to_string();
        assert_eq!(means(&ingestion(&answer(207, &[], body))), Means::OtherApi);
    }
}

#[test]
fn an_unreadable_report_is_tried_again() {
    for body in ["", "OK", "{}", "[]", r#"{"successes":[]}"#, r#"{"successes":[],"errors":[{"id":1}]}"#, "\u{0}\u{7f}"]
    {
        let verdict = ingestion(&answer(207, &[], body));
        assert_eq!(means(&verdict), Means::Retry(None), "{body}");
        assert!(why(&verdict).starts_with("an unreadable answer (207): "));
    }
}

#[test]
fn the_log_gets_one_short_line() {
    let verdict = answer::otlp(&answer(500, &[], format!("a\nb\u{1b}[31m {}", "x".repeat(5000))), NOW);
    assert!(why(&verdict).starts_with("HTTP 500: a b[31m xxx") && why(&verdict).len() <= 210, "{}", why(&verdict));
    assert_eq!(why(&answer::otlp(&answer(502, &[], "<html>Bad gateway</html>"), NOW)), "HTTP 502");
}
