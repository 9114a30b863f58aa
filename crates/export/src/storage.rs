//! The spool as the engine's thread and its workers share it: it may be missing at first, fail, and come back.
//!
//! Only that thread calls in, so nobody waits for another; what other threads may see is read without the disk.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::now;
use crate::log::{Health, Throttle};
use crate::spool::dead::{self, DeadLetter, DeadLetters};
use crate::spool::{Entry, Event, Fsync, LaneId, LaneKey, Options, Pending, Position, Spool, SpoolError, Watch};
use crate::stats::{Counter, SpoolState};

/// When a disk that failed is tried again. Until then records are in memory alone.
const AGAIN: Duration = Duration::from_secs(1);
/// The same, where there is no spool yet.
const OPEN_AGAIN: Duration = Duration::from_secs(10);
/// How often a failure that lasts is logged.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// A spool, or what keeps it from being one.
pub(crate) struct Storage {
    options: Options,
    state: Mutex<State>,
    watch: OnceLock<Arc<Watch>>,
    failing: Mutex<Option<String>>,
    dead: DeadLetters,
    /// Records that it did not take.
    pub memory_only: Counter,
}

struct State {
    spool: Option<Spool>,
    /// Not to be tried before.
    not_before: Option<Instant>,
    health: Health,
    /// Lanes that there is no room for.
    full: Throttle,
    /// Dead letters that made room for others, or were not written at all.
    letters_lost: Throttle,
}

impl Storage {
    /// Not open yet: the first [`Self::keep_house`] opens it, which reads everything that an earlier process has left.
    /// Where that fails it is said, and tried again now and then: tracing goes on in memory.
    pub fn new(options: Options) -> Self {
        let state = State {
            spool: None,
            not_before: None,
            health: Health::new(LOG_EVERY),
            full: Throttle::new(LOG_EVERY),
            letters_lost: Throttle::new(LOG_EVERY),
        };
        Self {
            dead: DeadLetters::new(&options.dir, dead::MAX_BYTES, options.fsync == Fsync::Always),
            options,
            state: Mutex::new(state),
            watch: OnceLock::new(),
            failing: Mutex::new(None),
            memory_only: Counter::default(),
        }
    }

    fn open_now(&self, state: &mut State) {
        match Spool::open(self.options.clone(), now()) {
            Ok(spool) => {
                let _ = self.watch.set(spool.watch());
                state.spool = Some(spool);
                self.works(state);
            }
            Err(error) => self.fails(state, &error, OPEN_AGAIN),
        }
    }

    /// Writes records, all or none. `None`: they are in memory alone.
    pub fn append(&self, entries: &[Entry<'_>]) -> Option<Vec<Position>> {
        if entries.is_empty() {
            return Some(Vec::new());
        }
        let mut state = self.state();
        if state.not_before.is_some_and(|until| until > Instant::now()) {
            return None;
        }
        match state.spool.as_mut()?.append(entries, now()) {
            Ok(positions) => {
                self.works(&mut state);
                Some(positions)
            }
            Err(error) => {
                self.fails(&mut state, &error, AGAIN);
                None
            }
        }
    }

    /// The lane of a key, and what waits in it.
    pub fn lane(&self, key: LaneKey, label: &str) -> Option<(LaneId, Pending)> {
        let mut state = self.state();
        let spool = state.spool.as_mut()?;
        match spool.lane(key, label) {
            Ok(lane) => Some((lane, spool.pending(lane))),
            Err(error) => {
                // Not the disk's fault: the others go on.
                if state.full.admit(1, Instant::now()).is_some() {
                    tracing::error!("AI Tracing: {label} is not spooled: {error}");
                }
                None
            }
        }
    }

    /// Does `work` with the spool; `None` where there is none.
    pub fn with<T>(&self, work: impl FnOnce(&mut Spool) -> T) -> Option<T> {
        self.state().spool.as_mut().map(work)
    }

    /// Puts a record aside that a destination will never take; false when the disk does not take it either.
    pub fn bury(&self, letter: &DeadLetter) -> bool {
        let written = self.dead.append(letter);
        let (lost, why) = match &written {
            Ok(older) => (*older, "the oldest made room".to_owned()),
            Err(error) => (1, error.to_string()),
        };
        if let Some(count) = self.state().letters_lost.admit(lost, Instant::now()) {
            tracing::error!(count, "AI Tracing: dead letters are lost: {why}");
        }
        written.is_ok()
    }

    /// What is due, and what came of it.
    pub fn keep_house(&self) -> Vec<Event> {
        let mut state = self.state();
        if let Some(spool) = &mut state.spool {
            return spool.keep_house(now());
        }
        if state.not_before.is_none_or(|until| until <= Instant::now()) {
            self.open_now(&mut state);
        }
        Vec::new()
    }

    /// The state, for any thread.
    pub fn stats(&self) -> SpoolState {
        SpoolState {
            failing: self.failing().clone(),
            memory_only: self.memory_only.get(),
            spool: self.watch.get().map(|watch| watch.stats()).unwrap_or_default(),
        }
    }

    fn works(&self, state: &mut State) {
        if state.not_before.take().is_none() {
            return;
        }
        *self.failing() = None;
        if let Some(lasted) = state.health.recovered(Instant::now()) {
            tracing::info!("AI Tracing: the spool takes records again after {lasted} s");
        }
    }

    fn fails(&self, state: &mut State, error: &SpoolError, pause: Duration) {
        let now = Instant::now();
        state.not_before = Some(now + pause);
        *self.failing() = Some(error.to_string());
        if state.health.failed(now).is_some() {
            tracing::error!("AI Tracing: the spool does not work, records are kept in memory alone: {error}");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failing(&self) -> MutexGuard<'_, Option<String>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const KEY: LaneKey = LaneKey([1; 16]);

    fn append(storage: &Storage) -> Option<usize> {
        let (lane, _) = storage.lane(KEY, "test")?;
        let written = storage.append(&[Entry { lanes: &[lane], record: b"{}" }; 2]);
        written.map(|positions| positions.len())
    }

    fn block(dir: &Path) {
        std::fs::write(dir, "").unwrap();
    }

    fn unblock(dir: &Path) {
        std::fs::remove_file(dir).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_spool_that_does_not_open_is_tried_again() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("spool");
        block(&dir);
        let storage = Storage::new(Options::new(dir.clone()));
        storage.keep_house();
        assert!(storage.stats().failing.is_some());
        unblock(&dir);
        assert_eq!(append(&storage), None);
        storage.keep_house();
        assert_eq!(append(&storage), None, "not yet");
        tokio::time::advance(OPEN_AGAIN).await;
        storage.keep_house();
        assert_eq!((append(&storage), storage.stats().failing), (Some(2), None));
        assert_eq!(storage.stats().spool.appended, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_disk_that_fails_is_left_alone_for_a_while_and_then_used_again() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("spool");
        let storage = Storage::new(Options::new(dir.clone()));
        storage.keep_house();
        assert_eq!(append(&storage), Some(2));
        std::fs::remove_dir_all(&dir).unwrap();
        block(&dir);
        assert_eq!(append(&storage), None);
        assert!(storage.stats().failing.is_some());
        unblock(&dir);
        assert_eq!(append(&storage), None, "not yet");
        tokio::time::advance(AGAIN).await;
        assert_eq!((append(&storage), storage.stats().failing), (Some(2), None));
    }
}
