//! Listeners, threads and connections.
//!
//! One task per listener accepts and hands each connection to the next proxy thread. Each thread runs a runtime of its
//! own. Stopping: what has connected already is served, no more connections are accepted, open ones finish the call they
//! are in, and what is left when the drain timeout is over is cut.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use super::exchange::{self, Budget};
use super::headers::Client;
use super::patient::Patient;
use super::upstream::{Connector, MAX_HEADER_LIST, Pool, STREAM_WINDOW, connection_window};
use super::{CLIENT_TIMEOUT, Connection, Worker};
use crate::live::Live;
use crate::status::ServerStats;

/// How often idle upstream connections are looked through.
const SWEEP: Duration = Duration::from_secs(5);

/// Connections that may wait for a thread to take them.
const HANDOVER: usize = 1024;

/// Connections that the system may have accepted for us.
const BACKLOG: i32 = 4096;

/// For how long after it connected a client is taken to have its request on the way when the gateway stops.
const FRESH: Duration = Duration::from_secs(1);

/// Calls that one HTTP/2 connection may have open.
const MAX_STREAMS: u32 = 128;

/// Where to listen: Kong's `proxy_listen`, such as `0.0.0.0:8443 ssl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Address and port; port 0 picks a free one.
    pub address: SocketAddr,
    /// Whether clients speak TLS.
    pub tls: bool,
}

impl Listen {
    /// Reads a comma-separated list of addresses with flags; `off` is an empty list. Kong's flags that tune nginx are
    /// accepted without effect.
    ///
    /// # Errors
    ///
    /// Says what is wrong with which part.
    pub fn parse(list: &str) -> Result<Vec<Self>, String> {
        if list.trim() == "off" {
            return Ok(Vec::new());
        }
        list.split(',').map(Self::parse_one).collect()
    }

    fn parse_one(text: &str) -> Result<Self, String> {
        let mut words = text.split_whitespace();
        let address = words.next().ok_or("an address is missing")?;
        let address = address.parse().map_err(|_| format!("{address}: not an address with a port"))?;
        let mut tls = false;
        for flag in words {
            match flag {
                "ssl" => tls = true,
                "http2" | "reuseport" | "deferred" => {}
                flag if flag.starts_with("backlog=") || flag.starts_with("so_keepalive=") => {}
                flag => return Err(format!("{flag}: unknown flag")),
            }
        }
        Ok(Self { address, tls })
    }
}

/// Held by everything that has to end before a proxy thread does.
#[derive(Clone, Debug)]
pub struct Guard(#[allow(dead_code)] mpsc::Sender<Infallible>);

/// A listener that is bound.
pub struct Bound {
    listener: std::net::TcpListener,
    /// Address with the port that was picked.
    pub address: SocketAddr,
    tls: Option<TlsAcceptor>,
}

impl Bound {
    /// Binds an address. `tls` is needed where the listener speaks TLS.
    ///
    /// # Errors
    ///
    /// When the address cannot be had.
    pub fn new(listen: Listen, tls: Option<&TlsAcceptor>) -> io::Result<Self> {
        let tls = if listen.tls {
            Some(tls.cloned().ok_or_else(|| io::Error::other("ssl needs --ssl-cert and --ssl-cert-key"))?)
        } else {
            None
        };
        let socket = Socket::new(Domain::for_address(listen.address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.bind(&listen.address.into())?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        let listener = std::net::TcpListener::from(socket);
        Ok(Self { address: listener.local_addr()?, listener, tls })
    }
}

/// What the proxy threads share.
#[derive(Clone)]
pub struct Shared {
    /// The configuration.
    pub live: Arc<Live>,
    /// Memory for captures.
    pub budget: Arc<Budget>,
    /// Longest request body; `None`: any.
    pub max_body: Option<u64>,
    /// Counts connections and requests.
    pub counters: Arc<Counters>,
    /// Makes upstream connections.
    pub connector: Connector,
}

/// What the status API shows of connections and requests.
#[derive(Debug, Default)]
pub struct Counters {
    accepted: AtomicU64,
    active: AtomicU64,
    requests: AtomicU64,
    answering: AtomicU64,
}

impl Counters {
    /// A snapshot in Kong's names.
    pub fn read(&self) -> ServerStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (active, answering) = (read(&self.active), read(&self.answering));
        ServerStats {
            connections_active: active,
            connections_reading: 0,
            connections_writing: answering,
            connections_waiting: active.saturating_sub(answering),
            connections_accepted: read(&self.accepted),
            connections_handled: read(&self.accepted),
            total_requests: read(&self.requests),
        }
    }
}

/// A request that is being answered, counted until its answer has ended.
pub struct Answering(Arc<Counters>);

impl Answering {
    fn new(counters: &Arc<Counters>) -> Self {
        counters.answering.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(counters))
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.answering.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts one up for as long as it lives.
struct Gauge<'a>(&'a AtomicU64);

impl<'a> Gauge<'a> {
    fn new(counter: &'a AtomicU64) -> Self {
        counter.fetch_add(1, Ordering::Relaxed);
        Self(counter)
    }
}

impl Drop for Gauge<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Running,
    /// Finish what is under way.
    Draining,
    /// Leave everything.
    Stopped,
}

/// Waits for a phase; a server that is gone has passed them all.
async fn reached(phase: &mut watch::Receiver<Phase>, wanted: Phase) {
    let _ = phase.wait_for(|phase| *phase >= wanted).await;
}

/// The running proxy.
pub struct Server {
    phase: watch::Sender<Phase>,
    threads: Vec<JoinHandle<()>>,
    ended: mpsc::Receiver<Infallible>,
}

/// A connection on its way to a thread.
struct Accepted {
    stream: std::net::TcpStream,
    peer: SocketAddr,
    port: u16,
    tls: Option<TlsAcceptor>,
}

impl Server {
    /// Starts `workers` threads that serve what comes in at `listeners`. Must be called inside a tokio runtime, which
    /// does the accepting.
    ///
    /// # Errors
    ///
    /// When threads or their runtimes cannot be had.
    pub fn start(listeners: Vec<Bound>, workers: usize, shared: &Shared) -> io::Result<Self> {
        let (phase, seen) = watch::channel(Phase::Running);
        let (guard, ended) = mpsc::channel(1);
        let mut threads = Vec::new();
        let mut queues = Vec::new();
        for index in 0..workers.max(1) {
            let (queue, accepted) = mpsc::channel(HANDOVER);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let (shared, seen, guard) = (shared.clone(), seen.clone(), Guard(guard.clone()));
            let name = format!("proxy-{index}");
            threads.push(std::thread::Builder::new().name(name).spawn(move || {
                runtime.block_on(work(accepted, shared, seen));
                // Only now has everything on this thread ended, captures of cut calls included. A name that is still
                // being resolved, which nothing can break off, is not waited for.
                exchange::cut_what_is_left();
                runtime.shutdown_background();
                drop(guard);
            })?);
            queues.push(queue);
        }
        for bound in listeners {
            let listener = TcpListener::from_std(bound.listener)?;
            tokio::spawn(accept(listener, bound.address.port(), bound.tls, queues.clone(), seen.clone()));
        }
        Ok(Self { phase, threads, ended })
    }

    /// Stops accepting and lets open calls finish, for no longer than `drain` and no longer than `hurry` takes.
    /// Returns when all threads have ended; false when calls had to be cut.
    pub async fn stop(mut self, drain: Duration, hurry: impl Future<Output = ()>) -> bool {
        self.phase.send_replace(Phase::Draining);
        let drained = tokio::select! {
            _ = self.ended.recv() => true,
            () = tokio::time::sleep(drain) => false,
            () = hurry => false,
        };
        self.phase.send_replace(Phase::Stopped);
        self.ended.recv().await;
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a proxy thread panicked");
            }
        }
        drained
    }
}

async fn accept(
    listener: TcpListener,
    port: u16,
    tls: Option<TlsAcceptor>,
    queues: Vec<mpsc::Sender<Accepted>>,
    mut phase: watch::Receiver<Phase>,
) {
    let mut queues = queues.iter().cycle();
    for queue in queues.by_ref() {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = reached(&mut phase, Phase::Draining) => break,
        };
        let stream = accepted.and_then(|(stream, peer)| Ok((stream.into_std()?, peer)));
        match stream {
            Ok((stream, peer)) => {
                if queue.send(Accepted { stream, peer, port, tls: tls.clone() }).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                // Out of file descriptors, as a rule: trying at once would only spin.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    // These believe that they are connected: closing the listener would reset them.
    let Ok(listener) = listener.into_std() else { return };
    for (_, queue) in (0..BACKLOG).zip(queues) {
        let Ok((stream, peer)) = listener.accept() else { return };
        if stream.set_nonblocking(true).is_ok()
            && queue.send(Accepted { stream, peer, port, tls: tls.clone() }).await.is_err()
        {
            return;
        }
    }
}

/// One proxy thread.
async fn work(mut accepted: mpsc::Receiver<Accepted>, shared: Shared, mut phase: watch::Receiver<Phase>) {
    let pool = Arc::new(Pool::new(shared.connector));
    let counters = shared.counters;
    let worker = Arc::new(Worker {
        live: shared.live,
        pool: Arc::clone(&pool),
        budget: shared.budget,
        max_body: shared.max_body,
        complaints: Arc::default(),
    });
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(SWEEP);
        loop {
            ticks.tick().await;
            pool.sweep();
        }
    });
    let server = Arc::new(http_server());
    let (guard, mut ended) = mpsc::channel(1);
    let guard = Guard(guard);
    loop {
        tokio::select! {
            next = accepted.recv() => match next {
                Some(next) => {
                    let serving =
                        serve(next, Arc::clone(&worker), Arc::clone(&server), phase.clone(), guard.clone(), Arc::clone(&counters));
                    tokio::spawn(serving);
                }
                // The listeners are closed.
                None => break,
            },
            () = reached(&mut phase, Phase::Stopped) => break,
        }
    }
    drop(accepted);
    drop(guard);
    tokio::select! {
        _ = ended.recv() => {}
        () = reached(&mut phase, Phase::Stopped) => {}
    }
}

fn http_server() -> auto::Builder<TokioExecutor> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).header_read_timeout(CLIENT_TIMEOUT);
    server
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(connection_window(MAX_STREAMS))
        .max_header_list_size(MAX_HEADER_LIST);
    server
}

async fn serve(
    accepted: Accepted,
    worker: Arc<Worker>,
    server: Arc<auto::Builder<TokioExecutor>>,
    mut phase: watch::Receiver<Phase>,
    guard: Guard,
    counters: Arc<Counters>,
) {
    counters.accepted.fetch_add(1, Ordering::Relaxed);
    let _active = Gauge::new(&counters.active);
    let born = Instant::now();
    let Accepted { stream, peer, port, tls } = accepted;
    let client = Client::new(peer.ip(), port, tls.is_some());
    let connection = Arc::new(Connection { client, tls: tls.is_some(), guard, counters: Arc::clone(&counters) });
    let Ok(stream) = TcpStream::from_std(stream) else { return };
    let keepalive = TcpKeepalive::new().with_time(CLIENT_TIMEOUT).with_interval(CLIENT_TIMEOUT);
    let alive = SockRef::from(&stream).set_tcp_keepalive(&keepalive);
    if alive.and_then(|()| stream.set_nodelay(true)).is_err() {
        // The client has gone already.
        return;
    }
    match tls {
        None => serve_io(stream, worker, &server, connection, phase, born).await,
        Some(tls) => {
            let handshake = tokio::select! {
                handshake = tokio::time::timeout_at(born + CLIENT_TIMEOUT, tls.accept(stream)) => handshake,
                () = fresh_no_more(&mut phase, born) => return,
            };
            if let Ok(Ok(stream)) = handshake {
                serve_io(stream, worker, &server, connection, phase, born).await;
            }
        }
    }
}

/// Waits until the gateway stops, and until a client that connected at `born` has had the time to ask for something.
async fn fresh_no_more(phase: &mut watch::Receiver<Phase>, born: Instant) {
    reached(phase, Phase::Draining).await;
    tokio::time::sleep_until(born + FRESH).await;
}

async fn serve_io<I: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    io: I,
    worker: Arc<Worker>,
    server: &auto::Builder<TokioExecutor>,
    connection: Arc<Connection>,
    mut phase: watch::Receiver<Phase>,
    born: Instant,
) {
    let (asked, mut seen) = watch::channel(false);
    let service = service_fn(move |request| {
        asked.send_if_modified(|asked| !std::mem::replace(asked, true));
        let (worker, connection) = (Arc::clone(&worker), Arc::clone(&connection));
        async move {
            connection.counters.requests.fetch_add(1, Ordering::Relaxed);
            let answering = Answering::new(&connection.counters);
            let response = worker.handle(&connection, request).await;
            Ok::<_, Infallible>(response.map(|body| body.counted(answering)))
        }
    });
    let serving = server.serve_connection_with_upgrades(TokioIo::new(Patient::new(io, CLIENT_TIMEOUT)), service);
    tokio::pin!(serving);
    // hyper's own timeout begins with HTTP/1.1; a client may say nothing, or half of what opens HTTP/2.
    let mut asked = seen.clone();
    let draining = async {
        reached(&mut phase, Phase::Draining).await;
        let _ = tokio::time::timeout_at(born + FRESH, asked.wait_for(|asked| *asked)).await;
    };
    let silence = async {
        if tokio::time::timeout_at(born + CLIENT_TIMEOUT, seen.wait_for(|asked| *asked)).await.is_ok() {
            std::future::pending::<()>().await;
        }
    };
    let result = tokio::select! {
        biased;
        result = serving.as_mut() => result,
        () = silence => return,
        () = draining => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(error, "a client connection broke");
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;
    use crate::metrics::http::HttpMetrics;

    #[tokio::test(start_paused = true)]
    async fn a_client_that_asks_for_nothing_is_left() {
        for said in ["", "PRI * HT", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET / HTT"] {
            let worker = Arc::new(Worker {
                live: Arc::new(Live::new(Box::new(|_| Err(String::new())), Arc::new(HttpMetrics::new(1)))),
                pool: Arc::new(Pool::new(Connector::new().unwrap())),
                budget: Arc::new(Budget::new(0)),
                max_body: None,
                complaints: Arc::default(),
            });
            let connection = Arc::new(Connection {
                client: Client::new([127, 0, 0, 1].into(), 1, false),
                tls: false,
                guard: Guard(mpsc::channel(1).0),
                counters: Arc::default(),
            });
            let (mut near, far) = duplex(1 << 16);
            near.write_all(said.as_bytes()).await.unwrap();
            let (_running, phase) = watch::channel(Phase::Running);
            let born = Instant::now();
            serve_io(far, worker, &http_server(), connection, phase, born).await;
            assert!(born.elapsed() >= CLIENT_TIMEOUT && born.elapsed() < 2 * CLIENT_TIMEOUT, "{said:?}");
            near.read_to_end(&mut Vec::new()).await.unwrap();
        }
    }

    #[test]
    fn listens_where_kongs_syntax_says() {
        let listens = Listen::parse("127.0.0.1:8000 reuseport backlog=16384, [::1]:8443 http2 ssl").unwrap();
        assert_eq!(listens.iter().map(|listen| listen.tls).collect::<Vec<_>>(), [false, true]);
        assert_eq!(listens[1].address, "[::1]:8443".parse().unwrap());
        assert_eq!(Listen::parse("off").unwrap(), []);
        for (wrong, why) in
            [("", "missing"), ("8000", "not an address"), ("127.0.0.1:80 proxy_protocol", "unknown flag")]
        {
            assert!(Listen::parse(wrong).unwrap_err().contains(why), "{wrong}");
        }
    }
}
