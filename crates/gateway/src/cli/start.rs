//! `ai-tracing start`: puts the parts together, runs until a signal, and takes them apart in order.
//!
//! ```text
//! start: logs ─ engine ─ local store ─ configuration ─ listeners ─ proxy threads ─ Admin, status API, console ─ "ready"
//! stop:  not ready ─ proxy drains ─ Admin and status API ─ engine flushes ─ local store
//! ```
//!
//! SIGTERM and SIGINT stop; a second one cuts the calls under way. SIGHUP reads the declarative file again.

use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ai_tracing_config::ai_tracing::AiTracing;
use ai_tracing_export::clock::{now, random_u128};
use ai_tracing_export::{CallLog, Engine, Observer, Options, QueueOptions};
use anyhow::{Context, Result, anyhow};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::options::{self, Start};
use crate::calls::Store;
use crate::calls::outcomes::Buffer;
use crate::console::{self, Access, Console, Exports};
use crate::db::{Db, declarative};
use crate::live::Live;
use crate::logging;
use crate::metrics::http::HttpMetrics;
use crate::plugin::Tracing;
use crate::proxy::exchange::Budget;
use crate::proxy::server::{Bound, Counters, Server, Shared};
use crate::proxy::upstream::Connector;
use crate::status::Node;
use crate::{admin, metrics, status};

/// How long the engine may take to deliver what is left.
const FLUSH: Duration = Duration::from_secs(10);
/// The same, after a second signal.
const FLUSH_HURRIED: Duration = Duration::from_secs(1);

/// Runs the gateway until it is told to stop.
///
/// # Errors
///
/// When it cannot start; nothing is left running then.
pub fn run(options: Start, out: &mut dyn Write) -> Result<ExitCode> {
    options.check()?;
    logging::init(options.log_level);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    let result = runtime.block_on(async {
        // Before anything runs: who reads "ready" may signal at once.
        let signals = Signals::new().context("cannot handle signals")?;
        let gateway = Gateway::start(&options).await?;
        writeln!(out, "{}", gateway.ready())?;
        out.flush()?;
        Ok(gateway.run(signals).await)
    });
    // An Admin API call that hangs in a helper thread must not hold up the exit.
    runtime.shutdown_background();
    result
}

/// What can be taken away from those who share it.
type Lent<T> = Arc<Mutex<Option<T>>>;

/// Everything that runs.
struct Gateway {
    engine: Lent<Engine>,
    store: Lent<Store>,
    node: Arc<Node>,
    proxy: Server,
    proxy_addresses: Vec<SocketAddr>,
    admin: Option<Api>,
    status: Option<Api>,
    console: Option<Api>,
    drain: Duration,
    file: Option<PathBuf>,
}

impl Gateway {
    async fn start(options: &Start) -> Result<Self> {
        // Everything that may be wrong with the options comes before anything runs.
        let listens = options.proxy()?;
        let admin_address = options::address("--admin-listen", &options.admin_listen)?;
        let status_address = options::address("--status-listen", &options.status_listen)?;
        let console_address = options::address("--console-listen", &options.console_listen)?;
        let token = options.console_token.as_ref().map(|token| token.0.as_str());
        let access = console_address.map(|address| Access::new(token, address, random_u128()));
        let access = access.transpose()?;
        let environment = |name: &str| std::env::var(name).ok();
        let document = options.upstream.as_deref().map(|upstream| options::document(upstream, &environment));
        let document = document.transpose()?;
        if let (Some(_), Some((set, missing))) = (&document, options::half_a_key(&environment)) {
            tracing::warn!("{set} is set and {} is not: nothing is sent to Langfuse", missing.join(" or "));
        }
        let tls = tls(options)?;

        // What is kept in it, conversations above all, is nobody else's business.
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&options.data_dir)
            .with_context(|| format!("cannot create {}", options.data_dir.display()))?;
        let store = Store::open(&options.data_dir, options.retention())
            .with_context(|| format!("cannot open the local store in {}", options.data_dir.display()))?;
        let engine_options =
            Options { metrics: options.metrics(), spool: options.spool(), keeps_http: true, ..Options::default() };
        let observers: Vec<Box<dyn Observer>> = vec![Box::new(CallLog)];
        let recorder = Arc::new(store.recorder());
        let engine = Engine::start(engine_options, observers, Some(recorder)).context("cannot start the engine")?;
        engine.always(store.exporter(), QueueOptions::default());
        let (changes, outcomes) = (store.changes(), store.outcomes());
        let (engine, store) = (lend(engine), lend(store));
        let http = Arc::new(HttpMetrics::new(options.metrics_label_sets));
        let live = Arc::new(Live::new(compile(Arc::clone(&engine)), Arc::clone(&http)));
        let db = Arc::new(open_db(options, document, Arc::clone(&live))?);

        let mut bound = Vec::new();
        for listen in listens {
            bound.push(Bound::new(listen, tls.as_ref()).map_err(|why| cannot_listen(listen.address, &why))?);
        }
        let proxy_addresses = bound.iter().map(|bound| bound.address).collect();
        let (admin_listener, status_listener) = (listen(admin_address).await?, listen(status_address).await?);
        let console_listener = listen(console_address).await?;

        let counters = Arc::new(Counters::default());
        let budget = Arc::new(Budget::new(options.capture_memory));
        let shared = Shared {
            live,
            budget: Arc::clone(&budget),
            counters: Arc::clone(&counters),
            max_body: Some(options.client_max_body_size).filter(|max| *max > 0),
            connector: Connector::new().context("cannot set up TLS")?,
        };
        let workers = options
            .workers
            .map_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get), usize::from);
        let proxy = Server::start(bound, workers, &shared).context("cannot start the proxy threads")?;

        let node = Arc::new(Node {
            db,
            id: uuid::Builder::from_random_bytes(random_u128().to_be_bytes()).into_uuid(),
            hostname: std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned(),
            configuration: json!({
                "proxy_listen": options.proxy_listen, "admin_listen": options.admin_listen,
                "status_listen": options.status_listen, "console_listen": options.console_listen, "data_dir": options.data_dir, "workers": workers,
                "client_max_body_size": options.client_max_body_size,
            }),
            metrics: metrics_page(&engine, &store, Arc::clone(&budget), Arc::clone(&counters), http),
            server: Box::new(move || counters.read()),
            ai_tracing: statistics(Arc::clone(&engine), budget, Arc::clone(&store)),
            draining: AtomicBool::new(false),
        });
        let loopback = admin_address.is_some_and(|address| address.ip().is_loopback());
        let admin = admin_listener
            .map(|listener| Api::serve(listener, admin::router(Arc::clone(&node), loopback)))
            .transpose()?;
        let status =
            status_listener.map(|listener| Api::serve(listener, status::router(Arc::clone(&node)))).transpose()?;
        let console = console_listener.zip(access).map(|(listener, access)| {
            let loopback = console_address.is_some_and(|address| address.ip().is_loopback());
            let (data_dir, node) = (options.data_dir.clone(), Arc::clone(&node));
            let exports = exports(&engine, outcomes);
            let console = Console::new(data_dir, changes, node, access, exports, now, loopback);
            Api::serve(listener, console::router(Arc::new(console)))
        });
        let console = console.transpose()?;
        Ok(Self {
            engine,
            store,
            node,
            proxy,
            proxy_addresses,
            admin,
            status,
            console,
            drain: Duration::from_secs(options.drain_timeout),
            file: options.config.clone(),
        })
    }

    /// The line that says where the gateway serves.
    fn ready(&self) -> Value {
        json!({
            "event": "ready",
            "version": env!("CARGO_PKG_VERSION"),
            "proxy": self.proxy_addresses,
            "admin": self.admin.as_ref().map(|api| api.address),
            "status": self.status.as_ref().map(|api| api.address),
            "console": self.console.as_ref().map(|api| api.address),
        })
    }

    async fn run(self, mut signals: Signals) -> ExitCode {
        loop {
            match signals.next().await {
                Told::Stop => break,
                Told::Reload => self.reload().await,
            }
        }
        self.stop(signals).await
    }

    /// Reads the declarative file again. What is wrong with it is one line in the log; the configuration stays.
    async fn reload(&self) {
        let Some(file) = self.file.clone() else {
            tracing::info!("nothing to reload: the configuration is not in a file");
            return;
        };
        let db = Arc::clone(&self.node.db);
        // This thread accepts connections: it must not wait for a large file to be read and compiled.
        let loading = tokio::task::spawn_blocking(move || match load(&db, &file) {
            Ok(()) => tracing::info!(file = %file.display(), "configuration reloaded"),
            Err(error) => tracing::error!("reload failed, the configuration stays as it was: {error:#}"),
        });
        if let Err(error) = loading.await {
            tracing::error!(%error, "reload failed, the configuration stays as it was");
        }
    }

    /// Lets calls finish and delivers their traces. A second signal cuts the calls, a third leaves everything.
    async fn stop(self, mut signals: Signals) -> ExitCode {
        tracing::info!("stopping");
        self.node.draining.store(true, Ordering::Relaxed);
        let mut hurried = false;
        let hurry = async {
            signals.stop().await;
            hurried = true;
        };
        if !self.proxy.stop(self.drain, hurry).await {
            tracing::warn!("calls were cut: they did not finish in time");
        }
        for api in [self.admin, self.status, self.console].into_iter().flatten() {
            api.stop().await;
        }
        let (engine, store) = (lock(&self.engine).take(), lock(&self.store).take());
        let flushing = tokio::task::spawn_blocking(move || {
            if let Some(engine) = engine {
                let report = engine.shutdown(if hurried { FLUSH_HURRIED } else { FLUSH });
                tracing::info!(delivered = report.delivered, kept = report.kept, left = report.left, "stopped");
            }
            if let Some(Err(error)) = store.map(Store::close) {
                tracing::warn!(%error, "the local store did not close");
            }
        });
        tokio::select! {
            _ = flushing => ExitCode::SUCCESS,
            () = signals.stop() => ExitCode::FAILURE,
        }
    }
}

/// The signals that the gateway heeds.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::Stop,
            _ = self.interrupt.recv() => Told::Stop,
            _ = self.hangup.recv() => Told::Reload,
        }
    }

    /// The next signal to stop.
    async fn stop(&mut self) {
        while self.next().await != Told::Stop {}
    }
}

/// What a signal tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Stop,
    Reload,
}

fn lend<T>(owned: T) -> Lent<T> {
    Arc::new(Mutex::new(Some(owned)))
}

fn lock<T>(lent: &Lent<T>) -> MutexGuard<'_, Option<T>> {
    lent.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Compiles plugin configurations with the engine.
fn compile(engine: Lent<Engine>) -> crate::live::Compile {
    Box::new(move |config: &AiTracing| {
        let engine = lock(&engine);
        let engine = engine.as_ref().ok_or("the gateway is stopping")?;
        let tracer = engine.tracer(config, &|name| std::env::var(name).ok()).map_err(|why| why.to_string())?;
        let sink = engine.sink();
        Ok(Arc::new(Tracing::new(Arc::clone(&tracer.settings), move |finished| sink.offer(finished, &tracer))))
    })
}

/// Reads the state of tracing for the status API.
fn statistics(engine: Lent<Engine>, budget: Arc<Budget>, store: Lent<Store>) -> Box<dyn Fn() -> Value + Send + Sync> {
    Box::new(move || {
        let engine = lock(&engine).as_ref().map(Engine::stats);
        let store = lock(&store).as_ref().map(Store::stats);
        json!({
            "capture": { "held_bytes": budget.held(), "without_bodies": budget.starved() },
            "export": engine,
            "store": store,
        })
    })
}

/// What the console knows of destinations.
fn exports(engine: &Lent<Engine>, outcomes: Arc<Buffer>) -> Exports {
    let (asked, sending) = (Arc::clone(engine), Arc::clone(engine));
    Exports {
        outcomes,
        destinations: Box::new(move || lock(&asked).as_ref().map(|it| it.stats().destinations).unwrap_or_default()),
        resend: Box::new(move |key, record| lock(&sending).as_ref()?.resend(key, record)),
    }
}

/// Writes the page of metrics.
fn metrics_page(
    engine: &Lent<Engine>,
    store: &Lent<Store>,
    budget: Arc<Budget>,
    counters: Arc<Counters>,
    http: Arc<HttpMetrics>,
) -> Box<dyn Fn(bool) -> String + Send + Sync> {
    let (engine, store) = (Arc::clone(engine), Arc::clone(store));
    Box::new(move |datastore_reachable| {
        let engine = lock(&engine).as_ref().map(|engine| (engine.metrics(), engine.stats()));
        metrics::page(&metrics::Sources {
            engine: engine.as_ref().map(|(llm, stats)| (&**llm, stats)),
            store: lock(&store).as_ref().map(Store::stats),
            server: counters.read(),
            capture: (budget.held(), budget.starved()),
            datastore_reachable,
            http: &http,
            now: now(),
        })
    })
}

fn open_db(options: &Start, document: Option<Value>, live: Arc<Live>) -> Result<Db> {
    let apply = Arc::new(move |entities: &crate::entity::Entities| live.apply(entities));
    let clock = Arc::new(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs()));
    if let Some(document) = document {
        let db = Db::declarative(apply, clock);
        db.load(document).map_err(|why| anyhow!("--upstream: {why}"))?;
        return Ok(db);
    }
    if let Some(file) = &options.config {
        let db = Db::declarative(apply, clock);
        load(&db, file)?;
        return Ok(db);
    }
    let path = options.data_dir.join("config.db");
    Db::open(&path, apply, clock).with_context(|| format!("cannot open {}", path.display()))
}

fn load(db: &Db, file: &Path) -> Result<()> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let document = declarative::read(&text).map_err(|why| anyhow!("{}: {why}", file.display()))?;
    db.load(document).map_err(|why| anyhow!("{}: {why}", file.display()))?;
    Ok(())
}

fn tls(options: &Start) -> Result<Option<TlsAcceptor>> {
    let (Some(cert), Some(key)) = (&options.ssl_cert, &options.ssl_cert_key) else { return Ok(None) };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(cert).and_then(Iterator::collect);
    let chain = chain.with_context(|| format!("cannot read certificates from {}", cert.display()))?;
    let key_der =
        PrivateKeyDer::from_pem_file(key).with_context(|| format!("cannot read a key from {}", key.display()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("cannot set up TLS")?
        .with_no_client_auth()
        .with_single_cert(chain, key_der)
        .with_context(|| format!("{} and {} do not fit", cert.display(), key.display()))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}

fn cannot_listen(address: SocketAddr, why: &std::io::Error) -> anyhow::Error {
    anyhow!("cannot listen on {address}: {why}")
}

async fn listen(address: Option<SocketAddr>) -> Result<Option<TcpListener>> {
    let Some(address) = address else { return Ok(None) };
    TcpListener::bind(address).await.map(Some).map_err(|why| cannot_listen(address, &why))
}

/// The Admin API or the status API.
struct Api {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Api {
    fn serve(listener: TcpListener, router: axum::Router) -> Result<Self> {
        let address = listener.local_addr()?;
        let (stop, mut stopped) = watch::channel(false);
        let serving = axum::serve(listener, router).with_graceful_shutdown(async move {
            let _ = stopped.wait_for(|stopped| *stopped).await;
        });
        Ok(Self { address, stop, task: tokio::spawn(serving.into_future()) })
    }

    /// Lets open requests finish, for a second.
    async fn stop(self) {
        self.stop.send_replace(true);
        let abort = self.task.abort_handle();
        if tokio::time::timeout(Duration::from_secs(1), self.task).await.is_err() {
            abort.abort();
        }
    }
}
