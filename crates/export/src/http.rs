//! The exporters' HTTP client: a connection pool for each version on the engine's thread, one deadline over a whole
//! exchange, bounded answers.

use std::error::Error;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::{HttpConnector, capture_connection};
use hyper_util::client::legacy::{Builder, Client as Pool};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;

use crate::pause;

/// What is read of an answer's body; the rest is left unread.
pub(crate) const MAX_ANSWER: usize = 1 << 20;

/// How we name ourselves.
pub(crate) const USER_AGENT: &str = concat!("ai-tracing/", env!("CARGO_PKG_VERSION"));

/// Node.js servers close idle connections after five seconds; leaving first avoids writing into a closing one.
const IDLE: Duration = Duration::from_secs(4);

/// Sends requests. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub(crate) struct Client {
    http1: Connections,
    /// Without TLS from the first byte on: nobody is asked.
    http2: Connections,
}

type Connections = Pool<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// Which HTTP a request is sent by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Http1,
    Http2,
}

/// An answer, its body cut at [`MAX_ANSWER`].
#[derive(Debug)]
pub(crate) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub trailers: HeaderMap,
}

/// No answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAnswer {
    #[error("no answer within {} ms", .0.as_millis())]
    Timeout(Duration),
    #[error("no connection: {0}")]
    Connect(String),
    #[error("the exchange broke off: {0}")]
    Broken(String),
}

impl Client {
    /// Trusts the operating system's root certificates, or the built-in ones where it has none.
    pub fn new() -> Result<Self, rustls::Error> {
        let builder = || {
            ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
        };
        let tls = match builder()?.with_native_roots() {
            Ok(tls) => tls,
            Err(error) => {
                tracing::debug!("AI Tracing: no root certificates of the system ({error}), using the built-in ones");
                builder()?.with_webpki_roots()
            }
        };
        let tls = tls.with_no_client_auth();
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let connector = |tls: &ClientConfig| HttpsConnectorBuilder::new().with_tls_config(tls.clone()).https_or_http();
        Ok(Self {
            http1: pool().build(connector(&tls).enable_http1().wrap_connector(tcp.clone())),
            http2: pool().http2_only(true).build(connector(&tls).enable_http2().wrap_connector(tcp)),
        })
    }

    /// Sends a request by a version of HTTP and reads its answer, all within `timeout`.
    pub async fn send(
        &self,
        version: Version,
        mut request: Request<Full<Bytes>>,
        timeout: Duration,
    ) -> Result<Answer, NoAnswer> {
        let connections = match version {
            Version::Http1 => &self.http1,
            Version::Http2 => &self.http2,
        };
        let connection = capture_connection(&mut request);
        match tokio::time::timeout(timeout, exchange(connections, request)).await {
            Ok(result) => result,
            Err(_) => {
                // A connection of HTTP/2 outlives its requests; one that has gone silent must not get the next.
                if let Some(connection) = connection.connection_metadata().as_ref() {
                    connection.poison();
                }
                Err(NoAnswer::Timeout(timeout))
            }
        }
    }
}

fn pool() -> Builder {
    let mut pool = Pool::builder(TokioExecutor::new());
    pool.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE).pool_max_idle_per_host(2);
    pool
}

async fn exchange(connections: &Connections, request: Request<Full<Bytes>>) -> Result<Answer, NoAnswer> {
    let response = connections.request(request).await.map_err(|error| {
        let causes = causes(&error);
        if error.is_connect() { NoAnswer::Connect(causes) } else { NoAnswer::Broken(causes) }
    })?;
    let (head, mut body) = response.into_parts();
    let (mut read, mut trailers) = (BytesMut::new(), HeaderMap::new());
    while read.len() < MAX_ANSWER {
        let Some(frame) = body.frame().await else { break };
        let frame = frame.map_err(|error| NoAnswer::Broken(causes(&error)))?;
        if let Some(data) = frame.data_ref() {
            read.extend_from_slice(data.get(..MAX_ANSWER - read.len()).unwrap_or(data));
        }
        if let Ok(last) = frame.into_trailers() {
            trailers = last;
        }
    }
    Ok(Answer { status: head.status, headers: head.headers, body: read.freeze(), trailers })
}

/// What is compressed at a time: about 100 us.
const GZIP_BLOCK: usize = 32 << 10;

/// Compresses a body, giving way to others between its blocks.
pub(crate) fn gzip(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::fast());
    for block in bytes.chunks(GZIP_BLOCK) {
        encoder.write_all(block)?;
        pause();
    }
    encoder.finish()
}

/// The innermost causes say what happened; the outer errors only say where.
fn causes(error: &dyn Error) -> String {
    let mut texts = Vec::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        texts.push(error.to_string());
        cause = error.source();
    }
    texts.dedup();
    if texts.is_empty() { error.to_string() } else { texts.join(": ") }
}
