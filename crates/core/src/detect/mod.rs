//! Is it LLM traffic, and which? Told from the request's head alone, in nanoseconds for everything else; where several
//! dialects share a path, or the path may be anybody's, the request's body has the last word.
//!
//! Order: the configuration's own [`ProviderRule`]s, then the endpoints of [`crate::dialect`]. The provider's name comes
//! from the rule, else from the upstream's host, else from the endpoint; what the response reveals later can make
//! `openai_compatible` more precise.

mod hosts;

use std::borrow::Cow;
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
    /// The model, where the path names it.
    pub model: Option<String>,
    /// What the path may stand for, in the order in which the body is asked.
    candidates: [Option<&'static Endpoint>; MAX_CANDIDATES],
    /// False where the path may be anybody's: the request's body has the last word.
    certain: bool,
    /// True where it is the upstream's host that named the provider.
    by_host: bool,
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

    /// Which rules recognised the traffic, in one line for people. `chosen` is the endpoint that [`Self::endpoint`] gave.
    pub fn explain(&self, settings: &Settings, chosen: Option<&Endpoint>) -> String {
        let candidates: Vec<&Endpoint> = self.candidates.iter().flatten().copied().collect();
        let rule = self.rule.and_then(|position| settings.providers.get(position).map(|rule| (position + 1, rule)));
        let path = match candidates.first() {
            Some(first) => format!("path {}...{}", first.within, first.suffix),
            None => "path of no known API".to_owned(),
        };
        let known = chosen.and_then(|endpoint| endpoint.provider);
        let provider = match (&self.provider, rule, known) {
            (_, Some((position, rule)), _) => format!("rule {position} of the configuration names {}", rule.name),
            (Some(provider), None, _) => format!("the {} is {provider}'s", if self.by_host { "host" } else { "path" }),
            (None, None, Some(provider)) => format!("unknown host, {provider}'s API"),
            (None, None, None) => "unknown host".to_owned(),
        };
        let by_rule = rule.is_some_and(|(_, rule)| rule.dialect.is_some());
        let read = match chosen.map(|endpoint| endpoint.dialect.name()) {
            None => format!("not LLM: the body is not that of {}", dialects(&candidates)),
            Some(name) if by_rule => format!("read as {name}, as the rule says"),
            Some(name) if candidates.len() > 1 => {
                let others = candidates.iter().copied().filter(|endpoint| endpoint.dialect.name() != name);
                format!("the body decides: {name}, not {}", dialects(&others.collect::<Vec<_>>()))
            }
            Some(name) if !self.certain => format!("the body is {name}'s"),
            Some(name) => format!("read as {name}"),
        };
        format!("{path}; {provider}; {read}")
    }
}

fn dialects(endpoints: &[&Endpoint]) -> String {
    let mut names: Vec<&str> = endpoints.iter().map(|endpoint| endpoint.dialect.name()).collect();
    names.dedup();
    names.join(" or ")
}

/// Why [`detect`] found nothing, in one line for people.
pub fn explain_decline(settings: &Settings, head: &RequestHead<'_>) -> String {
    if head.method != "POST" {
        return format!("not LLM: the method is {}, not POST", head.method);
    }
    let rules = match settings.providers.len() {
        0 => "",
        1 => ", and the configuration's rule does not match",
        _ => ", and none of the configuration's rules matches",
    };
    let elsewhere = dialect::endpoints().find_map(|endpoint| {
        let path = head.path.strip_suffix('/').unwrap_or(head.path);
        // Some hosts serve models at any path.
        let named = !endpoint.suffix.is_empty() && path.ends_with(endpoint.suffix) && path.contains(endpoint.within);
        endpoint.only_at.filter(|_| named)
    });
    match elsewhere {
        Some(provider) => format!("not LLM: a path of {provider}, but not at its host{rules}"),
        None => format!("not LLM: no endpoint has such a path{rules}"),
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
    let found = upstream_path.into_iter().chain([head.path]).map(plain).find_map(|path| {
        let candidates = by_path(&path, &host);
        candidates[0].is_some().then_some((path, candidates))
    });
    let rule = settings.providers.iter().position(|rule| rule_matches(rule, head));
    if let Some((position, rule)) = rule.and_then(|position| Some((position, settings.providers.get(position)?))) {
        return Some(by_rule(position, rule, found));
    }
    let (path, candidates) = found?;
    let known = match host.provider() {
        // `/models/chat/completions` beside `/openai/...`.
        Some("azure") if path.contains("/models/") => Some(hosts::AZURE_INFERENCE),
        known => known,
    };
    let deployed = [&*path, head.path].into_iter().any(|path| path.contains("/openai/deployments/"));
    let versioned = path.split('/').any(|segment| matches!(segment, "v1" | "v2" | "v1beta" | "deployments"));
    let anybodys = candidates.iter().flatten().all(|endpoint| endpoint.anybodys);
    Some(Detection {
        provider: known.or(deployed.then_some("azure")).map(str::to_owned),
        model: model(&candidates, &path).or_else(|| model(&candidates, head.path)),
        candidates,
        certain: !anybodys && (versioned || known.is_some()),
        by_host: known.is_some(),
        rule: None,
    })
}

/// The path with its colons as they are: some clients encode that of `models/m:generateContent`.
fn plain(path: &str) -> Cow<'_, str> {
    if path.contains("%3") { path.replace("%3A", ":").replace("%3a", ":").into() } else { path.into() }
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
fn by_rule(position: usize, rule: &ProviderRule, found: Option<(Cow<'_, str>, Candidates)>) -> Detection {
    let named = rule.dialect.as_deref();
    let is_named = |endpoint: &&'static Endpoint| named.is_none_or(|name| endpoint.dialect.name() == name);
    let (path, by_path) = found.unwrap_or((Cow::Borrowed(""), [None; MAX_CANDIDATES]));
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
        model: model(&candidates, &path),
        candidates,
        certain: true,
        by_host: false,
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
    fn decisions_are_explained() {
        let rule = |dialect: Option<&str>| ProviderRule {
            name: "acme".into(),
            path: Some("/acme".into()),
            dialect: dialect.map(str::to_owned),
            ..ProviderRule::default()
        };
        let explain = |providers: Vec<ProviderRule>, method: &str, path: &str, body: &str| {
            let settings = Settings { providers, ..Settings::default() };
            let upstream = Some(Upstream { host: "api.groq.com", port: 443, path });
            let host = if path.starts_with("/openai") { upstream } else { None };
            let (query, service, route, consumer) = (None, None, None, None);
            let headers = &Few(&[]);
            let head =
                RequestHead { method, path, query, host: "h", headers, upstream: host, service, route, consumer };
            match detect(&settings, &head) {
                Some(found) => found.explain(&settings, found.endpoint(&crate::json::parse(body).value)),
                None => explain_decline(&settings, &head),
            }
        };
        let chat = r#"{"model":"m","messages":[]}"#;
        for (providers, method, path, body, expected) in [
            (
                vec![],
                "POST",
                "/openai/v1/chat/completions",
                chat,
                "path .../chat/completions; the host is groq's; read as openai_chat",
            ),
            (vec![], "GET", "/v1/models", "", "not LLM: the method is GET, not POST"),
            (vec![], "POST", "/v1/telemetry", "{}", "not LLM: no endpoint has such a path"),
            (
                vec![rule(None)],
                "POST",
                "/x",
                "{}",
                "not LLM: no endpoint has such a path, and the configuration's rule does not match",
            ),
            (
                vec![rule(Some("openai_chat"))],
                "POST",
                "/acme",
                chat,
                "rule 1 of the configuration names acme; read as openai_chat, as the rule says",
            ),
            (vec![], "POST", "/generate", "{}", "; unknown host; not LLM: the body is not that of vllm_generate"),
            (
                vec![],
                "POST",
                "/generate",
                r#"{"prompt":"p"}"#,
                "unknown host, vllm's API; the body decides: vllm_generate, not ",
            ),
        ] {
            let told = explain(providers, method, path, body);
            assert!(told.contains(expected), "{told}\n{expected}");
        }
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
