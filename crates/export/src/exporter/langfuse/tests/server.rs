//! The exporter against a server on a local port that plays Langfuse.

use std::sync::Arc;
use std::time::Duration;

use ai_tracing_config::ai_tracing::{LangfuseApi, LangfuseObservations};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::super::{Api, Config, Langfuse, MAX_INGESTION, PROBE_EVERY, endpoint};
use crate::destination::{Destination, QueueOptions};
use crate::exporter::{Delivery, Exporter};
use crate::http::{Answer, Client, MAX_ANSWER};
use crate::testing::server::{Reply, Seen, Server};
use crate::testing::{self, calls};
use crate::worker;

/// A Langfuse that takes everything once its list is at its end.
struct FakeLangfuse(Server);

impl std::ops::Deref for FakeLangfuse {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.0
    }
}

impl FakeLangfuse {
    async fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        let otherwise = |seen: &Seen| {
            if seen.path.ends_with(endpoint::OTLP) { (200, "{}".into()) } else { (207, report(&seen.body)) }
        };
        Self(Server::start(replies, otherwise).await)
    }

    fn config(&self, api: LangfuseApi) -> Config {
        Config { base: format!("http://{}", self.address), api, ..unreachable() }
    }

    fn exporter(&self, api: LangfuseApi) -> Langfuse {
        Langfuse::new(self.config(api), Client::new().unwrap()).unwrap()
    }

    /// The API that each request used.
    fn apis(&self) -> Vec<&'static str> {
        let seen = self.seen();
        seen.iter().map(|request| if request.path.ends_with(endpoint::OTLP) { "otlp" } else { "batch" }).collect()
    }
}

/// A Langfuse that nobody plays.
fn unreachable() -> Config {
    Config {
        base: "http://127.0.0.1:9".into(),
        public_key: "pk-lf-1".into(),
        secret_key: "sk-lf-1".into(),
        api: LangfuseApi::Auto,
        observations: LangfuseObservations::Full,
        timeout: Duration::from_secs(5),
        batching: testing::batching(),
    }
}

/// All events of a batch, taken.
fn report(batch: &[u8]) -> String {
    let batch: Value = serde_json::from_slice(batch).unwrap();
    let successes: Value =
        batch["batch"].as_array().unwrap().iter().map(|event| json!({"id": event["id"], "status": 201})).collect();
    json!({"successes": successes, "errors": []}).to_string()
}

fn not_accepted() -> Reply {
    let error = json!({"id": "x", "status": 400, "message": "Event type not accepted"});
    Reply::Says(207, json!({"successes": [], "errors": [error]}).to_string())
}

async fn once(exporter: &Langfuse) -> Delivery {
    exporter.send(&exporter.encode(&calls()).unwrap()).await
}

const AT_ONCE: Option<Duration> = Some(Duration::ZERO);

fn retry_after(delivery: &Delivery) -> Option<Option<Duration>> {
    if let Delivery::Retry { after, .. } = delivery { Some(*after) } else { None }
}

#[tokio::test]
async fn otlp_requests_say_who_they_are() {
    let server = FakeLangfuse::start([]).await;
    let exporter = server.exporter(LangfuseApi::Auto);
    assert_eq!(once(&exporter).await, Delivery::Accepted);
    let seen = server.seen();
    let request = &seen[0];
    assert_eq!(request.path, "/api/public/otel/v1/traces");
    let version = env!("CARGO_PKG_VERSION");
    for (name, value) in [
        ("content-type", "application/x-protobuf"),
        ("content-encoding", "gzip"),
        ("x-langfuse-ingestion-version", "4"),
        ("x-langfuse-sdk-name", "ai-tracing"),
        ("x-langfuse-sdk-version", version),
        ("user-agent", &format!("ai-tracing/{version}")),
        // base64 of pk-lf-1:sk-lf-1
        ("authorization", "Basic cGstbGYtMTpzay1sZi0x"),
    ] {
        assert_eq!(request.headers.get(name).unwrap(), value, "{name}");
    }
}

#[tokio::test]
async fn batch_requests_are_plain_json() {
    let server = FakeLangfuse::start([]).await;
    let exporter = server.exporter(LangfuseApi::Ingestion);
    assert_eq!(once(&exporter).await, Delivery::Accepted);
    let seen = server.seen();
    assert_eq!(seen[0].path, "/api/public/ingestion");
    assert_eq!(seen[0].headers.get("content-type").unwrap(), "application/json");
    assert!(seen[0].headers.get("content-encoding").is_none());
    let batch: Value = serde_json::from_slice(&seen[0].body).unwrap();
    assert_eq!(batch["batch"].as_array().unwrap().len(), 4 * calls().len());
}

#[tokio::test]
async fn auto_uses_the_batch_api_where_there_is_no_otlp_and_remembers() {
    let server = FakeLangfuse::start([Reply::Says(404, "<!DOCTYPE html>".into())]).await;
    let exporter = server.exporter(LangfuseApi::Auto);
    assert_eq!(retry_after(&once(&exporter).await), Some(AT_ONCE));
    assert_eq!(once(&exporter).await, Delivery::Accepted);
    assert_eq!(once(&exporter).await, Delivery::Accepted);
    assert_eq!(server.apis(), ["otlp", "batch", "batch"]);
}

#[tokio::test]
async fn auto_goes_back_to_otlp_when_the_batch_api_takes_no_traces_any_more() {
    let server = FakeLangfuse::start([Reply::Says(404, String::new()), Reply::Otherwise, not_accepted()]).await;
    let exporter = server.exporter(LangfuseApi::Auto);
    assert_eq!(retry_after(&once(&exporter).await), Some(AT_ONCE));
    assert_eq!(once(&exporter).await, Delivery::Accepted);
    assert_eq!(retry_after(&once(&exporter).await), Some(AT_ONCE));
    assert_eq!(once(&exporter).await, Delivery::Accepted);
    assert_eq!(server.apis(), ["otlp", "batch", "batch", "otlp"]);
}

#[tokio::test]
async fn a_404_after_otlp_has_worked_is_a_failure_like_any_other() {
    let server = FakeLangfuse::start([Reply::Says(200, "{}".into()), Reply::Says(404, String::new())]).await;
    let exporter = server.exporter(LangfuseApi::Auto);
    assert_eq!(once(&exporter).await, Delivery::Accepted);
    assert_eq!(retry_after(&once(&exporter).await), Some(None));
    assert_eq!(once(&exporter).await, Delivery::Accepted);
    assert_eq!(server.apis(), ["otlp", "otlp", "otlp"]);
}

#[tokio::test(start_paused = true)]
async fn a_server_without_otlp_is_asked_for_it_now_and_then() {
    let exporter = Langfuse::new(unreachable(), Client::new().unwrap()).unwrap();
    let answer = |status| Answer {
        status: StatusCode::from_u16(status).unwrap(),
        headers: HeaderMap::new(),
        body: Bytes::new(),
        trailers: HeaderMap::new(),
    };
    let next = || exporter.encode(&calls()).unwrap();
    for _ in 0..2 {
        assert_eq!(next().api, Api::Otlp);
        assert_eq!(retry_after(&exporter.judge(&next(), &answer(404))), Some(AT_ONCE));
        assert_eq!(next().api, Api::Ingestion);
        tokio::time::advance(PROBE_EVERY - Duration::from_secs(1)).await;
        assert_eq!(next().api, Api::Ingestion);
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    assert_eq!(exporter.judge(&next(), &answer(200)), Delivery::Accepted);
    tokio::time::advance(2 * PROBE_EVERY).await;
    assert_eq!(next().api, Api::Otlp);
}

#[tokio::test]
async fn a_pinned_api_stays() {
    let server =
        FakeLangfuse::start([Reply::Says(404, String::new()), Reply::Says(200, String::new()), not_accepted()]).await;
    for (api, name) in [(LangfuseApi::Otlp, "otlp"), (LangfuseApi::Ingestion, "batch")] {
        let exporter = server.exporter(api);
        let delivery = once(&exporter).await;
        let Delivery::Retry { after: None, why } = delivery else { panic!("{delivery:?}") };
        assert!(why.ends_with("check langfuse_endpoint and langfuse_api"), "{why}");
        assert_eq!(once(&exporter).await, Delivery::Accepted);
        assert_eq!(server.apis().last(), Some(&name));
    }
}

#[tokio::test]
async fn a_server_without_either_api_is_not_asked_without_pause() {
    let gone = (0..200).map(|_| Reply::Says(404, String::new()));
    let server = FakeLangfuse::start(gone).await;
    let config = server.config(LangfuseApi::Auto);
    let queue = QueueOptions { max_retry_time: Duration::ZERO, ..config.batching.queue };
    let destination = Arc::new(Destination::new("langfuse".into(), 200, &queue, None));
    destination.offer(&testing::record("a"), 1, None);
    let exporter = Langfuse::new(config, Client::new().unwrap()).unwrap();
    worker::run(exporter, Arc::clone(&destination), queue.retry(), destination.turns.next(), 1).await;
    assert_eq!(server.apis(), ["otlp", "batch", "otlp"], "two changes at once, then it counts as failing");
    assert_eq!(destination.stats().dropped.expired, 1);
    assert_eq!(destination.stats().failing.as_deref(), Some("HTTP 404: no such API: check langfuse_endpoint"));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_hangs_is_left_after_the_timeout() {
    let server = FakeLangfuse::start([Reply::Hangs]).await;
    let exporter = server.exporter(LangfuseApi::Auto);
    let payload = exporter.encode(&calls()).unwrap();
    let start = tokio::time::Instant::now();
    let delivery = exporter.send(&payload).await;
    assert_eq!(delivery, Delivery::Retry { after: None, why: "no answer within 5000 ms".into() });
    assert_eq!(start.elapsed().as_secs(), 5);
}

#[tokio::test]
async fn nobody_listening_is_worth_another_try() {
    let server = FakeLangfuse::start([]).await;
    // A port that was free a moment ago and has no listener.
    let free = TcpListener::bind(("127.0.0.1", 0)).await.unwrap().local_addr().unwrap();
    let config = Config { base: format!("http://{free}"), ..server.config(LangfuseApi::Auto) };
    let exporter = Langfuse::new(config, Client::new().unwrap()).unwrap();
    let delivery = once(&exporter).await;
    let Delivery::Retry { after: None, why } = delivery else { panic!("{delivery:?}") };
    assert!(why.starts_with("no connection: "), "{why}");
}

#[tokio::test]
async fn a_huge_answer_is_not_read_to_its_end() {
    let server = FakeLangfuse::start([Reply::Says(500, "x".repeat(3 * MAX_ANSWER))]).await;
    let delivery = once(&server.exporter(LangfuseApi::Auto)).await;
    let Delivery::Retry { why, .. } = delivery else { panic!("{delivery:?}") };
    assert!(why.starts_with("HTTP 500: xxx") && why.len() < 300);
}

#[tokio::test]
async fn a_batch_too_large_for_one_request_is_cut_before_it_is_sent() {
    let server = FakeLangfuse::start([]).await;
    let mut record = testing::minimal("a");
    record["request"]["messages"] = json!([{"role": "user", "content": "x".repeat(600_000)}]);
    let records = vec![testing::from_json(record); 4];
    for api in [LangfuseApi::Otlp, LangfuseApi::Ingestion] {
        let exporter = server.exporter(api);
        assert!(matches!(exporter.send(&exporter.encode(&records).unwrap()).await, Delivery::Split { .. }));
        assert_eq!(exporter.send(&exporter.encode(&records[..1]).unwrap()).await, Delivery::Accepted);
    }
    assert_eq!(server.apis(), ["otlp", "batch"], "what was too large was never sent");
}

#[tokio::test]
async fn large_content_is_sent_once() {
    for observations in [LangfuseObservations::Full, LangfuseObservations::Compact] {
        let server = FakeLangfuse::start([]).await;
        let mut record = testing::minimal("a");
        record["request"]["messages"] = json!([{"role": "user", "content": "x".repeat(2_000_000)}]);
        let config = Config { observations, ..server.config(LangfuseApi::Ingestion) };
        let exporter = Langfuse::new(config, Client::new().unwrap()).unwrap();
        assert_eq!(exporter.send(&exporter.encode(&[testing::from_json(record)]).unwrap()).await, Delivery::Accepted);
        let seen = server.seen();
        assert!(seen[0].body.len() < MAX_INGESTION, "{}", seen[0].body.len());
        let batch: Value = serde_json::from_slice(&seen[0].body).unwrap();
        let with_input: Vec<_> = batch["batch"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|event| event["body"].get("input").is_some())
            .map(|event| event["type"].as_str().unwrap())
            .collect();
        assert_eq!(with_input, ["generation-create"]);
    }
}

#[tokio::test]
async fn a_single_call_that_fits_with_its_content_sent_once_is_sent_so() {
    let server = FakeLangfuse::start([]).await;
    let mut record = testing::minimal("a");
    // Escaped, a quote takes two bytes, and stands in the content and in the metadata.
    record["request"]["messages"] = json!([{"role": "user", "content": "\"".repeat(390_000)}]);
    record["context"]["metadata"] = json!({"notes": "\"".repeat(300_000)});
    let exporter = server.exporter(LangfuseApi::Ingestion);
    assert_eq!(exporter.send(&exporter.encode(&[testing::from_json(record)]).unwrap()).await, Delivery::Accepted);
    let seen = server.seen();
    assert!((1_000_000..MAX_INGESTION).contains(&seen[0].body.len()), "{}", seen[0].body.len());
}

#[tokio::test]
async fn a_poisonous_record_costs_itself_only() {
    let bad = || Reply::Says(400, r#"{"error":"no"}"#.into());
    // 8 records: all, the first four, the first two, the first one.
    let server = FakeLangfuse::start([bad(), bad(), bad(), bad()]).await;
    let config = server.config(LangfuseApi::Otlp);
    let destination = Arc::new(Destination::new("langfuse".into(), 200, &config.batching.queue, None));
    calls().iter().for_each(|record| destination.offer(record, 1, None));
    let exporter = Langfuse::new(config.clone(), Client::new().unwrap()).unwrap();
    worker::run(exporter, Arc::clone(&destination), config.batching.queue.retry(), destination.turns.next(), 1).await;
    let stats = destination.stats();
    assert_eq!((stats.delivered, stats.dropped.rejected, stats.requests), (7, 1, 7));
}

#[tokio::test]
async fn the_same_bytes_go_out_again_after_a_failure() {
    let server = FakeLangfuse::start([Reply::Says(500, String::new()), Reply::Says(429, String::new())]).await;
    let config = server.config(LangfuseApi::Auto);
    let destination = Arc::new(Destination::new("langfuse".into(), 200, &config.batching.queue, None));
    calls().iter().for_each(|record| destination.offer(record, 1, None));
    let exporter = Langfuse::new(config.clone(), Client::new().unwrap()).unwrap();
    worker::run(exporter, Arc::clone(&destination), config.batching.queue.retry(), destination.turns.next(), 1).await;
    let seen = server.seen();
    assert_eq!((seen.len(), destination.stats().delivered), (3, 8));
    assert!(seen[0].body == seen[1].body && seen[1].body == seen[2].body);
}

#[tokio::test]
async fn secrets_stand_in_no_name_and_no_reason() {
    // A server that repeats the key and the header, wherever it can.
    let said = "sk-lf-1 and Basic cGstbGYtMTpzay1sZi0x";
    // Cut within the key, were it still there.
    let cut = format!("{}sk-lf-1", "x".repeat(196));
    let event = json!({"id": "x", "status": 400, "message": said});
    let in_report = json!({"successes": [], "errors": [event]}).to_string();
    let replies =
        [(401, said.to_owned()), (500, said.to_owned()), (400, said.to_owned()), (402, said.to_owned()), (503, cut)];
    let server = FakeLangfuse::start(replies.into_iter().map(|(status, body)| Reply::Says(status, body))).await;
    let exporter = server.exporter(LangfuseApi::Otlp);
    let mut told = exporter.label();
    for _ in 0..5 {
        told += &format!("{:?}", once(&exporter).await);
    }
    server.then(Reply::Says(207, in_report));
    told += &format!("{:?}", once(&server.exporter(LangfuseApi::Ingestion)).await);
    assert!(!told.contains("sk-l") && !told.contains("cGstbGYtMTpzay1sZi0x"), "{told}");
    assert_eq!(told.matches("[hidden] and Basic [hidden]").count(), 4, "{told}");
}
