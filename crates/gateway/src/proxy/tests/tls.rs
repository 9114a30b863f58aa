//! TLS and HTTP/2, on both sides.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use serde_json::json;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::harness::*;

struct Identity {
    acceptor: TlsAcceptor,
    roots: RootCertStore,
}

/// A certificate for `localhost` that nobody knows.
fn identity(protocols: &[&[u8]]) -> Identity {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    Identity { acceptor: TlsAcceptor::from(Arc::new(config)), roots }
}

fn https(verify: Option<bool>) -> serde_json::Value {
    json!({ "protocol": "https", "host": "localhost", "tls_verify": verify, "retries": 1 })
}

#[tokio::test]
async fn an_unknown_certificate_is_refused_unless_verification_is_off() {
    let identity = identity(&[]);
    for (verify, status) in [(None, "502"), (Some(true), "502"), (Some(false), "200")] {
        let upstream = Upstream::bind().await;
        let mut gateway =
            Gateway::start(upstream.address(), Setup { service: https(verify), ..Setup::default() }).await;
        let mut client = gateway.client().await;
        client.write(chat()).await;
        let accepted = soon("TLS", identity.acceptor.accept(upstream.accept().await.stream)).await;
        if let Ok(stream) = accepted {
            let mut peer = Peer::new(stream);
            if status == "200" {
                assert_eq!(
                    peer.read_head().await.get("host"),
                    Some(format!("localhost:{}", upstream.address().port()).as_str())
                );
                peer.read_exact(CHAT.len()).await;
                peer.write(ok(ANSWER)).await;
            }
        }
        assert!(client.read_head().await.first_line().contains(status), "{verify:?}");
        gateway.record().await;
        drop(client);
        gateway.stop().await;
    }
}

#[tokio::test]
async fn a_failed_connect_is_tried_again_with_the_whole_request() {
    let identity = identity(&[]);
    let upstream = Upstream::bind().await;
    let mut gateway =
        Gateway::start(upstream.address(), Setup { service: https(Some(false)), ..Setup::default() }).await;
    let mut client = gateway.client().await;
    client.write(chat()).await;
    // Broken off during the handshake, so nothing of the request was sent.
    drop(upstream.accept().await);
    let mut peer = Peer::new(identity.acceptor.accept(upstream.accept().await.stream).await.unwrap());
    peer.read_head().await;
    assert_eq!(peer.read_exact(CHAT.len()).await, CHAT);
    peer.write(ok(ANSWER)).await;
    client.read_until(ANSWER).await;
    let record = gateway.record().await;
    assert_eq!((record.end.as_str(), record.status), ("complete", Some(200)));
    drop((client, peer));
    gateway.stop().await;
}

/// A server that speaks HTTP/2 and answers with what it was asked.
async fn h2_upstream(upstream: Upstream, acceptor: TlsAcceptor) {
    loop {
        let stream = acceptor.accept(upstream.accept().await.stream).await.unwrap();
        let service = service_fn(async |request: Request<hyper::body::Incoming>| {
            assert_eq!(request.version(), Version::HTTP_2);
            let told = format!(
                "{} {} te={:?} host={:?}",
                request.method(),
                request.uri(),
                request.headers().get("te"),
                request.headers().get("host"),
            );
            let large = request.headers().get("x-large").cloned();
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let mut response = Response::new(Full::new(Bytes::from(ANSWER)));
            if let Some(large) = large {
                response.headers_mut().insert("x-large", large);
            }
            response.headers_mut().insert("x-told", told.parse().unwrap());
            response.headers_mut().insert("x-length", body.len().into());
            Ok::<_, hyper::Error>(response)
        });
        tokio::spawn(
            hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .max_header_list_size(1 << 20)
                .serve_connection(TokioIo::new(stream), service),
        );
    }
}

#[tokio::test]
async fn http2_on_both_sides_over_tls() {
    let (theirs, ours) = (identity(&[b"h2", b"http/1.1"]), identity(&[b"h2", b"http/1.1"]));
    let upstream = Upstream::bind().await;
    let address = upstream.address();
    let serving = tokio::spawn(h2_upstream(upstream, theirs.acceptor));
    let setup = Setup { service: https(Some(false)), tls: Some(ours.acceptor), ..Setup::default() };
    let mut gateway = Gateway::start(address, setup).await;

    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(ours.roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(gateway.tls_address.unwrap()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .max_header_list_size(1 << 20)
        .handshake(TokioIo::new(stream))
        .await
        .unwrap();
    let connection = tokio::spawn(connection);
    // Several calls at once on one connection, with heads as large as HTTP/1.1 takes them.
    let large = "x".repeat(60 << 10);
    let calls: Vec<_> = (0..5)
        .map(|_| {
            let request = Request::post("https://gateway.test/v1/chat/completions?x=1")
                .header("te", "trailers")
                .header("x-large", &large)
                .body(Full::new(Bytes::from(CHAT)))
                .unwrap();
            tokio::spawn(sender.send_request(request))
        })
        .collect();
    for call in calls {
        let response = soon("an answer", call).await.unwrap().unwrap();
        let told = format!(
            r#"POST https://localhost:{}/v1/chat/completions?x=1 te=Some("trailers") host=None"#,
            address.port()
        );
        assert_eq!(response.headers()["x-told"], told.as_str());
        assert_eq!(response.headers()["x-large"], large.as_str());
        assert_eq!(response.headers()["x-length"], CHAT.len().to_string().as_str());
        assert_eq!(response.headers()["via"], format!("2 {}", crate::proxy::headers::PRODUCT).as_str());
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), ANSWER);
        assert_eq!(gateway.record().await.end.as_str(), "complete");
    }
    drop(sender);
    connection.abort();
    gateway.stop().await;
    serving.abort();
}

#[tokio::test]
async fn http2_without_tls_and_a_stream_that_its_client_resets() {
    let upstream = Upstream::bind().await;
    let mut gateway = Gateway::start(upstream.address(), Setup::default()).await;
    let stream = TcpStream::connect(gateway.address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::post("http://gateway.test/v1/chat/completions")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .body(Full::new(Bytes::from(CHAT)))
        .unwrap();
    let answer = tokio::spawn(sender.send_request(request));
    let mut peer = upstream.accept().await;
    assert_eq!(peer.read_head().await.get("cookie"), Some("a=1; b=2"));
    peer.read_exact(CHAT.len()).await;
    peer.write(STREAM_HEAD.to_owned() + &chunk(&event("half"))).await;
    let mut response = soon("an answer", answer).await.unwrap().unwrap();
    let frame = soon("a frame", response.body_mut().frame()).await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), event("half"));
    // The connection stays, the stream goes.
    drop(response);
    let record = gateway.record().await;
    assert_eq!((record.end.as_str(), record.response.text.as_deref()), ("client_gone", Some("half")));
    assert_eq!(peer.read_to_end().await, "");
    drop(sender);
    connection.abort();
    gateway.stop().await;
}

#[tokio::test]
async fn no_call_follows_another_onto_an_http2_connection_that_hangs() {
    let identity = identity(&[b"h2"]);
    let upstream = Upstream::bind().await;
    let mut service = https(Some(false));
    service["read_timeout"] = json!(100);
    let mut gateway = Gateway::start(upstream.address(), Setup { service, ..Setup::default() }).await;
    let mut hanging = Vec::new();
    for _ in 0..2 {
        let mut client = gateway.client().await;
        client.write(chat()).await;
        // Each call makes a connection of its own, which is never answered on.
        let stream = identity.acceptor.accept(upstream.accept().await.stream).await.unwrap();
        hanging.push(stream);
        assert_eq!(client.read_head().await.first_line(), "HTTP/1.1 504 Gateway Timeout");
        assert_eq!(gateway.record().await.end.as_str(), "timeout");
    }
    drop(hanging);
    gateway.stop().await;
}

#[tokio::test]
async fn a_client_that_reads_slowly_holds_no_other_call_up() {
    let identity = identity(&[b"h2"]);
    let upstream = Upstream::bind().await;
    let address = upstream.address();
    let serving = tokio::spawn(async move {
        // One connection for all calls.
        let stream = identity.acceptor.accept(upstream.accept().await.stream).await.unwrap();
        let service = service_fn(async |request: Request<hyper::body::Incoming>| {
            let body = if request.uri().path() == "/file" { vec![b' '; 64 << 20].into() } else { Bytes::from(ANSWER) };
            Ok::<_, hyper::Error>(Response::new(Full::new(body)))
        });
        hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service)
            .await
    });
    let mut gateway = Gateway::start(address, Setup { service: https(Some(false)), ..Setup::default() }).await;
    let mut slow = Vec::new();
    for _ in 0..3 {
        let mut client = gateway.client().await;
        client.write("GET /file HTTP/1.1\r\nHost: h\r\n\r\n").await;
        assert_eq!(client.read_head().await.first_line(), "HTTP/1.1 200 OK");
        slow.push(client);
    }
    // Each has had time to use up what it may.
    for client in &mut slow {
        client.read_exact(8 << 20).await;
    }
    let mut client = gateway.client().await;
    client.write(chat()).await;
    client.read_until(ANSWER).await;
    assert_eq!(gateway.record().await.end.as_str(), "complete");
    drop((slow, client));
    gateway.stop().await;
    serving.abort();
}

#[tokio::test]
async fn a_websocket_to_an_upstream_that_offers_http2_is_http1() {
    let identity = identity(&[b"h2", b"http/1.1"]);
    let upstream = Upstream::bind().await;
    let gateway = Gateway::start(upstream.address(), Setup { service: https(Some(false)), ..Setup::default() }).await;
    // Another call's HTTP/2 connection is there already.
    let mut client = gateway.client().await;
    client.write("GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    let h2 = identity.acceptor.accept(upstream.accept().await.stream).await.unwrap();
    assert_eq!(h2.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let service = service_fn(async |_| Ok::<_, hyper::Error>(Response::new(Full::new(Bytes::from("{}")))));
    let serving = tokio::spawn(
        hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(h2), service),
    );
    client.read_until("{}").await;

    client.write("GET /v1/realtime HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").await;
    let stream = soon("TLS", identity.acceptor.accept(upstream.accept().await.stream)).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let mut peer = Peer::new(stream);
    assert_eq!(peer.read_head().await.get("upgrade"), Some("websocket"));
    peer.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nfirst").await;
    assert_eq!(client.read_head().await.first_line(), "HTTP/1.1 101 Switching Protocols");
    assert_eq!(client.read_exact(5).await, "first");
    drop((client, peer));
    gateway.stop().await;
    serving.abort();
}

#[tokio::test]
async fn a_handshake_does_not_hold_up_the_stop() {
    let upstream = Upstream::bind().await;
    let setup = Setup { tls: Some(identity(&[]).acceptor), ..Setup::default() };
    let gateway = Gateway::start(upstream.address(), setup).await;
    let mut client = Peer::new(TcpStream::connect(gateway.tls_address.unwrap()).await.unwrap());
    assert!(gateway.stop_within(std::time::Duration::from_secs(10)).await);
    assert_eq!(client.read_to_end().await, "");
}
