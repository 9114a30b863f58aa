//! One worker process: its engine, its configurations, its open calls.
//!
//! The invariant: a call ends exactly once, and every call that began is handed to the engine or counted. A panic while a
//! call is touched costs that call alone: it is gone, counted, and its number names nothing any more.

use std::fs::File;
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ai_tracing_config::ai_tracing::{self, AiTracing};
use ai_tracing_core::capture::{Capture, Finished};
use ai_tracing_core::record::End;
use ai_tracing_export::clock::Clock;
use ai_tracing_export::{CallLog, Engine, Options, ShutdownReport, Sink, Stats, Tracer, spool};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::head::{Pairs, Request};
use crate::numbers::Numbers;
use crate::slots::{self, Slots};

/// Configurations that may be in use at a time: those of all plugin instances, twice while they change.
const MAX_CONFIGS: usize = 20_000;
/// Largest exchange that is read before it is handed over, in bytes: reading it takes about half a millisecond.
const READ_AT_ONCE: usize = 64 << 10;
/// Bytes read of a request's temporary file at a time.
const FILE_STEP: usize = 256 << 10;
/// Longest age of a request when it is first seen; what is beyond is a clock that was set.
const MAX_AGE: Duration = Duration::from_secs(3600);

/// What a worker is started with.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StartOptions {
    /// Memory in bytes that the bodies of all open calls of the process may be kept in; beyond it calls are traced
    /// without them.
    pub capture_memory: usize,
    /// Directory in which traces wait for their destinations, of all workers; `None`: they wait in memory.
    pub spool: Option<PathBuf>,
    /// Bytes on disk that this process may take for them; 0: none, they wait in memory. `None`: the spool's default.
    pub spool_max_size: Option<u64>,
}

impl Default for StartOptions {
    fn default() -> Self {
        Self { capture_memory: 128 << 20, spool: None, spool_max_size: None }
    }
}

impl StartOptions {
    fn engine(&self) -> Options {
        let spool = self.spool.clone().map(spool::Options::new);
        let sized =
            spool.map(|spool| spool::Options { max_bytes: self.spool_max_size.unwrap_or(spool.max_bytes), ..spool });
        Options { spool: sized.filter(|spool| spool.max_bytes > 0), ..Options::default() }
    }
}

/// One worker process.
pub struct Worker {
    engine: Engine,
    sink: Sink,
    configs: Slots<Arc<Tracer>>,
    calls: Slots<Call>,
    memory: Memory,
    counts: Counts,
}

/// The memory of open captures.
struct Memory {
    limit: usize,
    held: usize,
}

/// What happened to calls before the engine got them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Calls begun.
    pub begun: u64,
    /// Calls not traced because too many were open.
    pub refused: u64,
    /// Calls lost to a defect.
    pub defects: u64,
    /// Calls whose bodies were not kept, or not to their end, for want of memory.
    pub starved: u64,
}

/// The state of a worker, for tests and troubleshooting.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Calls before the engine.
    pub calls: Counts,
    /// Calls open now.
    pub open: usize,
    /// Configurations in use.
    pub configs: usize,
    /// Bytes that open calls hold.
    pub held_bytes: usize,
    /// The engine's counters.
    pub engine: Stats,
}

/// A call that has begun.
#[derive(Debug)]
pub struct Begun {
    /// Its number.
    pub call: i32,
    /// What the upstream is to see.
    pub traceparent: String,
    /// The caller's `tracestate` must not reach the upstream: it is that of another trace.
    pub drop_tracestate: bool,
}

struct Call {
    capture: Capture,
    clock: Clock,
    tracer: Arc<Tracer>,
    held: usize,
    starved: bool,
}

impl Worker {
    /// Starts the engine's thread. Everything that is logged goes to the process's subscriber.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(options: StartOptions) -> io::Result<Self> {
        let engine = Engine::start(options.engine(), vec![Box::new(CallLog)], None)?;
        Ok(Self {
            sink: engine.sink(),
            engine,
            configs: Slots::new(MAX_CONFIGS),
            calls: Slots::new(slots::MOST),
            memory: Memory { limit: options.capture_memory, held: 0 },
            counts: Counts::default(),
        })
    }

    /// Compiles a configuration as Kong hands it to the plugin (JSON).
    ///
    /// # Errors
    /// Says what is wrong with it, never a value that may be secret.
    pub fn put_config(&mut self, conf: &[u8]) -> Result<i32, String> {
        let conf: Value = serde_json::from_slice(conf).map_err(|_| "the configuration is no JSON".to_owned())?;
        let config = AiTracing::from_value(&ai_tracing::schema().handed(conf)).map_err(|error| error.to_string())?;
        // Kong has put the values of references in their places; what is still a reference, it could not resolve.
        let tracer = self.engine.tracer(&config, &|_| None).map_err(|error| error.to_string())?;
        self.configs.insert(tracer).ok_or_else(|| format!("more than {MAX_CONFIGS} configurations"))
    }

    /// A configuration is used no more. Its open calls keep what they need of it.
    pub fn drop_config(&mut self, config: i32) -> bool {
        self.configs.free(config).is_some()
    }

    /// Begins to watch a request that Kong has had for `age`. `None` when it is no LLM traffic.
    pub fn begin(&mut self, config: i32, request: &Request<'_>, age: Duration) -> Option<Begun> {
        let tracer = self.configs.get(config)?;
        let clock = Clock::begun_ago(age.min(MAX_AGE));
        let head = request.head();
        let capture = Capture::start(&tracer.settings, &head, clock.ids(), clock.at(clock.begun()))?;
        let traceparent = capture.traceparent();
        let drop_tracestate = !capture.joined() && head.headers.get("tracestate").is_some();
        let mut call = Call { capture, clock, tracer: Arc::clone(tracer), held: 0, starved: false };
        account(&mut self.memory, &mut self.counts, &mut call);
        let held = call.held;
        match self.calls.insert(call) {
            Some(call) => {
                self.counts.begun += 1;
                Some(Begun { call, traceparent, drop_tracestate })
            }
            None => {
                self.memory.held -= held;
                self.counts.refused += 1;
                None
            }
        }
    }

    /// The request goes to the upstream now, with this body.
    pub fn request_body(&mut self, call: i32, bytes: &[u8]) -> bool {
        self.forward(call, |call| call.capture.request_body(bytes))
    }

    /// The request goes to the upstream now, its body is in a file. Reads what is kept of it, at most, from the page cache
    /// that nginx has just written it to.
    pub fn request_file(&mut self, call: i32, path: &str) -> bool {
        self.forward(call, |call| {
            let limit = call.tracer.settings.limits.max_body_size;
            if read_file(path, limit, &mut call.capture).is_err() {
                call.capture.note("the request's body could not be read from its temporary file");
            }
        })
    }

    /// The request goes to the upstream now, its body passes unseen.
    pub fn request_unseen(&mut self, call: i32) -> bool {
        self.forward(call, |call| call.capture.note("the request's body was not seen: it is not buffered"))
    }

    /// The response will pass in this dialect, not in the request's.
    pub fn answered_in(&mut self, call: i32, dialect: &str) -> bool {
        self.with_call(call, |call| call.capture.answered_in(dialect))
    }

    fn forward(&mut self, call: i32, keep_body: impl FnOnce(&mut Call)) -> bool {
        self.with_call(call, |call| {
            keep_body(call);
            call.capture.upstream_started(call.clock.at(Instant::now()));
        })
    }

    /// The head of the response.
    pub fn response_head(&mut self, call: i32, status: u16, headers: &Pairs<'_>) -> bool {
        self.with_call(call, |call| call.capture.response_head(status, headers, call.clock.at(Instant::now())))
    }

    /// A piece of the response's body.
    pub fn response_body(&mut self, call: i32, bytes: &[u8]) -> bool {
        self.with_call(call, |call| call.capture.response_body(bytes, call.clock.at(Instant::now())))
    }

    /// The exchange has ended. With `numbers`, and if it is not too large to be read at once, its numbers are returned as
    /// JSON.
    pub fn finish(&mut self, call: i32, end: End, retried: bool, numbers: bool) -> Option<String> {
        let taken = self.calls.take(call)?;
        self.calls.free(call);
        self.memory.held -= taken.held;
        let sink = &self.sink;
        let finished = catch_unwind(AssertUnwindSafe(|| {
            let (mut finished, tracer) = taken.finish(end, retried.then_some("the upstream was tried more than once"));
            if numbers && finished.weight() <= READ_AT_ONCE {
                finished = finished.read();
            }
            let text = finished.record().and_then(|record| serde_json::to_string(&Numbers::of(record)).ok());
            sink.offer(finished, &tracer);
            text
        }));
        finished.unwrap_or_else(|_| {
            self.defect();
            None
        })
    }

    /// The state of things.
    pub fn report(&self) -> Report {
        Report {
            calls: self.counts,
            open: self.calls.len(),
            configs: self.configs.len(),
            held_bytes: self.memory.held,
            engine: self.engine.stats(),
        }
    }

    /// Ends within about `budget`: open calls end as they are, then the engine delivers what it can.
    pub fn stop(mut self, budget: Duration) -> ShutdownReport {
        for call in self.calls.drain() {
            let (finished, tracer) = call.finish(End::ClientGone, Some("cut by the gateway's stop"));
            self.sink.offer(finished, &tracer);
        }
        self.engine.shutdown(budget)
    }

    /// Touches a call; false when there is none of that number.
    fn with_call(&mut self, number: i32, touch: impl FnOnce(&mut Call)) -> bool {
        let Some(mut call) = self.calls.take(number) else { return false };
        let held = call.held;
        let (memory, counts) = (&mut self.memory, &mut self.counts);
        let touched = catch_unwind(AssertUnwindSafe(|| {
            touch(&mut call);
            account(memory, counts, &mut call);
            call
        }));
        match touched {
            Ok(call) => self.calls.put_back(number, call),
            Err(_) => {
                self.memory.held = self.memory.held.saturating_sub(held);
                self.calls.free(number);
                self.defect();
            }
        }
        true
    }

    fn defect(&mut self) {
        self.counts.defects += 1;
        tracing::error!(
            count = self.counts.defects,
            "AI Tracing: a call could not be traced (a defect), its trace is lost"
        );
    }
}

/// Takes what a capture has grown by from the memory that all may hold; with none left, it keeps no more.
fn account(memory: &mut Memory, counts: &mut Counts, call: &mut Call) {
    if memory.held >= memory.limit && !call.starved {
        call.starved = true;
        call.capture.keep_no_more();
        counts.starved += 1;
    }
    let weight = call.capture.weight();
    memory.held = memory.held - call.held + weight;
    call.held = weight;
}

impl Call {
    fn finish(mut self, end: End, note: Option<&'static str>) -> (Finished, Arc<Tracer>) {
        if let Some(note) = note {
            self.capture.note(note);
        }
        (self.capture.finish(end, self.clock.at(Instant::now())), self.tracer)
    }
}

/// Reads the first `limit` bytes of a file into a capture, and tells it of the rest.
fn read_file(path: &str, limit: usize, capture: &mut Capture) -> io::Result<()> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut read = 0;
    let mut buffer = vec![0; FILE_STEP.min(limit)];
    while read < limit {
        let room = buffer.len().min(limit - read);
        let count = file.read(buffer.get_mut(..room).unwrap_or_default())?;
        if count == 0 {
            break;
        }
        capture.request_body(buffer.get(..count).unwrap_or_default());
        read += count;
    }
    capture.request_body_lost(length.saturating_sub(read as u64));
    Ok(())
}

#[cfg(test)]
mod tests;
