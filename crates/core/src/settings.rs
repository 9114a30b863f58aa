//! What the engine has to know about a plugin's configuration, ready for use on the hot path.

use crate::cost::Prices;
use crate::redact::Redactor;

/// One plugin configuration, compiled; shared by all its calls.
#[derive(Debug)]
pub struct Settings {
    /// Bounds of what is kept of one exchange.
    pub limits: Limits,
    /// Names of the context headers.
    pub context_headers: ContextHeaders,
    /// Custom detection rules, tried before the built-in ones, in order.
    pub providers: Vec<ProviderRule>,
    /// Prices per million tokens.
    pub prices: Prices,
    /// Whether content may leave the engine.
    pub content: ContentPolicy,
    /// What is kept of the HTTP exchange itself. A host that has no store for it leaves this off: then it costs nothing.
    pub http: HttpPolicy,
    /// What is replaced in every string that leaves the engine.
    pub redactor: Redactor,
    /// Whether token counts that the provider did not give are estimated (and flagged).
    pub estimate_tokens: bool,
    /// The plugin's `environment`.
    pub environment: String,
    /// Share of traces to keep, 0.0 to 1.0; calls that failed or were slow are always kept.
    pub sampling_ratio: f64,
    /// Milliseconds from which on a call is slow; `None`: none is.
    pub sampling_slow_ms: Option<f64>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            context_headers: ContextHeaders::default(),
            providers: Vec::new(),
            prices: Prices::default(),
            content: ContentPolicy::default(),
            http: HttpPolicy::default(),
            redactor: Redactor::default(),
            estimate_tokens: true,
            environment: "production".into(),
            sampling_ratio: 1.0,
            sampling_slow_ms: None,
        }
    }
}

/// Bounds of what is kept of one exchange, and with [`MAX_NODES`](crate::json::MAX_NODES) of the memory that reading it
/// takes: beside what was captured, at most 100 MiB for values and messages, four times the bytes of a body's text, and
/// nine times where it is no UTF-8 (one exchange is read at a time; `tests/memory.rs` holds it).
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes kept of the request's body, and of the response's body (compressed as sent). Of what is longer, the
    /// beginning is kept and, for responses, the end as well: usage and finish reason stand there.
    pub max_body_size: usize,
    /// Bytes that a compressed body may inflate to; what is longer is cut.
    pub max_inflated_size: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_body_size: 4 << 20, max_inflated_size: 32 << 20 }
    }
}

/// Whether content may leave the engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ContentPolicy {
    /// Everything is recorded.
    #[default]
    Full,
    /// Numbers, booleans and names stay; everything that is said is left out. docs/privacy.md lists both.
    MetadataOnly,
}

/// What is kept of the HTTP exchange beside the record ([`Http`](crate::http::Http)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HttpPolicy {
    /// Nothing.
    #[default]
    Off,
    /// The request line, headers, and when the pieces of the answer passed.
    Headers,
    /// The bodies as well, where content is recorded and nothing is redacted.
    Full,
}

/// Names of the six context headers, lower case.
#[derive(Clone, Debug)]
pub struct ContextHeaders {
    /// Default `x-user-id`.
    pub user_id: String,
    /// Default `x-session-id`.
    pub session_id: String,
    /// Default `x-chat-id`.
    pub chat_id: String,
    /// Default `x-message-id`.
    pub message_id: String,
    /// Default `x-organization-id`.
    pub organization_id: String,
    /// Default `x-project-id`.
    pub project_id: String,
}

impl ContextHeaders {
    /// The names, in the order of the fields.
    pub fn names(&self) -> [&str; 6] {
        let Self { user_id, session_id, chat_id, message_id, organization_id, project_id } = self;
        [user_id, session_id, chat_id, message_id, organization_id, project_id]
    }
}

impl Default for ContextHeaders {
    fn default() -> Self {
        Self {
            user_id: "x-user-id".into(),
            session_id: "x-session-id".into(),
            chat_id: "x-chat-id".into(),
            message_id: "x-message-id".into(),
            organization_id: "x-organization-id".into(),
            project_id: "x-project-id".into(),
        }
    }
}

/// One custom detection rule: what is given must match, all of it.
#[derive(Clone, Debug, Default)]
pub struct ProviderRule {
    /// The record's provider; `custom_provider` where the configuration names none.
    pub name: String,
    /// Path, matched from the start, or from any `/` when it begins with `*`. `None` matches any.
    pub path: Option<String>,
    /// Host of the request or of the upstream, without port; `*.example.com` matches subdomains. `None` matches any.
    pub host: Option<String>,
    /// A header that must be present, lower case, with its value if one is given.
    pub header: Option<(String, Option<String>)>,
    /// Wire format to read; `None`: told by path and body.
    pub dialect: Option<String>,
}
