//! The destinations of an engine: each identity has one queue and one worker, however many configurations name it.

use std::any::Any;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::backlog::Backlog;
use crate::deliveries::{Address, Deliveries, Witness};
use crate::destination::{Destination, Lease, QueueOptions};
use crate::exporter::Exporter;
use crate::spool::LaneKey;
use crate::stats::DestinationStats;
use crate::storage::Storage;
use crate::worker;

/// All destinations, open and closing ones.
pub(crate) struct Lanes {
    runtime: Handle,
    storage: Option<Arc<Storage>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    running: Vec<Lane>,
    /// The sum over destinations that have ended.
    retired: DestinationStats,
}

/// A destination and who works for it.
pub(crate) struct Lane {
    identity: LaneKey,
    pub destination: Arc<Destination>,
    /// What the exporter was made of.
    made_of: Box<dyn Any + Send>,
    pub worker: JoinHandle<()>,
}

impl Lanes {
    /// Without destinations; workers will run on `runtime`, and what waits is kept in `storage`.
    pub fn new(runtime: Handle, storage: Option<Arc<Storage>>) -> Self {
        Self { runtime, storage, state: Mutex::default() }
    }

    /// The destination of this identity, opened where it is not. Where it is made of something else by now, a new
    /// exporter goes on from where the one before is: what was configured last counts. `deliveries` hear what becomes of
    /// its records.
    pub fn open<C: Any + Send + Eq + Clone, E: Exporter, F>(
        &self,
        identity: LaneKey,
        made_of: C,
        queue: &QueueOptions,
        deliveries: Option<&Arc<dyn Deliveries>>,
        make: impl FnOnce(C) -> Result<E, F>,
    ) -> Result<Lease, F> {
        let mut state = self.state();
        state.sweep();
        if let Some(lane) = state.running.iter().find(|lane| lane.identity == identity)
            && lane.made_of.downcast_ref::<C>() == Some(&made_of)
            && let (lease, false) = Lease::new(&lane.destination)
        {
            return Ok(lease);
        }
        // It may read files: without the lock.
        drop(state);
        let exporter = make(made_of.clone())?;
        let mut state = self.state();
        state.sweep();
        let batch = exporter.limits().max_records;
        let place = state.running.iter().position(|lane| lane.identity == identity);
        let (destination, before) = match place.map(|place| state.running.remove(place)) {
            Some(lane) => {
                lane.destination.adjust(batch, queue);
                (lane.destination, Some(lane.worker))
            }
            None => {
                let backlog = self.storage.as_ref().map(|storage| Backlog::new(Arc::clone(storage), identity));
                let label = exporter.label();
                let address = Address { key: identity.0, label: label.clone() };
                let witness = deliveries.map(|deliveries| Witness::new(address, Arc::clone(deliveries)));
                (Arc::new(Destination::new(label, batch, queue, backlog).witnessed(witness)), None)
            }
        };
        // Also where it was closing: whether its worker had seen the end already is not to be known.
        let (lease, _) = Lease::new(&destination);
        let worker = self.start(exporter, &destination, queue, before);
        let place = place.unwrap_or(state.running.len());
        state.running.insert(place, Lane { identity, destination, made_of: Box::new(made_of), worker });
        Ok(lease)
    }

    /// One more user of a destination that somebody uses already.
    pub fn in_use(&self, identity: LaneKey) -> Option<Lease> {
        let state = self.state();
        let lane = state.running.iter().find(|lane| lane.identity == identity)?;
        match Lease::new(&lane.destination) {
            (lease, false) => Some(lease),
            // It closes: who lets go of it here leaves it as it was.
            (_, true) => None,
        }
    }

    /// Where workers run.
    pub fn runtime(&self) -> &Handle {
        &self.runtime
    }

    fn start<E: Exporter>(
        &self,
        exporter: E,
        destination: &Arc<Destination>,
        queue: &QueueOptions,
        before: Option<JoinHandle<()>>,
    ) -> JoinHandle<()> {
        let turn = destination.turns.next();
        // Without randomness all gateways would retry in step, and that is all.
        let seed = getrandom::u64().unwrap_or_default();
        let work = worker::run(exporter, Arc::clone(destination), queue.retry(), turn, seed);
        self.runtime.spawn(async move {
            if let Some(before) = before {
                // It has been told: it ends after the attempt that is under way.
                let _ = before.await;
            }
            work.await;
        })
    }

    /// What was counted, of each destination in use and of all others together.
    pub fn stats(&self) -> (Vec<DestinationStats>, DestinationStats) {
        let mut state = self.state();
        state.sweep();
        (state.running.iter().map(|lane| lane.destination.stats()).collect(), state.retired.clone())
    }

    /// All destinations.
    pub fn all(&self) -> Vec<Arc<Destination>> {
        self.state().running.iter().map(|lane| Arc::clone(&lane.destination)).collect()
    }

    /// Takes all destinations away, to end them; see [`Self::retire`].
    pub fn take(&self) -> Vec<Lane> {
        std::mem::take(&mut self.state().running)
    }

    /// Adds the counters of a destination that has ended.
    pub fn retire(&self, stats: &DestinationStats) {
        self.state().retired.add(stats);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Adds up and forgets the destinations whose workers have ended.
    fn sweep(&mut self) {
        let (ended, running) = std::mem::take(&mut self.running).into_iter().partition(|it| it.worker.is_finished());
        self.running = running;
        for Lane { destination, .. } in ended {
            self.retired.add(&destination.stats());
        }
    }
}
