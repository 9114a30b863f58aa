//! Named formats of strings, and of the few numbers that have one: what Kong calls typedefs.
//!
//! Each accepts what Kong 3.9 accepts and answers with its message; formats that Kong does not have say so.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde_json::Value;

use crate::path;

/// A named format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Typedef {
    /// An entity's id.
    Uuid,
    /// Seconds since the epoch.
    Timestamp,
    /// An entity's name.
    Name,
    /// A tag on an entity.
    Tag,
    /// Where a service lives: a host name or address, without a port.
    Host,
    /// What a route matches: a host with at most one `*` label at either end, and an optional port.
    RouteHost,
    /// A service's path.
    Path,
    /// What a route matches: a path prefix, or `~` and a regular expression.
    RoutePath,
    /// `GET`.
    HttpMethod,
    /// Letters, digits, `-` and `_`: narrower than HTTP, as in Kong.
    HeaderName,
    /// A header name that a route can match: not `host`.
    RouteHeaderName,
    /// An absolute http or https URL without credentials. Ours: Kong's `url` takes any scheme.
    HttpUrl,
    /// A regular expression. Ours: in the syntax of Rust's `regex`.
    Regex,
    /// Ours: `/prefix`, or `*suffix`.
    PathPattern,
    /// Ours: a host name, or `*.` and a domain.
    HostPattern,
    /// Ours: `name`, or `name: value`.
    HeaderPattern,
}

impl Typedef {
    pub(crate) fn check(self, value: &Value) -> Result<(), String> {
        if self == Self::Timestamp {
            return match value.as_f64() {
                Some(seconds) if seconds > 0.0 => Ok(()),
                _ => Err("expected a valid timestamp".to_owned()),
            };
        }
        let Some(text) = value.as_str() else {
            return Err("expected a string".to_owned());
        };
        match self {
            Self::Uuid | Self::Timestamp => uuid(text),
            Self::Name => name(text),
            Self::Tag => tag(text),
            Self::Host => host(text),
            Self::RouteHost => route_host(text),
            Self::Path => path(text),
            Self::RoutePath => route_path(text),
            Self::HttpMethod => all(text, |c| c.is_ascii_uppercase(), || format!("invalid value: {text}")),
            Self::HeaderName => header_name(text),
            Self::RouteHeaderName if text.eq_ignore_ascii_case("host") => {
                Err("cannot contain 'host' header, which must be specified in the 'hosts' attribute".to_owned())
            }
            Self::RouteHeaderName => header_name(text),
            Self::HttpUrl => http_url(text),
            Self::Regex => regex(text),
            Self::PathPattern if text.starts_with(['/', '*']) => Ok(()),
            Self::PathPattern => Err("should start with: / (prefix) or * (suffix)".to_owned()),
            Self::HostPattern => host_pattern(text),
            Self::HeaderPattern => header_pattern(text),
        }
    }
}

fn all(text: &str, allowed: impl Fn(char) -> bool, message: impl FnOnce() -> String) -> Result<(), String> {
    if !text.is_empty() && text.chars().all(allowed) { Ok(()) } else { Err(message()) }
}

fn uuid(text: &str) -> Result<(), String> {
    let shape = |(index, byte): (usize, u8)| match index {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    if text.len() == 36 && text.bytes().enumerate().all(shape) {
        Ok(())
    } else {
        Err("expected a valid UUID".to_owned())
    }
}

fn name(text: &str) -> Result<(), String> {
    all(
        text,
        |c| !c.is_ascii() || c.is_ascii_alphanumeric() || ".-_~".contains(c),
        || format!("invalid value '{text}': the only accepted ascii characters are alphanumerics or ., -, _, and ~"),
    )
}

fn tag(text: &str) -> Result<(), String> {
    all(
        text,
        |c| !c.is_ascii() || ((' '..='~').contains(&c) && c != ',' && c != '/'),
        || format!("invalid tag '{text}': expected printable ascii (except `,` and `/`) or valid utf-8 sequences"),
    )
}

/// What stands before a port, and the port's digits.
fn split_port(text: &str) -> (&str, Option<&str>) {
    match text.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => (host, Some(port)),
        _ => (text, None),
    }
}

/// A host name or an address; `true` when it carries a port.
fn host_and_port(text: &str) -> Result<bool, String> {
    let invalid = || format!("invalid value: {text}");
    if text.matches(':').count() > 1 {
        let (address, port) = match text.strip_prefix('[').and_then(|rest| rest.rsplit_once(']')) {
            Some((address, "")) => (address, None),
            Some((address, rest)) => (address, Some(rest.strip_prefix(':').ok_or_else(invalid)?)),
            None => (text, None),
        };
        address.parse::<Ipv6Addr>().map_err(|_| invalid())?;
        return port_number(port).map(|()| port.is_some());
    }
    let (name, port) = split_port(text);
    if name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        name.parse::<Ipv4Addr>().map_err(|_| invalid())?;
    } else {
        // A name may end in a dot; no other label is empty, and none ends in a dash.
        let labels = name.strip_suffix('.').unwrap_or(name);
        let label = |label: &str| {
            !label.is_empty()
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        if !labels.split('.').all(label) {
            return Err(invalid());
        }
    }
    port_number(port).map(|()| port.is_some())
}

fn port_number(port: Option<&str>) -> Result<(), String> {
    match port.map(str::parse::<u16>) {
        None | Some(Ok(_)) => Ok(()),
        Some(Err(_)) => Err("invalid port number".to_owned()),
    }
}

fn host(text: &str) -> Result<(), String> {
    match host_and_port(text) {
        Ok(false) => Ok(()),
        Ok(true) => Err("must not have a port".to_owned()),
        Err(message) if message == "invalid port number" => Err("must not have a port".to_owned()),
        Err(message) => Err(message),
    }
}

fn route_host(text: &str) -> Result<(), String> {
    match text.matches('*').count() {
        0 => {}
        1 if split_port(text).0.ends_with(".*") || text.starts_with("*.") => {}
        1 => return Err("invalid wildcard: must be placed at leftmost or rightmost label".to_owned()),
        _ => return Err("invalid wildcard: must have at most one wildcard".to_owned()),
    }
    host_and_port(&text.replace('*', "wildcard")).map(|_| ()).map_err(|message| {
        if message.starts_with("invalid value: ") { format!("invalid hostname: {text}") } else { message }
    })
}

fn path(text: &str) -> Result<(), String> {
    if !text.starts_with('/') {
        return Err("should start with: /".to_owned());
    }
    if text.contains("//") {
        return Err("must not have empty segments".to_owned());
    }
    all(
        text,
        |c| c.is_ascii_alphanumeric() || ".-_~/%:@!$&'()*+,;=".contains(c),
        || format!("invalid path: '{text}' (characters outside of the reserved list of RFC 3986 found)"),
    )?;
    percent_encoding(text)
}

fn percent_encoding(text: &str) -> Result<(), String> {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('%') {
        let digits: String = after.chars().take(2).collect();
        if digits.len() != 2 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(format!("invalid url-encoded value: '%{digits}'"));
        }
        rest = after;
    }
    Ok(())
}

fn route_path(text: &str) -> Result<(), String> {
    if text.contains("//") {
        return Err("must not have empty segments".to_owned());
    }
    if let Some(pattern) = text.strip_prefix('~').filter(|pattern| pattern.starts_with('/')) {
        return regex::Regex::new(pattern)
            .map(|_| ())
            .map_err(|error| format!("invalid regex: '{pattern}' ({})", last_line(&error)));
    }
    if !text.starts_with('/') {
        return Err("should start with: / (fixed path) or ~/ (regex path)".to_owned());
    }
    percent_encoding(text)?;
    let normalized = path::normalize(text);
    // Other characters than ASCII may stand for their escapes.
    let escape = |byte: u8| if byte.is_ascii() { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    let text: String = text.bytes().map(escape).collect();
    if normalized == text { Ok(()) } else { Err(format!("non-normalized path, consider use '{normalized}' instead")) }
}

fn header_name(text: &str) -> Result<(), String> {
    all(
        text,
        |c| c.is_ascii_alphanumeric() || c == '-' || c == '_',
        || format!("bad header name '{text}', allowed characters are A-Z, a-z, 0-9, '_', and '-'"),
    )
}

/// Messages do not repeat the URL: what is wrong with it may be that it carries a password.
fn http_url(text: &str) -> Result<(), String> {
    let wrong = || "expected an http or https URL".to_owned();
    let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
    if !(scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")) {
        return Err(wrong());
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err("must not contain credentials".to_owned());
    }
    if text.contains('#') || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(wrong());
    }
    match host_and_port(authority) {
        Err(message) if message == "invalid port number" => Err(message),
        Err(_) => Err("missing or invalid host in url".to_owned()),
        Ok(_) => Ok(()),
    }
}

fn regex(text: &str) -> Result<(), String> {
    regex::Regex::new(text).map(|_| ()).map_err(|error| format!("not a valid regex: {}", last_line(&error)))
}

/// The regex crate draws the pattern over several lines; the last one says what is wrong.
fn last_line(error: &regex::Error) -> String {
    let text = error.to_string();
    let line = text.lines().next_back().unwrap_or_default().trim();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

fn host_pattern(text: &str) -> Result<(), String> {
    let name = text.strip_prefix("*.").unwrap_or(text);
    if name.contains('*') {
        return Err("wildcard must be the leftmost label".to_owned());
    }
    host(name)
}

fn header_pattern(text: &str) -> Result<(), String> {
    header_name(text.split_once(':').map_or(text, |(name, _)| name).trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(typedef: Typedef, text: &str) -> Result<(), String> {
        typedef.check(&Value::from(text))
    }

    #[track_caller]
    fn accepts(typedef: Typedef, texts: &[&str]) {
        for text in texts {
            assert_eq!(check(typedef, text), Ok(()), "{text}");
        }
    }

    #[track_caller]
    fn refuses(typedef: Typedef, cases: &[(&str, &str)]) {
        for (text, message) in cases {
            assert_eq!(check(typedef, text), Err((*message).to_owned()), "{text}");
        }
    }

    #[test]
    fn hosts_are_names_or_addresses_without_a_port() {
        accepts(Typedef::Host, &["example.com", "example.com.", "a_b-c", "10.0.0.1", "::1", "[::1]", "xn--a.de"]);
        refuses(
            Typedef::Host,
            &[
                ("example.com:80", "must not have a port"),
                ("[::1]:80", "must not have a port"),
                ("example.com:99999", "must not have a port"),
                ("10.0.0.256", "invalid value: 10.0.0.256"),
                ("exa mple", "invalid value: exa mple"),
                ("a..b", "invalid value: a..b"),
                ("a-.b", "invalid value: a-.b"),
                ("http://a", "invalid value: http://a"),
                ("1:2:3", "invalid value: 1:2:3"),
                ("[::1]x", "invalid value: [::1]x"),
                (".", "invalid value: ."),
            ],
        );
    }

    #[test]
    fn route_hosts_have_one_wildcard_at_an_end() {
        accepts(Typedef::RouteHost, &["example.com", "*.example.com", "example.*", "example.*:80", "example.com:8443"]);
        let ends = "invalid wildcard: must be placed at leftmost or rightmost label";
        refuses(
            Typedef::RouteHost,
            &[
                ("*.example.*", "invalid wildcard: must have at most one wildcard"),
                ("a.*.com", ends),
                ("*", ends),
                ("*a.com", ends),
                ("exa mple", "invalid hostname: exa mple"),
                ("example.com:99999", "invalid port number"),
            ],
        );
    }

    #[test]
    fn paths() {
        accepts(Typedef::Path, &["/", "/v1", "/a%20b", "/a;b=c"]);
        refuses(
            Typedef::Path,
            &[
                ("v1", "should start with: /"),
                ("/a//b", "must not have empty segments"),
                ("/a b", "invalid path: '/a b' (characters outside of the reserved list of RFC 3986 found)"),
                ("/a%2", "invalid url-encoded value: '%2'"),
                ("/a%zz", "invalid url-encoded value: '%zz'"),
            ],
        );
        accepts(Typedef::RoutePath, &["/", "/v1", "/v1/", "~/v\\d+/(?<name>[a-z]+)$", "/a%20b", "/ä"]);
        refuses(
            Typedef::RoutePath,
            &[
                ("v1", "should start with: / (fixed path) or ~/ (regex path)"),
                ("~v1", "should start with: / (fixed path) or ~/ (regex path)"),
                ("/a//b", "must not have empty segments"),
                ("~/(a", "invalid regex: '/(a' (unclosed group)"),
                ("/a/../b", "non-normalized path, consider use '/b' instead"),
                ("/a/..", "non-normalized path, consider use '/' instead"),
                ("/%61", "non-normalized path, consider use '/a' instead"),
                ("/%2f", "non-normalized path, consider use '/%2F' instead"),
                ("/a%", "invalid url-encoded value: '%'"),
            ],
        );
    }

    #[test]
    fn names_tags_methods_headers() {
        accepts(Typedef::Name, &["my-service", "a.b_c~d", "größe"]);
        refuses(
            Typedef::Name,
            &[(
                "my service",
                "invalid value 'my service': the only accepted ascii characters are alphanumerics or ., -, _, and ~",
            )],
        );
        accepts(Typedef::Tag, &["team a", "ü"]);
        refuses(
            Typedef::Tag,
            &[("a,b", "invalid tag 'a,b': expected printable ascii (except `,` and `/`) or valid utf-8 sequences")],
        );
        accepts(Typedef::HttpMethod, &["GET", "PURGE"]);
        refuses(Typedef::HttpMethod, &[("get", "invalid value: get"), ("G-T", "invalid value: G-T")]);
        accepts(Typedef::HeaderName, &["X-User-Id", "x_user"]);
        let bad = "bad header name 'x user', allowed characters are A-Z, a-z, 0-9, '_', and '-'";
        refuses(Typedef::HeaderName, &[("x user", bad)]);
        refuses(Typedef::HeaderPattern, &[("x user: 1", bad)]);
        accepts(Typedef::HeaderPattern, &["x-user", "x-user: any thing: at all"]);
    }

    #[test]
    fn urls_are_absolute_and_carry_no_password() {
        accepts(
            Typedef::HttpUrl,
            &["https://cloud.langfuse.com", "http://localhost:3000/api", "http://[::1]:3000", "HTTPS://a.b/?c=d"],
        );
        refuses(
            Typedef::HttpUrl,
            &[
                ("cloud.langfuse.com", "expected an http or https URL"),
                ("ftp://a", "expected an http or https URL"),
                ("http://a b/", "expected an http or https URL"),
                ("http://", "missing or invalid host in url"),
                ("http:///path", "missing or invalid host in url"),
                ("http://:80/", "missing or invalid host in url"),
                ("http://a:99999", "invalid port number"),
                ("https://user:secret@a.b/", "must not contain credentials"),
            ],
        );
    }

    #[test]
    fn uuids_and_timestamps() {
        accepts(Typedef::Uuid, &["0197f0c2-1111-7abc-8def-0123456789ab"]);
        refuses(
            Typedef::Uuid,
            &[("0197f0c2-1111-7abc-8def-0123456789ax", "expected a valid UUID"), ("", "expected a valid UUID")],
        );
        assert_eq!(Typedef::Timestamp.check(&Value::from(1)), Ok(()));
        assert!(Typedef::Timestamp.check(&Value::from(0)).is_err());
    }
}
