//! The metrics of the way from the request path to the destinations.

use std::collections::BTreeMap;

use super::{Kind, LlmMetrics, Page};
use crate::stats::{DestinationStats, MetricsStats, Stats};

/// Writes what the engine counted.
pub fn write(stats: &Stats, llm: &LlmMetrics, page: &mut Page) {
    calls(stats, page);
    exports(&stats.destinations, page);
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

const COUNTERS: [Shown; 4] = [
    ("ai_tracing_export_offered_total", "Records handed to a destination", |it| it.offered as f64),
    ("ai_tracing_export_delivered_total", "Records that a destination took", |it| it.delivered as f64),
    ("ai_tracing_export_requests_total", "Attempts to send, retries included", |it| it.requests as f64),
    ("ai_tracing_export_retries_total", "Attempts after which something had to be sent again", |it| it.retries as f64),
];
const GAUGES: [Shown; 4] = [
    ("ai_tracing_export_queued", "Records that wait for a destination or are on their way", |it| it.waiting as f64),
    ("ai_tracing_export_queued_bytes", "Approximate size of those that wait", |it| it.waiting_bytes as f64),
    ("ai_tracing_export_queued_oldest_seconds", "How long the oldest of them has waited", |it| it.oldest_seconds),
    ("ai_tracing_export_failing", "1 while the last attempt failed", |it| f64::from(u8::from(it.failing.is_some()))),
];
const REASONS: [Shown; 4] = [
    ("overflow", "", |it| it.dropped.overflow as f64),
    ("expired", "", |it| it.dropped.expired as f64),
    ("rejected", "", |it| it.dropped.rejected as f64),
    ("unencodable", "", |it| it.dropped.unencodable as f64),
];

fn exports(destinations: &[DestinationStats], page: &mut Page) {
    // Two plugins may send to one address with different keys: what shares its labels is shown as one.
    let mut by_name: BTreeMap<&str, DestinationStats> = BTreeMap::new();
    for destination in destinations {
        by_name.entry(&destination.name).or_default().merge(destination);
    }
    for (kind, shown) in [(Kind::Counter, &COUNTERS), (Kind::Gauge, &GAUGES)] {
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
        for (reason, _, value) in &REASONS {
            dropped.sample(&[exporter, address, ("reason", reason)], value(stats));
        }
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
