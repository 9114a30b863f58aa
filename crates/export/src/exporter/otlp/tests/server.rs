//! The exporter against a server on a local port that plays a receiver.

use std::sync::Arc;
use std::time::Duration;

use ai_tracing_config::ai_tracing::OtlpSemconv;
use bytes::Bytes;
use prost::Message as _;
use serde_json::json;

use super::super::encode::MAX_REQUEST;
use super::super::{Config, Otlp};
use crate::destination::Destination;
use crate::exporter::proto::{ExportTracePartialSuccess, ExportTraceServiceResponse};
use crate::exporter::{Delivery, Exporter};
use crate::http::Client;
use crate::stats::DestinationStats;
use crate::testing::server::{Reply, Seen, Server};
use crate::testing::{self, calls, readable};
use crate::worker;

async fn receiver(replies: impl IntoIterator<Item = Reply>) -> Server {
    Server::start(replies, |_| (200, String::new())).await
}

fn config(server: &Server) -> Config {
    let headers = [("authorization", "Api-Token dt0c01.secret"), ("x-tenant", "1")];
    Config {
        url: format!("http://{}/api/v2/otlp/v1/traces", server.address),
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        semconv: OtlpSemconv::Both,
        resource: vec![("service.name".into(), "ai-tracing".into())],
        timeout: Duration::from_secs(5),
        batching: testing::batching(),
    }
}

fn exporter(server: &Server) -> Otlp {
    Otlp::new(config(server), Client::new().unwrap()).unwrap()
}

async fn once(exporter: &Otlp) -> Delivery {
    exporter.send(&exporter.encode(&calls()).unwrap()).await
}

/// All calls by a worker, to the end.
async fn deliver(server: &Server) -> DestinationStats {
    let config = config(server);
    let queue = config.batching.queue;
    let destination = Arc::new(Destination::new("otlp".into(), 200, &queue, None));
    calls().iter().for_each(|record| destination.offer(record, 1, None));
    let exporter = Otlp::new(config, Client::new().unwrap()).unwrap();
    worker::run(exporter, Arc::clone(&destination), queue.retry(), destination.turns.next(), 1).await;
    destination.stats()
}

fn inflated(seen: &Seen) -> Vec<u8> {
    let mut inflated = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&seen.body[..]), &mut inflated).unwrap();
    inflated
}

#[tokio::test]
async fn a_request_is_what_the_protocol_wants() {
    let server = receiver([]).await;
    assert_eq!(once(&exporter(&server)).await, Delivery::Accepted);
    let seen = server.seen();
    assert_eq!(seen[0].path, "/api/v2/otlp/v1/traces");
    for (name, value) in [
        ("content-type", "application/x-protobuf"),
        ("content-encoding", "gzip"),
        ("authorization", "Api-Token dt0c01.secret"),
        ("x-tenant", "1"),
        ("user-agent", concat!("ai-tracing/", env!("CARGO_PKG_VERSION"))),
    ] {
        assert_eq!(seen[0].headers.get(name).unwrap(), value, "{name}");
    }
    let request = readable(&inflated(&seen[0]));
    let spans: usize = request
        .as_array()
        .unwrap()
        .iter()
        .map(|group| group["scope_spans"][0]["spans"].as_array().unwrap().len())
        .sum();
    assert_eq!(spans, calls().len());
}

#[tokio::test]
async fn the_same_bytes_go_out_again_after_a_failure() {
    let wait = Reply::Tells(429, vec![("retry-after", "0".into())], Bytes::new());
    let server = receiver([Reply::Says(503, String::new()), wait]).await;
    let stats = deliver(&server).await;
    let seen = server.seen();
    assert_eq!((seen.len(), stats.delivered, stats.retries), (3, 8, 2));
    assert!(seen[0].body == seen[1].body && seen[1].body == seen[2].body);
}

#[tokio::test]
async fn what_a_receiver_refuses_is_counted_and_not_sent_again() {
    let partial_success = Some(ExportTracePartialSuccess { rejected_spans: 3, error_message: "too old".into() });
    let body = ExportTraceServiceResponse { partial_success }.encode_to_vec();
    let partial = Reply::Tells(200, vec![("content-type", "application/x-protobuf".into())], body.into());
    let server = receiver([partial]).await;
    let stats = deliver(&server).await;
    assert_eq!((stats.delivered, stats.dropped.rejected, stats.requests), (5, 3, 1));
}

#[tokio::test]
async fn a_large_request_is_halved_and_a_poisonous_record_costs_itself_alone() {
    let bad = || Reply::Says(400, "no".into());
    // 8 records: all, the first four, the first two, the first one.
    let server = receiver([Reply::Says(413, String::new()), bad(), bad(), bad()]).await;
    let stats = deliver(&server).await;
    assert_eq!((stats.delivered, stats.dropped.rejected, stats.requests), (7, 1, 7));
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_hangs_is_given_up() {
    let server = receiver([Reply::Hangs]).await;
    let exporter = exporter(&server);
    let payload = exporter.encode(&calls()).unwrap();
    let delivery = exporter.send(&payload).await;
    assert_eq!(delivery, Delivery::Retry { after: None, why: "no answer within 5000 ms".into() });
}

#[tokio::test]
async fn a_batch_too_large_for_one_request_is_cut_before_it_is_sent() {
    let server = receiver([]).await;
    let exporter = exporter(&server);
    let mut record = testing::minimal("a");
    record["request"]["messages"] = json!([{"role": "user", "content": "x".repeat(900_000)}]);
    let records = vec![testing::from_json(record); 5];
    assert!(matches!(exporter.send(&exporter.encode(&records).unwrap()).await, Delivery::Split { .. }));
    assert_eq!(exporter.send(&exporter.encode(&records[..2]).unwrap()).await, Delivery::Accepted);
    assert_eq!(server.seen().len(), 1, "what was too large was never sent");
}

#[tokio::test]
async fn a_single_call_always_fits_and_says_what_is_missing() {
    let server = receiver([]).await;
    let exporter = exporter(&server);
    let mut record = testing::minimal("a");
    let messages: Vec<_> =
        (0..50).map(|n| json!({"role": "user", "content": format!("{n}{}", "ü".repeat(500_000))})).collect();
    record["request"]["messages"] = json!(messages);
    record["response"]["text"] = json!("short");
    assert_eq!(exporter.send(&exporter.encode(&[testing::from_json(record)]).unwrap()).await, Delivery::Accepted);
    let seen = server.seen();
    let bytes = inflated(&seen[0]);
    assert!((1_000_000..MAX_REQUEST).contains(&bytes.len()), "{}", bytes.len());
    let request = readable(&bytes);
    let attributes = &super::span(&request)["attributes"];
    let cut = attributes["ai_tracing.truncated"].as_array().unwrap();
    assert!(
        cut.contains(&json!("gen_ai.prompt.49.content")) && cut.contains(&json!("gen_ai.input.messages")),
        "{cut:?}"
    );
    assert!(!cut.contains(&json!("gen_ai.completion.0.content")));
    let input: Vec<serde_json::Value> =
        serde_json::from_str(attributes["gen_ai.input.messages"].as_str().unwrap()).unwrap();
    assert!(input.last().unwrap()["parts"][0]["content"].as_str().unwrap().starts_with("49ü"));
    assert_eq!(attributes["gen_ai.completion.0.content"], "short");
}

#[tokio::test]
async fn secrets_stand_in_no_name_and_no_reason() {
    let said = "Api-Token dt0c01.secret and dt0c01.secret of tenant 1";
    let server = receiver([401, 500, 400].map(|status| Reply::Says(status, said.into()))).await;
    let exporter = exporter(&server);
    let mut told = exporter.label();
    for _ in 0..3 {
        told += &format!("{:?}", once(&exporter).await);
    }
    assert!(!told.contains("secret"), "{told}");
    assert_eq!(told.matches("[hidden] and [hidden] of tenant 1").count(), 3, "{told}");
}
