//! Data points as an OTLP request.

use ai_tracing_config::ai_tracing::{OtlpSemconv, OtlpTemporality};
use ai_tracing_core::time::At;

use super::super::encode::scope;
use super::instruments::Instrument;
use super::proto::{
    CUMULATIVE, DELTA, ExportMetricsServiceRequest, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum, metric,
};
use super::sums::{Aggregate, Key, Point};
use crate::exporter::proto::{KeyValue, Resource, attribute};
use crate::pause;

/// The request of some points, which stand by metric, up to a time.
pub(super) fn request(
    points: &[Point],
    until: At,
    semconv: OtlpSemconv,
    temporality: OtlpTemporality,
    resource: &Resource,
) -> ExportMetricsServiceRequest {
    let temporality = match temporality {
        OtlpTemporality::Delta => DELTA,
        OtlpTemporality::Cumulative => CUMULATIVE,
    };
    let metrics = points
        .chunk_by(|one, next| one.instrument == next.instrument)
        .filter_map(|points| Some((points.first()?.instrument, points)))
        .map(|(instrument, points)| {
            pause();
            Metric {
                name: instrument.name().into(),
                description: instrument.description().into(),
                unit: instrument.unit(semconv).into(),
                data: Some(data(instrument, points, until, temporality)),
            }
        });
    let scope_metrics = vec![ScopeMetrics { scope: Some(scope()), metrics: metrics.collect() }];
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics { resource: Some(resource.clone()), scope_metrics }],
    }
}

fn data(instrument: Instrument, points: &[Point], until: At, aggregation_temporality: i32) -> metric::Data {
    match instrument.bounds() {
        None => metric::Data::Sum(Sum {
            data_points: points.iter().filter_map(|point| number(point, until)).collect(),
            aggregation_temporality,
            is_monotonic: true,
        }),
        Some(bounds) => metric::Data::Histogram(Histogram {
            data_points: points.iter().filter_map(|point| distribution(point, bounds, until)).collect(),
            aggregation_temporality,
        }),
    }
}

fn number(point: &Point, until: At) -> Option<NumberDataPoint> {
    let Aggregate::Sum(sum) = &point.aggregate else { return None };
    Some(NumberDataPoint {
        start_time_unix_nano: point.since.0,
        time_unix_nano: until.0,
        as_int: Some(i64::try_from(*sum).unwrap_or(i64::MAX)),
        attributes: attributes(&point.key),
    })
}

fn distribution(point: &Point, bounds: &[f64], until: At) -> Option<HistogramDataPoint> {
    let Aggregate::Distribution { histogram, min, max } = &point.aggregate else { return None };
    let bucket_counts: Vec<u64> = histogram.buckets().map(|(_, count)| count).collect();
    Some(HistogramDataPoint {
        start_time_unix_nano: point.since.0,
        time_unix_nano: until.0,
        count: bucket_counts.iter().sum(),
        sum: Some(histogram.sum()),
        bucket_counts,
        explicit_bounds: bounds.to_vec(),
        attributes: attributes(&point.key),
        min: Some(*min),
        max: Some(*max),
    })
}

fn attributes(key: &Key) -> Vec<KeyValue> {
    match key {
        Key::Of(labels, tokens) => labels.attributes(*tokens),
        Key::Overflow => vec![attribute("otel.metric.overflow", true)],
    }
}
