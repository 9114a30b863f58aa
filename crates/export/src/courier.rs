//! Records from a file to their destination: no request waits for them, so the sender does.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ai_tracing_config::ai_tracing::AiTracing;
use ai_tracing_core::record::CallRecord;

use crate::destination::Destination;
use crate::engine::{Engine, Options};
use crate::stats::DestinationStats;
use crate::tracer::{Tracer, TracerError};
use crate::weight::weigh;

/// How long a destination that takes nothing is tried. A person waits; the plugin's hour would be too long.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often the end is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long the last attempt may take, once a destination was given up.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Sends records, and waits where they are not taken as fast as they come: nothing is dropped for lack of room.
pub struct Courier {
    engine: Engine,
    tracer: Arc<Tracer>,
    destinations: Vec<Arc<Destination>>,
    sent: u64,
}

/// Why nothing can be sent.
#[derive(Debug, thiserror::Error)]
pub enum CourierError {
    /// The configuration cannot work.
    #[error(transparent)]
    Config(#[from] TracerError),
    /// It names no destination.
    #[error("no destination: langfuse_enabled is false")]
    NoDestination,
    /// The operating system gives no thread.
    #[error("cannot start: {0}")]
    Start(#[from] io::Error),
}

/// What became of the records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Records that were handed over.
    pub sent: u64,
    /// Records that arrived.
    pub delivered: u64,
    /// Why the others did not, where that is known.
    pub why: Option<String>,
}

impl Report {
    /// Records that did not arrive.
    pub fn failed(&self) -> u64 {
        self.sent.saturating_sub(self.delivered)
    }
}

impl Courier {
    /// A courier to the destination of a plugin configuration; its `sampling_ratio` does not count. A destination that
    /// takes nothing for a minute, or for `max_retry_time` if that is less, is given up.
    ///
    /// # Errors
    /// The configuration cannot work or names no destination.
    pub fn start(config: &AiTracing, lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, CourierError> {
        let mut config = config.clone();
        config.queue.max_retry_time = config.queue.max_retry_time.min(PATIENCE.as_secs_f64());
        let engine = Engine::start(Options::default(), Vec::new(), None)?;
        let tracer = engine.tracer(&config, lookup)?;
        if tracer.destinations().is_empty() {
            return Err(CourierError::NoDestination);
        }
        let destinations = tracer.destinations().iter().map(|lease| Arc::clone(lease.destination())).collect();
        Ok(Self { engine, tracer, destinations, sent: 0 })
    }

    /// Hands a record over; waits while as many are on their way as may be.
    pub fn send(&mut self, record: CallRecord) {
        self.sent += 1;
        if self.given_up() {
            return;
        }
        let weight = weigh(&record);
        let record = Arc::new(record);
        for destination in &self.destinations {
            destination.offer_patiently(&record, weight, &|| self.given_up());
        }
    }

    /// Waits until every record has arrived or cannot. `look` is called now and then with how many have arrived.
    pub fn finish(self, look: &mut dyn FnMut(u64)) -> Report {
        let Self { engine, tracer, destinations, sent } = self;
        // With nobody to hold it, the destination delivers what it has, with the usual patience, and ends.
        drop(tracer);
        let mut now = total(&destinations);
        while now.waiting > 0 && now.dropped.expired == 0 {
            look(now.delivered);
            std::thread::sleep(LOOK_EVERY);
            now = total(&destinations);
        }
        engine.shutdown(if now.waiting > 0 { LAST_WORDS } else { Duration::ZERO });
        let total = total(&destinations);
        let delivered = total.delivered;
        let why = total.last_loss.or(total.failing);
        let too_large = (total.dropped.overflow > 0).then(|| "larger than queue.max_bytes".to_owned());
        Report { sent, delivered, why: why.or(too_large).filter(|_| delivered < sent) }
    }

    /// True once a batch could not be delivered in time: those behind it would fare no better, a minute each.
    fn given_up(&self) -> bool {
        total(&self.destinations).dropped.expired > 0
    }
}

/// The sum of the destinations' counters.
fn total(destinations: &[Arc<Destination>]) -> DestinationStats {
    let mut total = DestinationStats::default();
    for destination in destinations {
        let stats = destination.stats();
        total.add(&stats);
        total.failing = stats.failing.or(total.failing);
    }
    total
}
