//! The engine as its hosts use it: real threads, destinations that tell over channels.

mod deliveries;
mod spooled;

use std::sync::mpsc;

use ai_tracing_core::settings::HttpPolicy;
use serde_json::json;

use super::*;
use crate::destination::Destination;
use crate::exporter::{BatchLimits, Delivery, EncodeError};
use crate::testing;
use crate::turn::Mode;

/// Tells every record it is sent; may hold on to a request for ever.
struct Telling {
    told: mpsc::Sender<String>,
    answer: Option<Delivery>,
}

impl Exporter for Telling {
    type Payload = Vec<String>;

    fn name(&self) -> &'static str {
        "telling"
    }

    fn limits(&self) -> BatchLimits {
        // A batch is never full and never due: only a flush sends it.
        BatchLimits { max_records: 1000, max_bytes: usize::MAX, max_delay: Duration::from_secs(3600), max_requests: 1 }
    }

    fn encode(&self, records: &[Arc<CallRecord>]) -> Result<Vec<String>, EncodeError> {
        Ok(records.iter().map(|record| record.id.clone()).collect())
    }

    async fn send(&self, ids: &Vec<String>) -> Delivery {
        ids.iter().for_each(|id| self.told.send(id.clone()).unwrap());
        match &self.answer {
            Some(answer) => answer.clone(),
            None => std::future::pending().await,
        }
    }
}

/// The same, but every record leaves at once.
struct Prompt(Telling);

impl Exporter for Prompt {
    type Payload = Vec<String>;

    fn name(&self) -> &'static str {
        "prompt"
    }

    fn limits(&self) -> BatchLimits {
        BatchLimits { max_delay: Duration::ZERO, ..self.0.limits() }
    }

    fn encode(&self, records: &[Arc<CallRecord>]) -> Result<Vec<String>, EncodeError> {
        self.0.encode(records)
    }

    async fn send(&self, ids: &Vec<String>) -> Delivery {
        self.0.send(ids).await
    }
}

fn telling(answer: Option<Delivery>) -> (Telling, mpsc::Receiver<String>) {
    let (told, hears) = mpsc::channel();
    (Telling { told, answer }, hears)
}

fn engine() -> Engine {
    Engine::start(Options::default(), Vec::new(), None).unwrap()
}

fn tracer() -> Arc<Tracer> {
    Arc::new(Tracer::without_destinations())
}

/// Long enough for any machine; a test that waits for so long has failed.
const LONG: Duration = Duration::from_secs(20);

fn config(values: serde_json::Value) -> AiTracing {
    let mut config = AiTracing::default_value();
    for (key, value) in values.as_object().unwrap() {
        config[key] = value.clone();
    }
    AiTracing::from_value(&config).unwrap()
}

fn langfuse(secret: &str) -> AiTracing {
    config(json!({
        "langfuse_enabled": true, "langfuse_public_key": "pk-lf-1", "langfuse_secret_key": secret,
        "langfuse_endpoint": "http://127.0.0.1:9/api/public/ingestion",
    }))
}

#[test]
fn a_call_reaches_every_destination_by_itself() {
    let engine = engine();
    let (one, hears_one) = telling(Some(Delivery::Accepted));
    let (two, hears_two) = telling(Some(Delivery::Accepted));
    engine.always(Prompt(one), QueueOptions::default());
    engine.always(Prompt(two), QueueOptions::default());
    for _ in 0..3 {
        // Each of them may find the engine asleep or awake.
        engine.sink().offer(testing::finished(b"{}"), &tracer());
        hears_one.recv_timeout(LONG).unwrap();
        hears_two.recv_timeout(LONG).unwrap();
    }
    assert_eq!(engine.stats().records, 3);
    engine.shutdown(LONG);
}

#[test]
fn http_exchanges_are_copied_only_where_somebody_keeps_them() {
    for (keeps_http, asked, expected) in [
        (false, "full", HttpPolicy::Off),
        (true, "none", HttpPolicy::Off),
        (true, "headers", HttpPolicy::Headers),
        (true, "full", HttpPolicy::Full),
    ] {
        let engine = Engine::start(Options { keeps_http, ..Options::default() }, Vec::new(), None).unwrap();
        let tracer = engine.tracer(&config(json!({"capture_http": asked})), &|_| None).unwrap();
        assert_eq!(tracer.settings.http, expected, "{keeps_http} {asked}");
    }
}

#[test]
fn a_destination_that_hangs_holds_up_no_other() {
    let engine = engine();
    let (dead, hears_dead) = telling(None);
    let (live, hears_live) = telling(Some(Delivery::Accepted));
    engine.always(Prompt(dead), QueueOptions::default());
    engine.always(Prompt(live), QueueOptions::default());
    for _ in 0..3 {
        engine.sink().offer(testing::finished(b"{}"), &tracer());
        hears_live.recv_timeout(LONG).unwrap();
    }
    hears_dead.recv_timeout(LONG).unwrap();
    let report = engine.shutdown(Duration::from_millis(50));
    assert_eq!(report.left, 3, "what the dead one did not take is told");
}

#[test]
fn a_shutdown_delivers_what_waits() {
    let engine = engine();
    let (lazy, hears) = telling(Some(Delivery::Accepted));
    engine.always(lazy, QueueOptions::default());
    let sink = engine.sink();
    (0..500).for_each(|_| sink.offer(testing::finished(b"{}"), &tracer()));
    let report = engine.shutdown(LONG);
    assert_eq!(report, ShutdownReport { delivered: 500, left: 0, ..ShutdownReport::default() });
    assert_eq!(hears.iter().count(), 500);
    sink.offer(testing::finished(b"{}"), &tracer());
    assert_eq!(sink.stats().dropped_closed, 1);
}

#[test]
fn a_shutdown_without_time_counts_what_is_left() {
    let engine = engine();
    let (lazy, _hears) = telling(None);
    engine.always(lazy, QueueOptions::default());
    (0..5).for_each(|_| engine.sink().offer(testing::finished(b"{}"), &tracer()));
    assert_eq!(engine.shutdown(Duration::ZERO), ShutdownReport { delivered: 0, left: 5, ..ShutdownReport::default() });
}

#[test]
fn a_shutdown_does_not_wait_for_a_destination_that_fails() {
    let engine = engine();
    let (failing, hears) = telling(Some(Delivery::Retry { after: Some(LONG), why: "no".into() }));
    engine.always(failing, QueueOptions::default());
    engine.sink().offer(testing::finished(b"{}"), &tracer());
    assert_eq!(engine.shutdown(LONG * 100), ShutdownReport { delivered: 0, left: 1, ..ShutdownReport::default() });
    assert_eq!(hears.iter().count(), 1, "one attempt");
}

#[test]
fn a_shutdown_counts_what_comes_too_late() {
    let engine = engine();
    engine.shared.sink.close();
    engine.sink().offer(testing::finished(b"{}"), &tracer());
    assert_eq!(engine.shutdown(LONG), ShutdownReport { delivered: 0, left: 1, ..ShutdownReport::default() });
}

#[test]
fn a_shutdown_of_an_engine_that_broke_counts_what_is_left() {
    let mut engine = engine();
    drop(engine.stop.take());
    engine.thread.take().unwrap().join().unwrap();
    engine.thread = Some(std::thread::spawn(|| panic!("the engine's defect")));
    engine.sink().offer(testing::finished(b"{}"), &tracer());
    assert_eq!(engine.shutdown(LONG), ShutdownReport { delivered: 0, left: 1, ..ShutdownReport::default() });
}

#[test]
fn a_defect_costs_one_trace() {
    struct Defect;
    impl Observer for Defect {
        fn observe(&self, record: &Arc<CallRecord>, _tracer: &Tracer) {
            assert!(record.id.is_empty(), "a defect");
        }
    }
    let engine = Engine::start(Options::default(), vec![Box::new(Defect)], None).unwrap();
    let (lazy, hears) = telling(Some(Delivery::Accepted));
    engine.always(lazy, QueueOptions::default());
    (0..2).for_each(|_| engine.sink().offer(testing::finished(b"{}"), &tracer()));
    engine.shutdown(LONG);
    assert_eq!(hears.iter().count(), 2);
    assert_eq!(reader::guarded(|| -> u8 { panic!("while reading") }), None);
}

#[test]
fn sampling_counts_what_it_leaves_out() {
    let engine = engine();
    let (lazy, hears) = telling(Some(Delivery::Accepted));
    engine.always(lazy, QueueOptions::default());
    let none = engine.tracer(&config(json!({"sampling_ratio": 0.0})), &|_| None).unwrap();
    let shared = Arc::clone(&engine.shared);
    engine.sink().offer(testing::finished(b"{}"), &none);
    engine.sink().offer(testing::finished(b"{}"), &tracer());
    engine.shutdown(LONG);
    assert_eq!((shared.stats().sampled_out, hears.iter().count()), (1, 1));
    let mut page = metrics::Page::default();
    shared.metrics.write(&mut page, ai_tracing_core::time::At(0));
    let requests = page.into_text();
    let requests = requests.lines().find(|line| line.starts_with("kong_ai_llm_requests_total{"));
    assert!(requests.is_some_and(|line| line.ends_with(" 2")), "what is left out is counted all the same");
}

fn destination(tracer: &Tracer) -> &Arc<Destination> {
    tracer.destinations()[0].destination()
}

#[test]
fn destinations_are_shared_by_identity_and_close_without_users() {
    let engine = engine();
    let none = |_: &str| None;
    let a = engine.tracer(&langfuse("sk-lf-1"), &none).unwrap();
    let b = engine.tracer(&AiTracing { environment: "staging".into(), ..langfuse("sk-lf-1") }, &none).unwrap();
    let other_secret = engine.tracer(&langfuse("sk-lf-2"), &none).unwrap();
    let other_project = AiTracing { langfuse_public_key: Some("pk-lf-2".into()), ..langfuse("sk-lf-1") };
    let other_project = engine.tracer(&other_project, &none).unwrap();
    let mut other_form = langfuse("sk-lf-1");
    other_form.langfuse_observations = ai_tracing_config::ai_tracing::LangfuseObservations::Compact;
    let other_form = engine.tracer(&other_form, &none).unwrap();
    assert!(Arc::ptr_eq(destination(&a), destination(&b)));
    assert!(Arc::ptr_eq(destination(&a), destination(&other_secret)), "a corrected secret: the same project");
    assert!(!Arc::ptr_eq(destination(&a), destination(&other_project)));
    assert!(!Arc::ptr_eq(destination(&a), destination(&other_form)));
    assert_eq!(engine.stats().destinations.len(), 3);
    assert_eq!(engine.stats().destinations[0].name, "langfuse http://127.0.0.1:9");

    drop((a, other_secret));
    let c = engine.tracer(&langfuse("sk-lf-1"), &none).unwrap();
    assert!(Arc::ptr_eq(destination(&c), destination(&b)), "still open: b holds it");
    let closing = Arc::clone(destination(&b));
    assert_eq!(closing.turns.mode(), Mode::Run);
    drop((b, c));
    assert_eq!(closing.turns.mode(), Mode::Close);
    engine.shutdown(LONG);
}

#[tokio::test]
async fn a_corrected_key_delivers_what_waits() {
    use testing::server::{Reply, Server};
    // Takes the right key alone, base64 of pk-lf-1:sk-lf-right.
    let server = Server::start([], |seen| {
        let right = seen.headers.get("authorization").is_some_and(|it| it == "Basic cGstbGYtMTpzay1sZi1yaWdodA==");
        (if right { 200 } else { 401 }, String::new())
    })
    .await;
    let config = |secret: &str| {
        let mut config = langfuse(secret);
        config.langfuse_endpoint = format!("http://{}", server.address);
        config.queue.max_coalescing_delay = 0.0;
        config.queue.max_retry_delay = 1000.0;
        config.queue.initial_retry_delay = 1000.0;
        config
    };
    server.then(Reply::Otherwise);
    let engine = engine();
    let wrong = engine.tracer(&config("sk-lf-wrong"), &|_| None).unwrap();
    engine.sink().offer(testing::finished(b"{}"), &wrong);
    tokio::time::timeout(LONG, server.wait(1)).await.unwrap();
    let right = engine.tracer(&config("sk-lf-right"), &|_| None).unwrap();
    drop(wrong);
    tokio::time::timeout(LONG, server.wait(2)).await.unwrap();
    let report = tokio::task::spawn_blocking(move || engine.shutdown(LONG)).await.unwrap();
    assert_eq!((report.left, right.destinations()[0].destination().stats().delivered), (0, 1));
}

#[test]
fn errors_name_the_parameter_and_never_its_value() {
    let engine = engine();
    let none = |_: &str| None;
    let error = |config: &AiTracing| engine.tracer(config, &none).err().unwrap();
    let mut no_key = langfuse("sk-lf-1");
    no_key.langfuse_secret_key = None;
    assert_eq!(error(&no_key).to_string(), "langfuse_secret_key: required when langfuse_enabled is true");
    let reference = langfuse("{vault://env/LANGFUSE_SECRET}");
    assert_eq!(error(&reference).to_string(), "langfuse_secret_key: environment variable LANGFUSE_SECRET is not set");
    assert!(engine.tracer(&reference, &|name| (name == "LANGFUSE_SECRET").then(|| "sk".into())).is_ok());
    let broken = AiTracing { langfuse_endpoint: "https://sk-lf-1@example.com".into(), ..langfuse("sk-lf-1") };
    let error = error(&broken);
    assert_eq!(error.path, "langfuse_endpoint");
    assert!(!error.to_string().contains("sk-lf-1"), "{error}");
    engine.shutdown(LONG);
}

fn otlp(endpoint: &str, headers: serde_json::Value) -> AiTracing {
    config(json!({"otlp_endpoint": endpoint, "otlp_headers": headers, "queue": {"max_coalescing_delay": 0}}))
}

#[test]
fn receivers_are_told_apart_by_endpoint_and_headers() {
    let engine = engine();
    let none = |_: &str| None;
    let tracer =
        |endpoint: &str, token: &str| engine.tracer(&otlp(endpoint, json!({"Authorization": token})), &none).unwrap();
    let a = tracer("http://127.0.0.1:9", "Bearer a");
    let same = tracer("http://127.0.0.1:9/v1/traces", "Bearer a");
    let other_token = tracer("http://127.0.0.1:9", "Bearer b");
    let other_place = tracer("http://127.0.0.1:10", "Bearer a");
    assert!(Arc::ptr_eq(destination(&a), destination(&same)));
    for other in [&other_token, &other_place] {
        assert!(!Arc::ptr_eq(destination(&a), destination(other)));
    }
    assert_eq!(engine.stats().destinations[0].name, "otlp http://127.0.0.1:9/v1/traces");
    assert!(engine.tracer(&config(json!({})), &none).unwrap().destinations().is_empty(), "off by default");
    let wrong = otlp("{vault://env/NO}", json!(null));
    assert_eq!(
        engine.tracer(&wrong, &none).err().unwrap().to_string(),
        "otlp_endpoint: environment variable NO is not set"
    );
    engine.shutdown(LONG);
}

#[tokio::test]
async fn a_call_goes_to_langfuse_and_to_otlp_and_neither_waits_for_the_other() {
    use testing::server::{Reply, Server};
    let hanging = || std::iter::repeat_n(Reply::Hangs, 10);
    let accepting = |_: &testing::server::Seen| (200, String::new());
    for langfuse_is_dead in [true, false] {
        let (first, second) =
            if langfuse_is_dead { (hanging().collect(), vec![]) } else { (vec![], hanging().collect()) };
        let langfuse = Server::start(first, accepting).await;
        let otlp = Server::start(second, accepting).await;
        let engine = engine();
        let config = config(json!({
            "langfuse_enabled": true, "langfuse_public_key": "pk-lf-1", "langfuse_secret_key": "sk-lf-1",
            "langfuse_endpoint": format!("http://{}", langfuse.address), "langfuse_timeout": 60_000,
            "otlp_endpoint": format!("http://{}", otlp.address), "otlp_timeout": 60_000,
            "queue": {"max_coalescing_delay": 0},
        }));
        let tracer = engine.tracer(&config, &|_| None).unwrap();
        let (live, dead) = if langfuse_is_dead { (&otlp, &langfuse) } else { (&langfuse, &otlp) };
        for count in 1..=3 {
            engine.sink().offer(testing::finished(b"{}"), &tracer);
            tokio::time::timeout(LONG, live.wait(count)).await.unwrap();
        }
        tokio::time::timeout(LONG, dead.wait(1)).await.unwrap();
        assert_eq!(dead.seen().len(), 1, "it still has its first request");
        let names: Vec<_> = engine.stats().destinations.into_iter().map(|it| (it.name, it.offered)).collect();
        assert_eq!(
            names,
            [
                (format!("langfuse http://{}", langfuse.address), 3),
                (format!("otlp http://{}/v1/traces", otlp.address), 3)
            ]
        );
        drop(tracer);
        tokio::task::spawn_blocking(move || engine.shutdown(Duration::from_millis(50))).await.unwrap();
    }
}

#[tokio::test]
async fn metrics_count_what_sampling_leaves_out_and_are_sent_at_the_end() {
    let otlp = testing::server::Server::start([], |_| (200, String::new())).await;
    let engine = engine();
    let config = config(json!({"otlp_endpoint": format!("http://{}", otlp.address), "sampling_ratio": 0}));
    let tracer = engine.tracer(&config, &|_| None).unwrap();
    (0..3).for_each(|_| engine.sink().offer(testing::finished(b"{}"), &tracer));
    let stats = tokio::task::spawn_blocking(move || {
        let shared = Arc::clone(&engine.shared);
        engine.shutdown(LONG);
        shared.stats()
    });
    assert_eq!(stats.await.unwrap().sampled_out, 3);
    let paths: Vec<_> = otlp.seen().iter().map(|seen| seen.path.clone()).collect();
    assert_eq!(paths, ["/v1/metrics"]);
}

#[test]
fn a_receiver_may_get_metrics_alone() {
    let engine = engine();
    let config = config(json!({"otlp_endpoint": "http://127.0.0.1:9", "otlp_traces": false}));
    let tracer = engine.tracer(&config, &|_| None).unwrap();
    assert!(tracer.destinations().is_empty());
    assert_eq!(engine.stats().metrics[0].name, "otlp-metrics http://127.0.0.1:9/v1/metrics");
    engine.shutdown(LONG);
}
