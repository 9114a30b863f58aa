//! Is it LLM traffic, and which? Told from the request's head alone, in nanoseconds for everything else; where several
//! dialects share a path, or the path may be anybody's, the request's body has the last word.
//!
//! Order: the configuration's own [`ProviderRule`]s, then the endpoints of [`crate::dialect`]. The provider's name comes
//! from the rule, else from the upstream's host, else from the endpoint; what the response reveals later can make
//! `openai_compatible` more precise.

mod hosts;

use std::cell::OnceCell;

use crate::capture::RequestHead;
use crate::dialect::{self, Endpoint};
use crate::json::Json;
use crate::settings::{ProviderRule, Settings};

use hosts::ends_with_ignore_case;
pub(crate) use hosts::{host_of, provider_by_headers, provider_by_host};

/// Provider of OpenAI-shaped traffic whose server is not known by name.
pub const OPENAI_COMPATIBLE: &str = "openai_compatible";

/// Endpoints that may share a path; no path has more.
const MAX_CANDIDATES: usize = 4;

/// What the request's head tells.
#[derive(Clone, Debug)]
pub struct Detection {
    /// Who serves the model, where a rule or the upstream's host tell.
    pub provider: Option<String>,
    /// True when a configured rule named the provider: nothing in the response overrides that.
    pub pinned: bool,
    /// The model, where the path names it.
    pub model: Option<String>,
    /// What the path may stand for, in the order in which the body is asked.
    candidates: [Option<&'static Endpoint>; MAX_CANDIDATES],
    /// False where the path may be anybody's: the request's body has the last word.
    certain: bool,
    /// Position of the rule that matched.
    rule: Option<usize>,
}

impl Detection {
    /// The endpoint that reads the bodies; `None` when the request's body shows that it is no LLM traffic after all.
    pub fn endpoint(&self, request: &Json<'_>) -> Option<&'static Endpoint> {
        let candidates = || self.candidates.iter().flatten().copied();
        let first = candidates().next()?;
        if self.certain && candidates().nth(1).is_none() {
            return Some(first);
        }
        let accepting = candidates().find(|endpoint| endpoint.dialect.accepts(request));
        accepting.or_else(|| {
            // The body does not tell, but the host does.
            let host = self.provider.as_deref();
            let known = candidates().find(|endpoint| host.is_some() && endpoint.provider == host);
            known.or(Some(first)).filter(|_| self.certain)
        })
    }

    /// Which rules recognised the traffic, in one line, for people.
    pub fn explain(&self, settings: &Settings) -> String {
        let candidates: Vec<String> = self.candidates.iter().flatten().map(ToString::to_string).collect();
        let rule = self.rule.and_then(|position| settings.providers.get(position).map(|rule| (position, rule)));
        let provider = match (&self.provider, rule) {
            (_, Some((position, rule))) => format!("rule {} of the configuration ({})", position + 1, rule.name),
            (Some(provider), None) => format!("host is {provider}'s"),
            (None, None) => "host unknown".to_owned(),
        };
        let body = if self.certain && candidates.len() == 1 { "" } else { "; the body decides" };
        format!("path {}{body}; {provider}", candidates.join(" or "))
    }
}

/// Recognises LLM traffic; `None` is the cheap way out.
pub fn detect(settings: &Settings, head: &RequestHead<'_>) -> Option<Detection> {
    if head.method != "POST" {
        return None;
    }
    let host = Host::new(head.upstream.map_or(head.host, |upstream| upstream.host));
    // The bytes are in the upstream's format: its path tells more than what the route calls it.
    let upstream_path = head.upstream.map(|upstream| upstream.path).filter(|path| *path != head.path);
    let found = upstream_path.into_iter().chain([head.path]).find_map(|path| {
        let candidates = by_path(path, &host);
        candidates[0].is_some().then_some((path, candidates))
    });
    let rule = settings.providers.iter().position(|rule| rule_matches(rule, head));
    if let Some((position, rule)) = rule.and_then(|position| Some((position, settings.providers.get(position)?))) {
        return Some(by_rule(position, rule, found));
    }
    let (path, candidates) = found?;
    let known = host.provider();
    let deployed = [path, head.path].into_iter().any(|path| path.contains("/openai/deployments/"));
    let versioned = path.split('/').any(|segment| matches!(segment, "v1" | "v2" | "v1beta" | "deployments"));
    let anybodys = candidates.iter().flatten().all(|endpoint| endpoint.anybodys);
    Some(Detection {
        provider: known.or(deployed.then_some("azure")).map(str::to_owned),
        pinned: false,
        model: model(&candidates, path).or_else(|| model(&candidates, head.path)),
        candidates,
        certain: !anybodys && (versioned || known.is_some()),
        rule: None,
    })
}

type Candidates = [Option<&'static Endpoint>; MAX_CANDIDATES];

/// The endpoints with the longest matching end. `host` tells the provider where an endpoint asks for it.
fn by_path(path: &str, host: &Host<'_>) -> Candidates {
    let path = path.strip_suffix('/').unwrap_or(path);
    let mut found = [None; MAX_CANDIDATES];
    let (mut longest, mut count) = (0, 0);
    for endpoint in dialect::endpoints_for(path) {
        let length = endpoint.suffix.len();
        if length < longest || !path.ends_with(endpoint.suffix) {
            continue;
        }
        let elsewhere = endpoint.only_at.is_some_and(|provider| host.provider() != Some(provider));
        if elsewhere || !path.contains(endpoint.within) {
            continue;
        }
        if length > longest {
            (longest, count, found) = (length, 0, [None; MAX_CANDIDATES]);
        }
        if let Some(slot) = found.get_mut(count) {
            *slot = Some(endpoint);
            count += 1;
        }
    }
    found
}

/// Where the request goes, looked up once at most.
struct Host<'a> {
    name: &'a str,
    provider: OnceCell<Option<&'static str>>,
}

impl<'a> Host<'a> {
    fn new(name: &'a str) -> Self {
        Self { name, provider: OnceCell::new() }
    }

    fn provider(&self) -> Option<&'static str> {
        *self.provider.get_or_init(|| provider_by_host(self.name))
    }
}

fn model(candidates: &Candidates, path: &str) -> Option<String> {
    candidates.iter().flatten().find_map(|endpoint| (endpoint.model)(path))
}

/// Traffic that a rule names is traced in any case; a chat is the best guess at what it says.
fn by_rule(position: usize, rule: &ProviderRule, found: Option<(&str, Candidates)>) -> Detection {
    let named = rule.dialect.as_deref();
    let is_named = |endpoint: &&'static Endpoint| named.is_none_or(|name| endpoint.dialect.name() == name);
    let (path, by_path) = found.unwrap_or(("", [None; MAX_CANDIDATES]));
    let mut candidates = [None; MAX_CANDIDATES];
    let chosen = by_path.into_iter().flatten().filter(is_named);
    for (slot, endpoint) in candidates.iter_mut().zip(chosen) {
        *slot = Some(endpoint);
    }
    if candidates[0].is_none() {
        candidates[0] = dialect::endpoints().find(is_named);
    }
    Detection {
        provider: Some(rule.name.clone()),
        pinned: true,
        model: model(&candidates, path),
        candidates,
        certain: true,
        rule: Some(position),
    }
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
    use crate::capture::{Headers, Upstream};

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
        let found = detect(settings, &head)?;
        let endpoint = found.endpoint(&crate::json::parse(r#"{"model":"m","prompt":"p"}"#).value)?;
        let provider = found.provider.as_deref().or(endpoint.provider).unwrap_or(OPENAI_COMPATIBLE);
        Some((provider.to_owned(), endpoint.dialect.name()))
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
        for path in ["/", "/v1/models", "/v1/chat/completions/x", "/complet"] {
            assert_eq!(told(&settings, path, "api.openai.com", path), None, "{path}");
        }
    }

    #[test]
    fn each_endpoint_has_an_example_that_leads_to_it() {
        for example in dialect::examples() {
            let host = example.host.as_deref().unwrap_or("localhost");
            let candidates = by_path(&example.path, &Host::new(host));
            let found = candidates.iter().flatten().any(|endpoint| endpoint.dialect.name() == example.dialect);
            assert!(found, "{example:?} leads to {candidates:?}");
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
