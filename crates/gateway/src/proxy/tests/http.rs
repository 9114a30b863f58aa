//! HTTP between the two sides: connections, routes, headers, and the parts of the protocol that are easily lost.

use serde_json::json;

use super::harness::*;

/// Sends a request and returns the head that the upstream gets.
async fn seen(gateway: &Gateway, upstream: &Upstream, request: &str) -> Head {
    let mut client = gateway.client().await;
    client.write(request).await;
    let mut peer = upstream.accept().await;
    let head = peer.read_head().await;
    peer.write(ok("{}")).await;
    client.read_until("{}").await;
    head
}

#[tokio::test]
async fn connections_are_used_again() {
    let upstream = Upstream::bind().await;
    let mut gateway = Gateway::start(upstream.address(), Setup::default()).await;
    let (mut client, mut peer) = call(&gateway, &upstream).await;
    for answer in [ok(ANSWER), STREAM_HEAD.to_owned() + &chunk(ANSWER) + "0\r\n\r\n", ok(ANSWER)] {
        peer.write(&answer).await;
        client.read_until(ANSWER).await;
        if answer.ends_with("0\r\n\r\n") {
            client.read_until("0\r\n\r\n").await;
        }
        gateway.record().await;
        // Another client, the same connection to the upstream.
        client = gateway.client().await;
        client.write(chat()).await;
        peer.read_head().await;
        assert_eq!(peer.read_exact(CHAT.len()).await, CHAT);
    }
    peer.write(ok(ANSWER)).await;
    client.read_until(ANSWER).await;
    gateway.record().await;
    drop((client, peer));
    gateway.stop().await;
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_costs_nothing() {
    let upstream = Upstream::bind().await;
    let mut gateway = Gateway::start(upstream.address(), Setup::default()).await;
    let (mut client, mut peer) = call(&gateway, &upstream).await;
    peer.write(ok(ANSWER)).await;
    client.read_until(ANSWER).await;
    gateway.record().await;
    drop(peer);
    client.write(chat()).await;
    let mut peer = upstream.accept().await;
    peer.read_head().await;
    assert_eq!(peer.read_exact(CHAT.len()).await, CHAT);
    peer.write(ok(ANSWER)).await;
    client.read_until(ANSWER).await;
    gateway.record().await;
    drop((client, peer));
    gateway.stop().await;
}

#[tokio::test]
async fn an_upstream_that_cannot_be_reached_is_a_502_or_a_503() {
    let gone = Upstream::bind().await.address();
    for (host, status, message) in [
        ("127.0.0.1", 502, "An invalid response was received from the upstream server"),
        // A label of more than 63 characters: refused by the resolver itself, whatever network there is.
        (
            concat!("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", ".invalid"),
            503,
            "name resolution failed",
        ),
    ] {
        let setup = Setup { service: json!({ "host": host, "retries": 2 }), ..Setup::default() };
        let mut gateway = Gateway::start(gone, setup).await;
        let mut client = gateway.client().await;
        client.write(chat()).await;
        let head = client.read_head().await;
        assert!(head.first_line().starts_with(&format!("HTTP/1.1 {status} ")), "{head:?}");
        assert!(client.read_until("}").await.contains(message));
        let record = gateway.record().await;
        assert_eq!((record.end.as_str(), record.status), ("upstream_error", Some(status)));
        drop(client);
        gateway.stop().await;
    }
}

#[tokio::test]
async fn headers_are_those_that_kong_sends() {
    let upstream = Upstream::bind().await;
    let setup = Setup {
        service: json!({ "path": "/base" }),
        route: json!({ "paths": ["/llm"], "strip_path": true, "hosts": ["gateway.test"] }),
        ..Setup::default()
    };
    let gateway = Gateway::start(upstream.address(), setup).await;
    let port = gateway.address.port().to_string();
    let request = "GET /llm/models?limit=1 HTTP/1.1\r\nHost: Gateway.test:8000\r\nConnection: close, X-Hop\r\n\
                   X-Hop: 1\r\nX-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\ntraceparent: tp\r\n\r\n";
    let head = seen(&gateway, &upstream, request).await;
    assert_eq!(head.first_line(), "GET /base/models?limit=1 HTTP/1.1");
    let expected = [
        ("host", Some(upstream.address().to_string())),
        ("x-forwarded-for", Some("203.0.113.9, 127.0.0.1".into())),
        ("x-forwarded-proto", Some("http".into())),
        ("x-forwarded-host", Some("gateway.test".into())),
        ("x-forwarded-port", Some(port)),
        ("x-forwarded-path", Some("/llm/models".into())),
        ("x-forwarded-prefix", Some("/llm".into())),
        ("x-real-ip", Some("127.0.0.1".into())),
        ("via", Some(format!("1.1 {}", crate::proxy::headers::PRODUCT))),
        ("connection", None),
        ("x-hop", None),
        // No LLM traffic: left alone.
        ("traceparent", Some("tp".into())),
    ];
    for (name, value) in expected {
        assert_eq!(head.get(name), value.as_deref(), "{name}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn the_clients_host_is_preserved_on_demand() {
    let upstream = Upstream::bind().await;
    let gateway =
        Gateway::start(upstream.address(), Setup { route: json!({ "preserve_host": true }), ..Setup::default() }).await;
    let head = seen(&gateway, &upstream, "GET / HTTP/1.1\r\nHost: Gateway.test:8000\r\n\r\n").await;
    assert_eq!(head.get("host"), Some("Gateway.test:8000"));
    gateway.stop().await;
}

#[tokio::test]
async fn a_traced_call_hands_its_own_span_on() {
    let upstream = Upstream::bind().await;
    let mut gateway = Gateway::start(upstream.address(), Setup::default()).await;
    let context = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\ntracestate: k=v\r\n";
    let head = seen(&gateway, &upstream, &post("/v1/chat/completions", context, CHAT)).await;
    let record = gateway.record().await;
    assert_eq!(record.trace_id, "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(record.parent_span_id.as_deref(), Some("00f067aa0ba902b7"));
    let parent = format!("00-{}-{}-01", record.trace_id, record.span_id);
    assert_eq!((head.get("traceparent"), head.get("tracestate")), (Some(parent.as_str()), Some("k=v")));
    gateway.stop().await;
}

#[tokio::test]
async fn answers_tell_request_id_and_latencies() {
    let upstream = Upstream::bind().await;
    let mut gateway = Gateway::start(upstream.address(), Setup::default()).await;
    let (mut client, mut peer) = call(&gateway, &upstream).await;
    peer.write("HTTP/1.1 429 Slow Down\r\nServer: vllm\r\nConnection: x-hop\r\nX-Hop: 1\r\nRetry-After: 1\r\nContent-Length: 2\r\n\r\n{}").await;
    let head = client.read_head().await;
    // The upstream's own words, its reason phrase included.
    assert_eq!(head.first_line(), "HTTP/1.1 429 Slow Down");
    assert_eq!((head.get("server"), head.get("retry-after"), head.get("x-hop")), (Some("vllm"), Some("1"), None));
    assert_eq!(head.get("x-kong-request-id").map(str::len), Some(32));
    for latency in ["x-kong-upstream-latency", "x-kong-proxy-latency"] {
        head.get(latency).unwrap().parse::<u64>().unwrap();
    }
    assert_eq!(gateway.record().await.status, Some(429));
    drop((client, peer));
    gateway.stop().await;
}

#[tokio::test]
async fn what_matches_no_route_is_a_404() {
    let upstream = Upstream::bind().await;
    let setup = Setup { route: json!({ "paths": ["/llm"] }), ..Setup::default() };
    let gateway = Gateway::start(upstream.address(), setup).await;
    let mut client = gateway.client().await;
    // Dots cannot reach past a route's path.
    for path in ["/v1/chat/completions", "/llm/../v1", "/llm/%2e%2e/v1"] {
        client.write(post(path, "", "{}")).await;
        let head = client.read_head().await;
        assert_eq!(head.first_line(), "HTTP/1.1 404 Not Found");
        let body = client.read_until("}").await;
        let id = head.get("x-kong-request-id").unwrap();
        assert_eq!(body, format!(r#"{{"message":"no Route matched with those values","request_id":"{id}"}}"#));
        assert_eq!(head.get("server"), Some(crate::proxy::headers::PRODUCT));
    }
    drop(client);
    gateway.stop().await;
}

#[tokio::test]
async fn plain_http_on_an_https_route_is_refused_or_redirected() {
    let upstream = Upstream::bind().await;
    for (code, line) in [(426, "HTTP/1.1 426 Upgrade Required"), (308, "HTTP/1.1 308 Permanent Redirect")] {
        let route = json!({ "protocols": ["https"], "https_redirect_status_code": code });
        let mut gateway = Gateway::start(upstream.address(), Setup { route, ..Setup::default() }).await;
        let mut client = gateway.client().await;
        client.write(post("/v1/chat/completions?a=b", "", CHAT)).await;
        let head = client.read_head().await;
        assert_eq!(head.first_line(), line);
        if code == 426 {
            assert_eq!(client.read_until("}").await, r#"{"message":"Please use HTTPS protocol"}"#);
            assert_eq!(head.get("upgrade"), Some("TLS/1.2, HTTP/1.1"));
        } else {
            assert_eq!(head.get("location"), Some("https://gateway.test/v1/chat/completions?a=b"));
        }
        let record = gateway.record().await;
        assert_eq!((record.end.as_str(), record.status), ("rejected", Some(code)));
        drop(client);
        gateway.stop().await;
    }
}

#[tokio::test]
async fn a_request_without_host_is_a_400() {
    let upstream = Upstream::bind().await;
    let gateway = Gateway::start(upstream.address(), Setup::default()).await;
    let mut client = gateway.client().await;
    client.write("GET / HTTP/1.1\r\n\r\n").await;
    assert_eq!(client.read_head().await.first_line(), "HTTP/1.1 400 Bad Request");
    drop(client);
    gateway.stop().await;
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let upstream = Upstream::bind().await;
    let gateway = Gateway::start(upstream.address(), Setup::default()).await;
    let mut client = gateway.client().await;
    client
        .write(
            "POST /upload HTTP/1.1\r\nHost: gateway.test\r\nTE: trailers\r\nTrailer: x-sum\r\n\
             Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 6\r\n\r\n",
        )
        .await;
    let mut peer = upstream.accept().await;
    let head = peer.read_head().await;
    assert_eq!(
        (head.get("te"), head.get("trailer"), head.get("transfer-encoding")),
        (Some("trailers"), Some("x-sum"), Some("chunked"))
    );
    assert_eq!(peer.read_until("x-sum: 6\r\n\r\n").await, "3\r\nabc\r\n0\r\nx-sum: 6\r\n\r\n");
    peer.write(
        "HTTP/1.1 200 OK\r\nTrailer: x-end\r\nTransfer-Encoding: chunked\r\n\r\n3\r\ndef\r\n0\r\nx-end: 1\r\n\r\n",
    )
    .await;
    assert_eq!(client.read_head().await.get("trailer"), Some("x-end"));
    assert_eq!(client.read_until("x-end: 1\r\n\r\n").await, "3\r\ndef\r\n0\r\nx-end: 1\r\n\r\n");
    drop((client, peer));
    gateway.stop().await;
}

#[tokio::test]
async fn an_answer_with_two_lengths_has_that_of_its_coding() {
    let upstream = Upstream::bind().await;
    let mut gateway = Gateway::start(upstream.address(), Setup::default()).await;
    let (mut client, mut peer) = call(&gateway, &upstream).await;
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n";
    let body = chunk(ANSWER) + "0\r\n\r\n";
    peer.write(head.to_owned() + &body).await;
    let head = client.read_head().await;
    assert_eq!((head.get("content-length"), head.get("transfer-encoding")), (None, Some("chunked")));
    assert_eq!(client.read_exact(body.len()).await, body);
    assert_eq!(gateway.record().await.end.as_str(), "complete");
    drop((client, peer));
    gateway.stop().await;
}

#[tokio::test]
async fn a_get_with_a_body_keeps_it() {
    let upstream = Upstream::bind().await;
    let gateway = Gateway::start(upstream.address(), Setup::default()).await;
    let mut client = gateway.client().await;
    client.write("GET /search HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n").await;
    let mut peer = upstream.accept().await;
    assert_eq!(peer.read_head().await.get("transfer-encoding"), Some("chunked"));
    assert_eq!(peer.read_until("0\r\n\r\n").await, "3\r\nabc\r\n0\r\n\r\n");
    drop((client, peer));
    gateway.stop().await;
}

#[tokio::test]
async fn the_gateway_itself_says_continue() {
    let upstream = Upstream::bind().await;
    let mut gateway = Gateway::start(upstream.address(), Setup::default()).await;
    let mut client = gateway.client().await;
    let request = post("/v1/chat/completions", "Expect: 100-continue\r\n", CHAT);
    let (head, body) = request.split_at(request.len() - CHAT.len());
    client.write(head).await;
    let mut peer = upstream.accept().await;
    assert_eq!(peer.read_head().await.get("expect"), None);
    assert_eq!(client.read_head().await.0, "HTTP/1.1 100 Continue\r\n\r\n");
    client.write(body).await;
    assert_eq!(peer.read_exact(CHAT.len()).await, CHAT);
    peer.write(ok(ANSWER)).await;
    client.read_until(ANSWER).await;
    assert_eq!(gateway.record().await.end.as_str(), "complete");
    drop((client, peer));
    gateway.stop().await;
}

#[tokio::test]
async fn an_answer_may_come_before_the_request_has_ended() {
    let upstream = Upstream::bind().await;
    let mut gateway = Gateway::start(upstream.address(), Setup::default()).await;
    let mut client = gateway.client().await;
    let request = chat();
    client.write(&request[..request.len() - 10]).await;
    let mut peer = upstream.accept().await;
    peer.read_head().await;
    peer.read_exact(CHAT.len() - 10).await;
    peer.write("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\n{}").await;
    assert_eq!(client.read_head().await.first_line(), "HTTP/1.1 401 Unauthorized");
    assert_eq!(client.read_exact(2).await, "{}");
    let record = gateway.record().await;
    assert_eq!((record.end.as_str(), record.status), ("complete", Some(401)));
    drop((client, peer));
    gateway.stop().await;
}

#[tokio::test]
async fn websockets_are_tunnels_whose_halves_close_apart() {
    let upstream = Upstream::bind().await;
    let gateway = Gateway::start(upstream.address(), Setup::default()).await;
    let mut client = gateway.client().await;
    client.write("GET /v1/realtime HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n").await;
    let mut peer = upstream.accept().await;
    let head = peer.read_head().await;
    assert_eq!((head.get("connection"), head.get("upgrade")), (Some("upgrade"), Some("websocket")));
    assert_eq!(head.get("sec-websocket-key"), Some("k"));
    peer.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: a\r\n\r\nfirst").await;
    let head = client.read_head().await;
    assert_eq!(head.first_line(), "HTTP/1.1 101 Switching Protocols");
    assert_eq!((head.get("upgrade"), head.get("sec-websocket-accept")), (Some("websocket"), Some("a")));
    assert_eq!(client.read_exact(5).await, "first");
    client.write("ping").await;
    assert_eq!(peer.read_exact(4).await, "ping");
    // The client has said all it has to say, the upstream has not.
    tokio::io::AsyncWriteExt::shutdown(&mut client.stream).await.unwrap();
    assert_eq!(peer.read_to_end().await, "");
    peer.write("pong").await;
    assert_eq!(client.read_exact(4).await, "pong");
    drop(peer);
    assert_eq!(client.read_to_end().await, "");
    assert!(gateway.stop().await);
}

#[tokio::test]
async fn the_state_of_a_trace_that_is_not_joined_is_dropped() {
    let upstream = Upstream::bind().await;
    let mut gateway = Gateway::start(upstream.address(), Setup::default()).await;
    let context = "traceparent: broken\r\ntracestate: k=v\r\n";
    let head = seen(&gateway, &upstream, &post("/v1/chat/completions", context, CHAT)).await;
    assert!(head.get("traceparent").is_some_and(|parent| parent.starts_with("00-")));
    assert_eq!(head.get("tracestate"), None);
    gateway.record().await;
    gateway.stop().await;
}

#[tokio::test]
async fn the_root_is_no_prefix() {
    let upstream = Upstream::bind().await;
    let setup = Setup { route: json!({ "strip_path": true }), ..Setup::default() };
    let gateway = Gateway::start(upstream.address(), setup).await;
    let head = seen(&gateway, &upstream, "GET /a HTTP/1.1\r\nHost: h\r\nX-Forwarded-Prefix: /b\r\n\r\n").await;
    assert_eq!((head.get("x-forwarded-path"), head.get("x-forwarded-prefix")), (Some("/a"), None));
    gateway.stop().await;
}

#[tokio::test]
async fn nobody_leaves_the_trace_by_asking_for_an_upgrade() {
    let upstream = Upstream::bind().await;
    let mut gateway = Gateway::start(upstream.address(), Setup::default()).await;
    let request = post("/v1/chat/completions", "Connection: Upgrade\r\nUpgrade: websocket\r\n", CHAT);
    let head = seen(&gateway, &upstream, &request).await;
    assert_eq!((head.get("connection"), head.get("upgrade")), (None, None));
    assert_eq!(gateway.record().await.end.as_str(), "complete");
    gateway.stop().await;
}

#[tokio::test]
async fn other_upgrades_are_not_passed_on() {
    let upstream = Upstream::bind().await;
    let gateway = Gateway::start(upstream.address(), Setup::default()).await;
    let request =
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n";
    let head = seen(&gateway, &upstream, request).await;
    assert_eq!((head.get("connection"), head.get("upgrade"), head.get("http2-settings")), (None, None, None));
    gateway.stop().await;
}

#[tokio::test]
async fn other_traffic_passes_without_a_trace() {
    let upstream = Upstream::bind().await;
    for traced in [true, false] {
        let gateway = Gateway::start(upstream.address(), Setup { traced, ..Setup::default() }).await;
        let path = if traced { "/health" } else { "/v1/chat/completions" };
        let head = seen(&gateway, &upstream, &post(path, "", CHAT)).await;
        assert_eq!(head.get("traceparent"), None);
        gateway.stop().await;
    }
}
