//! Large bodies, and how much of them is held.

use serde_json::json;
use tokio::io::AsyncReadExt;

use super::harness::*;

#[tokio::test]
async fn a_request_that_is_too_large_is_refused_at_once_or_when_it_shows() {
    let upstream = Upstream::bind().await;
    let announced = post("/v1/chat/completions", "", &" ".repeat(101));
    let counted = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{}{}0\r\n\r\n",
        chunk(&" ".repeat(100)),
        chunk(" "),
    );
    for request in [announced, counted] {
        let mut gateway = Gateway::start(upstream.address(), Setup { max_body: Some(100), ..Setup::default() }).await;
        let mut client = gateway.client().await;
        client.write(request).await;
        let head = client.read_head().await;
        assert_eq!(head.first_line(), "HTTP/1.1 413 Payload Too Large");
        assert!(client.read_until("}").await.contains("Payload too large"));
        let record = gateway.record().await;
        assert_eq!((record.end.as_str(), record.status), ("rejected", Some(413)));
        drop(client);
        gateway.stop().await;
    }
}

#[tokio::test]
async fn a_client_that_uploads_on_still_hears_that_it_is_refused() {
    let upstream = Upstream::bind().await;
    let mut gateway = Gateway::start(upstream.address(), Setup { max_body: Some(100), ..Setup::default() }).await;
    let mut client = gateway.client().await;
    let request = post("/v1/chat/completions", "", &" ".repeat(800_000));
    let (first, second) = request.split_at(1000);
    client.write(first).await;
    // Only once the answer is there, unread, comes the rest.
    client.stream.readable().await.unwrap();
    client.write(second).await;
    assert_eq!(client.read_head().await.first_line(), "HTTP/1.1 413 Payload Too Large");
    gateway.record().await;
    // In order, not by a reset.
    let mut rest = Vec::new();
    soon("the end", client.stream.read_to_end(&mut rest)).await.unwrap();
    drop(client);
    gateway.stop().await;
}

#[tokio::test]
async fn a_request_of_the_largest_size_passes() {
    let upstream = Upstream::bind().await;
    let limit = Some(CHAT.len() as u64);
    let mut gateway = Gateway::start(upstream.address(), Setup { max_body: limit, ..Setup::default() }).await;
    let (mut client, mut peer) = call(&gateway, &upstream).await;
    peer.write(ok(ANSWER)).await;
    client.read_until(ANSWER).await;
    gateway.record().await;
    drop((client, peer));
    gateway.stop().await;
}

#[tokio::test]
async fn without_memory_calls_pass_and_are_traced_without_their_bodies() {
    let upstream = Upstream::bind().await;
    let mut gateway = Gateway::start(upstream.address(), Setup { capture_memory: 1, ..Setup::default() }).await;
    let (mut client, mut peer) = call(&gateway, &upstream).await;
    assert_eq!(gateway.budget.starved(), 1);
    peer.write(ok(ANSWER)).await;
    client.read_head().await;
    assert_eq!(client.read_exact(ANSWER.len()).await, ANSWER);
    let record = gateway.record().await;
    assert_eq!((record.end.as_str(), record.status, record.response.text), ("complete", Some(200), None));
    assert_eq!(gateway.budget.held(), 0);
    drop((client, peer));
    gateway.stop().await;
}

/// Bytes of the process's memory that are in use.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

#[tokio::test]
async fn a_hundred_megabytes_pass_in_bounded_memory() {
    const SIZE: usize = 100 << 20;
    let upstream = Upstream::bind().await;
    let mut gateway = Gateway::start(upstream.address(), Setup::default()).await;
    let before = resident();
    let mut client = gateway.client().await;
    client.write(format!("POST /v1/chat/completions HTTP/1.1\r\nHost: h\r\nContent-Length: {SIZE}\r\n\r\n")).await;
    let mut peer = upstream.accept().await;
    let head = peer.read_head().await;
    assert_eq!(head.get("content-length"), Some(SIZE.to_string().as_str()));
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n");
    let budget = std::sync::Arc::clone(&gateway.budget);
    let mut most = 0;
    for upload in [true, false] {
        let (from, to) = if upload { (&mut client, &mut peer) } else { (&mut peer, &mut client) };
        if !upload {
            from.write(&answer).await;
            to.read_head().await;
        }
        // Each byte tells its place, so that none can be lost or doubled unseen.
        let send = async {
            for index in 0..SIZE / PIECE {
                from.write(piece(index)).await;
            }
        };
        let receive = async {
            let mut got = to.read_exact(0).await.into_bytes();
            for index in 0..SIZE / PIECE {
                got.resize(PIECE, 0);
                soon("a piece", to.stream.read_exact(&mut got)).await.unwrap();
                assert_eq!(got, piece(index), "piece {index}");
                most = most.max(budget.held());
            }
        };
        tokio::join!(send, receive);
    }
    let record = gateway.record().await;
    assert_eq!((record.end.as_str(), record.status), ("complete", Some(200)));
    // Two bodies of 4 MiB, and what vectors grow ahead of their content.
    assert!(most > 4 << 20 && most < 24 << 20, "{most}");
    let grown = resident().saturating_sub(before);
    assert!(grown < 96 << 20, "{grown}");
    drop((client, peer));
    gateway.stop().await;
}

const PIECE: usize = 1 << 18;

fn piece(index: usize) -> Vec<u8> {
    (0..PIECE).map(|byte| b'a' + ((byte ^ (byte >> 7) ^ (index * 31)) % 26) as u8).collect()
}

#[tokio::test]
async fn a_client_that_reads_slowly_holds_the_upstream_back() {
    let upstream = Upstream::bind().await;
    let setup = Setup { service: json!({ "read_timeout": 5000 }), ..Setup::default() };
    let mut gateway = Gateway::start(upstream.address(), setup).await;
    let (client, mut peer) = call(&gateway, &upstream).await;
    peer.write("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await;
    // Until the sockets and the gateway's few buffers are full; a gateway that buffers would take it all.
    let mut taken = 0u64;
    let piece = [b' '; 1 << 16];
    loop {
        let write = tokio::io::AsyncWriteExt::write(&mut peer.stream, &piece);
        match tokio::time::timeout(std::time::Duration::from_millis(500), write).await {
            Ok(written) => taken += written.unwrap() as u64,
            Err(_) => break,
        }
        assert!(taken < 100 << 20, "the gateway buffers");
    }
    drop(client);
    assert_eq!(gateway.record().await.end.as_str(), "client_gone");
    gateway.stop().await;
}
