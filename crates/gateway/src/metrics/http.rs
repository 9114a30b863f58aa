//! Kong's metrics of services and routes: requests by status, latencies, bytes.
//!
//! A call is counted once, when it has ended, on its proxy thread: a lock for the time of a few additions, where a
//! `prometheus` plugin asks for it, and nothing at all elsewhere. Names, labels, buckets and rules are those of Kong 3.9
//! (`kong/plugins/prometheus/exporter.lua`). There are no consumers, so the label `consumer` is empty, as Kong leaves it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ai_tracing_config::prometheus::Prometheus;
use ai_tracing_export::metrics::{Histogram, Kind, Labels, OTHER, Page, WORKSPACE, bounded};
use http::{HeaderMap, StatusCode};

const KONG_LATENCY: &[f64] =
    &[1.0, 2.0, 5.0, 7.0, 10.0, 15.0, 20.0, 30.0, 50.0, 75.0, 100.0, 200.0, 500.0, 750.0, 1000.0, 3000.0, 6000.0];
const UPSTREAM_LATENCY: &[f64] =
    &[25.0, 50.0, 80.0, 100.0, 250.0, 400.0, 700.0, 1000.0, 2000.0, 5000.0, 10_000.0, 30_000.0, 60_000.0];
/// nginx's status of a call whose client went away before anything was answered.
const CLIENT_GONE: u16 = 499;

/// Name and help of a histogram, and where it is.
type Latency = (&'static str, &'static str, fn(&Counts) -> &Histogram);

/// Counts the calls of all routes. What was counted stays, whatever becomes of the configuration.
#[derive(Debug)]
pub struct HttpMetrics {
    max_label_sets: usize,
    routes: Mutex<BTreeMap<Names, Arc<Totals>>>,
    folded: Arc<AtomicU64>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Names {
    service: String,
    route: String,
}

#[derive(Debug)]
struct Totals(Mutex<Counts>);

#[derive(Debug)]
struct Counts {
    /// By status and by whether the service answered, not the gateway.
    requests: BTreeMap<(u16, bool), u64>,
    kong: Histogram,
    upstream: Histogram,
    request: Histogram,
    ingress: u64,
    egress: u64,
}

/// Counts the calls of one route, as its plugin wants it.
#[derive(Debug)]
pub struct Meter {
    statuses: bool,
    latencies: bool,
    bytes: bool,
    totals: Arc<Totals>,
    /// Set where there was no room for the route's name.
    folded: Option<Arc<AtomicU64>>,
}

impl HttpMetrics {
    /// Nothing counted yet; at most so many routes are told apart.
    pub fn new(max_label_sets: usize) -> Self {
        Self { max_label_sets, routes: Mutex::default(), folded: Arc::default() }
    }

    /// The meter of a route; `None` where its plugin wants none.
    pub fn meter(&self, service: &str, route: &str, config: &Prometheus) -> Option<Arc<Meter>> {
        let on = |switch: Option<bool>| switch.unwrap_or(false);
        let (statuses, latencies, bytes) =
            (on(config.status_code_metrics), on(config.latency_metrics), on(config.bandwidth_metrics));
        if !(statuses || latencies || bytes) {
            return None;
        }
        let names = Names { service: bounded(service).to_owned(), route: bounded(route).to_owned() };
        let mut routes = self.routes();
        let room = routes.len() < self.max_label_sets || routes.contains_key(&names);
        let names = if room { names } else { Names { service: OTHER.to_owned(), route: OTHER.to_owned() } };
        let totals = Arc::clone(routes.entry(names).or_insert_with(|| Arc::new(Totals::new())));
        let folded = (!room).then(|| Arc::clone(&self.folded));
        Some(Arc::new(Meter { statuses, latencies, bytes, totals, folded }))
    }

    /// Writes what was counted.
    pub fn write(&self, page: &mut Page) {
        let routes: Vec<(Names, Arc<Totals>)> =
            self.routes().iter().map(|(names, totals)| (names.clone(), Arc::clone(totals))).collect();
        let help = "HTTP status codes per consumer/service/route in Kong";
        let mut requests = page.metric("kong_http_requests_total", Kind::Counter, help);
        for (names, totals) in &routes {
            for ((code, by_service), count) in &totals.lock().requests {
                let (code, source) = (code.to_string(), if *by_service { "service" } else { "kong" });
                let [service, route] = names.labels();
                let rest = [("code", code.as_str()), ("source", source), ("workspace", WORKSPACE), ("consumer", "")];
                requests.sample(&with(&[service, route], &rest), *count as f64);
            }
        }
        let latencies: [Latency; 3] = [
            (
                "kong_kong_latency_ms",
                "Latency added by Kong and enabled plugins for each service/route in Kong",
                |counts| &counts.kong,
            ),
            (
                "kong_upstream_latency_ms",
                "Latency added by upstream response for each service/route in Kong",
                |counts| &counts.upstream,
            ),
            (
                "kong_request_latency_ms",
                "Total latency incurred during requests for each service/route in Kong",
                |counts| &counts.request,
            ),
        ];
        for (name, help, of) in latencies {
            let mut metric = page.metric(name, Kind::Histogram, help);
            for (names, totals) in &routes {
                let counts = totals.lock();
                if !of(&counts).is_empty() {
                    metric.histogram(&with(&names.labels(), &[("workspace", WORKSPACE)]), of(&counts));
                }
            }
        }
        let mut bandwidth =
            page.metric("kong_bandwidth_bytes", Kind::Counter, "Total bandwidth (ingress/egress) throughput in bytes");
        for (names, totals) in &routes {
            let counts = totals.lock();
            for (direction, bytes) in [("ingress", counts.ingress), ("egress", counts.egress)] {
                if bytes > 0 {
                    let rest = [("direction", direction), ("workspace", WORKSPACE), ("consumer", "")];
                    bandwidth.sample(&with(&names.labels(), &rest), bytes as f64);
                }
            }
        }
        if !routes.is_empty() {
            let folded = self.folded.load(Ordering::Relaxed);
            page.counter(
                "ai_tracing_http_metrics_folded_total",
                "Calls under the route other: too many routes",
                folded,
            );
        }
    }

    fn routes(&self) -> MutexGuard<'_, BTreeMap<Names, Arc<Totals>>> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Names {
    fn labels(&self) -> [(&'static str, &str); 2] {
        [("service", &self.service), ("route", &self.route)]
    }
}

fn with<'a>(names: &Labels<'a>, rest: &Labels<'a>) -> Vec<(&'a str, &'a str)> {
    [names, rest].concat()
}

impl Totals {
    fn new() -> Self {
        Self(Mutex::new(Counts {
            requests: BTreeMap::new(),
            kong: Histogram::new(KONG_LATENCY),
            upstream: Histogram::new(UPSTREAM_LATENCY),
            request: Histogram::new(UPSTREAM_LATENCY),
            ingress: 0,
            egress: 0,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is measured of one call while it passes.
#[derive(Debug)]
pub struct Reading {
    meter: Arc<Meter>,
    begun: Instant,
    /// When the request was first handed to an upstream.
    upstream: Option<Instant>,
    /// Status, and when its head came; and whether it is the service's.
    answer: Option<(StatusCode, Instant, bool)>,
    ingress: u64,
    egress: u64,
}

impl Reading {
    /// A call on a route with a meter has begun.
    pub fn new(meter: &Arc<Meter>, begun: Instant, request_line: usize, headers: &HeaderMap) -> Self {
        let ingress = if meter.bytes { head_size(request_line, headers) } else { 0 };
        Self { meter: Arc::clone(meter), begun, upstream: None, answer: None, ingress, egress: 0 }
    }

    /// The request is handed to an upstream; the first attempt counts.
    pub fn upstream_started(&mut self, now: Instant) {
        self.upstream.get_or_insert(now);
    }

    /// The head of the answer passes.
    pub fn answered(&mut self, status: StatusCode, headers: &HeaderMap, now: Instant, by_service: bool) {
        self.answer = Some((status, now, by_service));
        if self.meter.bytes {
            // `HTTP/1.1 200 OK`, and its line end.
            let line = "HTTP/1.1 200 ".len() + status.canonical_reason().map_or(0, str::len) + 2;
            self.egress += head_size(line, headers);
        }
    }

    /// A piece of the request's body passes.
    pub fn ingress(&mut self, bytes: usize) {
        self.ingress += bytes as u64;
    }

    /// A piece of the response's body passes.
    pub fn egress(&mut self, bytes: usize) {
        self.egress += bytes as u64;
    }

    /// The call has ended: it is counted.
    pub fn finish(self, now: Instant) {
        let ms = |from: Instant, to: Instant| to.saturating_duration_since(from).as_secs_f64() * 1000.0;
        let Meter { statuses, latencies, bytes, totals, folded } = &*self.meter;
        if let Some(folded) = folded {
            folded.fetch_add(1, Ordering::Relaxed);
        }
        let (status, by_service) = match self.answer {
            Some((status, _, by_service)) => (status.as_u16(), by_service),
            None => (CLIENT_GONE, false),
        };
        let mut counts = totals.lock();
        if *statuses {
            *counts.requests.entry((status, by_service)).or_default() += 1;
        }
        if *latencies {
            counts.request.observe(ms(self.begun, now));
            // What the gateway answers itself is its own latency to the answer's head.
            let ours = self.upstream.filter(|_| by_service).or(self.answer.map(|(_, at, _)| at)).unwrap_or(now);
            counts.kong.observe(ms(self.begun, ours));
            if let (Some(upstream), Some((_, at, true))) = (self.upstream, self.answer) {
                counts.upstream.observe(ms(upstream, at));
            }
        }
        if *bytes {
            counts.ingress = counts.ingress.saturating_add(self.ingress);
            counts.egress = counts.egress.saturating_add(self.egress);
        }
    }
}

/// The size of a head as HTTP/1.1 writes it, which is how nginx counts; what HTTP/2 compresses it to is not known here.
fn head_size(line: usize, headers: &HeaderMap) -> u64 {
    let fields = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
    (line + fields.sum::<usize>() + "\r\n".len()) as u64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const ALL: Prometheus = Prometheus {
        per_consumer: None,
        status_code_metrics: Some(true),
        ai_metrics: None,
        latency_metrics: Some(true),
        bandwidth_metrics: Some(true),
        upstream_health_metrics: None,
        wasm_metrics: None,
    };

    fn page(metrics: &HttpMetrics) -> String {
        let mut page = Page::default();
        metrics.write(&mut page);
        page.into_text()
    }

    #[test]
    fn a_call_is_counted_as_kong_counts_it() {
        let metrics = HttpMetrics::new(10);
        let meter = metrics.meter("svc", "r", &ALL).unwrap();
        let begun = Instant::now();
        let after = |ms| begun + Duration::from_millis(ms);
        let headers = HeaderMap::new();

        let mut served = Reading::new(&meter, begun, 20, &headers);
        served.ingress(8);
        served.upstream_started(after(2));
        served.upstream_started(after(3));
        served.answered(StatusCode::OK, &headers, after(52), true);
        served.egress(100);
        served.finish(after(500));
        let mut refused = Reading::new(&meter, begun, 20, &headers);
        refused.upstream_started(after(2));
        refused.answered(StatusCode::GATEWAY_TIMEOUT, &headers, after(60), false);
        refused.finish(after(60));
        Reading::new(&meter, begun, 20, &headers).finish(after(5));

        let page = page(&metrics);
        let names = r#"service="svc",route="r""#;
        for line in [
            format!(
                r#"kong_http_requests_total{{{names},code="200",source="service",workspace="default",consumer=""}} 1"#
            ),
            format!(
                r#"kong_http_requests_total{{{names},code="504",source="kong",workspace="default",consumer=""}} 1"#
            ),
            format!(
                r#"kong_http_requests_total{{{names},code="499",source="kong",workspace="default",consumer=""}} 1"#
            ),
            format!(r#"kong_kong_latency_ms_bucket{{{names},workspace="default",le="2"}} 1"#),
            format!(r#"kong_kong_latency_ms_sum{{{names},workspace="default"}} 67"#),
            format!(r#"kong_upstream_latency_ms_bucket{{{names},workspace="default",le="50"}} 1"#),
            format!(r#"kong_upstream_latency_ms_count{{{names},workspace="default"}} 1"#),
            format!(r#"kong_request_latency_ms_bucket{{{names},workspace="default",le="700"}} 3"#),
            format!(r#"kong_bandwidth_bytes{{{names},direction="ingress",workspace="default",consumer=""}} 74"#),
            format!(r#"kong_bandwidth_bytes{{{names},direction="egress",workspace="default",consumer=""}} 151"#),
        ] {
            assert!(page.lines().any(|it| it == line), "{line}\n{page}");
        }
    }

    #[test]
    fn only_what_is_asked_for_is_counted() {
        let metrics = HttpMetrics::new(10);
        assert!(metrics.meter("svc", "r", &Prometheus { ai_metrics: Some(true), ..Prometheus::default() }).is_none());
        assert_eq!(page(&metrics), "");
        let statuses = Prometheus { status_code_metrics: Some(true), ..Prometheus::default() };
        let meter = metrics.meter("svc", "r", &statuses).unwrap();
        Reading::new(&meter, Instant::now(), 20, &HeaderMap::new()).finish(Instant::now());
        let page = page(&metrics);
        assert!(page.contains("kong_http_requests_total{"));
        assert!(!page.contains("latency") && !page.contains("bandwidth"));
    }

    #[test]
    fn routes_beyond_the_bound_are_other() {
        let metrics = HttpMetrics::new(2);
        for route in ["a", "b", "c", "d", "a"] {
            let meter = metrics.meter("svc", route, &ALL).unwrap();
            Reading::new(&meter, Instant::now(), 20, &HeaderMap::new()).finish(Instant::now());
        }
        let page = page(&metrics);
        let count = |names: &str| {
            let start = format!("kong_http_requests_total{{{names},");
            page.lines().find(|line| line.starts_with(&start)).and_then(|line| line.rsplit(' ').next())
        };
        assert_eq!(count(r#"service="svc",route="a""#), Some("2"));
        assert_eq!(count(r#"service="other",route="other""#), Some("2"));
        assert!(page.ends_with("ai_tracing_http_metrics_folded_total 2\n"));
    }
}
