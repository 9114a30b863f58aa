//! A plain HTTP client.

use std::time::Duration;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client as HyperClient, ResponseFuture};
use hyper_util::rt::TokioExecutor;

/// Longest time for one answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Keeps its connections.
pub struct Client(HyperClient<HttpConnector, Full<Bytes>>);

/// An answer whose body is still coming.
pub struct Answer {
    pub head: http::response::Parts,
    body: Incoming,
}

/// An answer that has come.
pub struct Whole {
    pub status: u16,
    pub body: Bytes,
}

impl Whole {
    /// The body, for a message.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Client {
    pub fn new() -> Self {
        Self(HyperClient::builder(TokioExecutor::new()).build_http())
    }

    /// Sends a POST request to `address` (host:port).
    pub async fn post(&self, address: &str, path: &str, headers: &[(&str, &str)], body: String) -> Result<Answer> {
        let mut request = http::Request::post(format!("http://{address}{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let sent: ResponseFuture = self.0.request(request.body(Full::new(Bytes::from(body)))?);
        let response = bounded(sent).await?.with_context(|| format!("no answer from http://{address}{path}"))?;
        let (head, body) = response.into_parts();
        Ok(Answer { head, body })
    }
}

impl Answer {
    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.head.status.as_u16()
    }

    /// Reads the body to its end.
    pub async fn all(self) -> Result<Whole> {
        let body = bounded(self.body.collect()).await?.context("the answer broke off")?.to_bytes();
        Ok(Whole { status: self.head.status.as_u16(), body })
    }

    /// The next piece of the body; `None` at its end.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        let frame = bounded(self.body.frame()).await?.transpose().context("the answer broke off")?;
        Ok(frame.map(|frame| frame.into_data().unwrap_or_default()))
    }

    /// Reads so many pieces of the body and closes the connection, as dropping a body before its end does.
    pub async fn hang_up_after(mut self, pieces: usize) -> Result<()> {
        for _ in 0..pieces {
            self.next().await?.context("the answer ended before the client could hang up")?;
        }
        Ok(())
    }
}

async fn bounded<T>(answer: impl Future<Output = T>) -> Result<T> {
    tokio::time::timeout(TIMEOUT, answer).await.with_context(|| format!("no answer within {} s", TIMEOUT.as_secs()))
}
