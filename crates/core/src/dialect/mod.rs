//! Wire formats: where each is found, and how it reads a request, an answer, and the events of a stream.
//!
//! A dialect is lenient: it takes what it finds, notes nothing it merely doesn't know, and returns no error. It keeps no
//! state; what a stream has said so far is in [`ResponseFacts`].
//!
//! Each family of dialects has a module of its own with a table of [`Endpoint`]s; [`FAMILIES`] is all of them.

mod anthropic;
mod bedrock;
mod cohere;
mod endpoint;
mod facts;
mod google;
mod hosted;
mod llamacpp;
mod mcp;
pub(crate) mod media;
mod ollama;
mod openai;
mod params;
mod rerank;
mod tgi;
mod vertex;
mod vllm;

use std::sync::LazyLock;

use crate::capture::KeptHeaders;
use crate::detect;
use crate::json::Json;
use crate::time::At;

pub use endpoint::Endpoint;
pub use facts::{ChoiceFacts, RequestFacts, ResponseFacts, ToolFacts};
pub(crate) use openai::TOKEN_IDS;

/// One wire format.
pub trait Dialect: Send + Sync {
    /// Name in records and in the configuration, such as `openai_chat`.
    fn name(&self) -> &'static str;

    /// False when a request's body shows that it is another's. Asked only where the path is not proof enough, or where
    /// several dialects share it; null stands for a body that is empty or could not be read.
    fn accepts(&self, _request: &Json<'_>) -> bool {
        true
    }

    /// Reads a request's body. Forms (`multipart/form-data`) come as an object of their fields.
    fn read_request(&self, body: &Json<'_>, facts: &mut RequestFacts);

    /// Reads a whole answer. Errors are read by the caller, for all dialects alike.
    fn read_response(&self, body: &Json<'_>, request: &RequestFacts, facts: &mut ResponseFacts);

    /// Reads one event of a stream; as a whole answer, unless the dialect knows better.
    fn read_event(&self, event: &Event<'_>, request: &RequestFacts, facts: &mut ResponseFacts) {
        self.read_response(event.body, request, facts);
    }

    /// Reads an answer that succeeded and is plain text instead of JSON.
    fn read_text(&self, _text: &str, _facts: &mut ResponseFacts) {}

    /// Reads what the response's headers tell, after its body: only where that said nothing.
    fn read_headers(&self, _headers: &KeptHeaders, _facts: &mut ResponseFacts) {}

    /// Reads a usage object that was found by itself, behind what was not kept of an answer.
    fn read_usage(&self, usage: &Json<'_>, facts: &mut ResponseFacts) {
        openai::read_usage(usage, facts);
    }

    /// The names under which [`Self::read_usage`]'s object and the model stand in the tail.
    fn tail_names(&self) -> [&'static str; 2] {
        ["usage", "model"]
    }

    /// True when streams of this dialect are JSON values, one after another or the items of an array, instead of
    /// server-sent events. Servers that announce `application/x-ndjson` and its like need no word here.
    fn streams_json(&self) -> bool {
        false
    }
}

/// One event of a stream.
#[derive(Clone, Copy)]
pub struct Event<'a> {
    /// The server-sent event's `event` field, or the AWS frame's `:event-type`; empty where there is none.
    pub name: &'a str,
    /// Its data.
    pub body: &'a Json<'a>,
    /// When its last byte passed.
    pub at: At,
}

/// All endpoints, by family.
pub(crate) const FAMILIES: [&[Endpoint]; 13] = [
    openai::ENDPOINTS,
    anthropic::ENDPOINTS,
    google::ENDPOINTS,
    vertex::ENDPOINTS,
    bedrock::ENDPOINTS,
    cohere::ENDPOINTS,
    rerank::ENDPOINTS,
    vllm::ENDPOINTS,
    ollama::ENDPOINTS,
    tgi::ENDPOINTS,
    llamacpp::ENDPOINTS,
    hosted::ENDPOINTS,
    mcp::ENDPOINTS,
];

/// All endpoints.
pub fn endpoints() -> impl Iterator<Item = &'static Endpoint> {
    FAMILIES.into_iter().flatten()
}

/// The endpoints that a path may lead to, by its last byte: most paths lead nowhere, and looking at all of the ends
/// would cost them more than anything else that is done for them. Paths that end in `/` are asked for without it.
pub(crate) fn endpoints_for(path: &str) -> impl Iterator<Item = &'static Endpoint> {
    static BY_LAST_BYTE: LazyLock<Vec<Vec<&'static Endpoint>>> = LazyLock::new(|| {
        let ends_in = |byte| endpoints().filter(move |at| at.suffix.bytes().last().is_none_or(|last| last == byte));
        (0..=u8::MAX).map(|byte| ends_in(byte).collect()).collect()
    });
    let last = path.bytes().last().unwrap_or_default();
    BY_LAST_BYTE.get(usize::from(last)).into_iter().flatten().copied()
}

/// The dialect of a name.
pub(crate) fn by_name(name: &str) -> Option<&'static dyn Dialect> {
    endpoints().map(|endpoint| endpoint.dialect).find(|dialect| dialect.name() == name)
}

/// The names of all dialects, in the order of [`FAMILIES`].
pub fn names() -> Vec<&'static str> {
    let mut names = Vec::new();
    for name in endpoints().map(|endpoint| endpoint.dialect.name()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// A request's head that leads to an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// The path.
    pub path: String,
    /// A host of the provider whose alone the path is, or who defined the API.
    pub host: Option<String>,
    /// The dialect, which shares the path with others where the body decides.
    pub dialect: &'static str,
}

/// One for each endpoint, in the order of [`FAMILIES`]: what meets all of these has met all that can be read.
pub fn examples() -> Vec<Example> {
    let example = |endpoint: &Endpoint| {
        let within = match (endpoint.within, endpoint.suffix.starts_with('/')) {
            // `/v1/models/m:generateContent`
            ("", false) => "/models/",
            (within, _) => within,
        };
        let model = if within.is_empty() { "" } else { "m" };
        // Paths of one host alone are whole.
        let version = if endpoint.only_at.is_some() { "" } else { "/v1" };
        Example {
            path: format!("{version}{within}{model}{}", endpoint.suffix),
            host: endpoint.only_at.or(endpoint.provider).and_then(detect::host_of),
            dialect: endpoint.dialect.name(),
        }
    };
    endpoints().map(example).collect()
}
