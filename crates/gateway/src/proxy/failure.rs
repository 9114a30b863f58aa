//! What can go wrong, and what the client is told: the one place where failures become answers.
//!
//! Statuses and messages are Kong's, so that clients and dashboards that know them keep working.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ai_tracing_core::record::End;
use ai_tracing_export::clock::Clock;
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue, LOCATION, SERVER, UPGRADE};
use http::{Response, StatusCode};

use super::exchange::Stalled;
use super::headers::{PRODUCT, X_KONG_REQUEST_ID, X_KONG_RESPONSE_LATENCY};
use super::tee::{BodyError, ResponseBody};
use super::upstream::ConnectError;

/// Why a call gets the gateway's own answer.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The request makes no sense.
    #[error("bad request: {0}")]
    BadRequest(&'static str),
    /// No route.
    #[error("no route matched")]
    NoRoute,
    /// The route has no service.
    #[error("the route has no service")]
    NoService,
    /// The route wants https; the status says whether by an error or by a redirection to the address.
    #[error("https is required")]
    HttpsOnly(StatusCode, String),
    /// The request's body is longer than allowed.
    #[error("the request is too large")]
    TooLarge,
    /// The client took too long with its body.
    #[error("the client stalled")]
    ClientStalled,
    /// The client broke off.
    #[error("the client broke off")]
    ClientGone,
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The upstream took too long.
    #[error("the upstream is timing out")]
    Timeout,
    /// The upstream broke off, or answered what is no HTTP.
    #[error("upstream: {0}")]
    Upstream(#[source] hyper::Error),
    /// The upstream switched to another protocol, unasked.
    #[error("upstream: switched the protocol unasked")]
    UnaskedUpgrade,
}

impl From<Stalled> for Failure {
    fn from(who: Stalled) -> Self {
        match who {
            Stalled::Client => Self::ClientStalled,
            Stalled::Write | Stalled::Read => Self::Timeout,
        }
    }
}

impl Failure {
    /// Status and message.
    pub fn answer(&self) -> (StatusCode, &'static str) {
        match self {
            Self::BadRequest(_) => (StatusCode::BAD_REQUEST, "Bad request"),
            Self::NoRoute => (StatusCode::NOT_FOUND, "no Route matched with those values"),
            Self::NoService => (StatusCode::SERVICE_UNAVAILABLE, "no Service found with those values"),
            Self::HttpsOnly(status, _) => (*status, "Please use HTTPS protocol"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "Payload too large"),
            Self::ClientStalled | Self::ClientGone => (StatusCode::REQUEST_TIMEOUT, "Request timeout"),
            Self::Connect(ConnectError::Name) => (StatusCode::SERVICE_UNAVAILABLE, "name resolution failed"),
            Self::Timeout | Self::Connect(ConnectError::Timeout) => {
                (StatusCode::GATEWAY_TIMEOUT, "The upstream server is timing out")
            }
            Self::Upstream(_) | Self::UnaskedUpgrade | Self::Connect(_) => {
                (StatusCode::BAD_GATEWAY, "An invalid response was received from the upstream server")
            }
        }
    }

    /// How it ends the exchange.
    pub fn end(&self) -> End {
        match self {
            Self::BadRequest(_) | Self::NoRoute | Self::NoService | Self::HttpsOnly(..) | Self::TooLarge => {
                End::Rejected
            }
            Self::ClientStalled | Self::ClientGone => End::ClientGone,
            Self::Timeout | Self::Connect(ConnectError::Timeout) => End::Timeout,
            Self::Upstream(_) | Self::UnaskedUpgrade | Self::Connect(_) => End::UpstreamError,
        }
    }

    /// The answer to the client, and its body for those who watch.
    pub fn response(&self, clock: &Clock, request_id: HeaderValue) -> (Response<ResponseBody>, Bytes) {
        let (status, message) = self.answer();
        let id = request_id.to_str().unwrap_or_default();
        let body = match self {
            Self::HttpsOnly(StatusCode::UPGRADE_REQUIRED, _) => format!(r#"{{"message":"{message}"}}"#),
            Self::HttpsOnly(..) => String::new(),
            _ => format!(r#"{{"message":"{message}","request_id":"{id}"}}"#),
        };
        let body = Bytes::from(body);
        let mut response = Response::new(ResponseBody::own(body.clone()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
        headers.insert(SERVER, HeaderValue::from_static(PRODUCT));
        headers.insert(X_KONG_RESPONSE_LATENCY, HeaderValue::from(clock.ms(Instant::now())));
        headers.insert(X_KONG_REQUEST_ID, request_id);
        match self {
            Self::HttpsOnly(StatusCode::UPGRADE_REQUIRED, _) => {
                headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
                headers.insert(UPGRADE, HeaderValue::from_static("TLS/1.2, HTTP/1.1"));
            }
            Self::HttpsOnly(_, to) => {
                headers.remove(CONTENT_TYPE);
                if let Ok(to) = HeaderValue::try_from(to.as_str()) {
                    headers.insert(LOCATION, to);
                }
            }
            // What is left of the request is not read: the connection cannot serve another.
            Self::TooLarge | Self::ClientStalled => {
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        (response, body)
    }
}

/// Tells the operator why calls fail: one line a second at most, with the number of those that were left out.
#[derive(Debug, Default)]
pub struct Complaints(Mutex<Silence>);

#[derive(Debug, Default)]
struct Silence {
    last: Option<Instant>,
    left_out: u64,
}

impl Complaints {
    /// Complains about an upstream.
    pub fn complain(&self, failure: &Failure, service: &str) {
        if failure.end() != End::ClientGone {
            self.say("no answer from the upstream", failure, service);
        }
    }

    /// Complains about an upstream that began to answer.
    pub fn complain_of_half(&self, error: &BodyError, service: &str) {
        self.say("the upstream did not finish its answer", error, service);
    }

    fn say(&self, what: &'static str, error: &dyn std::fmt::Display, service: &str) {
        if let Some(left_out) = self.turn(Instant::now()) {
            tracing::warn!(service, %error, left_out, "{what}");
        }
    }

    /// How many were left out since the last line, when it is time for another.
    fn turn(&self, now: Instant) -> Option<u64> {
        let mut silence = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if silence.last.is_some_and(|last| now.saturating_duration_since(last) < Duration::from_secs(1)) {
            silence.left_out += 1;
            return None;
        }
        silence.last = Some(now);
        Some(std::mem::take(&mut silence.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_come_once_a_second() {
        let complaints = Complaints::default();
        let now = Instant::now();
        let turns = [0, 10, 999, 1000, 1500, 2100].map(|ms| complaints.turn(now + Duration::from_millis(ms)));
        assert_eq!(turns, [Some(0), None, None, Some(2), None, Some(1)]);
    }
}
