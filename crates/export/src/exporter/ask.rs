//! One exchange with a receiver: what the exporters that speak HTTP have in common.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;

use super::Delivery;
use crate::http::{Answer, Client, Version};

/// Sends a request and reads the answer, all within `timeout`. What never came to an answer says nothing about the
/// records: it is tried again.
pub(super) async fn ask(
    client: &Client,
    version: Version,
    request: http::Result<Request<Full<Bytes>>>,
    timeout: Duration,
) -> Result<Answer, Delivery> {
    let retry = |why| Delivery::Retry { after: None, why };
    let request = request.map_err(|error| retry(format!("no request could be made: {error}")))?;
    client.send(version, request, timeout).await.map_err(|error| retry(error.to_string()))
}

/// A payload that was not even sent, for its size in bytes.
pub(super) fn oversize(bytes: usize) -> Delivery {
    Delivery::Split { why: format!("{bytes} bytes are more than one request takes") }
}
