//! Reading a response's body: whole, or as the events of a stream.

use super::decode::Decoded;
use super::error;
use crate::capture::{Chunk, Exchange};
use crate::dialect::media;
use crate::dialect::{Dialect, Event, RequestFacts, ResponseFacts};
use crate::frame::{Frame, Framing, JsonStream, Payloads, Sse};
use crate::json::{self, Problem};
use crate::record::{CallError, Usage};
use crate::time::At;

/// How a body was read.
pub struct Read {
    /// True when it was framed as a stream.
    pub stream: bool,
    /// True when nothing of it is missing.
    pub whole: bool,
}

/// Reads the body of a response into `facts`.
pub fn read(
    exchange: &Exchange,
    dialect: &'static dyn Dialect,
    request: &RequestFacts,
    facts: &mut ResponseFacts,
) -> Read {
    let limit = exchange.settings.limits.max_inflated_size;
    let encoding = exchange.response_headers.get("content-encoding");
    let mut issues = Vec::new();
    let body = Decoded::new(&exchange.response_body, encoding, limit, "response", &mut issues);
    let media_type = exchange.response_headers.media_type();
    let failed = exchange.status.is_some_and(|status| status >= 400);
    let mut reader = Reader { exchange, dialect, request, facts, media_type: &media_type, failed, problem: None };
    let framing = framing(dialect, request, &media_type, failed, body.head_bytes());
    let stream = framing.is_some();
    match framing {
        None => reader.whole(&body),
        Some(mut framing) => issues.extend(reader.stream(&body, &mut *framing)),
    }
    if let Some(problem) = reader.problem {
        issues.push(format!("response: {problem}"));
    }
    dialect.read_headers(&exchange.response_headers, facts);
    facts.issues.append(&mut issues);
    Read { stream, whole: body.whole() }
}

/// Media types of JSON values one after another.
const JSON_VALUES: [&str; 6] = [
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/x-jsonlines",
    "application/stream+json",
    "application/json-seq",
];

/// The body's first bytes decide, then its media type, then the request: servers mislabel streams both ways. `None` for
/// a body that is one document.
fn framing(
    dialect: &dyn Dialect,
    request: &RequestFacts,
    media_type: &str,
    failed: bool,
    body: &[u8],
) -> Option<Box<dyn Framing>> {
    let start = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii_start();
    let is_json = matches!(start.first(), Some(b'{' | b'['));
    let is_sse = [b"data:".as_slice(), b"event:", b"id:", b"retry:", b":"].iter().any(|field| start.starts_with(field));
    if media_type == "application/vnd.amazon.eventstream" && !is_json {
        return Some(Box::new(Payloads::default()));
    }
    if is_sse || (!is_json && media_type == "text/event-stream") {
        return Some(Box::new(Sse::default()));
    }
    // A stream that fails is an object by itself, but for Gemini's: an array, as the stream would be.
    let streams = !failed || start.first() == Some(&b'[');
    let asked = dialect.streams_json() && request.request.stream && streams;
    (is_json && (asked || JSON_VALUES.contains(&media_type))).then(|| Box::new(JsonStream::default()) as _)
}

struct Reader<'a> {
    exchange: &'a Exchange,
    dialect: &'static dyn Dialect,
    request: &'a RequestFacts,
    facts: &'a mut ResponseFacts,
    /// Of the body.
    media_type: &'a str,
    /// True when the response's status says so.
    failed: bool,
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
        let failed = self.failed;
        let is_json = matches!(bytes.trim_ascii_start().first(), Some(b'{' | b'['));
        if !failed && media::is_binary(self.media_type) && !is_json {
            let whole = body.whole().then_some(bytes);
            self.facts.media.push(media::body(self.media_type, self.exchange.response_body.total(), whole));
            return;
        }
        let text = json::text(bytes);
        let is_text = self.media_type.starts_with("text/");
        if !failed && is_text && !is_json {
            self.dialect.read_text(&text, self.facts);
            return;
        }
        let parsed = json::parse(&text);
        let nothing = parsed.value.items().is_empty() && parsed.value.members().is_empty();
        if !failed && is_text && nothing && matches!(parsed.problem, Some(Problem::Invalid(_))) {
            // `[Music]` begins like a list.
            self.dialect.read_text(&text, self.facts);
            return;
        }
        // Error pages of proxies in between are no JSON; that is no news.
        if !failed || parsed.value.is_object() {
            self.problem = parsed.problem;
        }
        self.facts.error = error::read(&parsed.value, failed);
        if self.facts.error.is_none() && failed && self.media_type == "text/plain" {
            self.facts.error = error::plain(&text, &parsed);
        }
        if let Some(kind) = self.exchange.response_headers.get("x-amzn-errortype").filter(|_| failed) {
            // `ValidationException:http://internal.amazon.com/...`
            let kind = kind.split(':').next().unwrap_or(kind).to_owned();
            self.facts.error.get_or_insert_default().kind = Some(kind);
        }
        self.dialect.read_response(&parsed.value, self.request, self.facts);
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
        let last = |name: &str| {
            let key = format!("\"{name}\":");
            let at = memchr::memmem::rfind(tail, key.as_bytes())? + key.len();
            Some(json::text(tail.get(at..)?))
        };
        let [usage, model] = self.dialect.tail_names();
        if let Some(text) = last(usage) {
            self.dialect.read_usage(&json::parse(&text).value, self.facts);
        }
        if self.facts.model.is_none()
            && let Some(text) = last(model)
        {
            self.facts.model = json::parse(&text).value.id();
        }
    }

    /// Reads the events of a stream; tells what of it could not be read.
    fn stream(&mut self, body: &Decoded<'_>, framing: &mut dyn Framing) -> impl Iterator<Item = String> {
        let push = |reader: &mut Self, framing: &mut dyn Framing, chunk: &Chunk<'_>| {
            framing.push(chunk.bytes, &mut |frame| reader.frame(frame, chunk.at));
        };
        for chunk in &body.head() {
            push(self, framing, chunk);
        }
        if body.gap > 0 {
            framing.resync();
        }
        for chunk in &body.tail() {
            push(self, framing, chunk);
        }
        let last = self.exchange.ended_at;
        framing.finish(&mut |frame| self.frame(frame, last));
        if body.gap > 0 && self.facts.usage == Usage::default() {
            // The event that tells it may be longer than the tail: it repeats the whole answer in some dialects.
            self.read_tail(body.tail_bytes());
        }
        framing.issues().into_iter().map(|issue| format!("response: {issue}"))
    }

    fn frame(&mut self, frame: Frame<'_>, at: At) {
        let data = frame.data.trim_ascii();
        if !frame.exception && (data.is_empty() || data == b"[DONE]") {
            return;
        }
        let is_error = frame.exception || frame.name == b"error";
        let text = json::text(data);
        let parsed = json::parse(&text);
        let error = error::read(&parsed.value, is_error);
        // Some servers tell an error in plain words.
        let error = error.or_else(|| is_error.then(|| error::plain(&text, &parsed)).flatten());
        if self.problem.is_none() && error.is_none() && !is_error {
            self.problem = parsed.problem;
        }
        let name = json::text(frame.name);
        if frame.exception {
            let message = error.and_then(|error| error.message);
            self.facts.error.get_or_insert(CallError { kind: Some(name.into_owned()), message });
            return;
        }
        if let Some(error) = error {
            self.facts.error.get_or_insert(error);
        }
        let event = Event { name: &name, body: &parsed.value, at };
        self.dialect.read_event(&event, self.request, self.facts);
    }
}
