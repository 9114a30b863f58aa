//! The HTTP exchange of a call, as the local store keeps it beside the record: both heads, when the pieces of the answer
//! passed, and, where that is asked for, the bodies.
//!
//! It is for whoever looks for what went wrong on the wire, on the machine where it happened. It is no part of the record's
//! JSON: no destination, no spool and no printed record ever has it. Its own serde form is what the store keeps and what
//! the console's API answers (docs/api/openapi.yaml).
//!
//! Invariants: no secret of a head is in it ([`mask`]); bodies are in it only where content is recorded and nothing is
//! redacted; its size is bounded by the constants here.

pub(crate) mod mask;

use serde::{Deserialize, Serialize};

/// Headers of one head, and parameters of a query, that are kept at most.
pub const MAX_FIELDS: usize = 200;
/// Bytes of names and values that are kept of one head at most.
pub const MAX_HEAD: usize = 64 << 10;
/// Bytes of one body that are kept at most, without its content encoding.
pub const MAX_BODY: usize = 256 << 10;
/// How many of them are of the end of a body that is longer.
pub const MAX_END: usize = 64 << 10;
/// Entries of a timeline at most.
pub const MAX_CHUNKS: usize = 2_000;

/// One HTTP exchange.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Http {
    /// What the client sent.
    pub request: Request,
    /// What it was answered; `None` when there was no answer.
    pub response: Option<Response>,
    /// Whether the bodies are here, or why not.
    pub bodies: Bodies,
    /// When the response's body passed; `None` where nobody knows.
    pub timeline: Option<Timeline>,
}

/// The request as the client sent it, before the gateway changed anything.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Method.
    pub method: String,
    /// Path, percent-encoded as it came.
    pub path: String,
    /// The query's parameters in their order, decoded; of one without `=` the value is empty.
    pub query: Fields,
    /// Headers in their order.
    pub headers: Fields,
    /// Length of the body in bytes, as it was sent.
    pub body_bytes: u64,
    /// The body, where [`Http::bodies`] says so.
    pub body: Option<Body>,
}

/// The response as the upstream sent it, or the gateway itself where it refused the call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// Milliseconds from the call's begin to the response's head.
    pub head_ms: f64,
    /// Headers in their order.
    pub headers: Fields,
    /// Length of the body in bytes, as it was sent.
    pub body_bytes: u64,
    /// The body, where [`Http::bodies`] says so.
    pub body: Option<Body>,
}

/// Names and values.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Fields {
    /// In their order; what was no UTF-8 has U+FFFD in its place.
    pub fields: Vec<(String, String)>,
    /// How many more there were.
    pub left_out: u64,
}

/// Whether bodies are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bodies {
    /// They are.
    Kept,
    /// The configuration asks for headers alone.
    NotAsked,
    /// Content is not recorded.
    MetadataOnly,
    /// Something is redacted, which cannot be found in raw bytes: a name may come in two events.
    Redacted,
}

/// A body without its content encoding: whole, or its beginning and its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Body {
    /// The content encoding that was undone.
    pub encoding: Option<String>,
    /// The body, or its beginning.
    pub start: Content,
    /// What is missing behind the beginning; `None`: nothing.
    pub missing: Option<Missing>,
    /// Its end, behind what is missing.
    pub end: Option<Content>,
}

/// Bytes of a body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// They are UTF-8.
    Text(String),
    /// They are not.
    Base64(String),
}

/// What is missing of a body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// How many bytes; `None` where what is missing would have to be decoded to be counted.
    pub bytes: Option<u64>,
    /// Why, in plain words.
    pub why: String,
}

/// When the pieces of a response's body passed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timeline {
    /// Milliseconds from the call's begin, and bytes as they were sent. Without a time: bytes that passed between their
    /// neighbours and were not kept.
    pub chunks: Vec<(Option<f64>, u64)>,
    /// How many pieces an entry stands for at most; its time is that of the last one. 1: each has its own.
    pub joined: u64,
}

impl Http {
    /// Bytes of memory that it takes.
    pub fn weight(&self) -> usize {
        let Self { request, response, bodies: _, timeline } = self;
        let chunks = timeline.as_ref().map_or(0, |timeline| timeline.chunks.capacity());
        size_of::<Self>()
            + request.method.len()
            + request.path.len()
            + request.query.weight()
            + request.headers.weight()
            + request.body.as_ref().map_or(0, Body::weight)
            + response.as_ref().map_or(0, |it| it.headers.weight() + it.body.as_ref().map_or(0, Body::weight))
            + chunks * size_of::<(Option<f64>, u64)>()
    }
}

impl Fields {
    /// The parameters of a query, decoded.
    pub(crate) fn of_query(query: &str) -> Self {
        let decoded = |text: &str| {
            let spaced = text.replace('+', " ");
            percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
        };
        let mut pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(name), decoded(value))
        });
        let fields = pairs.by_ref().take(MAX_FIELDS).collect();
        Self { fields, left_out: pairs.count() as u64 }
    }

    fn weight(&self) -> usize {
        self.fields.iter().map(|(name, value)| size_of::<(String, String)>() + name.len() + value.len()).sum()
    }
}

impl Body {
    fn weight(&self) -> usize {
        let Self { encoding, start, missing, end } = self;
        encoding.as_ref().map_or(0, String::len)
            + start.text().len()
            + missing.as_ref().map_or(0, |missing| missing.why.len())
            + end.as_ref().map_or(0, |end| end.text().len())
    }
}

impl Content {
    fn text(&self) -> &str {
        match self {
            Self::Text(text) | Self::Base64(text) => text,
        }
    }
}
