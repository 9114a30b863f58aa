//! WebSocket: after the upstream's 101 the gateway only carries bytes, both ways, until both sides are done.

use std::io;

use http::Response;
use http::header::HeaderValue;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;

use super::Connection;
use super::headers::{self, Latencies};
use super::tee::ResponseBody;

/// Passes the upstream's 101 on and carries what follows.
pub fn open(
    connection: &Connection,
    client: OnUpgrade,
    mut response: Response<Incoming>,
    protocol: HeaderValue,
    request_id: HeaderValue,
    latencies: Latencies,
) -> Response<ResponseBody> {
    let upstream = hyper::upgrade::on(&mut response);
    let guard = connection.guard.clone();
    tokio::spawn(async move {
        if let Err(error) = carry(client, upstream).await {
            tracing::debug!(%error, "a tunnel broke");
        }
        drop(guard);
    });
    let (mut head, _) = response.into_parts();
    headers::to_client(&mut head.headers, false, latencies, request_id);
    headers::switched(&mut head.headers, protocol);
    Response::from_parts(head, ResponseBody::own(bytes::Bytes::new()))
}

/// Each side's end is passed on as the end of that direction alone; the tunnel is over when both have ended.
async fn carry(client: OnUpgrade, upstream: OnUpgrade) -> io::Result<()> {
    let (client, upstream) = tokio::try_join!(client, upstream).map_err(io::Error::other)?;
    copy_bidirectional(&mut TokioIo::new(client), &mut TokioIo::new(upstream)).await.map(drop)
}
