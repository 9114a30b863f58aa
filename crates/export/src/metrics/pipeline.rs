//! The metrics of the way from the request path to the destinations.

use std::collections::BTreeMap;

use super::{Kind, LlmMetrics, Page};
use crate::stats::{DestinationStats, Dropped, MetricsStats, SpoolState, Stats};

/// Writes what the engine counted.
pub fn write(stats: &Stats, llm: &LlmMetrics, page: &mut Page) {
    calls(stats, page);
    exports(&stats.destinations, page);
    if let Some(spool) = &stats.spool {
        self::spool(spool, page);
    }
    measurements(&stats.metrics, page);
    let (label_sets, folded) = llm.label_sets();
    page.gauge("ai_tracing_metrics_label_sets", "Label sets of the metrics of AI requests", label_sets as f64);
    let help = "Observations under the label value other, because there were too many label sets";
    page.metric("ai_tracing_metrics_folded_total", Kind::Counter, help).sample(&[("metrics", "ai_llm")], folded as f64);
}

fn calls(stats: &Stats, page: &mut Page) {
    let sink = &stats.sink;
    let offered = sink.accepted + sink.dropped();
    page.counter("ai_tracing_calls_offered_total", "Captured calls handed to the engine", offered);
    let mut dropped =
        page.metric("ai_tracing_calls_dropped_total", Kind::Counter, "Captured calls that became no record, by reason");
    for (reason, count) in [
        ("entries", sink.dropped_entries),
        ("bytes", sink.dropped_bytes),
        ("closed", sink.dropped_closed),
        ("unreadable", stats.unreadable),
    ] {
        dropped.sample(&[("reason", reason)], count as f64);
    }
    page.gauge("ai_tracing_calls_queued", "Captured calls that wait for the engine", sink.waiting as f64);
    page.gauge("ai_tracing_calls_queued_bytes", "Their size", sink.waiting_bytes as f64);
    page.gauge("ai_tracing_calls_queued_oldest_seconds", "How long the oldest of them has waited", sink.oldest_seconds);
    page.counter("ai_tracing_records_total", "Calls read into records", stats.records);
    page.counter("ai_tracing_calls_ignored_total", "Captured calls that were no AI requests after all", stats.ignored);
    page.counter("ai_tracing_records_sampled_out_total", "Records left out by sampling_ratio", stats.sampled_out);
}

/// What is shown of a destination: name, help, and the value.
type Shown = (&'static str, &'static str, fn(&DestinationStats) -> f64);

const COUNTERS: [Shown; 6] = [
    ("ai_tracing_export_offered_total", "Records handed to a destination", |it| it.offered as f64),
    ("ai_tracing_export_recovered_total", "Those of them that an earlier process had left in the spool", |it| {
        it.recovered as f64
    }),
    ("ai_tracing_export_delivered_total", "Records that a destination took", |it| it.delivered as f64),
    ("ai_tracing_export_dead_lettered_total", "Lost records that are kept as dead letters", |it| {
        it.dead_lettered as f64
    }),
    ("ai_tracing_export_requests_total", "Attempts to send, retries included", |it| it.requests as f64),
    ("ai_tracing_export_retries_total", "Attempts after which something had to be sent again", |it| it.retries as f64),
];
const GAUGES: [Shown; 6] = [
    ("ai_tracing_export_queued", "Records that wait for a destination or are on their way", |it| it.waiting as f64),
    ("ai_tracing_export_queued_memory_only", "Those of them that are not in the spool", |it| it.memory_only as f64),
    ("ai_tracing_export_queued_bytes", "Approximate size of those that wait in memory", |it| it.waiting_bytes as f64),
    ("ai_tracing_export_spooled_bytes", "Size of those that wait in the spool", |it| it.spooled_bytes as f64),
    ("ai_tracing_export_queued_oldest_seconds", "How long the oldest of them has waited", |it| it.oldest_seconds),
    ("ai_tracing_export_failing", "1 while the last attempt failed", |it| f64::from(u8::from(it.failing.is_some()))),
];
/// A reason for a loss, and how many there were.
type Reason = (&'static str, fn(&Dropped) -> u64);

const REASONS: [Reason; 5] = [
    ("overflow", |it| it.overflow),
    ("expired", |it| it.expired),
    ("rejected", |it| it.rejected),
    ("unencodable", |it| it.unencodable),
    ("damaged", |it| it.damaged),
];

fn exports(destinations: &[DestinationStats], page: &mut Page) {
    // Two plugins may send to one address with different keys: what shares its labels is shown as one.
    let mut by_name: BTreeMap<&str, DestinationStats> = BTreeMap::new();
    for destination in destinations {
        by_name.entry(&destination.name).or_default().merge(destination);
    }
    for (kind, shown) in [(Kind::Counter, &COUNTERS[..]), (Kind::Gauge, &GAUGES)] {
        for (name, help, value) in shown {
            let mut metric = page.metric(name, kind, help);
            for (destination, stats) in &by_name {
                metric.sample(&labels(destination), value(stats));
            }
        }
    }
    let mut dropped = page.metric(
        "ai_tracing_export_dropped_total",
        Kind::Counter,
        "Records lost on the way to a destination, by reason",
    );
    for (destination, stats) in &by_name {
        let [exporter, address] = labels(destination);
        for (reason, count) in &REASONS {
            dropped.sample(&[exporter, address, ("reason", reason)], count(&stats.dropped) as f64);
        }
    }
}

fn spool(state: &SpoolState, page: &mut Page) {
    let spool = &state.spool;
    page.gauge("ai_tracing_spool_bytes", "Size of the spool of this process", spool.bytes as f64);
    page.gauge("ai_tracing_spool_segments", "Its files", spool.segments as f64);
    let failing = f64::from(u8::from(state.failing.is_some()));
    page.gauge("ai_tracing_spool_failing", "1 while records are kept in memory alone", failing);
    for (name, help, count) in [
        ("ai_tracing_spool_records_total", "Records written to the spool", spool.appended),
        ("ai_tracing_spool_written_bytes_total", "Bytes written for them", spool.appended_bytes),
        ("ai_tracing_spool_memory_only_total", "Records that the spool did not take", state.memory_only),
        ("ai_tracing_spool_write_errors_total", "Writes, syncs and deletions that failed", spool.write_errors),
        ("ai_tracing_spool_adopted_total", "Records taken over from processes that have ended", spool.adopted),
        ("ai_tracing_spool_damaged_total", "Entries that could not be read back", spool.damaged),
    ] {
        page.counter(name, help, count);
    }
}

/// What is shown of a receiver of metrics: name, kind, help, and the value.
type Measured = (&'static str, Kind, &'static str, fn(&MetricsStats) -> f64);

const MEASURED: [Measured; 6] = [
    ("ai_tracing_otlp_metrics_delivered_total", Kind::Counter, "Data points that a receiver of metrics took", |it| {
        it.delivered as f64
    }),
    ("ai_tracing_otlp_metrics_rejected_total", Kind::Counter, "Data points that were lost on the way to it", |it| {
        it.rejected as f64
    }),
    ("ai_tracing_otlp_metrics_requests_total", Kind::Counter, "Attempts to send it metrics", |it| it.requests as f64),
    (
        "ai_tracing_otlp_metrics_failures_total",
        Kind::Counter,
        "Attempts after which metrics were kept for the next",
        |it| it.failures as f64,
    ),
    (
        "ai_tracing_otlp_metrics_overflow_total",
        Kind::Counter,
        "Values counted without their attributes, for want of room",
        |it| it.folded as f64,
    ),
    ("ai_tracing_otlp_metrics_failing", Kind::Gauge, "1 while the last attempt failed", |it| {
        f64::from(u8::from(it.failing.is_some()))
    }),
];

fn measurements(receivers: &[MetricsStats], page: &mut Page) {
    for (name, kind, help, value) in &MEASURED {
        // As above: what shares its labels is shown as one.
        let mut by_name: BTreeMap<&str, f64> = BTreeMap::new();
        for receiver in receivers {
            let shown = by_name.entry(&receiver.name).or_default();
            *shown = if *kind == Kind::Gauge { shown.max(value(receiver)) } else { *shown + value(receiver) };
        }
        let mut metric = page.metric(name, *kind, help);
        by_name.iter().for_each(|(receiver, value)| metric.sample(&labels(receiver), *value));
    }
}

/// A destination's name is the exporter's and, where there is one, the address; neither has credentials.
fn labels(name: &str) -> [(&'static str, &str); 2] {
    let (exporter, address) = name.split_once(' ').unwrap_or((name, ""));
    [("exporter", exporter), ("destination", address)]
}
