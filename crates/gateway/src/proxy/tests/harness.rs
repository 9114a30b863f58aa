//! A gateway between two peers that are played by hand, so that every byte and every moment is the test's.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ai_tracing_core::record::CallRecord;
use ai_tracing_core::settings::Settings;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use crate::entity::Entities;
use crate::live::Live;
use crate::metrics::http::HttpMetrics;
use crate::plugin::Tracing;
use crate::proxy::exchange::Budget;
use crate::proxy::server::{Bound, Counters, Listen, Server, Shared};
use crate::proxy::upstream::Connector;

/// Nothing in a test takes this long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(20);

pub async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("{what}: did not happen"),
    }
}

/// A gateway and the records that come out of it.
pub struct Gateway {
    pub address: SocketAddr,
    pub tls_address: Option<SocketAddr>,
    pub budget: Arc<Budget>,
    pub counters: Arc<Counters>,
    pub live: Arc<Live>,
    server: Server,
    records: mpsc::UnboundedReceiver<CallRecord>,
}

/// What a test may want otherwise.
pub struct Setup {
    pub service: Value,
    pub route: Value,
    pub max_body: Option<u64>,
    pub capture_memory: usize,
    pub tls: Option<TlsAcceptor>,
    pub traced: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            service: json!({}),
            route: json!({}),
            max_body: None,
            capture_memory: 256 << 20,
            tls: None,
            traced: true,
        }
    }
}

fn merged(mut base: Value, changes: &Value) -> Value {
    for (key, value) in changes.as_object().unwrap() {
        base[key] = value.clone();
    }
    base
}

/// One service at `upstream`, one route, the plugin on everything.
pub fn entities(upstream: SocketAddr, setup: &Setup) -> Entities {
    let service = json!({
        "id": "service-1", "name": "llm", "protocol": "http", "host": upstream.ip().to_string(),
        "port": upstream.port(), "path": null, "connect_timeout": 5000, "write_timeout": 5000, "read_timeout": 5000,
        "retries": 0, "tls_verify": null, "enabled": true, "tags": null, "created_at": 1, "updated_at": 1,
    });
    let route = json!({
        "id": "route-1", "name": "all", "protocols": ["http", "https"], "methods": null, "hosts": null,
        "paths": ["/"], "headers": null, "https_redirect_status_code": 426, "regex_priority": 0,
        "strip_path": false, "preserve_host": false, "path_handling": "v0", "service": {"id": "service-1"},
        "tags": null, "created_at": 1, "updated_at": 1,
    });
    let plugin = json!({
        "id": "plugin-1", "name": "ai-tracing", "instance_name": null, "service": null, "route": null,
        "enabled": setup.traced, "config": default_config(), "tags": null, "created_at": 1, "updated_at": 1,
    });
    Entities {
        services: vec![serde_json::from_value(merged(service, &setup.service)).unwrap()],
        routes: vec![serde_json::from_value(merged(route, &setup.route)).unwrap()],
        plugins: vec![serde_json::from_value(plugin).unwrap()],
    }
}

pub fn default_config() -> Value {
    ai_tracing_config::ai_tracing::schema().create(json!({})).unwrap()
}

impl Gateway {
    pub async fn start(upstream: SocketAddr, setup: Setup) -> Self {
        let (offered, records) = mpsc::unbounded_channel();
        let offered = Mutex::new(offered);
        let compile: crate::live::Compile = Box::new(move |_| {
            let offered = offered.lock().unwrap().clone();
            Ok(Arc::new(Tracing::new(Arc::new(Settings::default()), move |finished| {
                offered.send(finished.into_record().unwrap()).unwrap();
            })))
        });
        let live = Live::new(compile, Arc::new(HttpMetrics::new(10)));
        live.apply(&entities(upstream, &setup)).unwrap();
        let live = Arc::new(live);
        let budget = Arc::new(Budget::new(setup.capture_memory));
        let counters = Arc::new(Counters::default());
        let shared = Shared {
            live: Arc::clone(&live),
            budget: Arc::clone(&budget),
            counters: Arc::clone(&counters),
            max_body: setup.max_body,
            connector: Connector::new().unwrap(),
        };
        let listen = |tls| Listen { address: "127.0.0.1:0".parse().unwrap(), tls };
        let mut bound = vec![Bound::new(listen(false), None).unwrap()];
        if setup.tls.is_some() {
            bound.push(Bound::new(listen(true), setup.tls.as_ref()).unwrap());
        }
        let (address, tls_address) = (bound[0].address, bound.get(1).map(|bound| bound.address));
        let server = Server::start(bound, 1, &shared).unwrap();
        Self { address, tls_address, budget, counters, live, server, records }
    }

    pub async fn client(&self) -> Peer<TcpStream> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Peer::new(stream)
    }

    /// The record of the next call that ends.
    pub async fn record(&mut self) -> CallRecord {
        soon("a record", self.records.recv()).await.unwrap()
    }

    /// The records, for a test that outlives the gateway.
    pub fn take_records(&mut self) -> mpsc::UnboundedReceiver<CallRecord> {
        std::mem::replace(&mut self.records, mpsc::unbounded_channel().1)
    }

    /// Stops; asserts that no call is left whose record was not looked at.
    pub async fn stop(self) -> bool {
        self.stop_within(PATIENCE).await
    }

    pub async fn stop_within(self, drain: Duration) -> bool {
        let Self { server, mut records, live, .. } = self;
        let drained = soon("the stop", server.stop(drain, std::future::pending())).await;
        drop(live);
        assert_eq!(records.recv().await.map(|record| record.end), None, "an exchange ended twice");
        drained
    }
}

/// An upstream played by hand.
pub struct Upstream(TcpListener);

impl Upstream {
    pub async fn bind() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    pub async fn accept(&self) -> Peer<TcpStream> {
        let (stream, _) = soon("a connection to the upstream", self.0.accept()).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Peer::new(stream)
    }
}

/// One end of a connection.
pub struct Peer<S> {
    pub stream: S,
    buffer: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    pub fn new(stream: S) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        soon("a write", self.stream.write_all(bytes.as_ref())).await.unwrap();
        soon("a flush", self.stream.flush()).await.unwrap();
    }

    /// Reads up to and including `end`.
    pub async fn read_until(&mut self, end: &str) -> String {
        let end = end.as_bytes();
        loop {
            if let Some(at) = self.buffer.windows(end.len()).position(|window| window == end) {
                let rest = self.buffer.split_off(at + end.len());
                return String::from_utf8(std::mem::replace(&mut self.buffer, rest)).unwrap();
            }
            let what = format!("{:?} after {:?}", String::from_utf8_lossy(end), String::from_utf8_lossy(&self.buffer));
            let read = soon(&what, self.stream.read_buf(&mut self.buffer)).await.unwrap();
            assert_ne!(read, 0, "the connection ended: {what}");
        }
    }

    pub async fn read_head(&mut self) -> Head {
        Head(self.read_until("\r\n\r\n").await)
    }

    pub async fn read_exact(&mut self, count: usize) -> String {
        while self.buffer.len() < count {
            let read = soon("bytes", self.stream.read_buf(&mut self.buffer)).await.unwrap();
            assert_ne!(read, 0, "the connection ended after {:?}", String::from_utf8_lossy(&self.buffer));
        }
        let rest = self.buffer.split_off(count);
        String::from_utf8(std::mem::replace(&mut self.buffer, rest)).unwrap()
    }

    /// Reads to the connection's end, be it in order or not.
    pub async fn read_to_end(&mut self) -> String {
        // A reset ends the connection as well; what came before it counts.
        let _ = soon("the connection's end", self.stream.read_to_end(&mut self.buffer)).await;
        String::from_utf8(std::mem::take(&mut self.buffer)).unwrap()
    }
}

impl Peer<TcpStream> {
    /// Ends the connection with a reset.
    pub fn reset(self) {
        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

/// A message's head.
#[derive(Debug)]
pub struct Head(pub String);

impl Head {
    pub fn first_line(&self) -> &str {
        self.0.lines().next().unwrap()
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.lines().skip(1).filter_map(|line| line.split_once(": ")).find(|(own, _)| *own == name).map(|(_, v)| v)
    }
}

pub const CHAT: &str = r#"{"model":"gpt-4","messages":[{"role":"user","content":"hi"}]}"#;
pub const ANSWER: &str = r#"{"id":"c1","model":"gpt-4","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}}"#;

/// A chat call.
pub fn chat() -> String {
    post("/v1/chat/completions", "", CHAT)
}

pub fn post(path: &str, headers: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len())
}

pub fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// Frames of an answer that is streamed.
pub const STREAM_HEAD: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

pub fn event(text: &str) -> String {
    let data = json!({
        "id": "c1", "model": "gpt-4", "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": null}],
    });
    format!("data: {data}\n\n")
}

pub fn chunk(text: &str) -> String {
    format!("{:X}\r\n{text}\r\n", text.len())
}

/// Connects a client and an upstream and brings a chat call to the upstream.
pub async fn call(gateway: &Gateway, upstream: &Upstream) -> (Peer<TcpStream>, Peer<TcpStream>) {
    let mut client = gateway.client().await;
    client.write(chat()).await;
    let mut peer = upstream.accept().await;
    peer.read_head().await;
    assert_eq!(peer.read_exact(CHAT.len()).await, CHAT);
    (client, peer)
}
