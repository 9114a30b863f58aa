//! The HTTP exchange itself, where it is kept: heads with their secrets hidden, bodies as text, times.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::decode::{self, Decoded};
use crate::capture::{self, Chunk, Exchange, RawHead};
use crate::http::{
    Bodies, Body, Content, Fields, Http, MAX_BODY, MAX_CHUNKS, MAX_END, Missing, Request, Response, Timeline, mask,
};
use crate::settings::{ContentPolicy, HttpPolicy};
use crate::text::lossy;
use crate::time::At;

/// What is kept of the exchange; `None` where nothing is.
pub fn keep(exchange: &Exchange) -> Option<Box<Http>> {
    let request_head = exchange.request_head.as_ref()?;
    let settings = &exchange.settings;
    let shown = settings.context_headers.names();
    let bodies = bodies(exchange);
    let body = |body: &capture::Body, encoding: Option<&str>| {
        (bodies == Bodies::Kept).then(|| kept(body, encoding, settings.limits.max_inflated_size))
    };
    let mut path = exchange.path.clone();
    mask::known_keys(&mut path);
    let mut query = exchange.query.as_deref().map(Fields::of_query).unwrap_or_default();
    mask::query(&mut query);
    let request = Request {
        method: exchange.method.clone(),
        path,
        query,
        headers: fields(request_head, &shown),
        body_bytes: exchange.request_body.total(),
        body: body(&exchange.request_body, exchange.request_headers.get("content-encoding")),
    };
    let response = exchange.response_head.as_ref().zip(exchange.status).map(|(head, status)| Response {
        status,
        head_ms: exchange.response_at.map_or(0.0, |at| offset(exchange, at)),
        headers: fields(head, &shown),
        body_bytes: exchange.response_body.total(),
        body: body(&exchange.response_body, exchange.response_headers.get("content-encoding")),
    });
    Some(Box::new(Http { request, response, bodies, timeline: timeline(exchange) }))
}

fn bodies(exchange: &Exchange) -> Bodies {
    let settings = &exchange.settings;
    match settings.http {
        HttpPolicy::Off | HttpPolicy::Headers => Bodies::NotAsked,
        HttpPolicy::Full if settings.content == ContentPolicy::MetadataOnly => Bodies::MetadataOnly,
        HttpPolicy::Full if !settings.redactor.is_empty() => Bodies::Redacted,
        HttpPolicy::Full => Bodies::Kept,
    }
}

fn fields(head: &RawHead, shown: &[&str]) -> Fields {
    let fields = head.fields().map(|(name, value)| (lossy(name).into_owned(), lossy(value).into_owned())).collect();
    let mut fields = Fields { fields, left_out: head.left_out() };
    mask::headers(&mut fields, shown);
    fields
}

/// Milliseconds from the call's begin, to the microsecond.
fn offset(exchange: &Exchange, at: At) -> f64 {
    (at.ms_since(exchange.started_at) * 1e3).round() / 1e3
}

fn timeline(exchange: &Exchange) -> Option<Timeline> {
    if !exchange.timed {
        return None;
    }
    let body = &exchange.response_body;
    let (head, tail): (Vec<_>, Vec<_>) = (body.head().collect(), body.tail().collect());
    // Each of the two may have a shorter entry at its end, and what is missing between them is one more.
    let joined = (head.len() + tail.len()).div_ceil(MAX_CHUNKS - 3).max(1);
    let entry = |chunks: &[Chunk<'_>]| {
        let bytes = chunks.iter().map(|chunk| chunk.bytes.len() as u64).sum();
        (chunks.last().map(|last| offset(exchange, last.at)), bytes)
    };
    let missing = (body.gap() > 0).then_some((None, body.gap()));
    let chunks = head.chunks(joined).map(entry).chain(missing).chain(tail.chunks(joined).map(entry)).collect();
    Some(Timeline { chunks, joined: joined as u64 })
}

/// A body without its encoding: whole, or its beginning and its end.
fn kept(body: &capture::Body, encoding: Option<&str>, limit: usize) -> Body {
    let mut issues = Vec::new();
    let decoded = Decoded::new(body, encoding, limit, "the", &mut issues);
    let (head, tail) = (decoded.head_bytes(), decoded.tail_bytes());
    let had = head.len() + tail.len();
    let encoding = encoding.filter(|_| decoded.was_encoded()).map(str::to_owned);
    let part = |from: usize, to: usize| -> Vec<u8> {
        head.iter().chain(tail).skip(from).take(to.saturating_sub(from)).copied().collect()
    };
    if decoded.whole() && had <= MAX_BODY {
        return Body { encoding, start: content(part(0, had)), missing: None, end: None };
    }
    // The end is known where nothing is missing in front of it but what the gap tells.
    let end_bytes = if decoded.whole() { MAX_END } else { MAX_END.min(tail.len()) };
    let before_gap = if decoded.whole() { had } else { head.len() };
    let mut start = part(0, before_gap.min(MAX_BODY - end_bytes));
    let mut end = part(had - end_bytes, had);
    // Not through the middle of a character.
    start.truncate(start.len() - split_end(&start));
    end.drain(..split_start(&end));
    let counted = decoded.whole() || encoding.is_none();
    let left_out = (had as u64 + decoded.gap).saturating_sub((start.len() + end.len()) as u64);
    let why = match issues.pop() {
        None => format!("{} KiB of a body are kept here", MAX_BODY >> 10),
        Some(issue) if encoding.is_some() => issue,
        Some(_) => format!("it {}", decode::why(body)),
    };
    let missing = Some(Missing { bytes: counted.then_some(left_out), why });
    Body { encoding, start: content(start), missing, end: (!end.is_empty()).then(|| content(end)) }
}

fn content(bytes: Vec<u8>) -> Content {
    String::from_utf8(bytes).map_or_else(|error| Content::Base64(STANDARD.encode(error.as_bytes())), Content::Text)
}

/// Bytes at the end that begin a character and do not end it.
fn split_end(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => bytes.len() - error.valid_up_to(),
        _ => 0,
    }
}

/// Bytes at the start that continue a character; three at most.
fn split_start(bytes: &[u8]) -> usize {
    bytes.iter().take(3).take_while(|byte| *byte & 0xc0 == 0x80).count()
}

#[cfg(test)]
mod tests;
