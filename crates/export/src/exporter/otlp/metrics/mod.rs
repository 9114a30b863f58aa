//! Metrics of calls, by OTLP.
//!
//! ```text
//! each call, before sampling ─► Meter: sums by metric and attributes ─► on an interval: Reporter ─► Transport
//!                                 ▲                                              │ not taken
//!                                 └──────────────────────────────────────────────┘
//! ```
//!
//! Configurations that name the same receiver, and agree in all else, share one meter. Every meter is an instance of its
//! own (`service.instance.id`): two that send to one place never count under the same identity.

mod config;
mod encode;
mod instruments;
mod labels;
mod meter;
mod proto;
mod reporter;
mod stats;
mod sums;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use ai_tracing_core::record::CallRecord;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};

pub(crate) use config::Config;

use self::meter::Meter;
use self::reporter::Reporter;
use self::stats::Counters;
use super::signal::Signal;
use super::transport::Transport;
use crate::clock::now;
use crate::exporter::otlp::encode::resource;
use crate::http::Client;
use crate::stats::MetricsStats;
use crate::tracer::TracerError;
use crate::turn::Turns;

/// Attribute of the resource that tells its sources apart.
const INSTANCE: &str = "service.instance.id";

/// All meters of an engine.
#[derive(Default)]
pub(crate) struct Meters(Mutex<State>);

#[derive(Default)]
struct State {
    /// Open ones, as long as a tracer holds them.
    open: HashMap<Config, Weak<Lease>>,
    running: Vec<Running>,
}

struct Running {
    url: String,
    meter: Arc<Meter>,
    counters: Arc<Counters>,
    turns: Arc<Turns>,
    reporter: tokio::task::JoinHandle<()>,
}

/// Keeps a meter open. When the last holder lets go, what is left is sent, and the reporter ends.
pub(crate) struct Lease {
    meter: Arc<Meter>,
    turns: Arc<Turns>,
}

impl Lease {
    fn new(meter: Arc<Meter>, turns: Arc<Turns>) -> Self {
        turns.enter();
        Self { meter, turns }
    }

    /// Counts a call.
    pub fn observe(&self, record: &CallRecord) {
        self.meter.observe(record);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.turns.leave();
    }
}

impl Meters {
    /// The meter of a configuration; the one that is open already where all options agree. Its reporter runs on
    /// `runtime`.
    pub fn open(&self, config: Config, client: Client, runtime: &Handle) -> Result<Arc<Lease>, TracerError> {
        if let Some(open) = self.state().open.get(&config).and_then(Weak::upgrade) {
            return Ok(open);
        }
        let transport = Transport::new(Signal::Metrics, config.target.clone(), client)?;
        let meter = Arc::new(Meter::new(config.semconv, config.temporality, now()));
        let counters = Arc::new(Counters::default());
        let mut ours = config.resource.clone();
        if ours.iter().all(|(name, _)| name != INSTANCE) {
            let mut random = [0; 16];
            // Without randomness there is one instance at a time, and that is all.
            let _ = getrandom::fill(&mut random);
            ours.push((INSTANCE.to_owned(), uuid::Builder::from_random_bytes(random).into_uuid().to_string()));
        }
        let reporter = Reporter {
            meter: Arc::clone(&meter),
            transport,
            resource: resource(&ours, Some(&config.environment)),
            interval: config.interval,
            retry: config.retry,
            counters: Arc::clone(&counters),
            clock: now,
            seed: getrandom::u64().unwrap_or_default(),
        };
        let turns = Arc::new(Turns::default());
        let lease = Arc::new(Lease::new(Arc::clone(&meter), Arc::clone(&turns)));
        let task = runtime.spawn(reporter.run(Arc::clone(&turns)));
        let mut state = self.state();
        let url = config.target.url.clone();
        state.running.retain(|running| !running.reporter.is_finished());
        state.running.push(Running { url, meter, counters, turns, reporter: task });
        state.open.retain(|_, lease| lease.strong_count() > 0);
        state.open.insert(config, Arc::downgrade(&lease));
        Ok(lease)
    }

    /// What was counted, of those in use.
    pub fn stats(&self) -> Vec<MetricsStats> {
        let mut state = self.state();
        state.running.retain(|running| !running.reporter.is_finished());
        state.running.iter().map(|it| it.counters.stats(&it.url, it.meter.folded.get())).collect()
    }

    /// The process ends: has everything sent at once, one attempt each. See [`Flushing::wait`].
    pub fn flush(&self) -> Flushing {
        let running = std::mem::take(&mut self.state().running);
        running.iter().for_each(|it| it.turns.flush());
        Flushing(running)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Meters that are sending for the last time.
pub(crate) struct Flushing(Vec<Running>);

impl Flushing {
    /// Waits for them, no longer than until `deadline`.
    pub async fn wait(self, deadline: Instant) {
        for Running { url, mut reporter, .. } in self.0 {
            if timeout_at(deadline, &mut reporter).await.is_err() {
                reporter.abort();
                tracing::warn!("AI Tracing: {} {url} was not sent its last metrics in time", stats::NAME);
            }
        }
    }
}
