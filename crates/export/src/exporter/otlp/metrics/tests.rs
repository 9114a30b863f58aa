//! Golden metrics, what holds for all of them, and the reporter against a server that plays a receiver.

mod golden;
mod properties;
mod server;

use std::sync::Arc;

use ai_tracing_config::ai_tracing::{OtlpSemconv, OtlpTemporality};
use ai_tracing_core::record::CallRecord;
use ai_tracing_core::time::At;
use prost::Message as _;
use serde_json::{Map, Value, json};

use super::encode::request;
use super::meter::Meter;
use super::proto::{ExportMetricsServiceRequest, metric};
use crate::exporter::proto::{Resource, attribute};
use crate::testing;

fn meter(temporality: OtlpTemporality) -> Meter {
    Meter::new(OtlpSemconv::Both, temporality, At(1_000))
}

fn resource() -> Resource {
    Resource { attributes: vec![attribute("service.name", "ai-tracing")] }
}

/// A meter's next request as JSON.
fn collected(meter: &Meter, now: u64) -> Value {
    let (points, until) = meter.collect(At(now));
    readable(&request(&points, until, meter.semconv(), meter.temporality(), &resource()).encode_to_vec())
}

/// A request as JSON: metrics by name, attributes as objects.
fn readable(bytes: &[u8]) -> Value {
    let mut request = ExportMetricsServiceRequest::decode(bytes).unwrap();
    let mut group = request.resource_metrics.pop().unwrap();
    assert!(request.resource_metrics.is_empty() && group.scope_metrics.len() == 1);
    let scope = group.scope_metrics.pop().unwrap();
    assert_eq!(scope.scope.unwrap().version, env!("CARGO_PKG_VERSION"));
    let mut metrics = Map::new();
    for metric in scope.metrics {
        let (kind, temporality, points) = match metric.data.unwrap() {
            metric::Data::Sum(sum) => {
                assert!(sum.is_monotonic);
                let points = sum.data_points.into_iter().map(|point| {
                    json!({"attributes": testing::attributes(point.attributes), "start": point.start_time_unix_nano,
                        "time": point.time_unix_nano, "value": point.as_int.unwrap()})
                });
                ("sum", sum.aggregation_temporality, points.collect::<Value>())
            }
            metric::Data::Histogram(histogram) => {
                let points = histogram.data_points.into_iter().map(|point| {
                    assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
                    assert_eq!(point.bucket_counts.iter().sum::<u64>(), point.count);
                    let buckets = point.explicit_bounds.iter().map(|bound| bound.to_string()).chain(["more".into()]);
                    let buckets: Map<String, Value> = buckets
                        .zip(point.bucket_counts)
                        .filter(|(_, count)| *count > 0)
                        .map(|(bound, count)| (bound, count.into()))
                        .collect();
                    json!({"attributes": testing::attributes(point.attributes), "start": point.start_time_unix_nano,
                        "time": point.time_unix_nano, "count": point.count, "sum": point.sum, "min": point.min,
                        "max": point.max, "buckets": buckets})
                });
                ("histogram", histogram.aggregation_temporality, points.collect())
            }
        };
        let told = json!({"kind": kind, "unit": metric.unit, "temporality": temporality, "points": points});
        assert!(!metric.description.is_empty());
        assert!(metrics.insert(metric.name, told).is_none(), "a metric stands once in a request");
    }
    Value::Object(metrics)
}

/// A call that names a model.
fn call(model: &str) -> Arc<CallRecord> {
    let mut record = testing::minimal("a");
    record["provider"] = "openai".into();
    record["request"]["model"] = model.into();
    record["usage"]["input"] = 10.into();
    record["timing"]["total_duration_ms"] = 250.0.into();
    testing::from_json(record)
}
