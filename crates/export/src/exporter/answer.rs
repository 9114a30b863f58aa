//! What every receiver's answers have in common: how long to wait, what it says, whether it is one at all.

use std::time::Duration;

use http::HeaderMap;
use http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use crate::http::Answer;

/// How much of a body goes into the log.
const EXCERPT: usize = 200;

/// Status and the beginning of the body, in one line.
pub(super) fn said(answer: &Answer) -> String {
    let code = answer.status.as_u16();
    match excerpt(&answer.body) {
        said if said.is_empty() => format!("HTTP {code}"),
        said => format!("HTTP {code}: {said}"),
    }
}

/// Status and target of a redirect, which is never followed: it would take the credentials elsewhere.
pub(super) fn redirect(answer: &Answer) -> String {
    let to = answer.headers.get(LOCATION).and_then(|to| to.to_str().ok()).unwrap_or("elsewhere");
    // A query may hold anything.
    let to = to.split('?').next().unwrap_or_default();
    format!("HTTP {} to {to}", answer.status.as_u16())
}

/// `Retry-After`: seconds, or a date (RFC 9110, section 10.2.3). Never 0, which is our own sign for "at once".
pub(super) fn retry_after(headers: &HeaderMap, now: OffsetDateTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let after = match value.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds.ceil()).ok()?,
        Err(_) => Duration::try_from(OffsetDateTime::parse(value, &Rfc2822).ok()? - now).ok()?,
    };
    Some(after).filter(|after| !after.is_zero())
}

/// A sign-in page, as proxies answer with, is no success.
pub(super) fn is_web_page(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(|value| value.starts_with("text/html"))
}

/// One line of a body.
pub(super) fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body.get(..4 * EXCERPT).unwrap_or(body));
    if text.trim_start().starts_with('<') {
        return String::new();
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().filter(|c| !c.is_control()).take(EXCERPT).collect()
}

/// A receiver that repeats credentials in its answer must not bring them into the log.
pub(super) fn without(mut answer: Answer, secrets: &[&str]) -> Answer {
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        let body = String::from_utf8_lossy(&answer.body);
        if body.contains(secret) {
            answer.body = body.replace(secret, "[hidden]").into();
        }
    }
    answer
}
