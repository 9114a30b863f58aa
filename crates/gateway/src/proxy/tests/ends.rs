//! However a call ends, the client has exactly the upstream's bytes and the record says how it ended, once.

use std::time::Duration;

use ai_tracing_core::record::End;
use serde_json::json;

use super::harness::*;

#[tokio::test]
async fn a_whole_answer_is_complete() {
    let upstream = Upstream::bind().await;
    let mut gateway = Gateway::start(upstream.address(), Setup::default()).await;
    let (mut client, mut peer) = call(&gateway, &upstream).await;
    peer.write(ok(ANSWER)).await;
    assert_eq!(client.read_head().await.first_line(), "HTTP/1.1 200 OK");
    assert_eq!(client.read_exact(ANSWER.len()).await, ANSWER);
    // The upstream's connection is still open: the end is known from the length alone.
    let record = gateway.record().await;
    assert_eq!((record.end, record.status, record.usage.total), (End::Complete, Some(200), Some(7)));
    assert_eq!((record.service.as_deref(), record.route.as_deref()), (Some("llm"), Some("all")));
    assert_eq!(record.response.text.as_deref(), Some("hello"));
    drop((client, peer));
    assert!(gateway.stop().await);
}

#[tokio::test]
async fn a_stream_passes_piece_by_piece() {
    let upstream = Upstream::bind().await;
    let mut gateway = Gateway::start(upstream.address(), Setup::default()).await;
    let (mut client, mut peer) = call(&gateway, &upstream).await;
    peer.write(STREAM_HEAD).await;
    client.read_head().await;
    let writing = |gateway: &Gateway| {
        let stats = gateway.counters.read();
        (stats.connections_writing, stats.connections_waiting)
    };
    assert_eq!(writing(&gateway), (1, 0));
    for text in ["one", "two", "three"] {
        // The next piece is not written before the client has this one.
        let piece = chunk(&event(text));
        peer.write(&piece).await;
        assert_eq!(client.read_exact(piece.len()).await, piece);
    }
    peer.write(chunk("data: [DONE]\n\n")).await;
    peer.write("0\r\n\r\n").await;
    assert_eq!(client.read_until("0\r\n\r\n").await, chunk("data: [DONE]\n\n") + "0\r\n\r\n");
    let record = gateway.record().await;
    assert_eq!((record.end, record.stream), (End::Complete, true));
    assert_eq!(record.response.text.as_deref(), Some("onetwothree"));
    assert!(record.timing.time_to_first_token_ms.is_some());
    assert_eq!(writing(&gateway), (0, 1));
    drop((client, peer));
    gateway.stop().await;
}

#[tokio::test]
async fn trailers_are_the_end() {
    let upstream = Upstream::bind().await;
    let mut gateway = Gateway::start(upstream.address(), Setup::default()).await;
    for te in ["", "TE: trailers\r\n"] {
        let mut client = gateway.client().await;
        client.write(post("/v1/chat/completions", te, CHAT)).await;
        let mut peer = upstream.accept().await;
        peer.read_head().await;
        peer.read_exact(CHAT.len()).await;
        let head = "HTTP/1.1 200 OK\r\nTrailer: x-sum\r\nTransfer-Encoding: chunked\r\n\r\n";
        peer.write(head.to_owned() + &chunk(ANSWER) + "0\r\nx-sum: 1\r\n\r\n").await;
        client.read_until("0\r\n").await;
        assert_eq!(gateway.record().await.end, End::Complete);
        // The next call connects anew.
        drop((client, peer));
    }
    gateway.stop().await;
}

#[tokio::test]
async fn no_body_ends_with_the_head() {
    let upstream = Upstream::bind().await;
    let mut gateway = Gateway::start(upstream.address(), Setup::default()).await;
    let (mut client, mut peer) = call(&gateway, &upstream).await;
    peer.write("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(client.read_head().await.first_line(), "HTTP/1.1 204 No Content");
    let record = gateway.record().await;
    assert_eq!((record.end, record.status), (End::Complete, Some(204)));
    drop((client, peer));
    gateway.stop().await;
}

#[tokio::test]
async fn an_answer_that_ends_with_its_connection_is_complete() {
    let upstream = Upstream::bind().await;
    let mut gateway = Gateway::start(upstream.address(), Setup::default()).await;
    let (mut client, mut peer) = call(&gateway, &upstream).await;
    peer.write(format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{ANSWER}")).await;
    drop(peer);
    assert_eq!(client.read_head().await.get("transfer-encoding"), Some("chunked"));
    assert_eq!(client.read_until("0\r\n\r\n").await, chunk(ANSWER) + "0\r\n\r\n");
    assert_eq!(gateway.record().await.end, End::Complete);
    drop(client);
    gateway.stop().await;
}

#[tokio::test]
async fn a_client_that_goes_before_the_head_is_gone() {
    let upstream = Upstream::bind().await;
    let mut gateway = Gateway::start(upstream.address(), Setup::default()).await;
    let (client, mut peer) = call(&gateway, &upstream).await;
    drop(client);
    let record = gateway.record().await;
    assert_eq!((record.end, record.status), (End::ClientGone, None));
    assert_eq!(record.request.model.as_deref(), Some("gpt-4"));
    // The upstream is told: its connection ends.
    assert_eq!(peer.read_to_end().await, "");
    gateway.stop().await;
}

#[tokio::test]
async fn a_client_that_goes_in_the_middle_leaves_what_had_passed() {
    for by_reset in [false, true] {
        let upstream = Upstream::bind().await;
        let mut gateway = Gateway::start(upstream.address(), Setup::default()).await;
        let (mut client, mut peer) = call(&gateway, &upstream).await;
        peer.write(STREAM_HEAD.to_owned() + &chunk(&event("half"))).await;
        client.read_until("half").await;
        if by_reset {
            client.reset()
        } else {
            drop(client)
        }
        let record = gateway.record().await;
        assert_eq!((record.end, record.status), (End::ClientGone, Some(200)));
        assert_eq!(record.response.text.as_deref(), Some("half"));
        assert_eq!(peer.read_to_end().await, "");
        gateway.stop().await;
    }
}

#[tokio::test]
async fn a_client_that_goes_while_uploading_is_gone() {
    let upstream = Upstream::bind().await;
    let mut gateway = Gateway::start(upstream.address(), Setup::default()).await;
    let mut client = gateway.client().await;
    client.write(&chat()[..chat().len() - 10]).await;
    let mut peer = upstream.accept().await;
    peer.read_head().await;
    peer.read_exact(CHAT.len() - 10).await;
    drop(client);
    let record = gateway.record().await;
    assert_eq!((record.end, record.status), (End::ClientGone, None));
    assert_eq!(peer.read_to_end().await, "");
    gateway.stop().await;
}

#[tokio::test]
async fn an_upstream_that_ends_before_the_head_is_a_502() {
    // Silence, garbage, half a head.
    for said in ["", "SSH-2.0-OpenSSH_9.2\r\n", "HTTP/1.1 200 OK\r\nContent-Le"] {
        let upstream = Upstream::bind().await;
        let mut gateway = Gateway::start(upstream.address(), Setup::default()).await;
        let (mut client, mut peer) = call(&gateway, &upstream).await;
        peer.write(said).await;
        drop(peer);
        let head = client.read_head().await;
        assert_eq!(head.first_line(), "HTTP/1.1 502 Bad Gateway", "{said:?}");
        assert_eq!(head.get("content-type"), Some("application/json; charset=utf-8"));
        let body: serde_json::Value =
            serde_json::from_str(&client.read_exact(head.get("content-length").unwrap().parse().unwrap()).await)
                .unwrap();
        assert_eq!(
            body,
            json!({
                "message": "An invalid response was received from the upstream server",
                "request_id": head.get("x-kong-request-id").unwrap(),
            })
        );
        let record = gateway.record().await;
        assert_eq!((record.end, record.status), (End::UpstreamError, Some(502)), "{said:?}");
        drop(client);
        gateway.stop().await;
    }
}

#[tokio::test]
async fn an_upstream_that_breaks_off_breaks_the_client_off() {
    for by_reset in [false, true] {
        // It lies about the length.
        let upstream = Upstream::bind().await;
        let mut gateway = Gateway::start(upstream.address(), Setup::default()).await;
        let (mut client, mut peer) = call(&gateway, &upstream).await;
        peer.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf").await;
        assert_eq!(client.read_head().await.get("content-length"), Some("100"));
        assert_eq!(client.read_exact(4).await, "half");
        if by_reset {
            peer.reset()
        } else {
            drop(peer)
        }
        assert_eq!(client.read_to_end().await, "");
        assert_eq!(gateway.record().await.end, End::UpstreamError);
        gateway.stop().await;

        // It ends in the middle of a stream: the client must not take it for the end.
        let upstream = Upstream::bind().await;
        let mut gateway = Gateway::start(upstream.address(), Setup::default()).await;
        let (mut client, mut peer) = call(&gateway, &upstream).await;
        let piece = chunk(&event("half"));
        peer.write(STREAM_HEAD.to_owned() + &piece).await;
        client.read_head().await;
        assert_eq!(client.read_exact(piece.len()).await, piece);
        if by_reset {
            peer.reset()
        } else {
            drop(peer)
        }
        assert_eq!(client.read_to_end().await, "");
        let record = gateway.record().await;
        assert_eq!((record.end, record.response.text.as_deref()), (End::UpstreamError, Some("half")));
        gateway.stop().await;
    }
}

#[tokio::test]
async fn bytes_after_the_announced_length_do_not_pass() {
    let upstream = Upstream::bind().await;
    let mut gateway = Gateway::start(upstream.address(), Setup::default()).await;
    let (mut client, mut peer) = call(&gateway, &upstream).await;
    peer.write(ok(ANSWER) + "and more").await;
    client.read_head().await;
    assert_eq!(client.read_exact(ANSWER.len()).await, ANSWER);
    assert_eq!(gateway.record().await.end, End::Complete);
    // The connection is not used again.
    client.write(chat()).await;
    let mut second = upstream.accept().await;
    second.read_head().await;
    second.write(ok(ANSWER)).await;
    client.read_head().await;
    assert_eq!(client.read_exact(ANSWER.len()).await, ANSWER);
    assert_eq!(gateway.record().await.end, End::Complete);
    drop((client, peer, second));
    gateway.stop().await;
}

fn impatient() -> Setup {
    Setup { service: json!({ "read_timeout": 100, "write_timeout": 100 }), ..Setup::default() }
}

#[tokio::test]
async fn an_upstream_that_hangs_before_the_head_is_a_504() {
    let upstream = Upstream::bind().await;
    let mut gateway = Gateway::start(upstream.address(), impatient()).await;
    let (mut client, mut peer) = call(&gateway, &upstream).await;
    let head = client.read_head().await;
    assert_eq!(head.first_line(), "HTTP/1.1 504 Gateway Timeout");
    assert!(client.read_until("}").await.contains("The upstream server is timing out"));
    let record = gateway.record().await;
    assert_eq!((record.end, record.status), (End::Timeout, Some(504)));
    assert!(record.timing.total_duration_ms >= 100.0);
    assert_eq!(peer.read_to_end().await, "");
    drop(client);
    gateway.stop().await;
}

#[tokio::test]
async fn an_upstream_that_hangs_in_the_middle_breaks_the_client_off() {
    let upstream = Upstream::bind().await;
    let mut gateway = Gateway::start(upstream.address(), impatient()).await;
    let (mut client, mut peer) = call(&gateway, &upstream).await;
    let piece = chunk(&event("half"));
    peer.write(STREAM_HEAD.to_owned() + &piece).await;
    client.read_head().await;
    assert_eq!(client.read_to_end().await, piece);
    let record = gateway.record().await;
    assert_eq!((record.end, record.status, record.response.text.as_deref()), (End::Timeout, Some(200), Some("half")));
    assert_eq!(peer.read_to_end().await, "");
    gateway.stop().await;
}

#[tokio::test]
async fn an_upstream_that_takes_no_more_of_the_request_is_a_504() {
    let upstream = Upstream::bind().await;
    let mut gateway = Gateway::start(upstream.address(), impatient()).await;
    let mut client = gateway.client().await;
    client
        .write("POST /v1/chat/completions HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: 1000000000\r\n\r\n")
        .await;
    let peer = upstream.accept().await;
    // The client has more to send than the sockets between can hold, and the upstream reads nothing.
    let (mut reading, mut writing) = tokio::io::split(client.stream);
    let flood = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        while writing.write_all(&[b' '; 1 << 16]).await.is_ok() {}
    });
    let mut answer = Vec::new();
    use tokio::io::AsyncReadExt;
    while !answer.ends_with(b"}") {
        assert_ne!(soon("the answer", reading.read_buf(&mut answer)).await.unwrap(), 0);
    }
    assert!(answer.starts_with(b"HTTP/1.1 504 Gateway Timeout"));
    assert_eq!(gateway.record().await.end, End::Timeout);
    drop((reading, peer));
    flood.await.unwrap();
    gateway.stop().await;
}

#[tokio::test]
async fn what_has_connected_before_the_stop_is_served() {
    let upstream = Upstream::bind().await;
    let mut gateway = Gateway::start(upstream.address(), Setup::default()).await;
    let mut records = gateway.take_records();
    // Nothing of the gateway's runs meanwhile: the connection waits to be accepted.
    let mut client = std::net::TcpStream::connect(gateway.address).unwrap();
    std::io::Write::write_all(&mut client, chat().as_bytes()).unwrap();
    let stopping = tokio::spawn(gateway.stop_within(Duration::from_secs(20)));
    let mut peer = upstream.accept().await;
    peer.read_head().await;
    peer.read_exact(CHAT.len()).await;
    peer.write(ok(ANSWER)).await;
    client.set_nonblocking(true).unwrap();
    let mut client = Peer::new(tokio::net::TcpStream::from_std(client).unwrap());
    client.read_until(ANSWER).await;
    assert!(stopping.await.unwrap());
    assert_eq!(soon("a record", records.recv()).await.unwrap().end, End::Complete);
}

#[tokio::test]
async fn what_is_under_way_at_the_stop_finishes_or_is_cut() {
    for finishes in [true, false] {
        let upstream = Upstream::bind().await;
        let mut gateway = Gateway::start(upstream.address(), Setup::default()).await;
        let (mut client, mut peer) = call(&gateway, &upstream).await;
        let mut idle = gateway.client().await;
        peer.write(STREAM_HEAD.to_owned() + &chunk(&event("one"))).await;
        client.read_until("one").await;
        let address = gateway.address;
        let mut records = gateway.take_records();
        let drain = if finishes { Duration::from_secs(20) } else { Duration::from_millis(50) };
        let stopping = tokio::spawn(gateway.stop_within(drain));
        // An idle connection ends at once.
        assert_eq!(idle.read_to_end().await, "");
        if finishes {
            peer.write(chunk(&event("two")) + "0\r\n\r\n").await;
            client.read_until("two").await;
            client.read_until("0\r\n\r\n").await;
        }
        assert_eq!(stopping.await.unwrap(), finishes);
        let record = soon("a record", records.recv()).await.unwrap();
        assert_eq!(record.end, if finishes { End::Complete } else { End::ClientGone });
        let cut = record.issues.iter().any(|issue| issue == "cut by the gateway's stop");
        assert_eq!(cut, !finishes, "{:?}", record.issues);
        assert!(tokio::net::TcpStream::connect(address).await.is_err());
    }
}
