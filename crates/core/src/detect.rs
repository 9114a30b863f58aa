//! Is it LLM traffic, and which? Told from the request's head alone, in nanoseconds for everything else.
//!
//! Order: the configuration's own [`ProviderRule`]s, then the built-in paths. The provider's name comes from the rule,
//! else from the upstream's host; what the response reveals later (see `dialect`) can make `openai_compatible` more
//! precise.

use crate::capture::{Headers, RequestHead};
use crate::dialect::{self, Dialect};
use crate::record::Operation;
use crate::settings::{ProviderRule, Settings};

/// Provider of OpenAI-shaped traffic whose server is not known by name.
pub const OPENAI_COMPATIBLE: &str = "openai_compatible";

/// What the request's head tells.
#[derive(Clone)]
pub struct Detection {
    /// Who serves the model.
    pub provider: String,
    /// Reads the bodies.
    pub dialect: &'static dyn Dialect,
    /// What is asked for.
    pub operation: Operation,
    /// The model, where the path names it.
    pub model: Option<String>,
    /// True when a configured rule named the provider: nothing in the response overrides that.
    pub pinned: bool,
    /// False where the path may be anybody's and the request's body has the last word.
    pub certain: bool,
}

/// Recognises LLM traffic; `None` is the cheap way out.
pub fn detect(settings: &Settings, head: &RequestHead<'_>) -> Option<Detection> {
    if head.method != "POST" {
        return None;
    }
    // The bytes are in the upstream's format: its path tells more than what the route calls it.
    let upstream_path = head.upstream.map(|upstream| upstream.path).filter(|path| *path != head.path);
    let paths = || upstream_path.into_iter().chain([head.path]);
    let found = paths().find_map(|path| by_path(path).map(|route| (path, route)));
    if let Some(rule) = settings.providers.iter().find(|rule| rule_matches(rule, head)) {
        return Some(by_rule(rule, found.map(|(_, route)| route)));
    }
    let (path, route) = found?;
    let host = head.upstream.map_or(head.host, |upstream| upstream.host);
    let deployment = paths().find_map(azure_deployment);
    let known = provider_by_host(host);
    let provider =
        known.or(deployment.is_some().then_some("azure")).unwrap_or(route.provider.unwrap_or(OPENAI_COMPATIBLE));
    let versioned = ["/v1/", "/deployments/"].iter().any(|segment| path.contains(segment));
    Some(Detection {
        provider: provider.to_owned(),
        dialect: route.dialect,
        operation: route.operation,
        model: deployment.map(str::to_owned),
        pinned: false,
        certain: !route.anybodys && (versioned || known.is_some()),
    })
}

/// What a path's end stands for.
#[derive(Clone, Copy)]
struct PathRule {
    suffix: &'static str,
    dialect: &'static dyn Dialect,
    operation: Operation,
    provider: Option<&'static str>,
    /// True where even `/v1/` in front says nothing.
    anybodys: bool,
}

impl PathRule {
    const fn new(suffix: &'static str, dialect: &'static dyn Dialect, operation: Operation) -> Self {
        Self { suffix, dialect, operation, provider: None, anybodys: false }
    }
}

/// Paths by their end: a gateway's routes put anything in front. The first match wins.
const PATHS: [PathRule; 5] = [
    PathRule::new("/chat/completions", &dialect::OpenAiChat, Operation::Chat),
    // Mistral's agents.
    PathRule::new("/agents/completions", &dialect::OpenAiChat, Operation::Chat),
    PathRule::new("/completions", &dialect::OpenAiCompletions, Operation::TextCompletion),
    PathRule::new("/embeddings", &dialect::OpenAiEmbeddings, Operation::Embeddings),
    PathRule {
        provider: Some("vllm"),
        anybodys: true,
        ..PathRule::new("/generate", &dialect::VllmGenerate, Operation::TextCompletion)
    },
];

/// Paths that end like one of [`PATHS`] but belong to other APIs: Ollama's own and Cohere's.
const OTHER_APIS: [&str; 3] = ["/api/generate", "/api/embeddings", "/v1/generate"];

fn by_path(path: &str) -> Option<&'static PathRule> {
    let path = path.strip_suffix('/').unwrap_or(path);
    let rule = PATHS.iter().find(|rule| path.ends_with(rule.suffix))?;
    (!OTHER_APIS.iter().any(|other| path.ends_with(other))).then_some(rule)
}

/// The deployment in Azure's `/openai/deployments/{deployment}/...`.
fn azure_deployment(path: &str) -> Option<&str> {
    let (_, rest) = path.split_once("/openai/deployments/")?;
    rest.split('/').next().filter(|deployment| !deployment.is_empty())
}

/// Hosts of known providers: exact names, or suffixes that begin with a dot.
const HOSTS: [(&str, &str); 31] = [
    ("api.openai.com", "openai"),
    (".api.openai.com", "openai"),
    (".openai.azure.com", "azure"),
    (".cognitiveservices.azure.com", "azure"),
    (".services.ai.azure.com", "azure"),
    (".models.ai.azure.com", "azure"),
    ("api.anthropic.com", "anthropic"),
    ("generativelanguage.googleapis.com", "gemini"),
    ("aiplatform.googleapis.com", "vertex"),
    ("-aiplatform.googleapis.com", "vertex"),
    ("api.mistral.ai", "mistral"),
    ("codestral.mistral.ai", "mistral"),
    ("api.groq.com", "groq"),
    ("api.deepseek.com", "deepseek"),
    ("openrouter.ai", "openrouter"),
    ("api.together.xyz", "together"),
    ("api.together.ai", "together"),
    ("api.x.ai", "xai"),
    (".api.x.ai", "xai"),
    ("api.perplexity.ai", "perplexity"),
    ("api.fireworks.ai", "fireworks"),
    ("api.cerebras.ai", "cerebras"),
    ("api.cohere.com", "cohere"),
    ("api.cohere.ai", "cohere"),
    ("api.writer.com", "writer"),
    ("api.voyageai.com", "voyage"),
    ("api.moonshot.ai", "moonshot"),
    ("router.huggingface.co", "huggingface"),
    ("api-inference.huggingface.co", "huggingface"),
    ("models.github.ai", "github"),
    ("api.githubcopilot.com", "copilot"),
];

fn provider_by_host(host: &str) -> Option<&'static str> {
    let matches = |name: &str| match name.as_bytes().first() {
        Some(b'.' | b'-') => ends_with_ignore_case(host, name),
        _ => host.eq_ignore_ascii_case(name),
    };
    HOSTS
        .iter()
        .find(|(name, _)| matches(name))
        .map(|(_, provider)| *provider)
        .or(is_bedrock(host).then_some("bedrock"))
}

/// Of all that AWS hosts, `bedrock-runtime.{region}.amazonaws.com` and its siblings, `bedrock-mantle.{region}.api.aws`
/// among them, serve models.
fn is_bedrock(host: &str) -> bool {
    let aws =
        [".amazonaws.com", ".amazonaws.com.cn", ".api.aws"].iter().any(|suffix| ends_with_ignore_case(host, suffix));
    aws && host.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("bedrock-"))
}

fn ends_with_ignore_case(text: &str, suffix: &str) -> bool {
    text.len()
        .checked_sub(suffix.len())
        .and_then(|at| text.get(at..))
        .is_some_and(|end| end.eq_ignore_ascii_case(suffix))
}

/// A provider that the response's headers give away, for servers that the host does not name (proxies in between).
pub(crate) fn provider_by_headers(headers: &dyn Headers) -> Option<&'static str> {
    // Azure passes OpenAI's own headers on: it comes first.
    const TELLTALES: [(&str, &str); 5] = [
        ("apim-request-id", "azure"),
        ("x-ms-region", "azure"),
        ("x-groq-region", "groq"),
        ("mistral-correlation-id", "mistral"),
        ("openai-processing-ms", "openai"),
    ];
    TELLTALES.iter().find(|(name, _)| headers.get(name).is_some()).map(|(_, provider)| *provider)
}

fn by_rule(rule: &ProviderRule, route: Option<&PathRule>) -> Detection {
    let (dialect, operation) = match rule.dialect.as_deref().and_then(dialect::by_name) {
        Some(dialect) => (dialect, dialect.operation()),
        // Traffic that a rule names is traced in any case; a chat is the best guess at what it says.
        None => route.map_or((&dialect::OpenAiChat as &'static dyn Dialect, Operation::Chat), |route| {
            (route.dialect, route.operation)
        }),
    };
    Detection { provider: rule.name.clone(), dialect, operation, model: None, pinned: true, certain: true }
}

fn rule_matches(rule: &ProviderRule, head: &RequestHead<'_>) -> bool {
    let upstream = head.upstream;
    let path = rule.path.as_deref().is_none_or(|pattern| {
        path_matches(pattern, head.path) || upstream.is_some_and(|upstream| path_matches(pattern, upstream.path))
    });
    let host = rule.host.as_deref().is_none_or(|pattern| {
        host_matches(pattern, head.host) || upstream.is_some_and(|upstream| host_matches(pattern, upstream.host))
    });
    let header = rule.header.as_ref().is_none_or(|(name, value)| {
        let sent = head.headers.get(name);
        sent.is_some_and(|sent| value.as_ref().is_none_or(|value| sent.as_ref() == value.as_str()))
    });
    path && host && header
}

/// A prefix that ends at a segment's end, or, beginning with `*`, what the path ends with.
fn path_matches(pattern: &str, path: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(suffix) => path.ends_with(suffix),
        None => path
            .strip_prefix(pattern)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || pattern.ends_with('/')),
    }
}

fn host_matches(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(suffix) => ends_with_ignore_case(host, suffix),
        None => host.eq_ignore_ascii_case(pattern),
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::capture::Upstream;

    struct Few(&'static [(&'static str, &'static str)]);

    impl Headers for Few {
        fn get(&self, name: &str) -> Option<Cow<'_, str>> {
            self.0.iter().find(|(key, _)| *key == name).map(|(_, value)| Cow::Borrowed(*value))
        }
    }

    fn told(settings: &Settings, path: &str, host: &str, upstream_path: &str) -> Option<(String, &'static str)> {
        let head = RequestHead {
            method: "POST",
            path,
            query: None,
            host: "gateway.local",
            headers: &Few(&[("x-vendor", "acme")]),
            upstream: Some(Upstream { host, port: 443, path: upstream_path }),
            service: None,
            route: None,
            consumer: None,
        };
        detect(settings, &head).map(|found| (found.provider, found.dialect.name()))
    }

    #[test]
    fn openai_shaped_paths_under_any_prefix() {
        let settings = Settings::default();
        for (path, dialect) in [
            ("/v1/chat/completions", "openai_chat"),
            ("/openai/v1/chat/completions/", "openai_chat"),
            ("//openai/deployments/d/chat/completions", "openai_chat"),
            ("/v1/completions", "openai_completions"),
            ("/v1/fim/completions", "openai_completions"),
            ("/v1/agents/completions", "openai_chat"),
            ("/team/a/v1/embeddings", "openai_embeddings"),
            ("/generate", "vllm_generate"),
        ] {
            assert_eq!(told(&settings, path, "10.0.0.1", path).map(|(_, name)| name), Some(dialect), "{path}");
        }
        for path in ["/", "/v1/models", "/api/generate", "/v1/chat/completions/x", "/api/embeddings", "/completion"] {
            assert_eq!(told(&settings, path, "api.openai.com", path), None, "{path}");
        }
    }

    #[test]
    fn the_host_names_the_provider() {
        let settings = Settings::default();
        for (host, provider) in [
            ("api.openai.com", "openai"),
            ("API.GROQ.COM", "groq"),
            ("me.openai.azure.com", "azure"),
            ("evil-api.openai.com.example.org", "openai_compatible"),
            ("localhost", "openai_compatible"),
            ("bedrock-runtime.us-east-1.amazonaws.com", "bedrock"),
            ("bedrock-mantle.eu-west-1.api.aws", "bedrock"),
            ("llm.eu-west-1.elb.amazonaws.com", "openai_compatible"),
        ] {
            let path = "/v1/chat/completions";
            assert_eq!(told(&settings, path, host, path).map(|(name, _)| name).as_deref(), Some(provider), "{host}");
        }
        let azure = "/openai/deployments/gpt4/chat/completions";
        assert_eq!(told(&settings, azure, "relay.local", azure).map(|(name, _)| name).as_deref(), Some("azure"));
    }

    #[test]
    fn the_upstream_path_counts_where_the_route_rewrites() {
        let settings = Settings::default();
        assert!(told(&settings, "/my-ai", "10.0.0.1", "/v1/chat/completions").is_some());
        assert!(told(&settings, "/v1/chat/completions", "10.0.0.1", "/internal/x").is_some());
        let told = told(&settings, "/v1/chat/completions", "10.0.0.1", "/generate");
        assert_eq!(told.map(|(_, name)| name), Some("vllm_generate"), "the bytes are in the upstream's format");
    }

    #[test]
    fn configured_rules_come_first_and_all_their_parts_must_match() {
        let rule = ProviderRule {
            name: "acme".into(),
            path: Some("/acme".into()),
            host: Some("*.acme.io".into()),
            header: Some(("x-vendor".into(), Some("acme".into()))),
            dialect: Some("openai_completions".into()),
        };
        let settings = Settings { providers: vec![rule], ..Settings::default() };
        let acme = Some(("acme".to_owned(), "openai_completions"));
        assert_eq!(told(&settings, "/acme/chat/completions", "llm.acme.io", "/x"), acme);
        assert_eq!(told(&settings, "/acme", "llm.acme.io", "/x"), acme);
        assert_eq!(told(&settings, "/acmeish", "llm.acme.io", "/x"), None);
        assert_eq!(told(&settings, "/acme", "llm.other.io", "/x"), None);
    }
}
