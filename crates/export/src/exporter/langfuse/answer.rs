//! What Langfuse's answers mean. Pure: status, headers and body in, a verdict out.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use time::OffsetDateTime;

use crate::exporter::Delivery;
use crate::exporter::answer::{excerpt, is_web_page, redirect, retry_after, said};
use crate::http::Answer;

/// What a v4 server says of every event that its batch API no longer takes.
const NOT_ACCEPTED: &str = "event type not accepted";

/// What an answer means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Delivery(Delivery),
    /// This server does not have this API, or no longer takes traces by it.
    OtherApi {
        why: String,
    },
}

/// An answer of the OTLP API. Its 200 says nothing more in its body.
pub(super) fn otlp(answer: &Answer, now: OffsetDateTime) -> Verdict {
    if answer.status.is_success() && !is_web_page(&answer.headers) {
        return Verdict::Delivery(Delivery::Accepted);
    }
    other(answer, now)
}

/// An answer of the batch API; `events` tells which record an event belongs to, of `records` in all.
pub(super) fn ingestion(
    answer: &Answer,
    events: &HashMap<String, usize>,
    records: usize,
    now: OffsetDateTime,
) -> Verdict {
    if !answer.status.is_success() || is_web_page(&answer.headers) {
        return other(answer, now);
    }
    let Ok(report) = serde_json::from_slice::<Report>(&answer.body) else {
        return retry(None, format!("an unreadable answer ({}): {}", answer.status.as_u16(), excerpt(&answer.body)));
    };
    if let Some(event) = report.errors.iter().find(|event| event.says_not_accepted()) {
        return Verdict::OtherApi { why: format!("the batch API takes no traces: {}", event.reason()) };
    }
    per_record(&report, events, records)
}

/// A record is taken when each of its events was, refused when one was refused for good, else worth another try.
fn per_record(report: &Report, events: &HashMap<String, usize>, records: usize) -> Verdict {
    let mut rejected: BTreeMap<usize, String> = BTreeMap::new();
    let mut missing: HashMap<&str, usize> = events.iter().map(|(id, index)| (id.as_str(), *index)).collect();
    for success in &report.successes {
        missing.remove(success.id.as_str());
    }
    for error in report.errors.iter().filter(|error| !is_passing(error.status)) {
        if let Some(index) = missing.remove(error.id.as_str()) {
            rejected.entry(index).or_insert_with(|| error.reason());
        }
    }
    // What is left was put off, or not mentioned at all.
    let mut retry: Vec<usize> = missing.into_values().filter(|index| !rejected.contains_key(index)).collect();
    retry.sort_unstable();
    retry.dedup();
    if rejected.is_empty() && retry.is_empty() {
        return Verdict::Delivery(Delivery::Accepted);
    }
    if retry.len() == records {
        let why = report.errors.first().map_or_else(|| "the answer names no event".into(), Entry::reason);
        return self::retry(None, why);
    }
    Verdict::Delivery(Delivery::Partial { rejected: rejected.into_iter().collect(), retry })
}

/// What both APIs share: everything but success.
fn other(answer: &Answer, now: OffsetDateTime) -> Verdict {
    let status = answer.status;
    let after = retry_after(&answer.headers, now);
    let said = said(answer);
    match status.as_u16() {
        200..=299 => retry(after, format!("HTTP {} with a web page: check langfuse_endpoint", status.as_u16())),
        300..=399 => retry(after, format!("{}: check langfuse_endpoint", redirect(answer))),
        413 => Verdict::Delivery(Delivery::Split { why: said }),
        400 | 422 => Verdict::Delivery(Delivery::Fatal { why: said }),
        401 | 403 => {
            let code = status.as_u16();
            retry(after, format!("HTTP {code}: check langfuse_public_key, langfuse_secret_key and langfuse_endpoint"))
        }
        404 | 405 | 410 => Verdict::OtherApi { why: format!("HTTP {}: no such API", status.as_u16()) },
        408 | 425 | 429 => retry(after, said),
        500.. => retry(after, said),
        // 402, 406, 415 and so on are not about the records.
        _ => retry(after, format!("{said}: check langfuse_endpoint")),
    }
}

fn retry(after: Option<Duration>, why: String) -> Verdict {
    Verdict::Delivery(Delivery::Retry { after, why })
}

/// Whether the status of an event says "not now" instead of "never": keys can be mended while it waits.
fn is_passing(status: u16) -> bool {
    status >= 500 || matches!(status, 401 | 403 | 408 | 425 | 429) || StatusCode::from_u16(status).is_err()
}

/// The batch API's answer.
#[derive(Deserialize)]
struct Report {
    successes: Vec<Entry>,
    errors: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    id: String,
    #[serde(default)]
    status: u16,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    error: Value,
}

impl Entry {
    fn says_not_accepted(&self) -> bool {
        let error = match &self.error {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let says = |text: &str| text.to_lowercase().contains(NOT_ACCEPTED);
        self.message.as_deref().is_some_and(says) || says(&error)
    }

    fn reason(&self) -> String {
        let error = match &self.error {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        };
        let said: Vec<String> = self.message.clone().into_iter().chain(error).collect();
        format!("HTTP {} for an event: {}", self.status, excerpt(said.join(": ").as_bytes()))
    }
}
