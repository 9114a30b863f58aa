//! Where a dialect is found.

use std::fmt;

use super::Dialect;
use crate::record::Operation;

/// One endpoint of an API. Paths are matched by their end: a gateway's routes put anything in front.
#[derive(Clone, Copy)]
pub struct Endpoint {
    /// How the path ends, such as `/chat/completions` or `:generateContent`. Of the endpoints whose end matches, those
    /// with the longest count; where several share it, the request's body decides, in the order of the table.
    pub suffix: &'static str,
    /// What must stand in the path before that, such as `/model/`; empty: anything.
    pub within: &'static str,
    /// The provider that the upstream's host must name, for paths that say nothing elsewhere. `None`: any host.
    pub only_at: Option<&'static str>,
    /// Reads the bodies.
    pub dialect: &'static dyn Dialect,
    /// What is asked for; a dialect may learn better from the request.
    pub operation: Operation,
    /// Who serves such an API where neither rule nor host tell. `None`: anybody.
    pub provider: Option<&'static str>,
    /// True where even `/v1/` in front, or a known host, says nothing: the body has the last word.
    pub anybodys: bool,
    /// True where the path itself asks for a stream.
    pub stream: bool,
    /// The model that the path names.
    pub model: fn(&str) -> Option<String>,
}

impl Endpoint {
    /// An endpoint that anybody may serve, at any host; the fields that differ are set by struct update.
    pub const fn new(suffix: &'static str, dialect: &'static dyn Dialect, operation: Operation) -> Self {
        Self {
            suffix,
            within: "",
            only_at: None,
            dialect,
            operation,
            provider: None,
            anybodys: false,
            stream: false,
            model: no_model,
        }
    }

    /// An endpoint of the API that `provider` defined.
    pub const fn of(
        provider: &'static str,
        suffix: &'static str,
        dialect: &'static dyn Dialect,
        operation: Operation,
    ) -> Self {
        Self { provider: Some(provider), ..Self::new(suffix, dialect, operation) }
    }
}

fn no_model(_: &str) -> Option<String> {
    None
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}...{} as {}", self.within, self.suffix, self.dialect.name())
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
