//! The data path: from a client's request to the upstream's answer.
//!
//! ```text
//! server: accept ─► proxy thread ─► connection (HTTP/1.1, HTTP/2, TLS)
//!                                     │ request
//!   router: which route? ─► plugin: traced? Capture::start
//!                                     │
//!   attempt: connection from the thread's pool ─► request body through tee ─► upstream
//!                                     │ response head
//!   client ◄─ response body through tee ◄─ upstream          the tee reports the end, exactly once
//! ```
//!
//! A connection, its calls and its upstream connections all live on one thread; threads share nothing but the compiled
//! configuration ([`Live`](crate::live::Live)), the sink of finished calls and the memory budget.

mod attempt;
pub mod exchange;
pub mod failure;
pub mod headers;
pub mod path;
mod patient;
pub mod router;
pub mod server;
pub mod tee;
#[cfg(test)]
mod tests;
mod tunnel;
pub mod upstream;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ai_tracing_core::capture::{self, Capture, RequestHead};
use ai_tracing_core::record::End;
use ai_tracing_export::clock::{self, Clock};
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST, HeaderMap, HeaderValue};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode, Uri, Version};
use hyper::body::Incoming;

use self::attempt::Destination;
use self::exchange::{Budget, Ending, Exchange};
use self::failure::{Complaints, Failure};
use self::headers::{Client, Latencies, Outgoing};
use self::router::{Key, RouteEntry};
use self::tee::{RequestBody, ResponseBody, Source};
use self::upstream::{Pool, Profile};
use crate::live::Live;
use crate::metrics::http::Reading;
use crate::plugin::Tracing;

/// How long a client may take between two pieces of its body, with a request's head, and to take what is sent to it:
/// nginx's `client_body_timeout`, `client_header_timeout` and `send_timeout`.
pub const CLIENT_TIMEOUT: Duration = Duration::from_secs(60);

/// What the calls of one proxy thread share.
pub struct Worker {
    /// The configuration as it is now.
    pub live: Arc<Live>,
    /// The thread's upstream connections.
    pub pool: Arc<Pool>,
    /// Memory for captures, shared by all threads.
    pub budget: Arc<Budget>,
    /// Longest request body; `None`: any.
    pub max_body: Option<u64>,
    /// Says what is wrong with upstreams.
    pub complaints: Arc<Complaints>,
}

/// The client's side of a connection.
pub struct Connection {
    /// What headers tell of it.
    pub client: Client,
    /// Whether it is encrypted.
    pub tls: bool,
    /// Held by what must end before the gateway does.
    pub guard: server::Guard,
    /// Counts its requests.
    pub counters: Arc<server::Counters>,
}

impl Worker {
    /// Answers one request.
    pub async fn handle(&self, connection: &Connection, mut request: Request<Incoming>) -> Response<ResponseBody> {
        let clock = Clock::start();
        let request_id = request_id();
        let upgrade = match request.version() {
            // WebSocket begins with GET (RFC 6455, 4.1): no other call leaves the trace by asking for it.
            Version::HTTP_11 if request.method() == Method::GET => headers::upgrade(request.headers()),
            _ => None,
        };
        let tunnel = upgrade.map(|protocol| (protocol, hyper::upgrade::on(&mut request)));
        let (mut parts, body) = request.into_parts();
        let uri = std::mem::take(&mut parts.uri);
        let answer = |failure: Failure| failure.response(&clock, request_id.clone()).0;

        // Which route?
        let Some(authority) = authority(&uri, &parts) else {
            return answer(Failure::BadRequest("no host"));
        };
        let (host, port) = host_and_port(&authority, connection.tls);
        let path = path::normalize(uri.path());
        let key = Key { method: &parts.method, host: &host, port, path: &path, headers: &parts.headers };
        let Some((route, matched)) = self.live.find(key) else {
            return answer(Failure::NoRoute);
        };
        let reading = route.meter.as_ref().map(|meter| {
            let line = parts.method.as_str().len() + path_and_query(&uri).len() + "  HTTP/1.1\r\n".len();
            Reading::new(meter, clock.begun(), line, &parts.headers)
        });
        let Some(profile) = &route.service else {
            let exchange = Exchange::untraced(clock).metered(reading);
            return refuse(&Failure::NoService, &exchange, request_id);
        };

        // Traced?
        let joined = path::join(&profile.path, &path, matched, route.joining);
        let head = Head { parts: &parts, uri: &uri, host: &host, upstream_path: &joined };
        let capture = if tunnel.is_none() { start_capture(&route, profile, &head, &clock) } else { None };
        let exchange = match capture {
            Some((capture, tracing)) => {
                if let Ok(traceparent) = HeaderValue::try_from(capture.traceparent()) {
                    parts.headers.insert(headers::TRACEPARENT, traceparent);
                    if !capture.joined() {
                        parts.headers.remove(headers::TRACESTATE);
                    }
                }
                Exchange::traced(clock, capture, tracing, Arc::clone(&self.budget))
            }
            None => Exchange::untraced(clock),
        };
        let exchange = Arc::new(exchange.metered(reading));
        let ending = Ending::new(Arc::clone(&exchange));

        // Refused?
        let refusal = match route.https_only {
            Some(status) if !connection.tls => {
                Some(Failure::HttpsOnly(status, format!("https://{host}{}", path_and_query(&uri))))
            }
            _ if self.max_body.is_some_and(|max| content_length(&parts.headers) > max) => Some(Failure::TooLarge),
            _ => None,
        };
        if let Some(failure) = refusal {
            tokio::spawn(tee::linger(body));
            return refuse(&failure, &exchange, request_id);
        }
        let Some(upstream_path) = upstream_path(&uri, &joined) else {
            return refuse(&Failure::BadRequest("path"), &exchange, request_id);
        };

        // Onward.
        let h2 = parts.version == Version::HTTP_2;
        headers::to_upstream(
            &mut parts.headers,
            Outgoing {
                client: &connection.client,
                host: &host,
                path: uri.path(),
                // As Kong: stripping the root takes nothing away.
                prefix: path.get(..matched).filter(|prefix| route.joining.strip && !["", "/"].contains(prefix)),
                h2,
                request_id: &request_id,
                upgrade: tunnel.as_ref().map(|(protocol, _)| protocol.clone()),
            },
        );
        let destination =
            Destination { profile, path: upstream_path, host: route.preserve_host.then(|| authority.clone()) };
        let request = Request::from_parts(parts, RequestBody::new(body, Arc::clone(&exchange), self.max_body));
        match attempt::send(&self.pool, &destination, request, &exchange).await {
            Ok(answer) if answer.response.status() == StatusCode::SWITCHING_PROTOCOLS => match tunnel {
                Some((protocol, client)) => {
                    let now = Instant::now();
                    let latencies = latencies(&clock, answer.started, now);
                    let response = tunnel::open(connection, client, answer.response, protocol, request_id, latencies);
                    exchange.measure(|reading| reading.answered(response.status(), response.headers(), now, true));
                    exchange.end(End::Complete);
                    response
                }
                // Nobody asked for it.
                None => refuse(&Failure::UnaskedUpgrade, &exchange, request_id),
            },
            Ok(answer) => {
                let source = Source {
                    lease: Some(answer.lease),
                    patience: attempt::patience(profile),
                    profile: Arc::clone(profile),
                    complaints: Arc::clone(&self.complaints),
                };
                answered(answer.response, answer.started, ending, source, request_id, h2)
            }
            Err(failure) => {
                self.complaints.complain(&failure, &profile.name);
                refuse(&failure, &exchange, request_id)
            }
        }
    }
}

/// A request's head before it is changed.
struct Head<'a> {
    parts: &'a Parts,
    uri: &'a Uri,
    host: &'a str,
    upstream_path: &'a str,
}

/// Begins to capture the call where the route has the plugin and the call is LLM traffic.
fn start_capture(
    route: &RouteEntry,
    profile: &Profile,
    head: &Head<'_>,
    clock: &Clock,
) -> Option<(Capture, Arc<Tracing>)> {
    let tracing = route.tracing.as_ref()?;
    let head = RequestHead {
        method: head.parts.method.as_str(),
        path: head.uri.path(),
        query: head.uri.query(),
        host: head.host,
        headers: &Fields(&head.parts.headers),
        upstream: Some(capture::Upstream { host: &profile.host, port: profile.port, path: head.upstream_path }),
        service: Some(&profile.name),
        route: Some(&route.name),
        consumer: None,
    };
    let capture = Capture::start(&tracing.settings, &head, clock.ids(), clock.at(clock.begun()))?;
    Some((capture, Arc::clone(tracing)))
}

/// The upstream's answer, on its way to the client.
fn answered(
    response: Response<Incoming>,
    started: Instant,
    ending: Ending,
    source: Source,
    request_id: HeaderValue,
    h2: bool,
) -> Response<ResponseBody> {
    let now = Instant::now();
    let (mut head, body) = response.into_parts();
    let exchange = ending.exchange();
    exchange.response_head(head.status.as_u16(), &Fields(&head.headers), now);
    let latencies = latencies(&exchange.clock, started, now);
    headers::to_client(&mut head.headers, h2, latencies, request_id);
    exchange.measure(|reading| reading.answered(head.status, &head.headers, now, true));
    head.version = Version::HTTP_11;
    Response::from_parts(head, ResponseBody::upstream(body, ending, source, now))
}

fn latencies(clock: &Clock, started: Instant, now: Instant) -> Latencies {
    Latencies { proxy: clock.ms(started), upstream: clock.ms(now).saturating_sub(clock.ms(started)) }
}

/// The gateway's own answer to a call that may be traced.
fn refuse(failure: &Failure, exchange: &Exchange, request_id: HeaderValue) -> Response<ResponseBody> {
    let (response, body) = failure.response(&exchange.clock, request_id);
    let now = Instant::now();
    if !matches!(failure, Failure::ClientGone) {
        exchange.response_head(response.status().as_u16(), &Fields(response.headers()), now);
        exchange.measure(|reading| reading.answered(response.status(), response.headers(), now, false));
        exchange.response_body(&body, now);
    }
    exchange.end(failure.end());
    response
}

/// Host and port as the client asked for them, as they would stand in a `Host` header.
fn authority(uri: &Uri, parts: &Parts) -> Option<HeaderValue> {
    match uri.authority() {
        Some(authority) => HeaderValue::try_from(authority.as_str()).ok(),
        None if parts.version == Version::HTTP_10 => {
            Some(parts.headers.get(HOST).cloned().unwrap_or_else(|| HeaderValue::from_static("")))
        }
        None => parts.headers.get(HOST).filter(|host| !host.is_empty()).cloned(),
    }
}

/// Lower-case host and port of a `Host` header.
fn host_and_port(authority: &HeaderValue, tls: bool) -> (Cow<'_, str>, u16) {
    let text = authority.to_str().unwrap_or_default();
    let (host, port) = router::split_port(text);
    let port = port.unwrap_or(if tls { 443 } else { 80 });
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        (Cow::Owned(host.to_ascii_lowercase()), port)
    } else {
        (Cow::Borrowed(host), port)
    }
}

fn path_and_query(uri: &Uri) -> &str {
    uri.path_and_query().map_or("/", PathAndQuery::as_str)
}

/// `path` with the request's query.
fn upstream_path(uri: &Uri, path: &str) -> Option<PathAndQuery> {
    match uri.path_and_query() {
        Some(whole) if whole.path() == path => Some(whole.clone()),
        _ => match uri.query() {
            Some(query) => PathAndQuery::from_maybe_shared(Bytes::from(format!("{path}?{query}"))).ok(),
            None => PathAndQuery::try_from(path).ok(),
        },
    }
}

fn content_length(headers: &HeaderMap) -> u64 {
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    length.and_then(|length| length.parse().ok()).unwrap_or(0)
}

/// 32 hexadecimal digits.
fn request_id() -> HeaderValue {
    HeaderValue::try_from(format!("{:032x}", clock::random_u128())).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// A header map, for the engine.
struct Fields<'a>(&'a HeaderMap);

impl capture::Headers for Fields<'_> {
    fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        self.0.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()))
    }

    fn each(&self, see: &mut dyn FnMut(&[u8], &[u8])) {
        self.0.iter().for_each(|(name, value)| see(name.as_str().as_bytes(), value.as_bytes()));
    }
}
