//! The few headers that are kept of an exchange.

use std::borrow::Cow;

/// The headers of a request or response, whatever the host keeps them in.
pub trait Headers {
    /// The first value of `name`, which is lower case. Bytes that are no UTF-8 are replaced.
    fn get(&self, name: &str) -> Option<Cow<'_, str>>;

    /// Shows name and value of each header, in their order, where exchanges are to be kept
    /// ([`HttpPolicy`](crate::settings::HttpPolicy)). Hosts that have no store for them show none.
    fn each(&self, see: &mut dyn FnMut(&[u8], &[u8])) {
        let _ = see;
    }
}

/// What is kept of a request's headers beside the context headers: what a dialect needs to read it. No credentials.
const OF_REQUEST: [&str; 5] =
    ["content-type", "content-encoding", "anthropic-version", "mcp-session-id", "mcp-protocol-version"];

/// What is kept of a response's headers: what tells its format, its ids, and counts that its body may lack.
const OF_RESPONSE: [&str; 15] = [
    "content-type",
    "content-encoding",
    "x-request-id",
    "request-id",
    "apim-request-id",
    "x-amzn-requestid",
    "openai-version",
    "x-amzn-errortype",
    "x-amzn-bedrock-input-token-count",
    "x-amzn-bedrock-output-token-count",
    "x-amzn-bedrock-cache-read-input-token-count",
    "x-amzn-bedrock-cache-write-input-token-count",
    "x-prompt-tokens",
    "x-generated-tokens",
    "mcp-session-id",
];

/// Longest value that is kept, in bytes; none of them has a longer one.
const MAX_VALUE: usize = 1024;

/// A few headers by their lower-case names.
#[derive(Clone, Debug, Default)]
pub struct KeptHeaders(Vec<(&'static str, String)>);

impl KeptHeaders {
    pub(super) fn of_request(headers: &dyn Headers) -> Self {
        Self::of(headers, &OF_REQUEST)
    }

    pub(super) fn of_response(headers: &dyn Headers) -> Self {
        Self::of(headers, &OF_RESPONSE)
    }

    fn of(headers: &dyn Headers, names: &[&'static str]) -> Self {
        let kept = |name: &&'static str| {
            let mut value = headers.get(name)?.into_owned();
            value.truncate(value.floor_char_boundary(MAX_VALUE));
            Some((*name, value))
        };
        Self(names.iter().filter_map(kept).collect())
    }

    /// The value of a header that is kept.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(kept, _)| *kept == name).map(|(_, value)| value.as_str())
    }

    /// A header that is a count.
    pub fn count(&self, name: &str) -> Option<u64> {
        self.get(name)?.trim().parse().ok()
    }

    /// The media type of the body, lower case and without parameters; empty where there is none.
    pub fn media_type(&self) -> String {
        let value = self.get("content-type").unwrap_or_default();
        value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }

    pub(super) fn weight(&self) -> usize {
        self.0.iter().map(|(_, value)| size_of::<(&str, String)>() + value.capacity()).sum()
    }
}
