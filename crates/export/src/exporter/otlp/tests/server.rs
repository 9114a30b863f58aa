//! The exporter against a server on a local port that plays a receiver.

use std::sync::Arc;
use std::time::Duration;

use ai_tracing_config::ai_tracing::{OtlpProtocol, OtlpSemconv};
use bytes::Bytes;
use prost::Message as _;
use serde_json::json;

use super::super::target::Target;
use super::super::{Config, Otlp};
use super::MAX;
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
        target: Target {
            url: format!("http://{}/api/v2/otlp/v1/traces", server.address),
            protocol: OtlpProtocol::Http,
            headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            timeout: Duration::from_secs(5),
        },
        semconv: OtlpSemconv::Both,
        resource: vec![("service.name".into(), "ai-tracing".into())],
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
    assert!((1_000_000..MAX).contains(&bytes.len()), "{}", bytes.len());
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

/// An answer of gRPC: a message in its frame, and the status.
fn ends(message: &[u8], trailers: &[(&'static str, &str)]) -> Reply {
    let mut body = vec![0];
    body.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    body.extend(message);
    Reply::Ends(body.into(), trailers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect())
}

fn by_grpc(server: &Server) -> Otlp {
    by_grpc_within(server, Duration::from_secs(5))
}

fn by_grpc_within(server: &Server, timeout: Duration) -> Otlp {
    let mut config = config(server);
    config.target.timeout = timeout;
    config.target.url = format!("http://{}", server.address);
    config.target.protocol = OtlpProtocol::Grpc;
    Otlp::new(config, Client::new().unwrap()).unwrap()
}

#[tokio::test]
async fn a_call_is_what_grpc_wants() {
    let server = receiver([ends(b"", &[("grpc-status", "0")])]).await;
    let exporter = by_grpc(&server);
    assert_eq!(exporter.label(), format!("otlp http://{}", server.address));
    assert_eq!(once(&exporter).await, Delivery::Accepted);
    let seen = server.seen();
    assert_eq!(seen[0].path, "/opentelemetry.proto.collector.trace.v1.TraceService/Export");
    for (name, value) in [
        ("content-type", "application/grpc+proto"),
        ("grpc-encoding", "gzip"),
        ("te", "trailers"),
        ("authorization", "Api-Token dt0c01.secret"),
        ("x-tenant", "1"),
    ] {
        assert_eq!(seen[0].headers.get(name).unwrap(), value, "{name}");
    }
    assert!(seen[0].headers.get("content-encoding").is_none());
    let (prefix, message) = seen[0].body.split_at(5);
    assert_eq!((prefix[0], prefix[1..].to_vec()), (1, u32::try_from(message.len()).unwrap().to_be_bytes().to_vec()));
    let mut inflated = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(message), &mut inflated).unwrap();
    assert!(!readable(&inflated).as_array().unwrap().is_empty());
}

#[tokio::test]
async fn the_status_of_a_call_is_heard() {
    let partial_success = Some(ExportTracePartialSuccess { rejected_spans: 3, error_message: "too old".into() });
    let partial = ExportTraceServiceResponse { partial_success }.encode_to_vec();
    let alone = vec![("grpc-status", "16".to_owned()), ("grpc-message", "who is dt0c01.secret?".to_owned())];
    let server = receiver([
        ends(&partial, &[("grpc-status", "0")]),
        ends(b"", &[("grpc-status", "14"), ("grpc-message", "not%20yet")]),
        Reply::Tells(200, alone, Bytes::new()),
    ])
    .await;
    let exporter = by_grpc(&server);
    let Delivery::Short { refused, .. } = once(&exporter).await else { panic!() };
    assert_eq!(refused, 3);
    assert_eq!(once(&exporter).await, Delivery::Retry { after: None, why: "gRPC UNAVAILABLE: not yet".into() });
    let Delivery::Retry { why, .. } = once(&exporter).await else { panic!() };
    assert_eq!(why, "gRPC UNAUTHENTICATED: who is [hidden]?: check otlp_headers and otlp_endpoint");
}

#[tokio::test]
async fn a_message_stays_below_what_grpc_takes() {
    let server = receiver([ends(b"", &[("grpc-status", "0")])]).await;
    let exporter = by_grpc(&server);
    let mut record = testing::minimal("a");
    record["request"]["messages"] = json!([{"role": "user", "content": "x".repeat(900_000)}]);
    let records = vec![testing::from_json(record); 3];
    assert!(matches!(exporter.send(&exporter.encode(&records).unwrap()).await, Delivery::Split { .. }));
    assert_eq!(exporter.send(&exporter.encode(&records[..2]).unwrap()).await, Delivery::Accepted);
}

#[tokio::test]
async fn a_receiver_that_speaks_http_alone_is_tried_again() {
    // HTTP/1.1 alone: it takes the beginning of HTTP/2 for nonsense.
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let mut config = Server::start([], |_| (200, String::new())).await;
    config.address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let service = hyper::service::service_fn(|_| async {
            Ok::<_, std::convert::Infallible>(http::Response::new(http_body_util::Full::new(Bytes::new())))
        });
        let io = hyper_util::rt::TokioIo::new(stream);
        let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
    });
    assert!(matches!(once(&by_grpc(&config)).await, Delivery::Retry { after: None, .. }));
    serving.await.unwrap();
}

#[tokio::test]
async fn a_connection_that_has_gone_silent_gets_no_second_call() {
    let ok = || ends(b"", &[("grpc-status", "0")]);
    let server = receiver([ok(), ok(), Reply::Hangs, ok()]).await;
    // Shorter than the time after which an idle connection is closed anyway.
    let exporter = Arc::new(by_grpc_within(&server, Duration::from_secs(3)));
    for _ in 0..2 {
        assert_eq!(once(&exporter).await, Delivery::Accepted);
    }
    assert_eq!(server.connections(), 1, "calls share a connection");
    let sending = Arc::clone(&exporter);
    let sending = tokio::spawn(async move { once(&sending).await });
    server.wait(3).await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_millis(3100)).await;
    assert_eq!(sending.await.unwrap(), Delivery::Retry { after: None, why: "no answer within 3000 ms".into() });
    tokio::time::resume();
    assert_eq!(once(&exporter).await, Delivery::Accepted);
    assert_eq!(server.connections(), 2);
}
