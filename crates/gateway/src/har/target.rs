//! An address taken apart, with nothing of it changed: paths are matched as the client sent them.

/// Where a request went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// Host name or address; empty where the address has none.
    pub host: &'a str,
    /// TCP port, the scheme's where none is named.
    pub port: u16,
    /// Path, `/` where there is none.
    pub path: &'a str,
    /// Query without the `?`.
    pub query: Option<&'a str>,
}

impl<'a> Target<'a> {
    /// Takes an address apart. One without a scheme begins with its path; its host is the `host` header's.
    pub fn new(url: &'a str, host_header: Option<&'a str>) -> Self {
        let url = url.trim().split('#').next().unwrap_or_default();
        let (scheme, authority, rest) = match url.split_once("://") {
            Some((scheme, rest)) if !scheme.contains(['/', '?']) => {
                let (authority, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
                (scheme, authority, rest)
            }
            _ => ("https", host_header.unwrap_or_default(), url),
        };
        // Credentials in an address are nobody's business.
        let authority = authority.rsplit('@').next().unwrap_or_default().trim();
        let default = if ["http", "ws"].iter().any(|plain| scheme.eq_ignore_ascii_case(plain)) { 80 } else { 443 };
        let (host, port) = match authority.rsplit_once(':') {
            // Without a bracket behind the colon, or any further one, it is not a part of an IPv6 address.
            Some((host, port)) if !port.contains(']') && (host.ends_with(']') || !host.contains(':')) => {
                (host, port.parse().unwrap_or(default))
            }
            _ => (authority, default),
        };
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
        Self { host, port, path: if path.is_empty() { "/" } else { path }, query }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart() {
        let parts = |url| {
            let Target { host, port, path, query } = Target::new(url, Some("h.test:8080"));
            (host, port, path, query)
        };
        assert_eq!(parts("https://api.test/v1/x?a=b?c#d"), ("api.test", 443, "/v1/x", Some("a=b?c")));
        assert_eq!(parts("http://api.test"), ("api.test", 80, "/", None));
        assert_eq!(parts("HTTP://api.test:8000?x"), ("api.test", 8000, "/", Some("x")));
        assert_eq!(parts("https://api.test:443//openai/a%2Fb"), ("api.test", 443, "//openai/a%2Fb", None));
        assert_eq!(parts("https://me:secret@api.test:1/"), ("api.test", 1, "/", None));
        assert_eq!(parts("http://[::1]:11434/api/chat"), ("::1", 11434, "/api/chat", None));
        assert_eq!(parts("http://[::1]/x"), ("::1", 80, "/x", None));
        assert_eq!(parts("/v1/chat?u=http://x/"), ("h.test", 8080, "/v1/chat", Some("u=http://x/")));
        assert_eq!(parts(""), ("h.test", 8080, "/", None));
        assert_eq!(Target::new("é:é", None).path, "é:é");
    }
}
