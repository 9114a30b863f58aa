//! The engine: one thread that reads finished calls into records and carries them to every destination.
//!
//! One thread on purpose: reading and sending traces may take the time that is left over, never the cores that serve
//! requests. Once a few records are in the spool the engine yields to the exporters, which run on the same thread.

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use ai_tracing_config::ai_tracing::AiTracing;
use ai_tracing_core::record::CallRecord;
use tokio::runtime::Builder;
use tokio::sync::oneshot;

use crate::deliveries::Deliveries;
use crate::destination::{Destination, Lease, QueueOptions};
use crate::exporter::Exporter;
use crate::exporter::identity::identity;
use crate::exporter::langfuse::{self, Langfuse};
use crate::exporter::otlp::metrics::{self as otlp_metrics, Meters};
use crate::exporter::otlp::{self, Otlp};
use crate::http::Client;
use crate::lanes::Lanes;
use crate::metrics::{self, LlmMetrics};
use crate::priority::give_way;
use crate::sink::Sink;
use crate::spool::{self, Entry, LaneKey, Position};
use crate::stats::{Counter, DestinationStats, Stats};
use crate::storage::Storage;
use crate::tracer::{self, Tracer, TracerError};
use crate::weight::weigh;

mod reader;

use reader::Reader;

/// Bounds of the queue between the request path and the engine, what is counted, and where what waits is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Calls that may wait.
    pub max_entries: usize,
    /// Bytes that they may hold.
    pub max_bytes: usize,
    /// How the metrics of calls are shown.
    pub metrics: metrics::Options,
    /// Where records wait for their destinations on disk; `None`: in memory alone.
    pub spool: Option<spool::Options>,
    /// Whether one of the destinations keeps HTTP exchanges (`capture_http`). Where none does, nothing of them is copied.
    pub keeps_http: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_entries: 10_000,
            max_bytes: 64 << 20,
            metrics: metrics::Options::default(),
            spool: None,
            keeps_http: false,
        }
    }
}

/// Sees every kept record on the engine's thread, before it goes to the destinations. Must be quick.
pub trait Observer: Send + Sync + 'static {
    /// One record, and whose configuration it was made under.
    fn observe(&self, record: &Arc<CallRecord>, tracer: &Tracer);
}

/// What a shutdown came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShutdownReport {
    /// Records delivered while shutting down; one for each destination that took it.
    pub delivered: u64,
    /// Records not delivered that are in the spool, for the next start; one for each destination that waits for it.
    pub kept: u64,
    /// What is lost: calls not read, and records not delivered that are nowhere else, one for each destination.
    pub left: u64,
}

/// Owns the engine's thread. Dropping it ends the thread without delivering what waits; see [`Engine::shutdown`].
pub struct Engine {
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<Duration>>,
    thread: Option<JoinHandle<ShutdownReport>>,
}

pub(crate) struct Shared {
    sink: Sink,
    records: Counter,
    unreadable: Counter,
    ignored: Counter,
    sampled_out: Counter,
    metrics: Arc<LlmMetrics>,
    storage: Option<Arc<Storage>>,
    lanes: Lanes,
    /// Those that get every record.
    always: Mutex<Vec<Lease>>,
    meters: Meters,
    deliveries: Option<Arc<dyn Deliveries>>,
    client: OnceLock<Client>,
    keeps_http: bool,
}

impl Engine {
    /// Starts the engine's thread, which opens the spool before anything else; calls wait in the sink meanwhile. A spool
    /// that does not open is said in the log and shown in the statistics; tracing goes on without it.
    ///
    /// `observers` see every kept record, `deliveries` what becomes of it at each destination of its configuration.
    ///
    /// # Errors
    /// When the operating system gives no thread, or no event queue for its runtime.
    pub fn start(
        options: Options,
        observers: Vec<Box<dyn Observer>>,
        deliveries: Option<Arc<dyn Deliveries>>,
    ) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let storage = options.spool.map(|options| Arc::new(Storage::new(options)));
        let shared = Arc::new(Shared {
            sink: Sink::new(options.max_entries, options.max_bytes),
            records: Counter::default(),
            unreadable: Counter::default(),
            ignored: Counter::default(),
            sampled_out: Counter::default(),
            metrics: Arc::new(LlmMetrics::new(options.metrics)),
            lanes: Lanes::new(runtime.handle().clone(), storage.clone()),
            storage,
            always: Mutex::default(),
            meters: Meters::default(),
            deliveries,
            client: OnceLock::new(),
            keeps_http: options.keeps_http,
        });
        let (stop, stopped) = oneshot::channel();
        let reader = Reader::new(Arc::clone(&shared), observers);
        let thread = std::thread::Builder::new().name("ai-tracing-engine".into()).spawn(move || {
            give_way();
            let report = runtime.block_on(reader.run(stopped));
            // A name look-up that hangs in a helper thread must not hold up the exit.
            runtime.shutdown_background();
            report
        })?;
        Ok(Self { shared, stop: Some(stop), thread: Some(thread) })
    }

    /// Where finished calls are handed over.
    pub fn sink(&self) -> Sink {
        self.shared.sink.clone()
    }

    /// Adds a destination that gets every record, whatever the configuration of the call. [`Deliveries`] are not told of
    /// it.
    pub fn always<E: Exporter>(&self, exporter: E, queue: QueueOptions) {
        // Two of the same name are two destinations.
        let mut always = self.shared.always();
        let identity = identity(&["always", exporter.name(), &always.len().to_string()]);
        let Ok(lease) = self.shared.lanes.open(identity, (), &queue, None, |()| Ok::<_, Infallible>(exporter));
        always.push(lease);
    }

    /// Compiles a plugin configuration: settings for the capture, and destinations, which are shared with every other
    /// configuration that names the same endpoint, account and form of traces; of other options, the last ones count.
    /// `lookup` resolves `{vault://env/NAME}` references to environment variables. A destination that no tracer uses any
    /// more delivers what it has and ends.
    ///
    /// # Errors
    /// Names the parameter that cannot work; never its value.
    pub fn tracer(
        &self,
        config: &AiTracing,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Arc<Tracer>, TracerError> {
        let mut destinations = Vec::new();
        if config.langfuse_enabled {
            destinations.push(self.shared.langfuse(config, lookup)?);
        }
        destinations.extend(self.shared.otlp(config, lookup)?);
        let meter = self.shared.meter(config, lookup)?;
        let mut settings = tracer::settings(config)?;
        if self.shared.keeps_http {
            settings.http = tracer::http(config);
        }
        Ok(Arc::new(Tracer::new(settings, config.log_level, destinations, meter)))
    }

    /// Hands a record to one destination once more, with the ids that it has: a destination that has it already does not
    /// store it twice. `destination` is the key of an [`Address`](crate::Address). Answered once the record waits there;
    /// `None` when no configuration uses the destination, or the engine stops.
    pub fn resend(&self, destination: [u8; 16], record: Arc<CallRecord>) -> Option<oneshot::Receiver<()>> {
        let lease = self.shared.lanes.in_use(LaneKey(destination))?;
        let (done, told) = oneshot::channel();
        let shared = Arc::clone(&self.shared);
        // The spool is the engine's thread's alone.
        self.shared.lanes.runtime().spawn(async move {
            let destination = lease.destination();
            destination.offer(&record, weigh(&record), shared.spool_for(destination, &record));
            let _ = done.send(());
        });
        Some(told)
    }

    /// What was counted since the start.
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// The metrics of all calls, those that sampling leaves out as well.
    pub fn metrics(&self) -> Arc<LlmMetrics> {
        Arc::clone(&self.shared.metrics)
    }

    /// Ends the engine within about `budget`: reads what waits in the sink, sends everything that waits for a
    /// destination at once (all destinations side by side, one attempt, no pauses), and says what came of it. Blocks
    /// the calling thread for so long.
    pub fn shutdown(mut self, budget: Duration) -> ShutdownReport {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(budget);
        }
        let report = match self.thread.take().map(JoinHandle::join) {
            Some(Ok(report)) => report,
            Some(Err(_)) => {
                tracing::error!("AI Tracing: the engine ended early (a defect)");
                let stats = self.shared.stats();
                let mut report = ShutdownReport { left: stats.sink.undone(), ..ShutdownReport::default() };
                stats.destinations.iter().chain([&stats.retired]).for_each(|it| report.add_undelivered(it));
                report
            }
            None => ShutdownReport::default(),
        };
        let ShutdownReport { delivered, kept, left } = report;
        if left > 0 {
            tracing::warn!(delivered, kept, left, "AI Tracing: stopped, and records are lost: not delivered in time");
        } else if kept > 0 {
            tracing::info!(delivered, kept, "AI Tracing: stopped; what is not delivered waits for the next start");
        }
        report
    }
}

impl ShutdownReport {
    /// A destination that has ended with records that wait.
    fn add_undelivered(&mut self, stats: &DestinationStats) {
        self.left += stats.memory_only.min(stats.waiting);
        self.kept += stats.waiting.saturating_sub(stats.memory_only);
    }
}

impl Shared {
    /// The destination of a configuration's Langfuse.
    fn langfuse(&self, config: &AiTracing, lookup: &dyn Fn(&str) -> Option<String>) -> Result<Lease, TracerError> {
        let config = langfuse::Config::read(config, lookup)?;
        let queue = config.batching.queue;
        let make = |config| Langfuse::new(config, self.client("langfuse_endpoint")?);
        self.lanes.open(config.identity(), config, &queue, self.deliveries.as_ref(), make)
    }

    /// The destination of a configuration's OTLP receiver, if it names one.
    fn otlp(&self, config: &AiTracing, lookup: &dyn Fn(&str) -> Option<String>) -> Result<Option<Lease>, TracerError> {
        let Some(config) = otlp::Config::read(config, lookup)? else { return Ok(None) };
        let queue = config.batching.queue;
        let make = |config| Otlp::new(config, self.client("otlp_endpoint")?);
        self.lanes.open(config.identity(), config, &queue, self.deliveries.as_ref(), make).map(Some)
    }

    /// The meter of a configuration's OTLP receiver, if it is to get metrics.
    fn meter(
        &self,
        config: &AiTracing,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Option<Arc<otlp_metrics::Lease>>, TracerError> {
        let Some(config) = otlp_metrics::Config::read(config, lookup)? else { return Ok(None) };
        self.meters.open(config, self.client("otlp_endpoint")?, self.lanes.runtime()).map(Some)
    }

    /// Writes a record to the spool for one destination; `None` where it is in memory alone.
    fn spool_for(&self, destination: &Destination, record: &CallRecord) -> Option<Position> {
        let storage = self.storage.as_ref()?;
        let written = destination.lane().zip(serde_json::to_vec(record).ok()).and_then(|(lane, json)| {
            let places = storage.append(&[Entry { lanes: &[lane], record: &json }])?;
            places.first().copied()
        });
        storage.memory_only.add(u64::from(written.is_none()));
        written
    }

    /// The HTTP client of all exporters, made when the first one needs it: reading root certificates takes a while.
    /// `path` is the parameter that asks for it.
    fn client(&self, path: &str) -> Result<Client, TracerError> {
        if let Some(client) = self.client.get() {
            return Ok(client.clone());
        }
        let client = Client::new().map_err(|error| TracerError::new(path, format!("no TLS: {error}")))?;
        Ok(self.client.get_or_init(|| client).clone())
    }

    fn stats(&self) -> Stats {
        let (destinations, retired) = self.lanes.stats();
        Stats {
            sink: self.sink.stats(),
            records: self.records.get(),
            unreadable: self.unreadable.get(),
            ignored: self.ignored.get(),
            sampled_out: self.sampled_out.get(),
            spool: self.storage.as_ref().map(|storage| storage.stats()),
            destinations,
            retired,
            metrics: self.meters.stats(),
        }
    }

    fn always(&self) -> MutexGuard<'_, Vec<Lease>> {
        self.always.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
