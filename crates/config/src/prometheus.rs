//! The `prometheus` plugin's configuration: Kong's, name by name
//! (<https://developer.konghq.com/plugins/prometheus/reference/>).
//!
//! What each switch does in this gateway is in docs/metrics.md.

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use crate::schema::{Record, Schema, boolean};

/// A validated configuration of the `prometheus` plugin. As in Kong, each switch may be null, which is off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prometheus {
    /// Fill in the label `consumer`.
    pub per_consumer: Option<bool>,
    /// Count requests by status.
    pub status_code_metrics: Option<bool>,
    /// Metrics of AI requests.
    pub ai_metrics: Option<bool>,
    /// Measure latencies.
    pub latency_metrics: Option<bool>,
    /// Count bytes.
    pub bandwidth_metrics: Option<bool>,
    /// Health of upstream targets.
    pub upstream_health_metrics: Option<bool>,
    /// Metrics of WebAssembly filters.
    pub wasm_metrics: Option<bool>,
}

/// The schema of the plugin's `config`.
pub fn schema() -> &'static Schema {
    static SCHEMA: OnceLock<Schema> = OnceLock::new();
    SCHEMA.get_or_init(|| Schema::new("prometheus", parameters()))
}

fn parameters() -> Record {
    let switch = |about| boolean().default(false).about(about);
    Record::new([
        ("per_consumer", switch("Whether the label `consumer` is filled in. There are no consumers here yet.")),
        ("status_code_metrics", switch("Whether `kong_http_requests_total` is counted.")),
        ("ai_metrics", switch("No effect: the metrics of calls that `ai-tracing` traces are always there.")),
        (
            "latency_metrics",
            switch(
                "Whether `kong_kong_latency_ms`, `kong_upstream_latency_ms` and `kong_request_latency_ms` are measured.",
            ),
        ),
        ("bandwidth_metrics", switch("Whether `kong_bandwidth_bytes` is counted.")),
        ("upstream_health_metrics", switch("No effect: there are no upstreams with targets.")),
        ("wasm_metrics", switch("No effect: there are no WebAssembly filters.")),
    ])
}
