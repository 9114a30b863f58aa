//! The metrics of LLM calls.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ai_tracing_core::record::{CallRecord, End, Usage};
use ai_tracing_core::time::At;

use super::active::Active;
use super::{Histogram, Kind, Labels, OTHER, Options, Page, WORKSPACE, bounded};

/// Kong's buckets of `kong_ai_llm_provider_latency_ms`.
const PROVIDER_LATENCY: &[f64] = &[
    250.0, 500.0, 1000.0, 1500.0, 2000.0, 2500.0, 3000.0, 3500.0, 4000.0, 4500.0, 5000.0, 10_000.0, 30_000.0, 60_000.0,
];
/// OpenTelemetry's of `gen_ai.server.time_to_first_token`, in milliseconds.
const TIME_TO_FIRST_TOKEN: &[f64] =
    &[1.0, 5.0, 10.0, 20.0, 40.0, 60.0, 80.0, 100.0, 250.0, 500.0, 750.0, 1000.0, 2500.0, 5000.0, 7500.0, 10_000.0];
/// OpenTelemetry's of `gen_ai.server.time_per_output_token`, in milliseconds.
const TIME_PER_TOKEN: &[f64] =
    &[10.0, 25.0, 50.0, 75.0, 100.0, 150.0, 200.0, 300.0, 400.0, 500.0, 750.0, 1000.0, 2500.0];
/// Kong's of `kong_kong_latency_ms`, and finer ones below: a proxy adds less than a millisecond.
const OVERHEAD: &[f64] = &[
    0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 7.0, 10.0, 15.0, 20.0, 30.0, 50.0, 75.0, 100.0, 200.0, 500.0, 750.0, 1000.0,
    3000.0, 6000.0,
];
/// Kinds of errors that one label set tells apart; there are five, and the statuses that providers really use.
const MAX_ERROR_TYPES: usize = 64;
/// Windows in which users and sessions are active, in minutes.
const WINDOWS: [(&str, u64); 2] = [("5m", 5), ("1h", 60)];
const TOKEN_TYPES: [&str; 3] = ["prompt_tokens", "completion_tokens", "total_tokens"];

/// Counts calls. Fed by the engine's thread, read by whoever scrapes.
#[derive(Debug)]
pub struct LlmMetrics {
    options: Options,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    series: BTreeMap<Key, Series>,
    /// Calls that were counted under [`OTHER`].
    folded: u64,
    users: Active,
    sessions: Active,
}

/// What tells calls apart. Ordered, so that a page is the same whenever nothing happened.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    provider: String,
    model: String,
    stream: bool,
    consumer: String,
}

#[derive(Debug)]
struct Series {
    requests: u64,
    cost: f64,
    tokens: [u64; 3],
    estimated: [u64; 3],
    provider_latency: Histogram,
    time_to_first_token: Histogram,
    time_per_token: Histogram,
    overhead: Histogram,
    errors: BTreeMap<String, u64>,
}

impl LlmMetrics {
    /// Nothing counted yet.
    pub fn new(options: Options) -> Self {
        Self { options, state: Mutex::default() }
    }

    /// Counts a call.
    pub fn observe(&self, record: &CallRecord) {
        let key = Key {
            provider: bounded(&record.provider).to_owned(),
            model: bounded(record.request.model.as_deref().unwrap_or_default()).to_owned(),
            stream: record.stream,
            consumer: match self.options.consumer {
                true => bounded(record.consumer.as_deref().unwrap_or_default()).to_owned(),
                false => String::new(),
            },
        };
        let mut state = self.state();
        let state = &mut *state;
        let at = record.timing.ended_at();
        let context = &record.context;
        for (active, id) in [(&mut state.users, &context.user_id), (&mut state.sessions, &context.session_id)] {
            id.as_deref().into_iter().for_each(|id| active.see(id, at));
        }
        let known = state.series.contains_key(&key);
        let key = if known || state.series.len() < self.options.max_label_sets {
            key
        } else {
            state.folded += 1;
            // Providers are ours or the configuration's: there are only so many.
            Key { model: OTHER.to_owned(), consumer: folded_consumer(&key.consumer), ..key }
        };
        state.series.entry(key).or_insert_with(Series::new).observe(record);
    }

    /// Writes everything that was counted. `now` is where the windows of active users and sessions end.
    pub fn write(&self, page: &mut Page, now: At) {
        let prefix = if self.options.unprefixed { "" } else { "kong_" };
        let state = self.state();
        let mut writer = Writer { page, prefix, consumer: self.options.consumer, series: &state.series };
        writer.counters();
        writer.histograms();
        for (name, help, active) in [
            ("ai_llm_active_users", "Different users in the window, estimated", &state.users),
            ("ai_llm_active_sessions", "Different sessions in the window, estimated", &state.sessions),
        ] {
            let name = format!("{prefix}{name}");
            let mut metric = writer.page.metric(&name, Kind::Gauge, help);
            for (window, minutes) in WINDOWS {
                metric.sample(&[("window", window)], active.count(now, minutes) as f64);
            }
        }
    }

    /// Label sets in use, and calls that found no room for theirs.
    pub fn label_sets(&self) -> (usize, u64) {
        let state = self.state();
        (state.series.len(), state.folded)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A consumer is told apart from none even where there is no room for its name.
fn folded_consumer(consumer: &str) -> String {
    if consumer.is_empty() { String::new() } else { OTHER.to_owned() }
}

impl Series {
    fn new() -> Self {
        Self {
            requests: 0,
            cost: 0.0,
            tokens: [0; 3],
            estimated: [0; 3],
            provider_latency: Histogram::new(PROVIDER_LATENCY),
            time_to_first_token: Histogram::new(TIME_TO_FIRST_TOKEN),
            time_per_token: Histogram::new(TIME_PER_TOKEN),
            overhead: Histogram::new(OVERHEAD),
            errors: BTreeMap::new(),
        }
    }

    fn observe(&mut self, record: &CallRecord) {
        self.requests += 1;
        if let Some(cost) = record.cost.map(|cost| cost.total).filter(|cost| cost.is_finite() && *cost > 0.0) {
            self.cost += cost;
        }
        let Usage { input, output, total, .. } = record.usage;
        let estimated = u64::from(record.tokens_estimated);
        for ((sum, sum_estimated), tokens) in
            self.tokens.iter_mut().zip(&mut self.estimated).zip([input, output, total])
        {
            let tokens = tokens.unwrap_or(0);
            *sum = sum.saturating_add(tokens);
            *sum_estimated = sum_estimated.saturating_add(tokens * estimated);
        }
        let timing = &record.timing;
        // What the provider took is from the request's last stop here to the response's last byte, as Kong counts it.
        if timing.upstream_ms.is_some() {
            self.provider_latency.observe(timing.total_duration_ms - timing.gateway_ms.unwrap_or(0.0));
        }
        for (histogram, value) in [
            (&mut self.time_to_first_token, timing.time_to_first_token_ms),
            (&mut self.time_per_token, timing.time_per_token_ms),
            (&mut self.overhead, timing.gateway_ms),
        ] {
            value.into_iter().for_each(|value| histogram.observe(value));
        }
        if let Some(kind) = error_type(record) {
            let room = self.errors.len() < MAX_ERROR_TYPES || self.errors.contains_key(&kind);
            *self.errors.entry(if room { kind } else { OTHER.to_owned() }).or_default() += 1;
        }
    }
}

/// OpenTelemetry's `error.type`, from a closed set: how the call ended, the HTTP status, or `provider_error` for an error
/// inside an answer that began well.
pub(crate) fn error_type(record: &CallRecord) -> Option<String> {
    match record.status {
        _ if record.end != End::Complete => Some(record.end.as_str().to_owned()),
        Some(status) if status >= 400 => Some(status.to_string()),
        _ if record.error.is_some() => Some("provider_error".to_owned()),
        _ => None,
    }
}

struct Writer<'a> {
    page: &'a mut Page,
    prefix: &'static str,
    consumer: bool,
    series: &'a BTreeMap<Key, Series>,
}

impl Writer<'_> {
    fn counters(&mut self) {
        self.counter("ai_llm_requests_total", "AI requests total per ai_provider in Kong", |series, add| {
            add(None, series.requests as f64);
        });
        self.counter(
            "ai_llm_cost_total",
            "AI requests cost in US dollars per ai_provider/cache in Kong",
            |series, add| {
                add(None, series.cost);
            },
        );
        let types = |tokens: &[u64; 3], add: &mut dyn FnMut(Option<Label<'_>>, f64)| {
            for (name, tokens) in TOKEN_TYPES.into_iter().zip(tokens) {
                add(Some(("token_type", name)), *tokens as f64);
            }
        };
        self.counter("ai_llm_tokens_total", "AI tokens total per ai_provider/cache in Kong", |series, add| {
            types(&series.tokens, add);
        });
        self.counter(
            "ai_llm_estimated_tokens_total",
            "The part of the tokens that was estimated, not reported by the provider",
            |series, add| types(&series.estimated, add),
        );
        self.counter("ai_llm_errors_total", "Failed AI requests by kind of error", |series, add| {
            series.errors.iter().for_each(|(kind, count)| add(Some(("error_type", kind)), *count as f64));
        });
    }

    fn histograms(&mut self) {
        self.histogram(
            "ai_llm_provider_latency_ms",
            "LLM response latency per ai_provider in Kong: from the request to the last byte of the response",
            |series| &series.provider_latency,
        );
        self.histogram(
            "ai_llm_time_to_first_token_ms",
            "Streams: from the request to the first generated token",
            |series| &series.time_to_first_token,
        );
        self.histogram(
            "ai_llm_time_per_token_ms",
            "Streams: time between tokens; whole responses: duration by completion token",
            |series| &series.time_per_token,
        );
        self.histogram(
            "ai_llm_gateway_overhead_ms",
            "What the gateway added before the provider saw the request",
            |series| &series.overhead,
        );
    }

    /// A counter, of which only what is above 0 is shown.
    fn counter(&mut self, name: &str, help: &str, values: impl Fn(&Series, &mut dyn FnMut(Option<Label<'_>>, f64))) {
        let name = format!("{}{name}", self.prefix);
        let mut metric = self.page.metric(&name, Kind::Counter, help);
        for (key, series) in self.series {
            values(series, &mut |label, value| {
                if value > 0.0 {
                    key.with_labels(label, self.consumer, |labels| metric.sample(labels, value));
                }
            });
        }
    }

    fn histogram(&mut self, name: &str, help: &str, of: impl Fn(&Series) -> &Histogram) {
        let name = format!("{}{name}", self.prefix);
        let mut metric = self.page.metric(&name, Kind::Histogram, help);
        for (key, series) in self.series {
            let histogram = of(series);
            if !histogram.is_empty() {
                key.with_labels(None, self.consumer, |labels| metric.histogram(labels, histogram));
            }
        }
    }
}

type Label<'a> = (&'a str, &'a str);

impl Key {
    /// Kong's labels in Kong's order, `extra` where Kong has `token_type`, and after them ours. There is no semantic
    /// cache here, so its labels are empty, as Kong leaves them for calls that no cache saw.
    fn with_labels(&self, extra: Option<Label<'_>>, consumer: bool, write: impl FnOnce(&Labels<'_>)) {
        let mut labels = Vec::with_capacity(10);
        labels.extend([("ai_provider", self.provider.as_str()), ("ai_model", &self.model), ("cache_status", "")]);
        labels.extend([("vector_db", ""), ("embeddings_provider", ""), ("embeddings_model", "")]);
        labels.extend(extra);
        labels.extend([("workspace", WORKSPACE), ("request_mode", if self.stream { "stream" } else { "oneshot" })]);
        labels.extend(consumer.then_some(("consumer", self.consumer.as_str())));
        write(&labels);
    }
}
