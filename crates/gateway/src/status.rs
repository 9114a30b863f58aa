//! How the node is: for load balancers, orchestrators and dashboards.
//!
//! `GET /status` answers in Kong's shape, with the state of tracing under `ai_tracing`; `GET /status/ready` says
//! whether requests should come here; `GET /metrics` is for Prometheus. All are safe to show: no configuration, no
//! credentials.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ai_tracing_export::metrics::CONTENT_TYPE;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderValue, Method, StatusCode, header};
use serde::Serialize;
use serde_json::{Value, json};

use crate::admin::reply::Reply;
use crate::db::Db;

/// This program's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The `Server` header of the Admin API and the status API.
pub const SERVER: &str = concat!("ai-tracing/", env!("CARGO_PKG_VERSION"));
/// The version of Kong whose Admin API this one follows, for tools that look at it.
pub const KONG_VERSION: &str = "3.9.0";

/// Counters of the proxy's connections, in Kong's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ServerStats {
    /// Open client connections.
    pub connections_active: u64,
    /// Of these, reading a request's head.
    pub connections_reading: u64,
    /// Of these, answering a request.
    pub connections_writing: u64,
    /// Of these, idle.
    pub connections_waiting: u64,
    /// All client connections so far.
    pub connections_accepted: u64,
    /// All that were served.
    pub connections_handled: u64,
    /// All client requests so far.
    pub total_requests: u64,
}

/// What the Admin API and the status API show of this process.
pub struct Node {
    /// The configuration.
    pub db: Arc<Db>,
    /// Drawn at start.
    pub id: uuid::Uuid,
    /// Name of the machine.
    pub hostname: String,
    /// Settings of the process for `GET /`; no credentials.
    pub configuration: Value,
    /// Reads the proxy's counters.
    pub server: Box<dyn Fn() -> ServerStats + Send + Sync>,
    /// Reads the engine's counters.
    pub ai_tracing: Box<dyn Fn() -> Value + Send + Sync>,
    /// Writes the metrics, given whether the configuration can be read.
    pub metrics: Box<dyn Fn(bool) -> String + Send + Sync>,
    /// Set once the process is about to stop, so that no more requests come.
    pub draining: AtomicBool,
}

impl Node {
    /// The body of `GET /status`.
    pub fn status(&self) -> Value {
        let mut status = json!({
            "server": (self.server)(),
            "memory": {
                "lua_shared_dicts": {},
                "workers_lua_vms": [],
                "resident_bytes": resident_bytes(),
            },
            "ai_tracing": (self.ai_tracing)(),
        });
        if let Some(status) = status.as_object_mut() {
            match self.db.is_declarative() {
                true => status.insert("configuration_hash".to_owned(), json!(self.db.digest())),
                false => status.insert("database".to_owned(), json!({ "reachable": self.db.is_reachable() })),
            };
        }
        status
    }

    /// The answer to `GET /metrics`.
    pub fn metrics(&self) -> Reply {
        Reply::text(CONTENT_TYPE, (self.metrics)(self.db.is_declarative() || self.db.is_reachable()))
    }

    /// Whether requests should come here, and if not, why.
    pub fn readiness(&self) -> Result<(), &'static str> {
        if self.draining.load(Ordering::Relaxed) {
            return Err("draining");
        }
        if self.db.is_declarative() && self.db.tables().is_empty() {
            return Err("no configuration available (empty configuration present)");
        }
        Ok(())
    }
}

/// The status API of a node.
pub fn router(node: Arc<Node>) -> Router {
    Router::new().fallback(handle).with_state(node)
}

async fn handle(State(node): State<Arc<Node>>, method: Method, uri: http::Uri) -> Response {
    const ALLOW: &str = "GET, HEAD, OPTIONS";
    let path = uri.path();
    let reply = match (path.strip_suffix('/').unwrap_or(path), &method) {
        ("/metrics", &Method::GET | &Method::HEAD) => metrics(node).await,
        ("/status" | "/status/ready" | "/metrics", &Method::OPTIONS) => Reply::options(ALLOW.to_owned()),
        ("/status", &Method::GET | &Method::HEAD) => status(node).await,
        ("/status/ready", &Method::GET | &Method::HEAD) => match node.readiness() {
            Ok(()) => Reply::message(StatusCode::OK, "ready"),
            Err(why) => Reply::message(StatusCode::SERVICE_UNAVAILABLE, why),
        },
        ("/status" | "/status/ready" | "/metrics", _) => Reply::method_not_allowed(ALLOW.to_owned()),
        _ => Reply::not_found(),
    };
    let mut response = reply.into_response(method == Method::HEAD);
    response.headers_mut().insert(header::SERVER, HeaderValue::from_static(SERVER));
    response
}

/// Reads the state on a helper thread: it locks, and looks at files.
async fn status(node: Arc<Node>) -> Reply {
    tokio::task::spawn_blocking(move || Reply::ok(node.status())).await.unwrap_or_else(|_| Reply::unexpected())
}

/// As [`status`].
async fn metrics(node: Arc<Node>) -> Reply {
    tokio::task::spawn_blocking(move || node.metrics()).await.unwrap_or_else(|_| Reply::unexpected())
}

/// Memory in use; `None` where the system does not say.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let kibibytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    kibibytes.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("id", &self.id).field("db", &self.db).finish_non_exhaustive()
    }
}
