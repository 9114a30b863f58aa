//! The Admin API over HTTP: every shape that Kong's users know, exactly.

mod config;
mod curl;
mod entities;
mod errors;
mod http;
mod lists;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use ::http::{HeaderMap, Method, Request, StatusCode};
use axum::Router;
use axum::body::{Body, to_bytes};
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;

use crate::db::{Apply, Clock, Db};
use crate::entity::Entities;
use crate::status::{self, Node, ServerStats};

/// The time all tests live in.
const NOW: u64 = 1_700_000_000;
const JSON: Option<&str> = Some("application/json");
const FORM: Option<&str> = Some("application/x-www-form-urlencoded");

/// A node with its Admin API and status API, and a proxy that only notes what it is given.
struct Gateway {
    node: Arc<Node>,
    admin: Router,
    status: Router,
    proxy: Arc<Proxy>,
    _folder: TempDir,
}

#[derive(Default)]
struct Proxy {
    applied: Mutex<Entities>,
    refuses: AtomicBool,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
}

impl Answer {
    fn id(&self) -> &str {
        self.body["id"].as_str().unwrap()
    }

    /// What Kong's tests call `json.data`.
    fn names(&self) -> Vec<&str> {
        self.body["data"].as_array().unwrap().iter().map(|item| item["name"].as_str().unwrap()).collect()
    }
}

impl Gateway {
    fn new() -> Self {
        Self::build(|folder, apply, clock| Db::open(&folder.path().join("config.db"), apply, clock).unwrap())
    }

    fn declarative(document: Value) -> Self {
        Self::build(|_, apply, clock| {
            let db = Db::declarative(apply, clock);
            db.load(document).unwrap();
            db
        })
    }

    fn build(db: impl FnOnce(&TempDir, Apply, Clock) -> Db) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let proxy = Arc::new(Proxy::default());
        let applied = proxy.clone();
        let apply: Apply = Arc::new(move |entities| {
            if applied.refuses.load(Ordering::Relaxed) {
                return Err("routes[0].paths[0]: regex parse error".to_owned());
            }
            *applied.applied.lock().unwrap() = entities.clone();
            Ok(())
        });
        let node = Arc::new(Node {
            db: Arc::new(db(&folder, apply, Arc::new(|| NOW))),
            id: uuid::Uuid::from_u128(7),
            hostname: "gateway-1".to_owned(),
            configuration: json!({ "admin_listen": ["127.0.0.1:8001"] }),
            server: Box::new(|| ServerStats { total_requests: 3, ..ServerStats::default() }),
            ai_tracing: Box::new(|| json!({ "offered": 2 })),
            metrics: Box::new(|reachable| format!("reachable {reachable}\n")),
            draining: AtomicBool::new(false),
        });
        let (admin, status) = (super::router(node.clone(), true), status::router(node.clone()));
        Self { node, admin, status, proxy, _folder: folder }
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        send(&self.admin, request).await
    }

    async fn call(&self, method: Method, path: &str, content_type: Option<&str>, body: &str) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        self.send(request.body(Body::from(body.to_owned())).unwrap()).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, None, "").await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.call(Method::POST, path, JSON, &body.to_string()).await
    }

    async fn patch(&self, path: &str, body: Value) -> Answer {
        self.call(Method::PATCH, path, JSON, &body.to_string()).await
    }

    async fn put(&self, path: &str, body: Value) -> Answer {
        self.call(Method::PUT, path, JSON, &body.to_string()).await
    }

    async fn delete(&self, path: &str) -> Answer {
        self.call(Method::DELETE, path, None, "").await
    }

    /// A service `ai` and a route `chat` to it; their ids.
    async fn with_route(&self) -> (String, String) {
        let service = self.post("/services", json!({ "name": "ai", "url": "http://127.0.0.1:9000" })).await;
        assert_eq!(service.status, 201, "{}", service.body);
        let route = self.post("/services/ai/routes", json!({ "name": "chat", "paths": ["/v1"] })).await;
        assert_eq!(route.status, 201, "{}", route.body);
        (service.id().to_owned(), route.id().to_owned())
    }

    fn applied(&self) -> Entities {
        self.proxy.applied.lock().unwrap().clone()
    }
}

async fn send(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.unwrap();
    let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
    Answer { status: head.status, headers: head.headers, body }
}
