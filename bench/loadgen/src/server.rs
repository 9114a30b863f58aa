//! The servers: an upstream with five answers, and a sink for traces.

use std::io::{self, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::http::Reader;

/// Events of one stream.
const EVENTS: usize = 64;
/// Time between two events of a timed stream.
const GAP: Duration = Duration::from_millis(1);

/// What the upstream says, made once.
struct Answers {
    json_1k: Vec<u8>,
    json_4k: Vec<u8>,
    json_16k: Vec<u8>,
    stream_head: Vec<u8>,
    /// Each event as one chunk of a chunked body.
    events: Vec<Vec<u8>>,
    stream_end: &'static [u8],
}

impl Answers {
    fn new() -> Self {
        let id = r#""id":"chatcmpl-bench","created":1760000000,"model":"gpt-4o-mini-2024-07-18","system_fingerprint":"fp_bench""#;
        let json = |size: usize| {
            let (before, after) = (
                format!(
                    r#"{{{id},"object":"chat.completion","choices":[{{"index":0,"message":{{"role":"assistant","content":""#
                ),
                r#""},"finish_reason":"stop"}],"usage":{"prompt_tokens":40,"completion_tokens":120,"total_tokens":160}}"#,
            );
            let filler = "lorem ipsum dolor ".chars().cycle().take(size.saturating_sub(before.len() + after.len()));
            let body = format!("{before}{}{after}", filler.collect::<String>());
            format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len())
                .into_bytes()
        };
        let event = |number: usize| {
            let choice = match number {
                0 => r#""choices":[{"index":0,"delta":{"role":"assistant","content":"lorem"},"finish_reason":null}]"#
                    .into(),
                n if n == EVENTS - 3 => r#""choices":[{"index":0,"delta":{},"finish_reason":"stop"}]"#.into(),
                n if n == EVENTS - 2 => {
                    r#""choices":[],"usage":{"prompt_tokens":40,"completion_tokens":61,"total_tokens":101}"#.into()
                }
                n => format!(r#""choices":[{{"index":0,"delta":{{"content":" word{n}"}},"finish_reason":null}}]"#),
            };
            let data = if number == EVENTS - 1 {
                "[DONE]".into()
            } else {
                format!(r#"{{{id},"object":"chat.completion.chunk",{choice}}}"#)
            };
            let line = format!("data: {data}\n\n");
            format!("{:x}\r\n{line}\r\n", line.len()).into_bytes()
        };
        Self {
            json_1k: json(1 << 10),
            // With the client's request, a call of 4 KiB.
            json_4k: json((4 << 10) - 250),
            json_16k: json(16 << 10),
            stream_head: b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
                .to_vec(),
            events: (0..EVENTS).map(event).collect(),
            stream_end: b"0\r\n\r\n",
        }
    }

    /// Answers a request by the first segment of its path.
    fn answer(&self, head: &str, stream: &mut TcpStream) -> io::Result<()> {
        let path = head.split(' ').nth(1).unwrap_or_default();
        match path.split('/').nth(1).unwrap_or_default() {
            "json4k" => stream.write_all(&self.json_4k),
            "json16k" => stream.write_all(&self.json_16k),
            // Event by event, at once: each is one write.
            "sse" => self.stream(stream, Duration::ZERO),
            // As a model would: a gap before each event after the first.
            "sse-timed" => self.stream(stream, GAP),
            _ => stream.write_all(&self.json_1k),
        }
    }

    fn stream(&self, stream: &mut TcpStream, gap: Duration) -> io::Result<()> {
        stream.write_all(&self.stream_head)?;
        for (number, event) in self.events.iter().enumerate() {
            if number > 0 && !gap.is_zero() {
                thread::sleep(gap);
            }
            stream.write_all(event)?;
        }
        stream.write_all(self.stream_end)
    }
}

/// Serves the bench's upstream until the process is ended.
pub fn upstream(address: &str) -> io::Result<()> {
    let answers = Arc::new(Answers::new());
    serve(address, move |mut stream| {
        let mut reader = Reader::new(stream.try_clone()?);
        while let Some(request) = reader.message()? {
            answers.answer(&request.head, &mut stream)?;
        }
        Ok(())
    })
}

/// Takes whatever is posted until the process is ended; `GET /stats` tells how much it was. A sink that hangs reads
/// but never answers.
pub fn sink(address: &str, hang: bool) -> io::Result<()> {
    let (requests, bytes) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    serve(address, move |mut stream| {
        let mut reader = Reader::new(stream.try_clone()?);
        while let Some(request) = reader.message()? {
            let mut body = "{}".to_owned();
            if request.head.starts_with("GET /stats") {
                let (requests, bytes) = (requests.load(Ordering::Relaxed), bytes.load(Ordering::Relaxed));
                body = format!(r#"{{"requests":{requests},"bytes":{bytes}}}"#);
            } else {
                requests.fetch_add(1, Ordering::Relaxed);
                bytes.fetch_add(request.length as u64, Ordering::Relaxed);
                if hang {
                    continue;
                }
            }
            write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            )?;
        }
        Ok(())
    })
}

/// Accepts connections for ever, a thread each; a broken connection ends its own thread alone.
fn serve(address: &str, connection: impl Fn(TcpStream) -> io::Result<()> + Send + Sync + 'static) -> io::Result<()> {
    let listener = TcpListener::bind(address)?;
    println!("listening {}", listener.local_addr()?);
    let connection = Arc::new(connection);
    loop {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let connection = Arc::clone(&connection);
        thread::Builder::new().stack_size(256 << 10).spawn(move || connection(stream))?;
    }
}
