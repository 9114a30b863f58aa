//! The console: a page that shows the local store, and the JSON API behind it (docs/api/openapi.yaml).
//!
//! ```text
//! request ─► guard (host, origin) ─► access (token) ─┬─► api ─► calls::query on a connection of its own
//!                                                    ├─► events: what is stored, as it is stored
//!                                                    ├─► deliveries: what became of a call; sends it again
//!                                                    └─► assets: the built page, part of the binary
//! ```
//!
//! It reads, but for one thing: a stored call can be sent to a destination again. What it shows is hostile by nature: the
//! API answers JSON alone, the page may load nothing from anywhere else and runs no script but its own (the content security
//! policy below), and neither works from another site's page.

mod access;
mod api;
mod assets;
mod deliveries;
mod events;
mod params;
mod settings;
mod spans;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use ai_tracing_core::time::At;
use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use tokio::sync::{Semaphore, watch};

use crate::admin::reply::Reply;
use crate::admin::{is_for_a_foreign_name, is_from_another_site};
use crate::calls::query::Reader;
use crate::status::Node;
pub use access::Access;
pub use api::NO_CALL;
pub use deliveries::Exports;
pub use params::query_of;

/// Queries that run at once: they read the disk, and the machine has other work.
const QUERIES: usize = 4;
/// Pages that are kept up to date at once.
const STREAMS: usize = 64;

/// Nothing but what this server serves; no inline script or style, so that no trace can bring one along. Pictures of
/// conversations come as `data:` addresses.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// What the console shows, and to whom.
pub struct Console {
    data_dir: PathBuf,
    changes: watch::Receiver<u64>,
    node: Arc<Node>,
    access: Access,
    exports: Exports,
    clock: fn() -> At,
    /// Bound to loopback: it answers to no other name.
    loopback: bool,
    queries: Arc<Semaphore>,
    streams: Arc<Semaphore>,
}

impl Console {
    /// A console on the local store in `data_dir`; `changes` tells when something was stored, `exports` what becomes of it
    /// elsewhere, `clock` the wall time.
    pub fn new(
        data_dir: PathBuf,
        changes: watch::Receiver<u64>,
        node: Arc<Node>,
        access: Access,
        exports: Exports,
        clock: fn() -> At,
        loopback: bool,
    ) -> Self {
        let (queries, streams) = (Arc::new(Semaphore::new(QUERIES)), Arc::new(Semaphore::new(STREAMS)));
        Self { data_dir, changes, node, access, exports, clock, loopback, queries, streams }
    }

    /// Runs `work` with the store on a helper thread.
    async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self, &Reader) -> Result<T, Reply> + Send + 'static,
    ) -> Result<T, Reply> {
        let Ok(permit) = Arc::clone(&self.queries).acquire_owned().await else { return Err(Reply::unexpected()) };
        let console = Arc::clone(self);
        let reading = tokio::task::spawn_blocking(move || {
            // Kept until the query has ended, which a client that goes away does not do.
            let _permit = permit;
            // Opened for each query: a damaged file may have been replaced since the last one.
            work(&console, &Reader::open(&console.data_dir).map_err(api::unreadable)?)
        });
        reading.await.unwrap_or_else(|_| Err(Reply::unexpected()))
    }
}

/// The console's routes.
pub fn router(console: Arc<Console>) -> Router {
    Router::new().fallback(handle).with_state(console)
}

async fn handle(State(console): State<Arc<Console>>, request: Request) -> Response {
    let head = request.method() == Method::HEAD;
    let mut response = match answer(&console, request).await {
        Ok(response) => response,
        Err(reply) => reply.into_response(head),
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (header::SERVER, crate::status::SERVER),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

async fn answer(console: &Arc<Console>, request: Request) -> Result<Response, Reply> {
    let (head, body) = request.into_parts();
    if console.loopback && is_for_a_foreign_name(&head.headers) {
        return Err(Reply::message(StatusCode::FORBIDDEN, "Only localhost and addresses are allowed as host"));
    }
    if is_from_another_site(&head.headers) {
        return Err(Reply::message(StatusCode::FORBIDDEN, "Requests from other sites' pages are not allowed"));
    }
    let is_head = head.method == Method::HEAD;
    let Some(path) = head.uri.path().strip_prefix("/api/") else {
        only_reads(&head.method)?;
        return Ok(assets::answer(head.uri.path(), &head.headers, is_head));
    };
    match path {
        "v1/login" => return console.access.login(&head.method, body).await,
        "v1/logout" => return console.access.logout(&head.method),
        _ => {}
    }
    console.access.check(&head.headers)?;
    if let Some(retry) = deliveries::Retry::parse(path) {
        console.access.check_write(&head.method, &head.headers)?;
        return Ok(deliveries::send_again(console, retry).await?.into_response(false));
    }
    only_reads(&head.method)?;
    if path == "v1/events" && !is_head {
        return events::answer(console, &head);
    }
    Ok(api::answer(console, path, head.uri.query()).await?.into_response(is_head))
}

fn only_reads(method: &Method) -> Result<(), Reply> {
    match *method {
        Method::GET | Method::HEAD => Ok(()),
        _ => Err(Reply::method_not_allowed("GET, HEAD".to_owned())),
    }
}
