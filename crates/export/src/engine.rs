//! The engine: one thread that reads finished calls into records and carries them to every destination.
//!
//! One thread on purpose: reading and sending traces may take the time that is left over, never the cores that serve
//! requests. Between two records the engine yields to the exporters, which run on the same thread.

use std::collections::HashMap;
use std::hash::Hash;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use ai_tracing_config::ai_tracing::AiTracing;
use ai_tracing_core::record::CallRecord;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout_at};

use crate::destination::{Destination, Lease, Mode, QueueOptions};
use crate::exporter::Exporter;
use crate::exporter::langfuse::{self, Langfuse};
use crate::exporter::otlp::metrics::{self as otlp_metrics, Meters};
use crate::exporter::otlp::{self, Otlp};
use crate::http::Client;
use crate::log::Throttle;
use crate::metrics::{self, LlmMetrics};
use crate::priority::{give_way, pause};
use crate::sampling;
use crate::sink::{Sink, Waiting};
use crate::stats::{Counter, DestinationStats, Stats};
use crate::tracer::{Tracer, TracerError};
use crate::weight::weigh;
use crate::worker;

/// How often the engine looks into the sink while there is traffic.
const TICK: Duration = Duration::from_millis(25);
/// How long after the last call the engine keeps looking by itself, before it asks to be woken.
const LINGER: Duration = Duration::from_secs(1);
/// What the engine takes out of the sink at a time; it no longer counts against the sink's bounds.
const CHUNK_ENTRIES: usize = 64;
const CHUNK_BYTES: usize = 1 << 20;

/// Bounds of the queue between the request path and the engine, and what is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Calls that may wait.
    pub max_entries: usize,
    /// Bytes that they may hold.
    pub max_bytes: usize,
    /// How the metrics of calls are shown.
    pub metrics: metrics::Options,
}

impl Default for Options {
    fn default() -> Self {
        Self { max_entries: 10_000, max_bytes: 64 << 20, metrics: metrics::Options::default() }
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
    /// Calls not read, and records not delivered (one for each destination that missed it).
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
    runtime: Handle,
    records: Counter,
    unreadable: Counter,
    ignored: Counter,
    sampled_out: Counter,
    metrics: Arc<LlmMetrics>,
    destinations: Mutex<Destinations>,
    meters: Meters,
    client: OnceLock<Client>,
}

#[derive(Default)]
struct Destinations {
    /// Those that get every record.
    always: Vec<Arc<Lease>>,
    /// Open ones, as long as a tracer holds them.
    langfuse: Open<langfuse::Config>,
    otlp: Open<otlp::Config>,
    running: Vec<Running>,
    retired: DestinationStats,
}

/// Destinations of one kind, by what they are made of.
type Open<C> = HashMap<C, Weak<Lease>>;

struct Running {
    destination: Arc<Destination>,
    worker: tokio::task::JoinHandle<()>,
}

impl Engine {
    /// Starts the engine's thread.
    ///
    /// # Errors
    /// When the operating system gives no thread, or no event queue for its runtime.
    pub fn start(options: Options, observers: Vec<Box<dyn Observer>>) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let shared = Arc::new(Shared {
            sink: Sink::new(options.max_entries, options.max_bytes),
            runtime: runtime.handle().clone(),
            records: Counter::default(),
            unreadable: Counter::default(),
            ignored: Counter::default(),
            sampled_out: Counter::default(),
            metrics: Arc::new(LlmMetrics::new(options.metrics)),
            destinations: Mutex::default(),
            meters: Meters::default(),
            client: OnceLock::new(),
        });
        let (stop, stopped) = oneshot::channel();
        let reader = Reader {
            shared: Arc::clone(&shared),
            observers,
            drops_seen: 0,
            drops: Throttle::new(Duration::from_secs(1)),
            defects: Throttle::new(Duration::from_secs(1)),
        };
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

    /// Adds a destination that gets every record, whatever the configuration of the call.
    pub fn always<E: Exporter>(&self, exporter: E, queue: QueueOptions) {
        let lease = self.shared.launch(exporter, &queue);
        self.shared.destinations().always.push(lease);
    }

    /// Compiles a plugin configuration: settings for the capture, and destinations, which are shared with every other
    /// configuration that names the same endpoint, credentials and options. `lookup` resolves `{vault://env/NAME}`
    /// references to environment variables. A destination that no tracer uses any more delivers what it has and ends.
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
        Ok(Arc::new(Tracer::new(config, destinations, meter)?))
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
                let waiting = stats.destinations.iter().map(|destination| destination.waiting).sum::<u64>();
                ShutdownReport { delivered: 0, left: waiting + stats.retired.waiting + stats.sink.undone() }
            }
            None => ShutdownReport::default(),
        };
        if report.left > 0 {
            tracing::warn!(
                delivered = report.delivered,
                left = report.left,
                "AI Tracing: stopped with records that could not be delivered in time"
            );
        }
        report
    }
}

impl Shared {
    /// Starts the worker of a new destination.
    pub fn launch<E: Exporter>(&self, exporter: E, queue: &QueueOptions) -> Arc<Lease> {
        let destination = Arc::new(Destination::new(exporter.label(), exporter.limits().max_records, queue));
        // Without randomness all gateways would retry in step, and that is all.
        let seed = getrandom::u64().unwrap_or_default();
        let work = worker::run(exporter, Arc::clone(&destination), queue.retry(), seed);
        let worker = self.runtime.spawn(work);
        let mut destinations = self.destinations();
        destinations.sweep();
        destinations.running.push(Running { destination: Arc::clone(&destination), worker });
        Arc::new(Lease(destination))
    }

    /// The destination of a configuration's Langfuse; the one that is open already where all options agree.
    fn langfuse(&self, config: &AiTracing, lookup: &dyn Fn(&str) -> Option<String>) -> Result<Arc<Lease>, TracerError> {
        let config = langfuse::Config::read(config, lookup)?;
        let queue = config.batching.queue;
        self.open(
            |it| &mut it.langfuse,
            config,
            &queue,
            |config| Langfuse::new(config, self.client("langfuse_endpoint")?),
        )
    }

    /// The destination of a configuration's OTLP receiver, if it names one.
    fn otlp(
        &self,
        config: &AiTracing,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Option<Arc<Lease>>, TracerError> {
        let Some(config) = otlp::Config::read(config, lookup)? else { return Ok(None) };
        let queue = config.batching.queue;
        self.open(|it| &mut it.otlp, config, &queue, |config| Otlp::new(config, self.client("otlp_endpoint")?))
            .map(Some)
    }

    /// The meter of a configuration's OTLP receiver, if it is to get metrics.
    fn meter(
        &self,
        config: &AiTracing,
        lookup: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Option<Arc<otlp_metrics::Lease>>, TracerError> {
        let Some(config) = otlp_metrics::Config::read(config, lookup)? else { return Ok(None) };
        self.meters.open(config, self.client("otlp_endpoint")?, &self.runtime).map(Some)
    }

    /// The open destination that is made of the same, or a new one.
    fn open<C: Clone + Eq + Hash, E: Exporter>(
        &self,
        kind: fn(&mut Destinations) -> &mut Open<C>,
        config: C,
        queue: &QueueOptions,
        make: impl FnOnce(C) -> Result<E, TracerError>,
    ) -> Result<Arc<Lease>, TracerError> {
        if let Some(open) = kind(&mut self.destinations()).get(&config).and_then(Weak::upgrade) {
            return Ok(open);
        }
        let lease = self.launch(make(config.clone())?, queue);
        let mut destinations = self.destinations();
        let open = kind(&mut destinations);
        open.retain(|_, lease| lease.strong_count() > 0);
        open.insert(config, Arc::downgrade(&lease));
        Ok(lease)
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
        let mut destinations = self.destinations();
        destinations.sweep();
        Stats {
            sink: self.sink.stats(),
            records: self.records.get(),
            unreadable: self.unreadable.get(),
            ignored: self.ignored.get(),
            sampled_out: self.sampled_out.get(),
            destinations: destinations.running.iter().map(|running| running.destination.stats()).collect(),
            retired: destinations.retired.clone(),
            metrics: self.meters.stats(),
        }
    }

    fn destinations(&self) -> MutexGuard<'_, Destinations> {
        self.destinations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Destinations {
    /// Adds up and forgets the destinations whose workers have ended.
    fn sweep(&mut self) {
        let (ended, running) = std::mem::take(&mut self.running).into_iter().partition(|it| it.worker.is_finished());
        self.running = running;
        for Running { destination, .. } in ended {
            self.retired.add(&destination.stats());
        }
    }
}

/// The engine's loop.
struct Reader {
    shared: Arc<Shared>,
    observers: Vec<Box<dyn Observer>>,
    drops_seen: u64,
    drops: Throttle,
    defects: Throttle,
}

impl Reader {
    async fn run(mut self, mut stopped: oneshot::Receiver<Duration>) -> ShutdownReport {
        let mut awake_until = Instant::now();
        let budget = loop {
            match stopped.try_recv() {
                Ok(budget) => break budget,
                Err(oneshot::error::TryRecvError::Closed) => break Duration::ZERO,
                Err(oneshot::error::TryRecvError::Empty) => {}
            }
            let any = self.read_some().await;
            self.log_drops();
            if any {
                awake_until = Instant::now() + LINGER;
                continue;
            }
            let idle = Instant::now() >= awake_until && self.shared.sink.park();
            tokio::select! {
                biased;
                asked = &mut stopped => break asked.unwrap_or_default(),
                () = self.shared.sink.woken(), if idle => {}
                () = sleep(TICK), if !idle => {}
            }
        };
        self.shut_down(budget).await
    }

    /// Reads the next few calls; false when there are none.
    async fn read_some(&mut self) -> bool {
        let waiting = self.shared.sink.take(CHUNK_ENTRIES, CHUNK_BYTES);
        let any = !waiting.is_empty();
        for call in waiting {
            self.read(call);
            pause();
            tokio::task::yield_now().await;
        }
        any
    }

    /// Reads one call and hands its record on.
    fn read(&mut self, Waiting { call, tracer, .. }: Waiting) {
        let Some(record) = guarded(|| call.into_record()) else {
            self.shared.unreadable.add(1);
            if let Some(count) = self.defects.admit(1, Instant::now()) {
                tracing::error!(count, "AI Tracing: a call could not be read (a defect), its trace is lost");
            }
            return;
        };
        // Some paths are anybody's: this was no LLM traffic after all.
        let Some(record) = record else {
            self.shared.ignored.add(1);
            return;
        };
        self.shared.records.add(1);
        self.shared.metrics.observe(&record);
        tracer.measure(&record);
        if !sampling::keep(&record, tracer.settings.sampling_ratio) {
            self.shared.sampled_out.add(1);
            return;
        }
        let record = Arc::new(record);
        for observer in &self.observers {
            if guarded(|| observer.observe(&record, &tracer)).is_none()
                && let Some(count) = self.defects.admit(1, Instant::now())
            {
                tracing::error!(count, "AI Tracing: an observer of records failed (a defect)");
            }
        }
        let weight = weigh(&record);
        for lease in tracer.destinations() {
            lease.0.offer(&record, weight);
        }
        for lease in &self.shared.destinations().always {
            lease.0.offer(&record, weight);
        }
    }

    fn log_drops(&mut self) {
        let dropped = self.shared.sink.stats().dropped();
        if let Some(count) = self.drops.admit(dropped - self.drops_seen, Instant::now()) {
            tracing::warn!(count, "AI Tracing: calls dropped, more arrive than can be read");
        }
        self.drops_seen = dropped;
    }

    async fn shut_down(mut self, budget: Duration) -> ShutdownReport {
        let begun = Instant::now();
        self.shared.sink.close();
        let before = self.delivered();
        // Half of the time for reading at most, the rest for sending.
        let read_until = begun + budget / 2;
        while Instant::now() < read_until && self.read_some().await {}
        self.log_drops();
        let running = std::mem::take(&mut self.shared.destinations().running);
        for it in &running {
            it.destination.set_mode(Mode::Flush);
        }
        let meters = self.shared.meters.flush();
        let mut left = 0;
        for Running { destination, mut worker } in running {
            if timeout_at(begun + budget, &mut worker).await.is_err() {
                worker.abort();
            }
            let stats = destination.stats();
            left += stats.waiting;
            self.shared.destinations().retired.add(&stats);
        }
        meters.wait(begun + budget).await;
        left += self.shared.sink.stats().undone();
        if let Some(count) = self.drops.rest() {
            tracing::warn!(count, "AI Tracing: calls dropped, more arrive than can be read");
        }
        ShutdownReport { delivered: self.delivered().saturating_sub(before), left }
    }

    /// Records delivered so far, to all destinations.
    fn delivered(&self) -> u64 {
        let stats = self.shared.stats();
        stats.retired.delivered + stats.destinations.iter().map(|it| it.delivered).sum::<u64>()
    }
}

/// Runs `work`; `None` when it panics.
fn guarded<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

#[cfg(test)]
mod tests;
