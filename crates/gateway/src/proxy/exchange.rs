//! One exchange: what the request's body, the response's body and the call between them share.
//!
//! The invariant: an exchange that is captured ends exactly once, with its cause, on every path. [`Ending`] is the
//! guard: it moves from the call into the response's body, and when it is dropped before anything ended the exchange,
//! the client has gone.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ai_tracing_core::capture::{Capture, Headers};
use ai_tracing_core::record::End;
use ai_tracing_export::clock::Clock;
use bytes::Bytes;

use crate::metrics::http::Reading;
use crate::plugin::Tracing;

/// Memory that the captures of all open exchanges may hold together.
#[derive(Debug)]
pub struct Budget {
    limit: usize,
    held: AtomicUsize,
    starved: AtomicU64,
}

impl Budget {
    /// A budget of `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { limit, held: AtomicUsize::new(0), starved: AtomicU64::new(0) }
    }

    /// Bytes held now.
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Exchanges whose bodies were not kept, or not to their end, because the budget was used up.
    pub fn starved(&self) -> u64 {
        self.starved.load(Ordering::Relaxed)
    }

    fn exhausted(&self) -> bool {
        self.held() >= self.limit
    }
}

/// How far the request's body has got.
#[derive(Clone, Copy, Debug)]
pub enum Upload {
    /// The client has not sent the next piece yet.
    FromClient(Instant),
    /// The connection to the upstream has not taken the last piece yet.
    ToUpstream(Instant),
    /// All was handed over.
    Done(Instant),
    /// The client broke off.
    Broken,
    /// The body is longer than `--client-max-body-size`.
    TooLarge,
}

/// What the parts of one exchange share.
pub struct Exchange {
    /// When it began.
    pub clock: Clock,
    /// [`Captured`] where the call is traced.
    captured: Option<Mutex<Captured>>,
    /// Where the route's calls are counted; `None` inside once the call was.
    metered: Option<Mutex<Option<Reading>>>,
    upload: Mutex<Upload>,
}

struct Captured {
    /// `None` once the exchange has ended.
    capture: Option<Capture>,
    tracing: Arc<Tracing>,
    budget: Arc<Budget>,
    /// What this capture holds of the budget.
    held: usize,
    starved: bool,
}

impl Exchange {
    /// An exchange that nobody traces.
    pub fn untraced(clock: Clock) -> Self {
        Self { clock, captured: None, metered: None, upload: Mutex::new(Upload::FromClient(clock.begun())) }
    }

    /// An exchange that ends in `tracing`.
    pub fn traced(clock: Clock, capture: Capture, tracing: Arc<Tracing>, budget: Arc<Budget>) -> Self {
        let mut captured = Captured { capture: Some(capture), tracing, budget, held: 0, starved: false };
        captured.account();
        Self { captured: Some(Mutex::new(captured)), ..Self::untraced(clock) }
    }

    /// The same exchange, counted when it ends.
    pub fn metered(self, reading: Option<Reading>) -> Self {
        Self { metered: reading.map(|reading| Mutex::new(Some(reading))), ..self }
    }

    /// Something to be counted happens.
    pub fn measure(&self, see: impl FnOnce(&mut Reading)) {
        if let Some(reading) = &self.metered
            && let Some(reading) = &mut *lock(reading)
        {
            see(reading);
        }
    }

    /// Whether the call is captured.
    pub fn is_traced(&self) -> bool {
        self.captured.is_some()
    }

    /// A piece of the request's body passes.
    pub fn request_body(&self, bytes: &Bytes) {
        self.capturing(|capture| capture.request_body(bytes));
        self.measure(|reading| reading.ingress(bytes.len()));
    }

    /// The request is handed to an upstream; everybody's patience begins.
    pub fn upstream_started(&self, now: Instant) {
        match &mut *lock(&self.upload) {
            Upload::FromClient(since) | Upload::ToUpstream(since) | Upload::Done(since) => *since = now,
            Upload::Broken | Upload::TooLarge => {}
        }
        self.capturing(|capture| capture.upstream_started(self.clock.at(now)));
        self.measure(|reading| reading.upstream_started(now));
    }

    /// The head of the response passes.
    pub fn response_head(&self, status: u16, headers: &dyn Headers, now: Instant) {
        self.capturing(|capture| capture.response_head(status, headers, self.clock.at(now)));
    }

    /// A piece of the response's body passes.
    pub fn response_body(&self, bytes: &Bytes, now: Instant) {
        self.capturing(|capture| capture.response_body(bytes, self.clock.at(now)));
        self.measure(|reading| reading.egress(bytes.len()));
    }

    /// The exchange has ended. Only the first call counts.
    pub fn end(&self, end: End) {
        if let Some(reading) = self.metered.as_ref().and_then(|reading| lock(reading).take()) {
            reading.finish(Instant::now());
        }
        let Some(captured) = &self.captured else { return };
        let finished = {
            let mut captured = lock(captured);
            let Some(capture) = captured.capture.take() else { return };
            captured.release();
            (capture.finish(end, self.clock.at(Instant::now())), Arc::clone(&captured.tracing))
        };
        finished.1.offer(finished.0);
    }

    /// How far the request's body has got.
    pub fn upload(&self) -> Upload {
        *lock(&self.upload)
    }

    /// The request's body got further.
    pub fn uploaded(&self, upload: Upload) {
        *lock(&self.upload) = upload;
    }

    fn capturing(&self, see: impl FnOnce(&mut Capture)) {
        let Some(captured) = &self.captured else { return };
        let mut captured = lock(captured);
        if let Some(capture) = &mut captured.capture {
            see(capture);
            captured.account();
        }
    }
}

impl Captured {
    /// Takes what the capture has grown by from the budget; with none left, the capture keeps no more.
    fn account(&mut self) {
        let Some(capture) = &mut self.capture else { return };
        // As for most pieces: what all threads share is left alone.
        if capture.weight() == self.held {
            return;
        }
        if self.budget.exhausted() && !self.starved {
            self.starved = true;
            capture.keep_no_more();
            self.budget.starved.fetch_add(1, Ordering::Relaxed);
        }
        let weight = capture.weight();
        if weight >= self.held {
            self.budget.held.fetch_add(weight - self.held, Ordering::Relaxed);
        } else {
            self.budget.held.fetch_sub(self.held - weight, Ordering::Relaxed);
        }
        self.held = weight;
    }

    fn release(&mut self) {
        self.budget.held.fetch_sub(self.held, Ordering::Relaxed);
        self.held = 0;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The guard of an exchange's end.
pub struct Ending(Arc<Exchange>);

impl Ending {
    /// Guards `exchange`.
    pub fn new(exchange: Arc<Exchange>) -> Self {
        Self(exchange)
    }

    /// The exchange.
    pub fn exchange(&self) -> &Arc<Exchange> {
        &self.0
    }
}

thread_local! {
    static CUT: Cell<bool> = const { Cell::new(false) };
}

/// The gateway stops: whatever ends on this thread from now on is cut by it.
pub fn cut_what_is_left() {
    CUT.set(true);
}

impl Drop for Ending {
    fn drop(&mut self) {
        if CUT.get() {
            self.0.capturing(|capture| capture.note("cut by the gateway's stop"));
        }
        self.0.end(End::ClientGone);
    }
}

/// The limits of a call's waiting.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Between two pieces of the request's body from the client.
    pub client: Duration,
    /// Between two writes to the upstream.
    pub write: Duration,
    /// Between two reads from the upstream.
    pub read: Duration,
}

/// Who took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stalled {
    /// The client, with the next piece of its body.
    Client,
    /// The upstream, taking the request.
    Write,
    /// The upstream, answering it.
    Read,
}

impl Patience {
    fn shortest(&self) -> Duration {
        self.client.min(self.write).min(self.read)
    }
}

impl Exchange {
    /// When patience ends as things stand, and with whom.
    fn deadline(&self, patience: Patience) -> (Instant, Stalled) {
        match self.upload() {
            Upload::FromClient(since) => (since + patience.client, Stalled::Client),
            Upload::ToUpstream(since) => (since + patience.write, Stalled::Write),
            Upload::Done(since) => (since + patience.read, Stalled::Read),
            Upload::Broken | Upload::TooLarge => (self.clock.begun(), Stalled::Client),
        }
    }

    /// Waits, before the response's head has come, until somebody has taken too long.
    ///
    /// One timer serves the whole wait, so progress costs none: it looks how things stand when it fires. It fires after
    /// the shortest patience, so whoever's turn it became since the last look cannot be late already.
    pub async fn stalled(&self, patience: Patience) -> Stalled {
        let sleep = tokio::time::sleep(patience.shortest());
        tokio::pin!(sleep);
        loop {
            sleep.as_mut().await;
            let now = Instant::now();
            let (until, who) = self.deadline(patience);
            if now >= until {
                return who;
            }
            sleep.as_mut().reset(until.min(now + patience.shortest()).into());
        }
    }

    /// When to give up on the response's next piece, after one came at `last`.
    pub fn next_piece_by(&self, patience: Patience, last: Instant) -> (Instant, Stalled) {
        match self.upload() {
            // An upstream that waits for the request's next piece is not late.
            Upload::FromClient(since) => (since.max(last) + patience.client, Stalled::Client),
            _ => (last + patience.read, Stalled::Read),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience =
        Patience { client: Duration::from_secs(60), write: Duration::from_secs(2), read: Duration::from_secs(3) };

    #[test]
    fn time_is_charged_to_whoever_is_waited_for() {
        let exchange = Exchange::untraced(Clock::start());
        let now = exchange.clock.begun();
        let table = [
            (Upload::FromClient(now), 60, Stalled::Client),
            (Upload::ToUpstream(now), 2, Stalled::Write),
            (Upload::Done(now), 3, Stalled::Read),
        ];
        for (upload, seconds, who) in table {
            exchange.uploaded(upload);
            assert_eq!(exchange.deadline(PATIENCE), (now + Duration::from_secs(seconds), who));
        }
        // Connecting took a while: nobody is charged for it.
        let later = now + Duration::from_secs(10);
        exchange.upstream_started(later);
        assert_eq!(exchange.deadline(PATIENCE), (later + Duration::from_secs(3), Stalled::Read));
    }

    #[test]
    fn an_answer_that_comes_during_the_upload_may_wait_for_it() {
        let exchange = Exchange::untraced(Clock::start());
        let now = exchange.clock.begun();
        let last = now + Duration::from_secs(5);
        exchange.uploaded(Upload::FromClient(now));
        assert_eq!(exchange.next_piece_by(PATIENCE, last), (last + Duration::from_secs(60), Stalled::Client));
        exchange.uploaded(Upload::Done(now));
        assert_eq!(exchange.next_piece_by(PATIENCE, last), (last + Duration::from_secs(3), Stalled::Read));
    }
}
