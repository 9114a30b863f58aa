//! Watching one exchange: what the hosts call while bytes pass.
//!
//! Everything in here only copies, bounded by [`Limits`](crate::settings::Limits), and never fails. Reading what was
//! copied happens in [`Finished::into_record`], off the request path.

mod body;
mod headers;
mod heads;
mod trace;

use std::borrow::Cow;
use std::sync::Arc;

use crate::detect::{self, Detection};
use crate::dialect::{self, Dialect};
use crate::read;
use crate::record::{CallRecord, End};
use crate::settings::{HttpPolicy, Settings};
use crate::time::At;

pub use body::{Body, Chunk};
pub use headers::{Headers, KeptHeaders};
pub use heads::RawHead;
pub use trace::TraceContext;

/// What is known when a request's head has been read and routed.
#[derive(Clone, Copy)]
pub struct RequestHead<'a> {
    /// Method, upper case.
    pub method: &'a str,
    /// Path as the client sent it, without the query.
    pub path: &'a str,
    /// Query without the `?`.
    pub query: Option<&'a str>,
    /// Host that the client asked for, without port.
    pub host: &'a str,
    /// Request headers.
    pub headers: &'a dyn Headers,
    /// Where the request goes, where the host knows it already.
    pub upstream: Option<Upstream<'a>>,
    /// Name (or id) of the service.
    pub service: Option<&'a str>,
    /// Name (or id) of the route.
    pub route: Option<&'a str>,
    /// Name (or id) of the consumer.
    pub consumer: Option<&'a str>,
}

/// Where a request goes.
#[derive(Clone, Copy, Debug)]
pub struct Upstream<'a> {
    /// Host name or address.
    pub host: &'a str,
    /// TCP port.
    pub port: u16,
    /// Path after the route's and the service's rewriting.
    pub path: &'a str,
}

/// The ids of one call, chosen by the host before anything is sent, so that no retry can duplicate.
#[derive(Clone, Debug)]
pub struct Ids {
    /// UUIDv7, hyphenated.
    pub call: String,
    /// Random; used when the caller sent no valid `traceparent`.
    pub trace: u128,
    /// Random; the span that the upstream sees as its parent.
    pub span: u64,
}

/// One exchange being watched. `finish` consumes it, so an exchange ends once.
pub struct Capture(Box<Exchange>);

/// All that is kept of one exchange.
pub(crate) struct Exchange {
    pub settings: Arc<Settings>,
    pub detection: Detection,
    pub ids: Ids,
    pub trace: TraceContext,
    pub method: String,
    pub path: String,
    pub query: Option<String>,
    pub server_address: Option<String>,
    pub server_port: Option<u16>,
    pub service: Option<String>,
    pub route: Option<String>,
    pub consumer: Option<String>,
    /// The six context headers, in the order of [`crate::context::FIELDS`].
    pub context_headers: [Option<String>; 6],
    pub request_headers: KeptHeaders,
    /// All headers, where exchanges are kept.
    pub request_head: Option<RawHead>,
    pub request_body: Body,
    pub status: Option<u16>,
    pub response_headers: KeptHeaders,
    /// All headers, where exchanges are kept.
    pub response_head: Option<RawHead>,
    /// A provider that the response's headers give away.
    pub provider_hint: Option<&'static str>,
    pub response_body: Body,
    /// The response's dialect, where it is not the request's.
    pub answered_in: Option<&'static dyn Dialect>,
    /// False where the response's body came without the times at which its pieces passed.
    pub timed: bool,
    pub started_at: At,
    pub upstream_at: Option<At>,
    pub response_at: Option<At>,
    pub ended_at: At,
    pub end: End,
    /// What the host has to say of it.
    pub notes: Vec<&'static str>,
    /// Bytes of all strings kept of both heads.
    pub head_bytes: usize,
}

/// All headers of a head, where exchanges are kept.
fn raw_head(settings: &Settings, headers: &dyn Headers) -> Option<RawHead> {
    (settings.http != HttpPolicy::Off).then(|| RawHead::of(headers))
}

impl Exchange {
    fn weight(&self) -> usize {
        size_of::<Self>() + self.head_bytes + self.request_body.weight() + self.response_body.weight()
    }
}

impl Capture {
    /// Begins to watch an exchange; `None` when it is no LLM traffic.
    pub fn start(settings: &Arc<Settings>, head: &RequestHead<'_>, ids: Ids, at: At) -> Option<Self> {
        let detection = detect::detect(settings, head)?;
        let header = |name: &str| head.headers.get(name).map(Cow::into_owned);
        let context_headers = settings.context_headers.names().map(header);
        let trace = TraceContext::join(header("traceparent").as_deref(), header("tracestate"), &ids);
        let limit = settings.limits.max_body_size;
        let mut exchange = Exchange {
            settings: Arc::clone(settings),
            detection,
            ids,
            trace,
            method: head.method.to_owned(),
            path: head.path.to_owned(),
            query: head.query.map(str::to_owned),
            server_address: head.upstream.map(|upstream| upstream.host.to_owned()),
            server_port: head.upstream.map(|upstream| upstream.port),
            service: head.service.map(str::to_owned),
            route: head.route.map(str::to_owned),
            consumer: head.consumer.map(str::to_owned),
            context_headers,
            request_headers: KeptHeaders::of_request(head.headers),
            request_head: raw_head(settings, head.headers),
            request_body: Body::head_only(limit),
            status: None,
            response_headers: KeptHeaders::default(),
            response_head: None,
            provider_hint: None,
            response_body: Body::head_and_tail(limit),
            answered_in: None,
            timed: true,
            started_at: at,
            upstream_at: None,
            response_at: None,
            ended_at: at,
            end: End::Complete,
            notes: Vec::new(),
            head_bytes: head.method.len() + head.path.len(),
        };
        exchange.head_bytes += exchange.ids.call.capacity() + exchange.trace.state.as_ref().map_or(0, String::capacity);
        exchange.head_bytes += exchange.context_headers.iter().flatten().map(String::capacity).sum::<usize>();
        let rest = [&exchange.query, &exchange.server_address, &exchange.service, &exchange.route, &exchange.consumer];
        exchange.head_bytes += rest.into_iter().flatten().map(String::capacity).sum::<usize>();
        exchange.head_bytes += exchange.request_headers.weight();
        exchange.head_bytes += exchange.request_head.as_ref().map_or(0, RawHead::weight);
        Some(Self(Box::new(exchange)))
    }

    /// The `traceparent` to send upstream: the joined trace with our span as parent.
    pub fn traceparent(&self) -> String {
        self.0.trace.outgoing(self.0.ids.span)
    }

    /// Whether the trace is the caller's. Where it is not, the caller's `tracestate` means nothing to the upstream.
    pub fn joined(&self) -> bool {
        self.0.trace.parent.is_some()
    }

    /// A piece of the request's body, as it passes.
    pub fn request_body(&mut self, bytes: &[u8]) {
        self.0.request_body.push_untimed(bytes);
    }

    /// The request is handed to the upstream now. Called again on a retry; the first call counts.
    pub fn upstream_started(&mut self, at: At) {
        self.0.upstream_at.get_or_insert(at);
    }

    /// The head of the response, from the upstream or of the gateway's own error.
    pub fn response_head(&mut self, status: u16, headers: &dyn Headers, at: At) {
        let exchange = &mut *self.0;
        exchange.status = Some(status);
        exchange.response_at = Some(at);
        exchange.response_headers = KeptHeaders::of_response(headers);
        exchange.response_head = raw_head(&exchange.settings, headers);
        // Where rule or host told, nothing in the response overrides that.
        if exchange.detection.provider.is_none() {
            exchange.provider_hint = detect::provider_by_headers(headers);
        }
        exchange.head_bytes += exchange.response_headers.weight();
        exchange.head_bytes += exchange.response_head.as_ref().map_or(0, RawHead::weight);
    }

    /// A piece of the response's body, as it passes.
    pub fn response_body(&mut self, bytes: &[u8], at: At) {
        self.0.response_body.push(bytes, at);
    }

    /// A piece of the response's body, from a recording that does not tell when it passed: of such a body nobody knows
    /// the time to its first token.
    pub fn response_body_untimed(&mut self, bytes: &[u8]) {
        self.0.timed = false;
        self.0.response_body.push_untimed(bytes);
    }

    /// So many bytes of the request's body are missing from here on: a recording that was cut.
    pub fn request_body_lost(&mut self, bytes: u64) {
        self.0.request_body.lost(bytes);
    }

    /// So many bytes of the response's body are missing from here on: a recording that was cut.
    pub fn response_body_lost(&mut self, bytes: u64) {
        self.0.response_body.lost(bytes);
    }

    /// Bytes that the capture holds in memory, for bounding all open captures together.
    pub fn weight(&self) -> usize {
        self.0.weight()
    }

    /// Keeps nothing of the bodies from now on: the host is short of memory. What passes is counted still.
    pub fn keep_no_more(&mut self) {
        self.0.request_body.keep_no_more();
        self.0.response_body.keep_no_more();
    }

    /// The response passes in another dialect than the request, because something on the way translates it. A name that
    /// no dialect has changes nothing.
    pub fn answered_in(&mut self, dialect: &str) {
        self.0.answered_in = dialect::by_name(dialect);
    }

    /// Something about the exchange that nothing else shows; it becomes one of the record's issues.
    pub fn note(&mut self, what: &'static str) {
        self.0.notes.push(what);
    }

    /// The exchange has ended.
    pub fn finish(mut self, end: End, at: At) -> Finished {
        self.0.end = end;
        self.0.ended_at = at;
        Finished { weight: self.0.weight(), state: State::Unread(self.0) }
    }
}

/// An exchange that has ended and waits to be read, or was read at once.
pub struct Finished {
    state: State,
    weight: usize,
}

enum State {
    Unread(Box<Exchange>),
    /// `None`: it was no LLM traffic.
    Read(Option<Box<CallRecord>>),
}

impl Finished {
    /// Bytes that the exchange holds in memory, for bounding queues.
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// Why the exchange is LLM traffic, and which, or why it is none, in one line for people. Reads the request's body.
    /// `None` when the exchange was read already.
    pub fn explain(&self) -> Option<String> {
        match &self.state {
            State::Unread(exchange) => Some(read::explain(exchange)),
            State::Read(_) => None,
        }
    }

    /// Reads the exchange now, for a host that has to know at once what it was; [`Finished::into_record`] then hands out
    /// the same record. Takes the time that reading takes, on the calling thread.
    pub fn read(self) -> Self {
        match self.state {
            State::Unread(exchange) => Self { state: State::Read(read::record(*exchange).map(Box::new)), ..self },
            State::Read(_) => self,
        }
    }

    /// The record, if [`Finished::read`] has made one.
    pub fn record(&self) -> Option<&CallRecord> {
        match &self.state {
            State::Unread(_) => None,
            State::Read(record) => record.as_deref(),
        }
    }

    /// Reads the exchange: inflates, frames, parses, prices, redacts. Takes time proportional to the body; call it off
    /// the request path. `None` when the request's body shows that it is no LLM traffic after all: some paths, such as
    /// `/generate`, are anybody's.
    pub fn into_record(self) -> Option<CallRecord> {
        match self.state {
            State::Unread(exchange) => read::record(*exchange),
            State::Read(record) => record.map(|record| *record),
        }
    }
}
