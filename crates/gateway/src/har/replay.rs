//! An entry through the engine: the same capture that watches live traffic reads what was recorded.
//!
//! HAR keeps bodies decoded. A `content-encoding` header therefore counts only where the body is base64 and still
//! compressed. A body comes in one piece, so nothing is known about when its parts passed: no time to first token.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use ai_tracing_core::capture::{Capture, Headers, Ids, RequestHead, Upstream};
use ai_tracing_core::detect;
use ai_tracing_core::record::{CallRecord, End};
use ai_tracing_core::settings::Settings;
use ai_tracing_core::time::At;
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use uuid::Uuid;

use super::entry::{Body, Entry, Pair, Timings};
use super::target::Target;

/// Padding is often lost on the way.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);
/// Bytes of each body that an entry's trace id depends on.
const SEED: usize = 16 << 10;
/// The boundary of forms that are put together here.
const BOUNDARY: &str = "ai-tracing-har-form";

/// What the engine made of an entry.
#[derive(Debug)]
pub struct Replayed {
    /// The record; `None`: no LLM traffic.
    pub record: Option<CallRecord>,
    /// Which rules decided, where that was asked for.
    pub why: Option<String>,
    /// True when the engine failed on it, which is a defect.
    pub defect: bool,
}

/// Plays an entry. `id` becomes the record's id; `index` is the entry's position in its file.
pub fn replay(settings: &Arc<Settings>, entry: &Entry, index: u64, id: &str, explain: bool) -> Replayed {
    let guarded = catch_unwind(AssertUnwindSafe(|| play(settings, entry, index, id, explain)));
    guarded.unwrap_or(Replayed { record: None, why: None, defect: true })
}

fn play(settings: &Arc<Settings>, entry: &Entry, index: u64, id: &str, explain: bool) -> Replayed {
    let (request, response) = (&entry.request, &entry.response);
    let host_header = request.headers.iter().find(|pair| pair.name.eq_ignore_ascii_case("host"));
    let target = Target::new(&request.url, host_header.map(|pair| pair.value.as_str()));
    let method = request.method.to_ascii_uppercase();
    let sent = Content::new(&request.body, &request.headers);
    let head = RequestHead {
        method: &method,
        path: target.path,
        query: target.query,
        host: target.host,
        headers: &sent,
        upstream: (!target.host.is_empty()).then_some(Upstream {
            host: target.host,
            port: target.port,
            path: target.path,
        }),
        service: None,
        route: None,
        consumer: None,
    };
    let times = Times::new(entry);
    let ids = ids(entry, index, id);
    let Some(mut capture) = Capture::start(settings, &head, ids, times.started) else {
        let why = explain.then(|| detect::explain_decline(settings, &head));
        return Replayed { record: None, why, defect: false };
    };
    if sent.misencoded {
        capture.note("request body is said to be base64 and is not: read as text");
    }
    capture.request_body(&sent.bytes);
    capture.request_body_lost(sent.lost);
    if let Some(status) = response.status {
        let received = Content::new(&response.body, &response.headers);
        if received.misencoded {
            capture.note("response body is said to be base64 and is not: read as text");
        }
        capture.response_head(status, &received, times.head);
        capture.response_body_untimed(&received.bytes);
        capture.response_body_lost(received.lost);
    }
    let finished = capture.finish(end(response.status, response.error.as_deref()), times.ended);
    let why = explain.then(|| finished.explain()).flatten();
    Replayed { record: finished.into_record(), why, defect: false }
}

/// How the exchange ended, in the words of Chrome (`net::ERR_ABORTED`), mitmproxy (`Client disconnected.`) and others.
fn end(status: Option<u16>, error: Option<&str>) -> End {
    let Some(error) = error else {
        return if status.is_some() { End::Complete } else { End::UpstreamError };
    };
    let error = error.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| error.contains(word));
    match () {
        () if says(&["timed out", "timed_out", "timeout"]) => End::Timeout,
        () if says(&["err_aborted", "abort", "cancel", "client disconnected", "client closed"]) => End::ClientGone,
        () => End::UpstreamError,
    }
}

/// When things happened.
struct Times {
    started: At,
    head: At,
    ended: At,
}

impl Times {
    fn new(entry: &Entry) -> Self {
        let started = entry.started.unwrap_or_default();
        let Timings { before, send, wait, receive } = entry.timings;
        let head = [before, send, wait].into_iter().flatten().sum::<f64>();
        let parts = head + receive.unwrap_or(0.0);
        let total = entry.time.filter(|time| *time > 0.0).unwrap_or(parts);
        Self { started, head: started.plus_ms(head.min(total)), ended: started.plus_ms(total) }
    }
}

/// The same entry gets the same ids each time that it is read, so that sending it again makes no second trace.
fn ids(entry: &Entry, index: u64, id: &str) -> Ids {
    let mut seed = Vec::new();
    let mut add = |bytes: &[u8]| {
        seed.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
        seed.extend_from_slice(bytes.get(..SEED).unwrap_or(bytes));
    };
    add(&index.to_be_bytes());
    add(entry.id.as_deref().unwrap_or_default().as_bytes());
    add(&entry.started.unwrap_or_default().0.to_be_bytes());
    add(entry.request.method.as_bytes());
    add(entry.request.url.as_bytes());
    add(entry.request.body.text.text.as_bytes());
    add(entry.response.body.text.text.as_bytes());
    let trace = Uuid::new_v5(&Uuid::NAMESPACE_URL, &seed);
    // A version 5 UUID has fixed bits in both halves: neither is ever 0.
    let span = Uuid::new_v5(&trace, b"span").as_u64_pair().1;
    Ids { call: id.to_owned(), trace: trace.as_u128(), span }
}

/// A message's headers and its body as bytes.
struct Content<'a> {
    headers: &'a [Pair],
    mime_type: Option<Cow<'a, str>>,
    bytes: Cow<'a, [u8]>,
    /// Bytes that are missing behind them.
    lost: u64,
    /// The body is still compressed, as its `content-encoding` says.
    compressed: bool,
    /// The body's `encoding` is not true.
    misencoded: bool,
    /// The body was put together here: its type is [`Self::mime_type`], whatever the headers say.
    rebuilt: bool,
}

impl<'a> Content<'a> {
    fn new(body: &'a Body, headers: &'a [Pair]) -> Self {
        let mut content = Self {
            headers,
            mime_type: body.mime_type.as_deref().map(Cow::Borrowed),
            bytes: Cow::Borrowed(body.text.text.as_bytes()),
            lost: body.text.lost,
            compressed: false,
            misencoded: false,
            rebuilt: false,
        };
        if body.text.text.is_empty() && !body.params.is_empty() {
            content.form(&body.params);
        } else if body.encoding.as_deref().is_some_and(|encoding| encoding.eq_ignore_ascii_case("base64")) {
            content.decode(&body.text.text);
        }
        content
    }

    fn decode(&mut self, text: &str) {
        let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        // Where the rest was cut off, so may have been some of the last four digits.
        let whole = if self.lost > 0 { digits.len() / 4 * 4 } else { digits.len() };
        match BASE64.decode(digits.get(..whole).unwrap_or_default()) {
            Ok(bytes) => {
                self.lost = self.lost / 4 * 3;
                self.compressed = self.header("content-encoding").is_some_and(|coding| {
                    let media_type = self.get("content-type").unwrap_or_default();
                    is_compressed(coding, &media_type, &bytes)
                });
                self.bytes = Cow::Owned(bytes);
            }
            Err(_) => self.misencoded = true,
        }
    }

    /// Puts a form together from its fields.
    fn form(&mut self, fields: &[Pair]) {
        let media_type = self.get("content-type").unwrap_or_default().to_ascii_lowercase();
        if !media_type.starts_with("multipart/") && fields.iter().all(|field| field.file_name.is_none()) {
            let pairs = fields.iter().map(|field| (&field.name, &field.value));
            self.bytes =
                Cow::Owned(form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish().into());
            return;
        }
        let quoted = |text: &str| text.replace(['\r', '\n'], " ").replace('"', "%22");
        let mut bytes = String::new();
        for field in fields {
            bytes += &format!("--{BOUNDARY}\r\ncontent-disposition: form-data; name=\"{}\"", quoted(&field.name));
            // Browsers save the names of files and nothing in them: an empty file would be another one.
            let value = field.file_name.as_ref().filter(|_| field.value.is_empty()).unwrap_or(&field.value);
            if let Some(file) = field.file_name.as_ref().filter(|_| !field.value.is_empty()) {
                bytes += &format!("; filename=\"{}\"", quoted(file));
            }
            if let Some(media_type) = &field.content_type {
                bytes += &format!("\r\ncontent-type: {}", quoted(media_type));
            }
            bytes += &format!("\r\n\r\n{value}\r\n");
        }
        bytes += &format!("--{BOUNDARY}--\r\n");
        self.rebuilt = true;
        self.mime_type = Some(Cow::Owned(format!("multipart/form-data; boundary={BOUNDARY}")));
        self.bytes = Cow::Owned(bytes.into_bytes());
    }

    fn header(&self, name: &str) -> Option<&'a str> {
        // What browsers save of HTTP/2 has pseudo headers in it, such as `:path`.
        let named = |pair: &&Pair| !pair.name.starts_with(':') && pair.name.trim().eq_ignore_ascii_case(name);
        self.headers.iter().find(named).map(|pair| pair.value.as_str())
    }
}

impl Headers for Content<'_> {
    fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        match name {
            "content-encoding" if !self.compressed => None,
            "content-type" if self.rebuilt => self.mime_type.as_deref().map(Cow::Borrowed),
            "content-type" => self.header(name).or(self.mime_type.as_deref()).map(Cow::Borrowed),
            _ => self.header(name).map(Cow::Borrowed),
        }
    }
}

/// Whether bytes are still as their content encoding left them. Brotli has no mark: text that is no text is brotli.
fn is_compressed(coding: &str, media_type: &str, bytes: &[u8]) -> bool {
    let last = coding.rsplit(',').next().unwrap_or_default().trim().to_ascii_lowercase();
    let media_type = media_type.to_ascii_lowercase();
    let is_text = media_type.starts_with("text/") || media_type.contains("json");
    match last.as_str() {
        "gzip" | "x-gzip" => bytes.starts_with(b"\x1f\x8b"),
        "zstd" => bytes.starts_with(b"\x28\xb5\x2f\xfd"),
        "deflate" => match bytes {
            [first, second, ..] => {
                first & 0x0f == 8 && (u16::from(*first) << 8 | u16::from(*second)).is_multiple_of(31)
            }
            _ => false,
        },
        "br" => is_text && std::str::from_utf8(bytes).is_err(),
        _ => false,
    }
}
