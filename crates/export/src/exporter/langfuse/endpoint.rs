//! From `langfuse_endpoint`, in any of its spellings, to the server's base URL.

use crate::exporter::endpoint;

/// Path of the OTLP API below the base.
pub(super) const OTLP: &str = "/api/public/otel/v1/traces";
/// Path of the batch API below the base.
pub(super) const INGESTION: &str = "/api/public/ingestion";

/// What an endpoint may end in; longest first.
const SUFFIXES: [&str; 4] = [OTLP, "/api/public/otel", INGESTION, "/api/public"];

/// The base URL, without a trailing slash, of a server named by its base URL or by the URL of either API. A base may
/// have a path (`https://tools.example.com/langfuse`).
pub(super) fn base(endpoint: &str) -> Result<String, String> {
    endpoint::base(endpoint, &SUFFIXES, "https://cloud.langfuse.com", "langfuse_public_key and langfuse_secret_key")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_leads_to_the_base() {
        for (endpoint, expected) in [
            ("https://cloud.langfuse.com", "https://cloud.langfuse.com"),
            ("https://cloud.langfuse.com/", "https://cloud.langfuse.com"),
            ("https://cloud.langfuse.com/api/public/ingestion", "https://cloud.langfuse.com"),
            ("https://us.cloud.langfuse.com/api/public/ingestion/", "https://us.cloud.langfuse.com"),
            ("https://cloud.langfuse.com/api/public/otel/v1/traces", "https://cloud.langfuse.com"),
            ("https://cloud.langfuse.com/api/public/otel", "https://cloud.langfuse.com"),
            ("http://localhost:3000/api/public", "http://localhost:3000"),
            ("http://[::1]:3000", "http://[::1]:3000"),
            ("https://example.com:443", "https://example.com"),
            ("https://tools.example.com/langfuse/api/public/ingestion", "https://tools.example.com/langfuse"),
            ("https://tools.example.com/langfuse//", "https://tools.example.com/langfuse"),
        ] {
            assert_eq!(base(endpoint).as_deref(), Ok(expected), "{endpoint}");
        }
    }

    #[test]
    fn what_is_no_address_of_a_server_is_refused_without_repeating_it() {
        for endpoint in [
            "",
            "cloud.langfuse.com",
            "localhost:3000",
            "ftp://langfuse.example.com",
            "https://pk-lf-1:sk-lf-1@langfuse.example.com",
            "https://langfuse.example.com/?key=sk-lf-1",
        ] {
            let error = base(endpoint).unwrap_err();
            assert!(error.starts_with("must ") && !error.contains("sk-lf-1"), "{error}");
        }
    }
}
