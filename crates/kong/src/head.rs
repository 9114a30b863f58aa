//! Heads of requests and responses as they come from Lua: rows of texts. What is absent has no text.

use std::borrow::Cow;

use ai_tracing_core::capture::{Headers, RequestHead, Upstream};
use ai_tracing_core::text::lossy;

/// Names and values, in turn.
pub struct Pairs<'a> {
    texts: &'a [Option<&'a [u8]>],
    /// A bit for each length that a name has, modulo 64. Of the forty names that are asked for, few are there.
    lengths: u64,
}

impl<'a> Pairs<'a> {
    /// Reads a row of texts; one without a value at its end is left out.
    pub fn new(texts: &'a [Option<&'a [u8]>]) -> Self {
        let names = texts.iter().step_by(2).flatten();
        Self { texts, lengths: names.fold(0, |lengths, name| lengths | bit(name.len())) }
    }
}

fn bit(length: usize) -> u64 {
    1 << (length % 64)
}

impl Headers for Pairs<'_> {
    fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        if self.lengths & bit(name.len()) == 0 {
            return None;
        }
        self.texts.chunks_exact(2).find_map(|pair| match pair {
            [Some(known), Some(value)] if known.eq_ignore_ascii_case(name.as_bytes()) => Some(lossy(value)),
            _ => None,
        })
    }
}

/// The head of a request, as [`RequestHead`] has it.
pub struct Request<'a> {
    method: Cow<'a, str>,
    path: Cow<'a, str>,
    query: Option<Cow<'a, str>>,
    host: Cow<'a, str>,
    upstream_host: Option<Cow<'a, str>>,
    upstream_path: Option<Cow<'a, str>>,
    upstream_port: u16,
    service: Option<Cow<'a, str>>,
    route: Option<Cow<'a, str>>,
    consumer: Option<Cow<'a, str>>,
    headers: Pairs<'a>,
}

impl<'a> Request<'a> {
    /// Reads a row of texts in the order of the members; what is missing at its end is absent.
    pub fn new(texts: &'a [Option<&'a [u8]>], headers: Pairs<'a>, upstream_port: u16) -> Self {
        let text = |index: usize| texts.get(index).copied().flatten().map(lossy);
        let path = texts.get(1).copied().flatten().and_then(|uri| uri.split(|byte| *byte == b'?').next());
        Self {
            method: text(0).unwrap_or_default(),
            path: path.map(lossy).unwrap_or_default(),
            query: text(2).filter(|query| !query.is_empty()),
            host: text(3).unwrap_or_default(),
            upstream_host: text(4),
            upstream_path: text(5),
            upstream_port,
            service: text(6),
            route: text(7),
            consumer: text(8),
            headers,
        }
    }

    /// The same, as the capture takes it.
    pub fn head(&self) -> RequestHead<'_> {
        RequestHead {
            method: &self.method,
            path: &self.path,
            query: self.query.as_deref(),
            host: &self.host,
            headers: &self.headers,
            upstream: self.upstream_host.as_deref().map(|host| Upstream {
                host,
                port: self.upstream_port,
                path: self.upstream_path.as_deref().unwrap_or(&self.path),
            }),
            service: self.service.as_deref(),
            route: self.route.as_deref(),
            consumer: self.consumer.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_texts_is_a_head() {
        fn texts<const N: usize>(row: [&'static str; N]) -> [Option<&'static [u8]>; N] {
            row.map(|text| (text != "-").then_some(text.as_bytes()))
        }
        let row = texts(["POST", "/a?b=c", "", "h", "up", "/b", "s", "-", "c"]);
        let headers = texts(["X-User-Id", "u", "x-user-id", "v", "-", "w", "-", "-", "x", "-", "odd"]);
        let request = Request::new(&row, Pairs::new(&headers), 443);
        let head = request.head();
        assert_eq!((head.method, head.path, head.query, head.host), ("POST", "/a", None, "h"));
        assert_eq!((head.service, head.route, head.consumer), (Some("s"), None, Some("c")));
        let upstream = head.upstream.unwrap();
        assert_eq!((upstream.host, upstream.port, upstream.path), ("up", 443, "/b"));
        assert_eq!(head.headers.get("x-user-id").as_deref(), Some("u"));
        assert_eq!(["odd", "u", "x"].map(|name| head.headers.get(name)), [None, None, None]);
    }

    #[test]
    fn an_empty_row_is_an_empty_head() {
        let request = Request::new(&[], Pairs::new(&[]), 0);
        let head = request.head();
        assert_eq!((head.method, head.path, head.upstream.is_none()), ("", "", true));
    }
}
