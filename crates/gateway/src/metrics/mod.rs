//! `GET /metrics`: everything that this process counts, as Prometheus text.
//!
//! - AI requests and the pipeline behind them are the engine's ([`ai_tracing_export::metrics`]).
//! - [`http`] has Kong's metrics of services and routes, where a `prometheus` plugin asks for them.
//! - [`process`] has what the operating system says of us.
//!
//! docs/metrics.md lists them all. Nothing here is collected for a scrape alone: a page is read from counters.

pub mod http;
mod process;

use ai_tracing_core::time::At;
use ai_tracing_export::Stats;
use ai_tracing_export::metrics::{Kind, Labels, LlmMetrics, Page, write_pipeline};

use crate::calls::writer::Stats as StoreStats;
use crate::status::{ServerStats, VERSION};

/// What a page is read from.
pub struct Sources<'a> {
    /// The metrics of AI requests, and the state of the engine.
    pub engine: Option<(&'a LlmMetrics, &'a Stats)>,
    /// The state of the local store.
    pub store: Option<StoreStats>,
    /// The proxy's connections.
    pub server: ServerStats,
    /// Bytes that captures hold, and calls whose bodies were not kept for want of memory.
    pub capture: (usize, u64),
    /// Whether the configuration can be read.
    pub datastore_reachable: bool,
    /// Metrics of services and routes.
    pub http: &'a http::HttpMetrics,
    /// The time of the scrape.
    pub now: At,
}

/// The page.
pub fn page(sources: &Sources<'_>) -> String {
    let mut page = Page::default();
    if let Some((llm, stats)) = &sources.engine {
        llm.write(&mut page, sources.now);
        write_pipeline(stats, llm, &mut page);
    }
    sources.http.write(&mut page);
    let reachable = f64::from(u8::from(sources.datastore_reachable));
    page.gauge("kong_datastore_reachable", "Datastore reachable from Kong, 0 is unreachable", reachable);
    if let Some(store) = &sources.store {
        write_store(store, &mut page);
    }
    page.gauge("ai_tracing_capture_bytes", "Memory that calls under way are captured in", sources.capture.0 as f64);
    page.counter(
        "ai_tracing_capture_without_bodies_total",
        "Calls traced without their bodies, or not to their end, because --capture-memory was used up",
        sources.capture.1,
    );
    write_server(&sources.server, &mut page);
    page.metric("ai_tracing_build_info", Kind::Gauge, "1, with the version").sample(&[("version", VERSION)], 1.0);
    process::write(&mut page);
    page.into_text()
}

fn write_store(store: &StoreStats, page: &mut Page) {
    page.gauge("ai_tracing_store_rows", "Calls in the local store", store.rows as f64);
    page.gauge("ai_tracing_store_file_bytes", "Size of the local store's file", store.file_bytes as f64);
    page.counter("ai_tracing_store_stored_total", "Calls stored", store.stored);
    page.counter("ai_tracing_store_refused_total", "Calls that the local store refused for good", store.refused);
    let mut deleted =
        page.metric("ai_tracing_store_deleted_total", Kind::Counter, "Calls deleted by retention, by reason");
    deleted.sample(&[("reason", "age")], store.aged_out as f64);
    deleted.sample(&[("reason", "size")], store.crowded_out as f64);
    page.counter("ai_tracing_store_replaced_total", "Damaged files moved aside", store.replaced);
    let failing = f64::from(u8::from(store.last_error.is_some()));
    page.gauge("ai_tracing_store_failing", "1 while the last attempt to store failed", failing);
}

fn write_server(server: &ServerStats, page: &mut Page) {
    let mut connections = page.metric("ai_tracing_connections", Kind::Gauge, "Open client connections, by state");
    let states: [(&Labels<'_>, u64); 2] =
        [(&[("state", "writing")], server.connections_writing), (&[("state", "waiting")], server.connections_waiting)];
    for (labels, count) in states {
        connections.sample(labels, count as f64);
    }
    page.counter("ai_tracing_connections_accepted_total", "Client connections", server.connections_accepted);
    page.counter("ai_tracing_http_requests_total", "Client requests, of any kind", server.total_requests);
}
