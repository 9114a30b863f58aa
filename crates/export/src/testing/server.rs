//! A receiver on a local port that answers from a list, by HTTP/1.1 or HTTP/2.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio::sync::Notify;

/// What a request gets.
#[derive(Clone)]
pub(crate) enum Reply {
    /// Status and body.
    Says(u16, String),
    /// Status, headers and body.
    Tells(u16, Vec<(&'static str, String)>, Bytes),
    /// What the server answers after the end of its list.
    Otherwise,
    /// Status 200, a body, and trailers: gRPC.
    Ends(Bytes, Vec<(&'static str, String)>),
    /// Nothing, ever.
    Hangs,
}

/// A request.
pub(crate) struct Seen {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// A server that answers from a list, in order; after its end with `otherwise`.
#[derive(Clone)]
pub(crate) struct Server {
    pub address: SocketAddr,
    replies: Arc<Mutex<VecDeque<Reply>>>,
    otherwise: fn(&Seen) -> (u16, String),
    seen: Arc<Mutex<Vec<Seen>>>,
    arrived: Arc<Notify>,
    connections: Arc<AtomicUsize>,
}

impl Server {
    pub async fn start(replies: impl IntoIterator<Item = Reply>, otherwise: fn(&Seen) -> (u16, String)) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            replies: Arc::new(Mutex::new(replies.into_iter().collect())),
            otherwise,
            seen: Arc::default(),
            arrived: Arc::default(),
            connections: Arc::default(),
        };
        let accepting = server.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let server = accepting.clone();
                server.connections.fetch_add(1, Ordering::Relaxed);
                let service = service_fn(move |request| server.clone().answer(request));
                tokio::spawn(async move {
                    auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await
                });
            }
        });
        server
    }

    async fn answer(self, request: Request<Incoming>) -> Result<Response<BoxBody<Bytes, Infallible>>, Infallible> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let seen = Seen { path: head.uri.path().to_owned(), headers: head.headers, body };
        let otherwise = (self.otherwise)(&seen);
        self.seen.lock().unwrap().push(seen);
        self.arrived.notify_one();
        let reply = self.replies.lock().unwrap().pop_front();
        let (mut status, mut headers, mut trailers) = (200, Vec::new(), Vec::new());
        let body = match reply {
            Some(Reply::Hangs) => std::future::pending().await,
            Some(Reply::Says(code, body)) => {
                status = code;
                body.into()
            }
            Some(Reply::Tells(code, named, body)) => {
                (status, headers) = (code, named);
                body
            }
            Some(Reply::Ends(body, named)) => {
                trailers = named;
                body
            }
            Some(Reply::Otherwise) | None => {
                status = otherwise.0;
                otherwise.1.into()
            }
        };
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(name, value);
        }
        let trailers: HeaderMap =
            trailers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        let trailers = (!trailers.is_empty()).then_some(Ok(trailers));
        Ok(response.body(Full::new(body).with_trailers(async { trailers }).boxed()).unwrap())
    }

    /// One more reply at the end of the list.
    pub fn then(&self, reply: Reply) {
        self.replies.lock().unwrap().push_back(reply);
    }

    /// The requests so far.
    pub fn seen(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.seen.lock().unwrap()
    }

    /// The connections so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Waits until there have been so many requests.
    pub async fn wait(&self, count: usize) {
        while self.seen().len() < count {
            self.arrived.notified().await;
        }
    }
}
