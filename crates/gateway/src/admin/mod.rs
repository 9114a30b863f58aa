//! The Admin API, as Kong 3.9 has it: services, routes and plugins over HTTP.
//!
//! In: a request. Out: JSON in Kong's shapes, with Kong's status codes and sentences. All state is the [`Db`]'s; what
//! an endpoint does happens on a blocking thread, to its end even when the client goes away.
//!
//! Kong lets scripts of any web page use the Admin API; this one answers 403 to a request that a browser sends for
//! another site's page, because the pages an operator visits must not be able to change the gateway. For the same reason
//! it answers, where it listens on loopback, to no name but `localhost`.
//!
//! [`Db`]: crate::db::Db

mod body;
mod config;
mod endpoint;
mod entities;
mod multipart;
mod node;
pub mod reply;
mod schemas;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use http_body_util::LengthLimitError;

use crate::db::Page;
use crate::status::Node;
use body::Body;
use endpoint::Endpoint;
use reply::Reply;

/// Bytes in a request's body, as in Kong.
const MAX_BODY: usize = 10 << 20;
/// Time for a request's body to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);

/// The Admin API of a node. With `loopback` it is one that only this machine reaches: it answers to no other name.
pub fn router(node: Arc<Node>, loopback: bool) -> Router {
    Router::new().fallback(handle).with_state((node, loopback))
}

async fn handle(State((node, loopback)): State<(Arc<Node>, bool)>, request: Request) -> Response {
    let began = Instant::now();
    let head = request.method() == Method::HEAD;
    let reply = match answer(node, loopback, request).await {
        Ok(reply) | Err(reply) => reply,
    };
    let mut response = reply.into_response(head);
    let latency = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let headers = response.headers_mut();
    headers.insert(HeaderName::from_static("x-kong-admin-latency"), HeaderValue::from(latency));
    headers.insert(header::SERVER, HeaderValue::from_static(crate::status::SERVER));
    response
}

async fn answer(node: Arc<Node>, loopback: bool, request: Request) -> Result<Reply, Reply> {
    let (head, body) = request.into_parts();
    if loopback && is_for_a_foreign_name(&head.headers) {
        return Err(Reply::message(StatusCode::FORBIDDEN, "Only localhost and addresses are allowed as host"));
    }
    if is_from_another_site(&head.headers) {
        return Err(Reply::message(StatusCode::FORBIDDEN, "Requests from other sites' pages are not allowed"));
    }
    let endpoint = Endpoint::parse(head.uri.path()).ok_or_else(Reply::not_found)?;
    if head.method == Method::OPTIONS {
        return Ok(Reply::options(endpoint.allow()));
    }
    if !endpoint.methods().contains(&head.method) {
        return Err(Reply::method_not_allowed(endpoint.allow()));
    }
    let body = match head.method {
        Method::POST | Method::PUT | Method::PATCH => read(body).await?,
        _ => Bytes::new(),
    };
    let work =
        tokio::task::spawn_blocking(move || Call::new(endpoint, &head, &body).and_then(|call| call.answer(&node)));
    work.await.unwrap_or_else(|why| {
        tracing::error!(%why, "the Admin API failed");
        Err(Reply::unexpected())
    })
}

async fn read(body: axum::body::Body) -> Result<Bytes, Reply> {
    match tokio::time::timeout(BODY_TIMEOUT, to_bytes(body, MAX_BODY)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(why)) if std::error::Error::source(&why).is_some_and(|why| why.is::<LengthLimitError>()) => {
            Err(Reply::message(StatusCode::PAYLOAD_TOO_LARGE, "Payload too large"))
        }
        Ok(Err(_)) => Err(Reply::message(StatusCode::BAD_REQUEST, "Cannot read the request body")),
        Err(_) => Err(Reply::message(StatusCode::REQUEST_TIMEOUT, "Request timeout")),
    }
}

/// Whether a browser sent the request for a page of another site: only browsers send `Origin`, and always do for such
/// requests when they are not plain reads (which they keep from the page, since no CORS header allows it).
pub fn is_from_another_site(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return false };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    match (origin, host) {
        (Some((_, origin)), Some(host)) => !origin.eq_ignore_ascii_case(host),
        _ => true,
    }
}

/// Whether the request names a host other than `localhost` or an address. A site whose name is made to lead here (DNS
/// rebinding) is the same site to a browser, which then shows the answers to its pages.
pub fn is_for_a_foreign_name(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST) else { return false };
    let Some(authority) = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok()) else { return true };
    let name = authority.host();
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    !name.eq_ignore_ascii_case("localhost") && address.parse::<IpAddr>().is_err()
}

/// A request, taken apart.
struct Call {
    method: Method,
    endpoint: Endpoint,
    query: Query,
    body: Body,
}

impl Call {
    fn new(endpoint: Endpoint, head: &Parts, body: &Bytes) -> Result<Self, Reply> {
        let takes_body = matches!(head.method, Method::POST | Method::PUT | Method::PATCH);
        let body = match takes_body {
            true => Body::parse(&head.headers, body, endpoint == Endpoint::Config)?,
            false => Body::Form(Vec::new()),
        };
        Ok(Self { method: head.method.clone(), endpoint, query: Query::parse(head.uri.query()), body })
    }

    fn answer(self, node: &Node) -> Result<Reply, Reply> {
        let db = &*node.db;
        let Self { method, endpoint, query, body } = self;
        match endpoint {
            Endpoint::Node => Ok(node::describe(node)),
            Endpoint::Status => Ok(Reply::ok(node.status())),
            Endpoint::Metrics => Ok(node.metrics()),
            Endpoint::Endpoints => Ok(node::endpoints()),
            Endpoint::EnabledPlugins => Ok(node::enabled_plugins()),
            Endpoint::Schema(entity) => Ok(schemas::entity(&entity)),
            Endpoint::PluginSchema(name) => Ok(schemas::plugin(&name)),
            Endpoint::Validate(entity) => schemas::validate(db, &entity, body),
            Endpoint::Config if method == Method::POST => config::load(db, &query, body),
            Endpoint::Config => config::export(db),
            Endpoint::Tags(tag) => entities::tags(db, &query, tag.as_deref()),
            Endpoint::Empty => Ok(Reply::page(Page::default(), |_| String::new())),
            Endpoint::Collection(kind) if method == Method::POST => entities::create(db, kind, None, body),
            Endpoint::Collection(kind) => entities::list(db, kind, &query),
            Endpoint::Item(kind, key) => entities::item(db, &method, kind, &key, body),
            Endpoint::Children(of, key, kind) if method == Method::POST => {
                entities::create(db, kind, Some((of, &key)), body)
            }
            Endpoint::Children(of, key, kind) => entities::children(db, (of, &key), kind, &query),
            Endpoint::Child(of, key, kind, child) => entities::child(db, &method, (of, &key), kind, &child, body),
            Endpoint::Parent(kind, key, to) => entities::parent(db, &method, (kind, &key), to, body),
        }
    }
}

/// The parameters of a URL; of a repeated one the first counts.
struct Query(Vec<(String, String)>);

impl Query {
    fn parse(query: Option<&str>) -> Self {
        let pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        Self(pairs.map(|(name, value)| (name.into(), value.into())).collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests;
