//! The reporter against a server on a local port that plays a receiver.

use std::time::Duration;

use ai_tracing_config::ai_tracing::OtlpProtocol;
use bytes::Bytes;

use super::super::reporter::Reporter;
use super::super::stats::Counters;
use super::*;
use crate::exporter::otlp::signal::Signal;
use crate::exporter::otlp::target::Target;
use crate::exporter::otlp::transport::Transport;
use crate::http::Client;
use crate::retry::RetryOptions;
use crate::testing::server::{Reply, Server};
use crate::turn::{Mode, Turns};

/// A reporter that is running.
struct Bench {
    server: Server,
    meter: Arc<Meter>,
    counters: Arc<Counters>,
    turns: Arc<Turns>,
    task: tokio::task::JoinHandle<()>,
}

impl Bench {
    /// Longer than any test takes: only the end sends.
    const NEVER: Duration = Duration::from_secs(3600);

    async fn start(
        protocol: OtlpProtocol,
        temporality: OtlpTemporality,
        interval: Duration,
        replies: impl IntoIterator<Item = Reply>,
    ) -> Self {
        Self::start_with(protocol, temporality, interval, Duration::from_secs(60), replies).await
    }

    /// `patience` is how long a meter that nobody uses any more tries to send what it has.
    async fn start_with(
        protocol: OtlpProtocol,
        temporality: OtlpTemporality,
        interval: Duration,
        patience: Duration,
        replies: impl IntoIterator<Item = Reply>,
    ) -> Self {
        let server = Server::start(replies, |_| (200, String::new())).await;
        let path = if protocol == OtlpProtocol::Http { "/v1/metrics" } else { "" };
        let target = Target {
            url: format!("http://{}{path}", server.address),
            protocol,
            headers: vec![("authorization".into(), "Bearer secret".into())],
            timeout: Duration::from_secs(5),
        };
        let (meter, counters) = (Arc::new(meter(temporality)), Arc::new(Counters::default()));
        let reporter = Reporter {
            meter: Arc::clone(&meter),
            transport: Transport::new(Signal::Metrics, target, Client::new().unwrap()).unwrap(),
            resource: resource(),
            interval,
            retry: RetryOptions {
                max_time: patience,
                initial_delay: Duration::from_millis(1),
                max_delay: Duration::from_millis(2),
            },
            counters: Arc::clone(&counters),
            clock: || At(2_000),
            seed: 1,
        };
        let turns = Arc::new(Turns::default());
        turns.enter();
        let task = tokio::spawn(reporter.run(Arc::clone(&turns)));
        Self { server, meter, counters, turns, task }
    }

    async fn ended(self, mode: Mode) -> (Vec<Value>, crate::MetricsStats) {
        match mode {
            Mode::Flush => self.turns.flush(),
            _ => self.turns.leave(),
        }
        assert_eq!(self.turns.mode(), mode);
        self.task.await.unwrap();
        let seen = self.server.seen();
        let requests = seen.iter().map(|seen| {
            assert_eq!(seen.headers.get("authorization").unwrap(), "Bearer secret");
            // A message of gRPC has its length in front.
            let body = if seen.path == "/v1/metrics" { &seen.body[..] } else { &seen.body[5..] };
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(body), &mut bytes).unwrap();
            readable(&bytes)
        });
        (requests.collect(), self.counters.stats("", self.meter.folded.get()))
    }
}

/// How many calls a request tells of.
fn calls(request: &Value) -> u64 {
    request["gen_ai.client.token.usage"]["points"][0]["count"].as_u64().unwrap()
}

#[tokio::test]
async fn nothing_measured_is_nothing_sent_and_the_end_sends_the_rest() {
    for mode in [Mode::Close, Mode::Flush] {
        let bench = Bench::start(OtlpProtocol::Http, OtlpTemporality::Delta, Bench::NEVER, []).await;
        assert_eq!(bench.ended(mode).await.0.len(), 0);
        let bench = Bench::start(OtlpProtocol::Http, OtlpTemporality::Delta, Bench::NEVER, []).await;
        bench.meter.observe(&call("m"));
        let (requests, stats) = bench.ended(mode).await;
        assert_eq!((requests.iter().map(calls).collect::<Vec<_>>(), stats.delivered, stats.requests), (vec![1], 2, 1));
    }
}

#[tokio::test]
async fn totals_come_again_on_every_interval() {
    let often = Duration::from_millis(1);
    let bench = Bench::start(OtlpProtocol::Http, OtlpTemporality::Cumulative, often, []).await;
    bench.meter.observe(&call("m"));
    bench.server.wait(1).await;
    bench.meter.observe(&call("m"));
    let seen = bench.server.seen().len();
    bench.server.wait(seen + 2).await;
    let (requests, _) = bench.ended(Mode::Flush).await;
    assert_eq!((calls(&requests[0]), calls(requests.last().unwrap())), (1, 2));
    assert!(requests.iter().all(|it| it["gen_ai.client.token.usage"]["points"][0]["start"] == 1_000));
}

#[tokio::test]
async fn a_failure_keeps_what_was_counted() {
    for protocol in [OtlpProtocol::Http, OtlpProtocol::Grpc] {
        let fails = match protocol {
            OtlpProtocol::Http => Reply::Says(503, String::new()),
            OtlpProtocol::Grpc => Reply::Ends(Bytes::new(), vec![("grpc-status", "14".into())]),
        };
        let ok = Reply::Ends(Bytes::from_static(&[0; 5]), vec![("grpc-status", "0".into())]);
        let replies = [fails.clone(), fails, ok];
        let bench = Bench::start(protocol, OtlpTemporality::Delta, Bench::NEVER, replies).await;
        bench.meter.observe(&call("m"));
        let (requests, stats) = bench.ended(Mode::Close).await;
        assert_eq!(requests.iter().map(calls).collect::<Vec<_>>(), [1, 1, 1]);
        assert_eq!((stats.failures, stats.delivered, stats.rejected, stats.failing), (2, 2, 0, None));
    }
}

#[tokio::test]
async fn a_flush_tries_once_and_says_what_is_left() {
    let bench =
        Bench::start(OtlpProtocol::Http, OtlpTemporality::Delta, Bench::NEVER, [Reply::Says(503, "busy".into())]).await;
    bench.meter.observe(&call("m"));
    let (requests, stats) = bench.ended(Mode::Flush).await;
    assert_eq!((requests.len(), stats.rejected, stats.failing.as_deref()), (1, 2, Some("HTTP 503: busy")));
}

#[tokio::test]
async fn a_meter_that_nobody_uses_gives_up_some_day() {
    let dead = std::iter::repeat_n(Reply::Says(503, String::new()), 100);
    let (protocol, delta) = (OtlpProtocol::Http, OtlpTemporality::Delta);
    let bench = Bench::start_with(protocol, delta, Bench::NEVER, Duration::ZERO, dead).await;
    bench.meter.observe(&call("m"));
    let (requests, stats) = bench.ended(Mode::Close).await;
    assert_eq!((requests.len(), stats.rejected), (1, 2));
}

#[tokio::test]
async fn what_is_refused_is_counted_and_not_sent_again() {
    for (reply, expected) in [
        (Reply::Says(400, "no cumulative".into()), (0, 2)),
        (
            Reply::Tells(
                200,
                vec![("content-type", "application/json".into())],
                r#"{"partialSuccess":{"rejectedDataPoints":"1","errorMessage":"old"}}"#.into(),
            ),
            (1, 1),
        ),
    ] {
        let bench = Bench::start(OtlpProtocol::Http, OtlpTemporality::Delta, Bench::NEVER, [reply]).await;
        bench.meter.observe(&call("m"));
        let (requests, stats) = bench.ended(Mode::Close).await;
        assert_eq!((requests.len(), (stats.delivered, stats.rejected)), (1, expected));
    }
}

#[tokio::test]
async fn a_request_that_is_too_large_is_halved() {
    let bench =
        Bench::start(OtlpProtocol::Http, OtlpTemporality::Delta, Bench::NEVER, [Reply::Says(413, String::new())]).await;
    ["m", "n"].iter().for_each(|model| bench.meter.observe(&call(model)));
    let (requests, stats) = bench.ended(Mode::Close).await;
    assert_eq!((requests.len(), stats.delivered, stats.rejected), (3, 4, 0));
    let names = |request: &Value| request.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&requests[1]), ["gen_ai.client.operation.duration"]);
    assert_eq!(names(&requests[2]), ["gen_ai.client.token.usage"]);
}

#[tokio::test]
async fn a_receiver_without_metrics_is_left_alone() {
    for (protocol, reply) in [
        (OtlpProtocol::Http, Reply::Says(404, "no such path".into())),
        (OtlpProtocol::Http, Reply::Says(501, String::new())),
        (OtlpProtocol::Grpc, Reply::Tells(200, vec![("grpc-status", "12".into())], Bytes::new())),
    ] {
        let often = Duration::from_millis(1);
        let bench = Bench::start(protocol, OtlpTemporality::Delta, often, [reply]).await;
        bench.meter.observe(&call("m"));
        bench.server.wait(1).await;
        while !bench.counters.is_failing() {
            tokio::task::yield_now().await;
        }
        bench.meter.observe(&call("m"));
        let (requests, _) = bench.ended(Mode::Flush).await;
        assert_eq!(requests.len(), 2, "asked once, and at the end");
        assert_eq!(calls(&requests[1]), 2, "nothing was lost meanwhile");
    }
}

#[tokio::test]
async fn meters_are_shared_by_those_who_agree() {
    let meters = crate::exporter::otlp::metrics::Meters::default();
    let open = |values: Value| {
        let config = ai_tracing_config::ai_tracing::AiTracing::from_value(&values).unwrap();
        let config = crate::exporter::otlp::metrics::Config::read(&config, &|_| None).ok().unwrap().unwrap();
        meters.open(config, Client::new().unwrap(), &tokio::runtime::Handle::current()).ok().unwrap()
    };
    let server = Server::start([], |_| (200, String::new())).await;
    let at = format!("http://{}", server.address);
    let one = open(json!({"otlp_endpoint": at, "sampling_ratio": 0.5}));
    let same = open(json!({"otlp_endpoint": at}));
    let other = open(json!({"otlp_endpoint": at, "environment": "test"}));
    assert!(Arc::ptr_eq(&one, &same) && !Arc::ptr_eq(&one, &other));
    [&one, &same, &other].iter().for_each(|lease| lease.observe(&call("m")));
    let names: Vec<String> = meters.stats().into_iter().map(|stats| stats.name).collect();
    assert_eq!(names, [format!("otlp-metrics {at}/v1/metrics"), format!("otlp-metrics {at}/v1/metrics")]);
    drop((one, same, other));
    server.wait(2).await;
    let seen: Vec<Vec<u8>> = server.seen().iter().map(|seen| seen.body.to_vec()).collect();
    let resources: Vec<Value> = seen.iter().map(|body| instance(body)).collect();
    let mut environments: Vec<_> =
        resources.iter().map(|it| it["deployment.environment.name"].as_str().unwrap()).collect();
    environments.sort_unstable();
    assert_eq!(environments, ["production", "test"]);
    assert_ne!(resources[0]["service.instance.id"], resources[1]["service.instance.id"]);
    assert_eq!(resources[0]["service.instance.id"].as_str().unwrap().len(), 36);
    meters.flush().wait(tokio::time::Instant::now() + Duration::from_secs(5)).await;
}

/// The resource of a request.
fn instance(body: &[u8]) -> Value {
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(body), &mut bytes).unwrap();
    let mut request = ExportMetricsServiceRequest::decode(&bytes[..]).unwrap();
    testing::attributes(request.resource_metrics.pop().unwrap().resource.unwrap().attributes)
}
