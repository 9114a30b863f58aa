//! Reading a response's body: whole, as server-sent events, or as JSON values one after another.

use super::decode::Decoded;
use super::error;
use crate::capture::{Chunk, Exchange};
use crate::dialect::{RequestFacts, ResponseFacts};
use crate::frame::{Event, JsonStream, MAX_FRAME, Sse};
use crate::json::{self, Problem};
use crate::time::At;

/// How a body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// One JSON document.
    Whole,
    /// Server-sent events.
    Sse,
    /// JSON values one after another.
    JsonValues,
}

/// Reads the body of a response into `facts`; tells how it was framed.
pub fn read(exchange: &Exchange, request: &RequestFacts, facts: &mut ResponseFacts) -> Framing {
    let limit = exchange.settings.limits.max_inflated_size;
    let encoding = exchange.response_encoding.as_deref();
    let mut issues = Vec::new();
    let body = Decoded::new(&exchange.response_body, encoding, limit, "response", &mut issues);
    let framing = framing(exchange, request, body.head_bytes());
    let mut reader = Reader { exchange, request, facts, problem: None };
    match framing {
        Framing::Whole => reader.whole(&body),
        Framing::Sse => reader.sse(&body),
        Framing::JsonValues => reader.json_values(&body),
    }
    if let Some(problem) = reader.problem {
        issues.push(format!("response: {problem}"));
    }
    facts.issues.append(&mut issues);
    framing
}

/// The body's first bytes decide, then its media type, then the request: servers mislabel streams both ways.
fn framing(exchange: &Exchange, request: &RequestFacts, body: &[u8]) -> Framing {
    let start = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii_start();
    let media_type = exchange.response_type.as_deref().unwrap_or_default();
    let is_json = matches!(start.first(), Some(b'{' | b'['));
    let is_sse = [b"data:".as_slice(), b"event:", b"id:", b"retry:", b":"].iter().any(|field| start.starts_with(field));
    if is_sse || (!is_json && media_type.starts_with("text/event-stream")) {
        Framing::Sse
    } else if exchange.detection.dialect.streams_json() && request.request.stream && is_json {
        Framing::JsonValues
    } else {
        Framing::Whole
    }
}

struct Reader<'a> {
    exchange: &'a Exchange,
    request: &'a RequestFacts,
    facts: &'a mut ResponseFacts,
    /// The first problem of the body's JSON.
    problem: Option<Problem>,
}

impl Reader<'_> {
    fn whole(&mut self, body: &Decoded<'_>) {
        let joined;
        let bytes = if body.gap == 0 && !body.tail_bytes().is_empty() {
            joined = [body.head_bytes(), body.tail_bytes()].concat();
            &joined
        } else {
            body.head_bytes()
        };
        if bytes.is_empty() {
            return;
        }
        let failed = self.exchange.status.is_some_and(|status| status >= 400);
        let text = json::text(bytes);
        let parsed = json::parse(&text);
        // Error pages of proxies in between are no JSON; that is no news.
        if !failed || parsed.value.is_object() {
            self.problem = parsed.problem;
        }
        let is_text = || self.exchange.response_type.as_deref().is_some_and(|kind| kind.starts_with("text/plain"));
        self.facts.error = error::read(&parsed.value, failed);
        if self.facts.error.is_none() && failed && is_text() {
            self.facts.error = error::plain(&text, &parsed);
        }
        self.exchange.detection.dialect.read_response(&parsed.value, self.request, self.facts);
        if failed {
            // The id in an error body is a request's, not a response's.
            self.facts.id = None;
        }
        if parsed.problem.is_some() {
            // There may have been more of them.
            self.facts.embedding_count = None;
        }
        if body.gap > 0 {
            self.read_tail(body.tail_bytes());
        }
    }

    /// What stands at the end of an answer whose middle was not kept, such as thousands of embeddings: usage and model.
    fn read_tail(&mut self, tail: &[u8]) {
        let last = |key: &[u8]| {
            let at = memchr::memmem::rfind(tail, key)? + key.len();
            Some(json::text(tail.get(at..)?))
        };
        if let Some(text) = last(b"\"usage\":") {
            self.exchange.detection.dialect.read_usage(&json::parse(&text).value, self.facts);
        }
        if self.facts.model.is_none()
            && let Some(text) = last(b"\"model\":")
        {
            self.facts.model = json::parse(&text).value.id();
        }
    }

    fn sse(&mut self, body: &Decoded<'_>) {
        let mut sse = Sse::default();
        let push = |reader: &mut Self, sse: &mut Sse, chunk: &Chunk<'_>| {
            sse.push(chunk.bytes, &mut |event| reader.event(event, chunk.at));
        };
        for chunk in &body.head() {
            push(self, &mut sse, chunk);
        }
        if body.gap > 0 {
            sse.resync();
        }
        for chunk in &body.tail() {
            push(self, &mut sse, chunk);
        }
        let last = self.exchange.ended_at;
        sse.finish(&mut |event| self.event(event, last));
        self.note_skipped(sse.skipped());
    }

    fn event(&mut self, event: Event<'_>, at: At) {
        let data = event.data.trim_ascii();
        if data.is_empty() || data == b"[DONE]" {
            return;
        }
        self.value(data, at, event.name == b"error");
    }

    fn json_values(&mut self, body: &Decoded<'_>) {
        let mut stream = JsonStream::default();
        let push = |reader: &mut Self, stream: &mut JsonStream, chunk: &Chunk<'_>| {
            stream.push(chunk.bytes, &mut |value| reader.value(value, chunk.at, false));
        };
        for chunk in &body.head() {
            push(self, &mut stream, chunk);
        }
        if body.gap > 0 {
            stream.resync();
        }
        for chunk in &body.tail() {
            push(self, &mut stream, chunk);
        }
        let last = self.exchange.ended_at;
        stream.finish(&mut |value| self.value(value, last, false));
        self.note_skipped(stream.skipped());
    }

    fn value(&mut self, data: &[u8], at: At, is_error: bool) {
        let text = json::text(data);
        let parsed = json::parse(&text);
        let error = error::read(&parsed.value, is_error);
        // Some servers tell an error in plain words.
        let error = error.or_else(|| is_error.then(|| error::plain(&text, &parsed)).flatten());
        if self.problem.is_none() && error.is_none() {
            self.problem = parsed.problem;
        }
        if let Some(error) = error {
            self.facts.error.get_or_insert(error);
        }
        self.exchange.detection.dialect.read_event(&parsed.value, at, self.request, self.facts);
    }

    fn note_skipped(&mut self, skipped: u64) {
        if skipped > 0 {
            self.facts
                .issues
                .push(format!("response: {skipped} bytes of events longer than {MAX_FRAME} bytes not read"));
        }
    }
}
