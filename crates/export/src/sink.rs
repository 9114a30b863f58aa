//! The bounded queue between the request path and the engine thread.
//!
//! [`Sink::offer`] takes a lock for the time of a push and wakes nobody while there is traffic: the engine looks by
//! itself every few milliseconds and asks to be woken only before it goes to sleep for long. A full queue drops the
//! new call: those that wait are older, and nearer to their turn.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ai_tracing_core::capture::Finished;
use tokio::sync::Notify;

use crate::queue::{Bounded, Full};
use crate::stats::SinkStats;
use crate::tracer::Tracer;

/// Where finished calls are handed over. Cheap to clone.
#[derive(Clone)]
pub struct Sink(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    wake: Notify,
}

struct State {
    queue: Bounded<Waiting>,
    /// The engine sleeps until it is woken.
    parked: bool,
    closed: bool,
    stats: SinkStats,
}

/// A call on its way to the engine.
pub(crate) struct Waiting {
    pub call: Finished,
    pub tracer: Arc<Tracer>,
    since: Instant,
}

impl Sink {
    pub(crate) fn new(max_entries: usize, max_bytes: usize) -> Self {
        let state = State {
            queue: Bounded::new(max_entries, max_bytes),
            parked: false,
            closed: false,
            stats: SinkStats::default(),
        };
        Self(Arc::new(Inner { state: Mutex::new(state), wake: Notify::new() }))
    }

    /// Hands a finished call over. Never blocks, never fails; a call that does not fit is dropped and counted.
    pub fn offer(&self, call: Finished, tracer: &Arc<Tracer>) {
        let weight = call.weight();
        let waiting = Waiting { call, tracer: Arc::clone(tracer), since: Instant::now() };
        let mut state = self.state();
        // What is refused is freed after the lock.
        let (_refused, wake) = if state.closed {
            state.stats.dropped_closed += 1;
            (Some(waiting), false)
        } else {
            match state.queue.push(waiting, weight) {
                Ok(()) => {
                    state.stats.accepted += 1;
                    (None, std::mem::take(&mut state.parked))
                }
                Err((full, waiting)) => {
                    match full {
                        Full::Entries => state.stats.dropped_entries += 1,
                        Full::Bytes => state.stats.dropped_bytes += 1,
                    }
                    (Some(waiting), false)
                }
            }
        };
        drop(state);
        if wake {
            self.0.wake.notify_one();
        }
    }

    /// Takes the oldest calls, as [`Bounded::take`] does.
    pub(crate) fn take(&self, max_entries: usize, max_bytes: usize) -> Vec<Waiting> {
        self.state().queue.take(max_entries, max_bytes)
    }

    /// Asks to be woken by the next call; false when one waits already.
    pub(crate) fn park(&self) -> bool {
        let mut state = self.state();
        state.parked = state.queue.is_empty();
        state.parked
    }

    /// Ends when a call arrives after [`Sink::park`].
    pub(crate) async fn woken(&self) {
        self.0.wake.notified().await;
    }

    /// From now on every call is dropped, and counted as such.
    pub(crate) fn close(&self) {
        self.state().closed = true;
    }

    pub(crate) fn stats(&self) -> SinkStats {
        let state = self.state();
        SinkStats {
            waiting: state.queue.len() as u64,
            waiting_bytes: state.queue.bytes() as u64,
            oldest_seconds: state.queue.front().map_or(0.0, |oldest| oldest.since.elapsed().as_secs_f64()),
            ..state.stats
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn sink_and_tracer(max_entries: usize, max_bytes: usize) -> (Sink, Arc<Tracer>) {
        (Sink::new(max_entries, max_bytes), Arc::new(Tracer::without_destinations()))
    }

    #[test]
    fn a_full_queue_drops_the_new_call_and_counts_it_by_reason() {
        let weight = testing::finished(b"0123456789").weight();
        let (sink, tracer) = sink_and_tracer(2, 10 * weight);
        (0..5).for_each(|_| sink.offer(testing::finished(b"0123456789"), &tracer));
        assert_eq!((sink.stats().accepted, sink.stats().dropped_entries, sink.stats().waiting), (2, 3, 2));

        let (sink, tracer) = sink_and_tracer(10, weight + weight / 2);
        (0..3).for_each(|_| sink.offer(testing::finished(b"0123456789"), &tracer));
        let stats = sink.stats();
        assert_eq!((stats.accepted, stats.dropped_bytes, stats.waiting_bytes), (1, 2, weight as u64));
        assert_eq!(Arc::strong_count(&tracer), 2, "a dropped call lets go of its tracer");
    }

    #[test]
    fn a_closed_sink_counts_what_comes_late() {
        let (sink, tracer) = sink_and_tracer(10, usize::MAX);
        sink.offer(testing::finished(b""), &tracer);
        sink.close();
        sink.offer(testing::finished(b""), &tracer);
        assert_eq!((sink.stats().accepted, sink.stats().dropped_closed), (1, 1));
        assert_eq!(sink.take(10, usize::MAX).len(), 1, "what was accepted is still read");
    }

    #[tokio::test]
    async fn only_the_first_call_after_parking_wakes() {
        let (sink, tracer) = sink_and_tracer(10, usize::MAX);
        sink.offer(testing::finished(b""), &tracer);
        assert!(!sink.park(), "a call waits: no sleep");
        sink.take(10, usize::MAX);
        assert!(sink.park());
        let mut woken = Box::pin(sink.woken());
        assert!(futures_poll(&mut woken).await.is_none());
        sink.offer(testing::finished(b""), &tracer);
        sink.offer(testing::finished(b""), &tracer);
        woken.await;
        assert!(futures_poll(&mut Box::pin(sink.woken())).await.is_none(), "the second call woke nobody");
    }

    /// Polls once.
    async fn futures_poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        tokio::select! { biased; output = future => Some(output), () = std::future::ready(()) => None }
    }
}
