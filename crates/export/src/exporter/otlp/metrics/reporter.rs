//! Sends what a meter has counted, on an interval, and once more at the end.
//!
//! A failure loses nothing: what was not taken goes back to the meter and is part of the next attempt, which comes after
//! a pause as for spans, but no later than the next interval. A receiver that takes no metrics at all is told of once
//! and asked again now and then.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ai_tracing_config::ai_tracing::OtlpTemporality;
use ai_tracing_core::time::At;
use prost::Message as _;
use tokio::time::{Instant, sleep_until};

use super::super::transport::Transport;
use super::encode;
use super::meter::Meter;
use super::stats::{Counters, NAME};
use super::sums::Point;
use crate::exporter::Delivery;
use crate::exporter::proto::Resource;
use crate::log::Throttle;
use crate::retry::{Backoff, RetryOptions};
use crate::turn::{Mode, Turn, Turns};

/// How often a state that lasts is logged.
const LOG_EVERY: Duration = Duration::from_secs(60);
/// How often a receiver that takes no metrics is asked again: it may have been updated.
const PROBE_EVERY: Duration = Duration::from_secs(600);

/// See the module.
pub(super) struct Reporter {
    pub meter: Arc<Meter>,
    pub transport: Transport,
    pub resource: Resource,
    pub interval: Duration,
    pub retry: RetryOptions,
    pub counters: Arc<Counters>,
    pub clock: fn() -> At,
    pub seed: u64,
}

/// What an attempt came to.
#[derive(Debug, PartialEq, Eq)]
enum Attempt {
    /// Nothing is left.
    Done,
    /// Something is left; the receiver's own wish.
    Failed(Option<Duration>),
    /// The receiver takes no metrics.
    Unsupported,
}

impl Reporter {
    /// Runs until nobody uses the meter any more and all is sent, or given up; or until a flush has ended.
    pub async fn run(self, turns: Arc<Turns>) {
        let mut turn = turns.next();
        let mut state = State {
            backoff: Backoff::new(self.retry, self.seed),
            failures: Throttle::new(LOG_EVERY),
            refusals: Throttle::new(LOG_EVERY),
            unsupported: false,
        };
        let mut closed: Option<Instant> = None;
        let mut due = Instant::now() + self.interval;
        loop {
            let asked = woken(&mut turn, due, closed.is_some()).await;
            if asked > Mode::Run {
                closed.get_or_insert_with(Instant::now);
            }
            let attempt = self.attempt(&mut state).await;
            let patience = closed.is_some_and(|closed| closed.elapsed() < self.retry.max_time);
            if asked > Mode::Run && (attempt == Attempt::Done || asked == Mode::Flush || !patience) {
                self.say_what_is_left();
                return;
            }
            due = Instant::now() + pause(&mut state.backoff, &attempt, self.interval);
        }
    }

    /// Sends all there is.
    async fn attempt(&self, state: &mut State) -> Attempt {
        let (points, until) = self.meter.collect((self.clock)());
        let mut units = VecDeque::from([points]);
        while let Some(points) = units.pop_front() {
            if points.is_empty() {
                continue;
            }
            let count = points.len();
            let (meter, max) = (&self.meter, self.transport.max_request());
            let request = encode::request(&points, until, meter.semconv(), meter.temporality(), &self.resource);
            if request.encoded_len() > max && count > 1 {
                halves(points, &mut units);
                continue;
            }
            let outcome = match self.transport.pack(&request.encode_to_vec()) {
                Ok(body) => {
                    self.counters.requests.add(1);
                    self.transport.send(body, count).await
                }
                Err(error) => {
                    self.refused(state, count, &error.to_string());
                    continue;
                }
            };
            if outcome.unsupported {
                self.meter.give_back(points.into_iter().chain(units.into_iter().flatten()));
                self.unsupported(state, &outcome.delivery);
                return Attempt::Unsupported;
            }
            match outcome.delivery {
                Delivery::Accepted => self.taken(count),
                Delivery::Partial { rejected, .. } => {
                    self.taken(count.saturating_sub(rejected.len()));
                    let why = rejected.first().map(|(_, why)| why.clone()).unwrap_or_default();
                    self.refused(state, rejected.len(), &why);
                }
                Delivery::Short { refused, why } => {
                    self.taken(count.saturating_sub(refused));
                    self.refused(state, refused, &why);
                }
                Delivery::Split { .. } if count > 1 => halves(points, &mut units),
                Delivery::Split { why } | Delivery::Fatal { why } => self.refused(state, count, &why),
                Delivery::Retry { after, why } => {
                    self.meter.give_back(points.into_iter().chain(units.into_iter().flatten()));
                    self.failed(state, &why);
                    return Attempt::Failed(after);
                }
            }
        }
        if state.unsupported || self.counters.is_failing() {
            tracing::info!("AI Tracing: {NAME} {} takes metrics", self.transport.url());
        }
        state.unsupported = false;
        self.counters.set_failing(None);
        Attempt::Done
    }

    fn taken(&self, count: usize) {
        self.counters.delivered.add(count as u64);
    }

    /// Points that the receiver will never take. Totals come again with the next sending, differences are lost.
    fn refused(&self, state: &mut State, count: usize, why: &str) {
        self.counters.rejected.add(count as u64);
        if let Some(count) = state.refusals.admit(count as u64, Instant::now()) {
            let url = self.transport.url();
            match self.meter.temporality() {
                OtlpTemporality::Delta => tracing::error!(count, "AI Tracing: {NAME} {url} lost data points: {why}"),
                OtlpTemporality::Cumulative => {
                    tracing::error!(count, "AI Tracing: {NAME} {url} refused data points: {why}");
                }
            }
        }
    }

    fn failed(&self, state: &mut State, why: &str) {
        self.counters.failures.add(1);
        self.counters.set_failing(Some(why.to_owned()));
        if let Some(failures) = state.failures.admit(1, Instant::now()) {
            let url = self.transport.url();
            tracing::warn!(failures, "AI Tracing: {NAME} {url} does not take metrics, they are kept: {why}");
        }
    }

    fn unsupported(&self, state: &mut State, delivery: &Delivery) {
        self.counters.failures.add(1);
        let why = match delivery {
            Delivery::Retry { why, .. } | Delivery::Split { why } | Delivery::Fatal { why } => why.as_str(),
            Delivery::Accepted | Delivery::Partial { .. } | Delivery::Short { .. } => "",
        };
        self.counters.set_failing(Some(why.to_owned()));
        if !std::mem::replace(&mut state.unsupported, true) {
            let url = self.transport.url();
            tracing::warn!(
                "AI Tracing: {NAME} {url} knows no metrics: {why}. It is asked again every ten minutes, unless \
                 otlp_metrics is set to false"
            );
        }
    }

    /// The last line: what nobody will send any more.
    fn say_what_is_left(&self) {
        // Totals always stay; what they stood for was sent, unless the last attempt failed.
        let lost = if self.counters.is_failing() { self.meter.collect((self.clock)()).0.len() } else { 0 };
        if lost > 0 {
            self.counters.rejected.add(lost as u64);
            tracing::warn!(lost, "AI Tracing: {NAME} {} ended with data points unsent", self.transport.url());
        }
    }
}

/// What lasts from attempt to attempt.
struct State {
    backoff: Backoff,
    failures: Throttle,
    refusals: Throttle,
    /// Told once.
    unsupported: bool,
}

/// Waits until metrics are due, or until the meter closes or a flush begins; answers with what is asked for then.
async fn woken(turn: &mut Turn, due: Instant, closed: bool) -> Mode {
    loop {
        let asked = turn.mode();
        if asked == Mode::Flush || (asked == Mode::Close && !closed) {
            return asked;
        }
        tokio::select! {
            () = sleep_until(due) => return asked,
            () = turn.changed() => {}
        }
    }
}

/// How long to wait after an attempt.
fn pause(backoff: &mut Backoff, attempt: &Attempt, interval: Duration) -> Duration {
    match attempt {
        Attempt::Done => {
            backoff.reset();
            interval
        }
        Attempt::Failed(after) => backoff.pause(*after),
        Attempt::Unsupported => PROBE_EVERY,
    }
}

/// Puts both halves of some points in front of the line.
fn halves(mut points: Vec<Point>, units: &mut VecDeque<Vec<Point>>) {
    let second = points.split_off(points.len() / 2);
    units.push_front(second);
    units.push_front(points);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_tried_again_soon_and_a_receiver_without_metrics_rarely() {
        let second = Duration::from_secs(1);
        let retry = RetryOptions { max_time: 60 * second, initial_delay: second, max_delay: 10 * second };
        let mut backoff = Backoff::new(retry, 1);
        let mut pause = |attempt| pause(&mut backoff, &attempt, 60 * second);
        assert_eq!(pause(Attempt::Done), 60 * second);
        let longest = (0..100).map(|_| pause(Attempt::Failed(None))).max().unwrap();
        assert!(longest > 8 * second && longest <= 10 * second);
        assert_eq!(pause(Attempt::Failed(Some(120 * second))), 120 * second, "the receiver's own wish");
        assert_eq!(pause(Attempt::Unsupported), 600 * second);
        assert_eq!(pause(Attempt::Done), 60 * second);
        assert!(pause(Attempt::Failed(None)) <= second, "success starts over");
    }
}
