//! Which route does a request belong to? Kong's `traditional_compatible` rules
//! (<https://developer.konghq.com/gateway/routing/traditional/>).
//!
//! A route matches when each attribute that it has (hosts, paths, methods, headers) has one value that matches. Of the
//! routes that match, the one with the highest priority wins, compared in this order:
//!
//! 1. the number of attributes it has,
//! 2. only plain hosts before any wildcard host (`*.example.com`, `example.*`),
//! 3. the number of headers it matches on,
//! 4. regular-expression paths (`~`) before prefixes,
//! 5. for regular expressions the higher `regex_priority`,
//! 6. for prefixes the longer path,
//! 7. the older `created_at`.
//!
//! A route with several paths takes part once with each of them. `protocols` selects no route: it decides what is
//! answered to plain HTTP once the route is found ([`RouteEntry::https_only`]).
//!
//! Where we differ: a regular expression is anchored as a whole (`~/a|/b` matches neither `/x/b` here), and its syntax is
//! Rust's.

use std::cmp::Reverse;
use std::sync::Arc;

use http::header::{HeaderMap, HeaderName};
use http::{Method, StatusCode};
use regex::Regex;

use super::path::{Joining, normalize};
use super::upstream::Profile;
use crate::entity::Route;
use crate::metrics::http::Meter;
use crate::plugin::Tracing;

/// All routes, ready to match; compiled once per configuration.
#[derive(Debug, Default)]
pub struct Router {
    /// Sorted by falling priority.
    rules: Vec<Rule>,
}

/// A compiled route.
#[derive(Debug)]
pub struct RouteEntry {
    /// Name, or id where it has none.
    pub name: String,
    /// Where its calls go; `None` for a route without a service.
    pub service: Option<Arc<Profile>>,
    /// The plugin that traces its calls, if any.
    pub tracing: Option<Arc<Tracing>>,
    /// Counts its calls, where a plugin wants them counted.
    pub meter: Option<Arc<Meter>>,
    /// How paths are joined.
    pub joining: Joining,
    /// Send the client's `Host` on.
    pub preserve_host: bool,
    /// Answer to plain HTTP where only https is allowed.
    pub https_only: Option<StatusCode>,
}

/// What of a request decides.
#[derive(Clone, Copy)]
pub struct Key<'a> {
    /// Method.
    pub method: &'a Method,
    /// Host without port, lower case.
    pub host: &'a str,
    /// Port that the client asked for.
    pub port: u16,
    /// Normalised path.
    pub path: &'a str,
    /// Headers.
    pub headers: &'a HeaderMap,
}

/// A route that matched.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// The route.
    pub route: &'a Arc<RouteEntry>,
    /// Bytes of the path that its path matched.
    pub matched: usize,
}

#[derive(Debug)]
struct Rule {
    entry: Arc<RouteEntry>,
    path: Option<PathRule>,
    hosts: Vec<HostRule>,
    methods: Vec<Method>,
    headers: Vec<(HeaderName, Vec<ValueRule>)>,
    priority: Priority,
}

/// Compared field by field; the higher comes first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Priority {
    attributes: usize,
    plain_hosts: bool,
    headers: usize,
    regex_path: bool,
    regex_priority: i64,
    path_length: usize,
    older: Reverse<u64>,
    id: Reverse<String>,
}

#[derive(Debug)]
enum PathRule {
    Prefix(String),
    Regex(Regex),
}

#[derive(Debug)]
struct HostRule {
    kind: HostKind,
    port: Option<u16>,
}

#[derive(Debug)]
enum HostKind {
    Exact(String),
    /// `*.example.com`: ends with `.example.com`.
    Suffix(String),
    /// `example.*`: begins with `example.`.
    Prefix(String),
}

#[derive(Debug)]
enum ValueRule {
    /// Lower case.
    Exact(String),
    Regex(Regex),
}

impl Router {
    /// Compiles routes.
    ///
    /// # Errors
    ///
    /// Names the route and the attribute that cannot be compiled.
    pub fn new<'a>(routes: impl IntoIterator<Item = (&'a Route, Arc<RouteEntry>)>) -> Result<Self, String> {
        let mut rules = Vec::new();
        for (route, entry) in routes {
            let paths = route.paths.as_deref().unwrap_or_default();
            if paths.is_empty() {
                rules.push(Rule::new(route, None, Arc::clone(&entry))?);
            }
            for path in paths {
                rules.push(Rule::new(route, Some(path), Arc::clone(&entry))?);
            }
        }
        rules.sort_by(|a, b| b.priority.cmp(&a.priority));
        Ok(Self { rules })
    }

    /// The route that a request belongs to.
    pub fn find(&self, key: Key<'_>) -> Option<Found<'_>> {
        self.rules.iter().find_map(|rule| rule.matches(key).map(|matched| Found { route: &rule.entry, matched }))
    }
}

impl Rule {
    fn new(route: &Route, path: Option<&str>, entry: Arc<RouteEntry>) -> Result<Self, String> {
        let wrong = |attribute: &str, why: &dyn std::fmt::Display| {
            format!("route {}: {attribute}: {why}", route.name.as_ref().unwrap_or(&route.id))
        };
        let path = path.map(PathRule::new).transpose().map_err(|why| wrong("paths", &why))?;
        let mut hosts = Vec::new();
        for host in route.hosts.iter().flatten() {
            hosts.push(HostRule::new(host));
        }
        let mut methods = Vec::new();
        for method in route.methods.iter().flatten() {
            methods.push(method.parse().map_err(|why| wrong("methods", &why))?);
        }
        let mut headers = Vec::new();
        for (name, values) in route.headers.iter().flatten() {
            let field = HeaderName::try_from(name.as_str()).map_err(|why| wrong("headers", &why))?;
            let values: Result<Vec<_>, _> = values.iter().map(|value| ValueRule::new(value)).collect();
            headers.push((field, values.map_err(|why| wrong("headers", &why))?));
        }
        let regex_path = matches!(path, Some(PathRule::Regex(_)));
        let priority = Priority {
            attributes: [path.is_some(), !hosts.is_empty(), !methods.is_empty(), !headers.is_empty()]
                .into_iter()
                .filter(|has| *has)
                .count(),
            plain_hosts: !hosts.is_empty() && hosts.iter().all(|host| matches!(host.kind, HostKind::Exact(_))),
            headers: headers.len(),
            regex_path,
            regex_priority: if regex_path { route.regex_priority } else { 0 },
            path_length: match &path {
                Some(PathRule::Prefix(prefix)) => prefix.len(),
                _ => 0,
            },
            older: Reverse(route.created_at),
            id: Reverse(route.id.clone()),
        };
        Ok(Self { entry, path, hosts, methods, headers, priority })
    }

    /// How many bytes of the path the rule's path matched; `None` where the rule does not match.
    fn matches(&self, key: Key<'_>) -> Option<usize> {
        let matched = match &self.path {
            None => 0,
            Some(PathRule::Prefix(prefix)) => key.path.starts_with(prefix.as_str()).then_some(prefix.len())?,
            Some(PathRule::Regex(regex)) => regex.find(key.path)?.end(),
        };
        let fits = (self.methods.is_empty() || self.methods.contains(key.method))
            && (self.hosts.is_empty() || self.hosts.iter().any(|host| host.matches(key.host, key.port)))
            && self.headers.iter().all(|(name, values)| {
                let sent = key.headers.get_all(name);
                sent.iter().any(|sent| values.iter().any(|value| value.matches(sent.as_bytes())))
            });
        fits.then_some(matched)
    }
}

impl PathRule {
    fn new(path: &str) -> Result<Self, regex::Error> {
        match path.strip_prefix('~') {
            Some(pattern) => Regex::new(&format!("^(?:{pattern})")).map(Self::Regex),
            None => Ok(Self::Prefix(normalize(path).into_owned())),
        }
    }
}

impl HostRule {
    fn new(host: &str) -> Self {
        let host = host.to_ascii_lowercase();
        let (name, port) = split_port(&host);
        let kind = if let Some(suffix) = name.strip_prefix('*') {
            HostKind::Suffix(suffix.to_owned())
        } else if let Some(prefix) = name.strip_suffix('*') {
            HostKind::Prefix(prefix.to_owned())
        } else {
            HostKind::Exact(name.to_owned())
        };
        Self { kind, port }
    }

    fn matches(&self, host: &str, port: u16) -> bool {
        let named = match &self.kind {
            HostKind::Exact(name) => host == name,
            HostKind::Suffix(suffix) => host.len() > suffix.len() && host.ends_with(suffix.as_str()),
            HostKind::Prefix(prefix) => host.len() > prefix.len() && host.starts_with(prefix.as_str()),
        };
        named && self.port.is_none_or(|wanted| wanted == port)
    }
}

impl ValueRule {
    fn new(value: &str) -> Result<Self, regex::Error> {
        match value.strip_prefix("~*") {
            Some(pattern) => regex::RegexBuilder::new(pattern).case_insensitive(true).build().map(Self::Regex),
            None => Ok(Self::Exact(value.to_lowercase())),
        }
    }

    fn matches(&self, sent: &[u8]) -> bool {
        match self {
            Self::Exact(value) => sent.eq_ignore_ascii_case(value.as_bytes()),
            Self::Regex(regex) => std::str::from_utf8(sent).is_ok_and(|sent| regex.is_match(sent)),
        }
    }
}

/// Splits `host:port`; leaves `[::1]` whole.
pub fn split_port(host: &str) -> (&str, Option<u16>) {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => match port.parse() {
            Ok(port) => (name, Some(port)),
            Err(_) => (host, None),
        },
        _ => (host, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(name: &str, attributes: &str) -> Route {
        let mut value = serde_json::json!({
            "id": format!("id-{name}"), "name": name, "protocols": ["http", "https"], "methods": null, "hosts": null,
            "paths": null, "headers": null, "https_redirect_status_code": 426, "regex_priority": 0,
            "strip_path": true, "preserve_host": false, "path_handling": "v0", "service": null, "tags": null,
            "created_at": 100, "updated_at": 100,
        });
        let given: serde_json::Value = serde_json::from_str(attributes).unwrap();
        for (key, given) in given.as_object().unwrap() {
            value[key] = given.clone();
        }
        serde_json::from_value(value).unwrap()
    }

    fn router(routes: &[Route]) -> Result<Router, String> {
        Router::new(routes.iter().map(|route| {
            let entry = RouteEntry {
                name: route.name.clone().unwrap(),
                service: None,
                tracing: None,
                meter: None,
                joining: Joining { strip: true, v1: false },
                preserve_host: false,
                https_only: None,
            };
            (route, Arc::new(entry))
        }))
    }

    /// `GET host:port/path [name: value]` and what it finds.
    fn find(routes: &[Route], request: &str) -> Option<(String, usize)> {
        let mut words = request.split(' ');
        let method: Method = words.next().unwrap().parse().unwrap();
        let (authority, path) = words.next().unwrap().split_once('/').unwrap();
        let (host, port) = split_port(authority);
        let mut headers = HeaderMap::new();
        while let (Some(name), Some(value)) = (words.next(), words.next()) {
            headers.append(HeaderName::try_from(name).unwrap(), value.parse().unwrap());
        }
        let path = format!("/{path}");
        let router = router(routes).unwrap();
        let key = Key { method: &method, host, port: port.unwrap_or(80), path: &path, headers: &headers };
        router.find(key).map(|found| (found.route.name.clone(), found.matched))
    }

    #[test]
    fn each_attribute_matches_as_documented() {
        let table = [
            (r#"{"paths": ["/v1"]}"#, "GET h/v1", Some(3)),
            (r#"{"paths": ["/v1"]}"#, "GET h/v1/chat", Some(3)),
            (r#"{"paths": ["/v1"]}"#, "GET h/v10", Some(3)),
            (r#"{"paths": ["/v1"]}"#, "GET h/x/v1", None),
            (r#"{"paths": ["~/v(?<version>\\d+)/c"]}"#, "GET h/v12/chat", Some(6)),
            (r#"{"paths": ["~/v1$"]}"#, "GET h/v1/chat", None),
            (r#"{"paths": ["~/a|/b"]}"#, "GET h/x/b", None),
            (r#"{"methods": ["POST", "PUT"]}"#, "PUT h/", Some(0)),
            (r#"{"methods": ["POST"]}"#, "GET h/", None),
            (r#"{"hosts": ["Example.com"]}"#, "GET example.com:8000/", Some(0)),
            (r#"{"hosts": ["example.com:8000"]}"#, "GET example.com:8000/", Some(0)),
            (r#"{"hosts": ["example.com:8000"]}"#, "GET example.com/", None),
            (r#"{"hosts": ["*.example.com"]}"#, "GET a.b.example.com/", Some(0)),
            (r#"{"hosts": ["*.example.com"]}"#, "GET example.com/", None),
            (r#"{"hosts": ["example.*"]}"#, "GET example.org/", Some(0)),
            (r#"{"hosts": ["example.*:81"]}"#, "GET example.org:82/", None),
            (r#"{"headers": {"X-Team": ["Red", "Blue"]}}"#, "GET h/ x-team blue", Some(0)),
            (r#"{"headers": {"x-team": ["red"]}}"#, "GET h/ x-team green x-team red", Some(0)),
            (r#"{"headers": {"x-team": ["red"]}}"#, "GET h/", None),
            (r#"{"headers": {"x-team": ["~*^re.$"]}}"#, "GET h/ x-team RED", Some(0)),
            (r#"{"headers": {"x-team": ["~*^re.$"], "x-b": ["1"]}}"#, "GET h/ x-team red", None),
            (r#"{"paths": ["/a"], "methods": ["POST"]}"#, "GET h/a", None),
        ];
        for (attributes, request, matched) in table {
            let found = find(&[route("r", attributes)], request).map(|(_, matched)| matched);
            assert_eq!(found, matched, "{attributes} {request}");
        }
    }

    /// The first route of each row must win, whatever the order in which they are given.
    #[test]
    fn priorities_are_kongs() {
        let table = [
            // More attributes before a longer path.
            (r#"{"paths": ["/"], "methods": ["GET"]}"#, r#"{"paths": ["/long/path"]}"#),
            // More attributes before a regular expression.
            (r#"{"paths": ["/long"], "hosts": ["a.h"]}"#, r#"{"paths": ["~/long"], "regex_priority": 9}"#),
            // Plain hosts before wildcards, even with fewer headers.
            (
                r#"{"hosts": ["a.h"], "headers": {"a": ["1"]}}"#,
                r#"{"hosts": ["a.h", "*.h", "a.*"], "headers": {"a": ["1"], "b": ["2"]}}"#,
            ),
            // More headers before a regular expression.
            (
                r#"{"paths": ["/long"], "headers": {"a": ["1"], "b": ["2"]}}"#,
                r#"{"paths": ["~/long"], "headers": {"a": ["1"]}}"#,
            ),
            // A regular expression before a longer prefix.
            (r#"{"paths": ["~/l"]}"#, r#"{"paths": ["/long/path"]}"#),
            // regex_priority before age.
            (
                r#"{"paths": ["~/l"], "regex_priority": 2, "created_at": 200}"#,
                r#"{"paths": ["~/long/path"], "regex_priority": 1}"#,
            ),
            // The longer path, of several paths the one that matches.
            (r#"{"paths": ["/long/p", "/x"], "created_at": 200}"#, r#"{"paths": ["/long", "/very/long/path"]}"#),
            // regex_priority does not count for prefixes.
            (r#"{"paths": ["/long"]}"#, r#"{"paths": ["/long"], "regex_priority": 9, "created_at": 200}"#),
            // The older route.
            (r#"{"paths": ["/long"], "created_at": 99}"#, r#"{"paths": ["/long"], "created_at": 100}"#),
        ];
        for (first, second) in table {
            let (first, second) = (route("first", first), route("second", second));
            for routes in [[first.clone(), second.clone()], [second, first]] {
                let found = find(&routes, "GET a.h/long/path a 1 b 2").map(|(name, _)| name);
                assert_eq!(found.as_deref(), Some("first"), "{routes:#?}");
            }
        }
    }

    #[test]
    fn what_cannot_be_compiled_is_named() {
        let error = router(&[route("broken", r#"{"paths": ["~/(a"]}"#)]).unwrap_err();
        assert!(error.starts_with("route broken: paths: "), "{error}");
    }

    #[test]
    fn ports_are_split_from_hosts() {
        assert_eq!(split_port("a:80"), ("a", Some(80)));
        assert_eq!(split_port("a"), ("a", None));
        assert_eq!(split_port("[::1]:80"), ("[::1]", Some(80)));
        assert_eq!(split_port("[::1]"), ("[::1]", None));
        assert_eq!(split_port("a:b"), ("a:b", None));
    }
}
