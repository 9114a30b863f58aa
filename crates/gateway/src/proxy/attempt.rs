//! Getting an answer from the upstream: a connection, the request on it, the wait for the response's head.
//!
//! A request goes out again only while nothing of it can have reached an upstream: after a failed connect (as often as
//! the service's `retries` says), or when a reused connection turns out to be closed before the request was written.
//! The body is not touched before a connection takes it, so it is whole for each attempt.

use std::sync::Arc;
use std::time::Instant;

use http::header::{HOST, HeaderValue, TRANSFER_ENCODING, UPGRADE};
use http::uri::{Authority, PathAndQuery};
use http::{Method, Request, Response, Uri, Version};
use http_body::Body;
use hyper::body::Incoming;

use super::exchange::{Exchange, Patience, Upload};
use super::failure::Failure;
use super::headers;
use super::tee::{Lease, RequestBody};
use super::upstream::{ConnectError, Pool, Profile, Sender, Wanted};

/// Connections that may turn out to be closed before a new one is made.
const STALE: u32 = 2;

/// An upstream's answer.
pub struct Answer {
    /// Head and body.
    pub response: Response<Incoming>,
    /// The connection that the body comes from.
    pub lease: Lease,
    /// When the request was handed to the connection.
    pub started: Instant,
}

/// Where a request goes, in the parts that HTTP/1.1 and HTTP/2 put together differently.
pub struct Destination<'a> {
    /// The service.
    pub profile: &'a Profile,
    /// Path and query.
    pub path: PathAndQuery,
    /// The client's own host where the route preserves it.
    pub host: Option<HeaderValue>,
}

/// Sends `request` and waits for the head of the response.
///
/// # Errors
///
/// When no connection can be had, when the upstream breaks off or takes too long, and when the client does.
pub async fn send(
    pool: &Arc<Pool>,
    destination: &Destination<'_>,
    mut request: Request<RequestBody>,
    exchange: &Exchange,
) -> Result<Answer, Failure> {
    let profile = destination.profile;
    let patience = patience(profile);
    // Left only where the client may switch the protocol.
    let wanted = if request.headers().contains_key(UPGRADE) { Wanted::Http1 } else { Wanted::Any };
    let mut retries = profile.retries;
    let mut stale = 0;
    loop {
        let reused = if stale < STALE { pool.reuse(&profile.target, wanted) } else { None };
        let is_reused = reused.is_some();
        let mut sender = match reused {
            Some(sender) => sender,
            None => match pool.connect(profile, wanted).await {
                Ok(sender) => sender,
                Err(ConnectError::Io(_) | ConnectError::Timeout) if retries > 0 => {
                    retries -= 1;
                    continue;
                }
                Err(error) => {
                    request.into_body().take_note().await;
                    return Err(error.into());
                }
            },
        };
        fit(&mut request, &sender, destination);
        let started = Instant::now();
        exchange.upstream_started(started);
        let sent = tokio::select! {
            biased;
            sent = sender.send(request) => sent,
            who = exchange.stalled(patience) => {
                pool.give_up(&profile.target, &sender);
                return Err(who.into());
            }
        };
        let mut error = match sent {
            Ok(response) => {
                let lease = Lease { pool: Arc::clone(pool), target: Arc::clone(&profile.target), sender };
                return Ok(Answer { response, lease, started });
            }
            Err(error) => error,
        };
        match (exchange.upload(), error.take_message()) {
            (Upload::Broken, _) => return Err(Failure::ClientGone),
            (Upload::TooLarge, _) => return Err(Failure::TooLarge),
            (_, Some(unsent)) if is_reused => {
                stale += 1;
                request = unsent;
            }
            (_, Some(unsent)) if retries > 0 => {
                retries -= 1;
                request = unsent;
            }
            _ => return Err(Failure::Upstream(error.into_error())),
        }
    }
}

/// How long everybody may take.
pub fn patience(profile: &Profile) -> Patience {
    Patience { client: super::CLIENT_TIMEOUT, write: profile.write_timeout, read: profile.read_timeout }
}

/// Puts the address where the connection's protocol wants it.
fn fit(request: &mut Request<RequestBody>, sender: &Sender, destination: &Destination<'_>) {
    let profile = destination.profile;
    let path = destination.path.clone();
    if sender.is_h2() {
        let preserved = destination.host.as_ref().and_then(|host| Authority::try_from(host.as_bytes()).ok());
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(profile.scheme.clone());
        parts.authority = Some(preserved.unwrap_or_else(|| profile.authority.clone()));
        parts.path_and_query = Some(path);
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
        *request.version_mut() = Version::HTTP_2;
        request.headers_mut().remove(HOST);
        request.headers_mut().remove(TRANSFER_ENCODING);
    } else {
        *request.uri_mut() = Uri::from(path);
        *request.version_mut() = Version::HTTP_11;
        headers::join_cookies(request.headers_mut());
        let host = destination.host.as_ref().unwrap_or(&profile.host_header).clone();
        request.headers_mut().insert(HOST, host);
        // For these methods hyper takes a body of unknown length for none, unless it is told.
        let bodiless = matches!(*request.method(), Method::GET | Method::HEAD | Method::CONNECT);
        if bodiless && !request.body().is_end_stream() && request.body().size_hint().exact().is_none() {
            request.headers_mut().insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
    }
}
