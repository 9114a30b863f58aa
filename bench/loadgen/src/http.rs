//! As much HTTP/1.1 as the bench needs: heads, lengths, chunks.

use std::io::{self, Read};
use std::net::TcpStream;
use std::time::Instant;

/// Reads messages from a connection.
pub struct Reader {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// Bytes of `buffer` that were used up.
    used: usize,
}

/// A message: its head, when its body began, and how long the body was.
pub struct Message {
    pub head: String,
    pub first_byte: Instant,
    pub length: usize,
}

impl Reader {
    pub fn new(stream: TcpStream) -> Self {
        Self { stream, buffer: Vec::with_capacity(64 << 10), used: 0 }
    }

    /// Reads more bytes; an error when the peer has closed.
    fn fill(&mut self) -> io::Result<()> {
        self.buffer.drain(..self.used);
        self.used = 0;
        let start = self.buffer.len();
        self.buffer.resize(start + (32 << 10), 0);
        let read = self.stream.read(&mut self.buffer[start..])?;
        self.buffer.truncate(start + read);
        if read == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    /// Takes bytes up to and including `end`.
    fn until(&mut self, end: &[u8]) -> io::Result<Vec<u8>> {
        loop {
            let unread = &self.buffer[self.used..];
            if let Some(at) = unread.windows(end.len()).position(|window| window == end) {
                let taken = unread[..at + end.len()].to_vec();
                self.used += taken.len();
                return Ok(taken);
            }
            self.fill()?;
        }
    }

    /// Passes over `count` bytes.
    fn skip(&mut self, mut count: usize) -> io::Result<()> {
        loop {
            let step = count.min(self.buffer.len() - self.used);
            self.used += step;
            count -= step;
            if count == 0 {
                return Ok(());
            }
            self.fill()?;
        }
    }

    /// The next message, request or response; `None` when the peer has closed in between.
    pub fn message(&mut self) -> io::Result<Option<Message>> {
        let head = match self.until(b"\r\n\r\n") {
            Ok(head) => String::from_utf8_lossy(&head).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut length = 0;
        if header(&head, "transfer-encoding").is_some_and(|value| value.contains("chunked")) {
            if self.used == self.buffer.len() {
                self.fill()?;
            }
            let first_byte = Instant::now();
            loop {
                let line = self.until(b"\r\n")?;
                let size = std::str::from_utf8(&line).ok().and_then(|text| usize::from_str_radix(text.trim(), 16).ok());
                let size = size.ok_or_else(|| io::Error::other("not a chunk"))?;
                self.skip(size + 2)?;
                length += size;
                if size == 0 {
                    return Ok(Some(Message { head, first_byte, length }));
                }
            }
        }
        if let Some(value) = header(&head, "content-length") {
            length = value.parse().map_err(io::Error::other)?;
        }
        if length > 0 && self.used == self.buffer.len() {
            self.fill()?;
        }
        let first_byte = Instant::now();
        self.skip(length)?;
        Ok(Some(Message { head, first_byte, length }))
    }
}

/// The value of a header; `name` is lower case.
pub fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}
