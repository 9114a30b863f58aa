//! Makes what was written last: by a thread of its own, so that nobody else waits for a disk.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::Fsync;
use super::disk::File;
use super::stats::Watch;

/// Knows which files were written and not synced yet.
pub(crate) struct Syncer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    policy: Fsync,
}

struct Shared {
    state: Mutex<State>,
    work: Condvar,
    /// Held during a pass: they follow one another.
    passing: Mutex<()>,
    /// Passes that have ended.
    ended: AtomicU64,
    failed: AtomicBool,
    watch: Arc<Watch>,
}

#[derive(Default)]
struct State {
    dirty: Vec<Arc<dyn File>>,
    /// Passes that have begun.
    begun: u64,
    stop: bool,
}

/// A point in time; see [`Syncer::has_passed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket(u64);

impl Syncer {
    /// Starts the thread where the policy needs one.
    pub fn start(policy: Fsync, watch: Arc<Watch>) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            work: Condvar::new(),
            passing: Mutex::default(),
            ended: AtomicU64::new(0),
            failed: AtomicBool::new(false),
            watch,
        });
        let thread = match policy {
            Fsync::Never | Fsync::Always => None,
            Fsync::Interval(interval) => {
                let shared = Arc::clone(&shared);
                let run = move || shared.run(interval);
                Some(std::thread::Builder::new().name("ai-tracing-sync".into()).spawn(run)?)
            }
        };
        Ok(Self { shared, thread, policy })
    }

    /// A file was written. With [`Fsync::Always`] this returns once what was written would survive a power cut.
    pub fn wrote(&self, file: &Arc<dyn File>) -> io::Result<()> {
        match self.policy {
            Fsync::Never => {}
            Fsync::Always => file.sync()?,
            Fsync::Interval(_) => {
                let mut state = self.shared.state();
                if !state.dirty.iter().any(|dirty| Arc::ptr_eq(dirty, file)) {
                    state.dirty.push(Arc::clone(file));
                    self.shared.work.notify_one();
                }
            }
        }
        Ok(())
    }

    /// The present moment.
    pub fn ticket(&self) -> Ticket {
        let state = self.shared.state();
        // With nothing dirty, the pass to wait for is the one that may be running.
        Ticket(state.begun + u64::from(!state.dirty.is_empty()))
    }

    /// Whether everything that was written before the ticket is as safe as the policy makes it.
    pub fn has_passed(&self, ticket: Ticket) -> bool {
        self.shared.ended.load(Ordering::Acquire) >= ticket.0
    }

    /// Syncs everything in the calling thread.
    pub fn flush(&self) {
        self.shared.pass();
    }

    /// Whether a sync has failed since the last question: what the file's pages hold is uncertain then.
    pub fn take_failure(&self) -> bool {
        self.shared.failed.swap(false, Ordering::Relaxed)
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.shared.state().stop = true;
        self.shared.work.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic in there has been reported by its own thread.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, interval: Duration) {
        loop {
            let idle = |state: &mut State| state.dirty.is_empty() && !state.stop;
            let state = self.work.wait_while(self.state(), idle).unwrap_or_else(PoisonError::into_inner);
            // What is written in the meantime joins the same pass.
            let waited = self.work.wait_timeout_while(state, interval, |state| !state.stop);
            if waited.unwrap_or_else(PoisonError::into_inner).0.stop {
                return;
            }
            self.pass();
        }
    }

    fn pass(&self) {
        let _passing = self.passing.lock().unwrap_or_else(PoisonError::into_inner);
        let dirty = {
            let mut state = self.state();
            state.begun += 1;
            std::mem::take(&mut state.dirty)
        };
        for file in dirty {
            if let Err(error) = file.sync() {
                self.failed.store(true, Ordering::Relaxed);
                self.watch.failed(&format!("sync: {error}"));
            }
        }
        self.ended.fetch_add(1, Ordering::Release);
    }
}
