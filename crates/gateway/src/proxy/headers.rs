//! Headers on their way through: what is removed, what is added.
//!
//! Removed both ways: what belongs to one connection only (RFC 9110, 7.6.1), that is `Connection` and what it lists,
//! `Keep-Alive`, `Proxy-Connection`, `Transfer-Encoding`, `TE` (but for `trailers`), `Upgrade`. Requests also lose
//! `Proxy` (httpoxy), `Proxy-Authorization` and `Expect`, which the gateway answers itself.
//!
//! Added as Kong does with no trusted addresses: `X-Real-IP`, `X-Forwarded-{Proto,Host,Port,Path,Prefix}` replace what
//! the client sent, `X-Forwarded-For` is appended to; `Via` both ways, `X-Kong-*` as documented.

use std::net::IpAddr;

use http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, Entry, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHORIZATION, TE,
    TRANSFER_ENCODING, UPGRADE, VIA,
};

/// The gateway's name in `Server` and `Via`.
pub const PRODUCT: &str = concat!("ai-tracing/", env!("CARGO_PKG_VERSION"));
static VIA_1: HeaderValue = HeaderValue::from_static(concat!("1.1 ai-tracing/", env!("CARGO_PKG_VERSION")));
static VIA_2: HeaderValue = HeaderValue::from_static(concat!("2 ai-tracing/", env!("CARGO_PKG_VERSION")));

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const PROXY: HeaderName = HeaderName::from_static("proxy");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_FORWARDED_PATH: HeaderName = HeaderName::from_static("x-forwarded-path");
const X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
const X_KONG_UPSTREAM_LATENCY: HeaderName = HeaderName::from_static("x-kong-upstream-latency");
const X_KONG_PROXY_LATENCY: HeaderName = HeaderName::from_static("x-kong-proxy-latency");

/// The id of a request, in answers and to the upstream.
pub const X_KONG_REQUEST_ID: HeaderName = HeaderName::from_static("x-kong-request-id");
/// Milliseconds that the gateway's own answer took.
pub const X_KONG_RESPONSE_LATENCY: HeaderName = HeaderName::from_static("x-kong-response-latency");
/// W3C Trace Context.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// What vendors add to a `traceparent`.
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// What is known of the client's connection; made once a connection.
#[derive(Clone, Debug)]
pub struct Client {
    address: HeaderValue,
    port: HeaderValue,
    proto: HeaderValue,
}

impl Client {
    /// A client at `address`, connected to our `port`.
    pub fn new(address: IpAddr, port: u16, tls: bool) -> Self {
        Self {
            // An address is always a valid header value.
            address: HeaderValue::try_from(address.to_canonical().to_string())
                .unwrap_or_else(|_| HeaderValue::from_static("unknown")),
            port: HeaderValue::from(port),
            proto: HeaderValue::from_static(if tls { "https" } else { "http" }),
        }
    }
}

/// What a request's headers are completed with.
pub struct Outgoing<'a> {
    /// The client's connection.
    pub client: &'a Client,
    /// Host that the client asked for, without port.
    pub host: &'a str,
    /// Path as the client sent it.
    pub path: &'a str,
    /// The part of the path that is stripped.
    pub prefix: Option<&'a str>,
    /// Whether the request came over HTTP/2.
    pub h2: bool,
    /// The request's id.
    pub request_id: &'a HeaderValue,
    /// Protocol to switch to.
    pub upgrade: Option<HeaderValue>,
}

/// Makes a client's headers those for the upstream, but for `Host`, whose place depends on the connection.
pub fn to_upstream(headers: &mut HeaderMap, outgoing: Outgoing<'_>) {
    let trailers = wants_trailers(headers);
    remove_hop_by_hop(headers);
    for name in [EXPECT, PROXY, PROXY_AUTHORIZATION] {
        headers.remove(name);
    }
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    if let Some(protocol) = outgoing.upgrade {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, protocol);
    }
    append(headers, X_FORWARDED_FOR, ", ", &outgoing.client.address);
    headers.insert(X_REAL_IP, outgoing.client.address.clone());
    headers.insert(X_FORWARDED_PROTO, outgoing.client.proto.clone());
    headers.insert(X_FORWARDED_PORT, outgoing.client.port.clone());
    set(headers, X_FORWARDED_HOST, Some(outgoing.host));
    set(headers, X_FORWARDED_PATH, Some(outgoing.path));
    set(headers, X_FORWARDED_PREFIX, outgoing.prefix);
    append(headers, VIA, ", ", if outgoing.h2 { &VIA_2 } else { &VIA_1 });
    headers.insert(X_KONG_REQUEST_ID, outgoing.request_id.clone());
}

/// Makes one `Cookie` of the several that HTTP/2 allows (RFC 9113, 8.2.3).
pub fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_some()
        && let Entry::Occupied(entry) = headers.entry(COOKIE)
    {
        let (name, mut crumbs) = entry.remove_entry_mult();
        let list = crumbs.by_ref().map(|crumb| crumb.as_bytes().to_vec()).collect::<Vec<_>>().join(&b"; "[..]);
        drop(crumbs);
        if let Ok(cookie) = HeaderValue::from_bytes(&list) {
            headers.insert(name, cookie);
        }
    }
}

/// How long the parts of a call took, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Latencies {
    /// From the request's head to handing it to the upstream.
    pub proxy: u64,
    /// From there to the response's head.
    pub upstream: u64,
}

/// Makes an upstream's headers those for the client.
pub fn to_client(headers: &mut HeaderMap, h2: bool, latencies: Latencies, request_id: HeaderValue) {
    remove_hop_by_hop(headers);
    append(headers, VIA, ", ", if h2 { &VIA_2 } else { &VIA_1 });
    headers.insert(X_KONG_UPSTREAM_LATENCY, HeaderValue::from(latencies.upstream));
    headers.insert(X_KONG_PROXY_LATENCY, HeaderValue::from(latencies.proxy));
    headers.insert(X_KONG_REQUEST_ID, request_id);
}

/// The protocol that an HTTP/1.1 request asks to switch to. As in Kong it can only be WebSocket: a tunnel to anything
/// else (`h2c` above all) would carry requests past the gateway.
pub fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let protocol = headers.get(UPGRADE).filter(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket"))?;
    connection_options(headers).any(|option| option.eq_ignore_ascii_case("upgrade")).then(|| protocol.clone())
}

/// Marks a response as the one that switches the protocol.
pub fn switched(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, protocol);
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    if let Some(connection) = headers.get(CONNECTION) {
        // `close` and `keep-alive`, which nearly all messages have if any, name no further header.
        let plain =
            [&b"close"[..], b"keep-alive"].iter().any(|plain| connection.as_bytes().eq_ignore_ascii_case(plain));
        if !plain || headers.get_all(CONNECTION).iter().count() > 1 {
            let listed: Vec<HeaderName> = connection_options(headers)
                // These two belong to the message: no client can have them removed by listing them.
                .filter(|option| !["host", "content-length"].iter().any(|own| option.eq_ignore_ascii_case(own)))
                .filter_map(|option| HeaderName::try_from(option).ok())
                .collect();
            for name in listed {
                headers.remove(name);
            }
        }
        headers.remove(CONNECTION);
    }
    // A message with both has the length that its coding says (RFC 9112, 6.3): the other must not go on.
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    for name in [KEEP_ALIVE, PROXY_CONNECTION, TRANSFER_ENCODING, TE, UPGRADE] {
        headers.remove(name);
    }
}

fn connection_options(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|option| !option.is_empty())
}

fn wants_trailers(headers: &HeaderMap) -> bool {
    headers
        .get_all(TE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| coding.trim().eq_ignore_ascii_case("trailers"))
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: Option<&str>) {
    match value.and_then(|value| HeaderValue::try_from(value).ok()) {
        Some(value) => headers.insert(name, value),
        None => headers.remove(name),
    };
}

/// Adds `value` to the list that the header holds already.
fn append(headers: &mut HeaderMap, name: HeaderName, separator: &str, value: &HeaderValue) {
    match headers.entry(name) {
        Entry::Vacant(entry) => {
            entry.insert(value.clone());
        }
        Entry::Occupied(mut entry) => {
            let mut list = Vec::new();
            for part in entry.iter().chain([value]) {
                if !list.is_empty() {
                    list.extend_from_slice(separator.as_bytes());
                }
                list.extend_from_slice(part.as_bytes());
            }
            entry.insert(HeaderValue::from_maybe_shared(bytes::Bytes::from(list)).unwrap_or_else(|_| value.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap())).collect()
    }

    fn sent(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        let client = Client::new("::ffff:192.0.2.7".parse().unwrap(), 8000, false);
        to_upstream(
            &mut headers,
            Outgoing {
                client: &client,
                host: "gateway.test",
                path: "/openai/v1/models",
                prefix: Some("/openai"),
                h2: false,
                request_id: &HeaderValue::from_static("abc"),
                upgrade: None,
            },
        );
        let mut sent: Vec<_> =
            headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
        sent.sort();
        sent
    }

    const VIA: &str = concat!("1.1 ai-tracing/", env!("CARGO_PKG_VERSION"));

    fn expected(changed: &[(&str, &str)]) -> Vec<(String, String)> {
        let mut headers = map(&[
            ("via", VIA),
            ("x-forwarded-for", "192.0.2.7"),
            ("x-forwarded-host", "gateway.test"),
            ("x-forwarded-path", "/openai/v1/models"),
            ("x-forwarded-port", "8000"),
            ("x-forwarded-prefix", "/openai"),
            ("x-forwarded-proto", "http"),
            ("x-kong-request-id", "abc"),
            ("x-real-ip", "192.0.2.7"),
        ]);
        headers.extend(map(changed));
        let mut all: Vec<_> =
            headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
        all.sort();
        all
    }

    #[test]
    fn forwarded_headers_replace_what_the_client_claims_but_for_the_chain() {
        let claimed = [
            ("x-forwarded-for", "203.0.113.1"),
            ("x-forwarded-for", "203.0.113.2"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "evil.test"),
            ("x-forwarded-port", "1"),
            ("x-forwarded-path", "/evil"),
            ("x-forwarded-prefix", "/evil"),
            ("x-real-ip", "203.0.113.1"),
            ("x-kong-request-id", "evil"),
            ("via", "1.0 first"),
        ];
        let changed =
            [("x-forwarded-for", "203.0.113.1, 203.0.113.2, 192.0.2.7"), ("via", &format!("1.0 first, {VIA}"))];
        assert_eq!(sent(&claimed), expected(&changed));
    }

    #[test]
    fn what_belongs_to_one_connection_goes_no_further() {
        let hops = [
            ("connection", "close, X-Secret"),
            ("connection", "te, host, content-length"),
            ("x-secret", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("proxy-authorization", "Basic abc"),
            ("proxy", "http://evil.test"),
            ("te", "gzip, Trailers"),
            ("upgrade", "h2c"),
            ("expect", "100-continue"),
            ("content-length", "3"),
            ("authorization", "Bearer key"),
            ("trailer", "x-sum"),
        ];
        let kept = [("authorization", "Bearer key"), ("content-length", "3"), ("te", "trailers"), ("trailer", "x-sum")];
        assert_eq!(sent(&hops), expected(&kept));
    }

    #[test]
    fn responses_lose_their_hops_and_tell_their_latencies() {
        let mut headers =
            map(&[("connection", "x-hop"), ("x-hop", "1"), ("keep-alive", "5"), ("server", "vllm"), ("via", "1.1 a")]);
        to_client(&mut headers, false, Latencies { proxy: 2, upstream: 30 }, HeaderValue::from_static("abc"));
        let expected = map(&[
            ("server", "vllm"),
            ("via", &format!("1.1 a, {VIA}")),
            ("x-kong-upstream-latency", "30"),
            ("x-kong-proxy-latency", "2"),
            ("x-kong-request-id", "abc"),
        ]);
        assert_eq!(headers, expected);
    }

    #[test]
    fn a_length_that_the_coding_contradicts_goes_no_further() {
        let both = [("content-length", "3"), ("transfer-encoding", "chunked")];
        assert_eq!(sent(&both), expected(&[]));
        let mut headers = map(&both);
        to_client(&mut headers, false, Latencies { proxy: 0, upstream: 0 }, HeaderValue::from_static("abc"));
        assert!(!headers.contains_key(CONTENT_LENGTH) && !headers.contains_key(TRANSFER_ENCODING));
    }

    #[test]
    fn crumbs_make_one_cookie() {
        let mut headers = HeaderMap::new();
        for crumb in ["a=1", "b=2; c=3", "d=4"] {
            headers.append(COOKIE, HeaderValue::from_static(crumb));
        }
        join_cookies(&mut headers);
        assert_eq!(headers, map(&[("cookie", "a=1; b=2; c=3; d=4")]));
    }

    #[test]
    fn an_upgrade_needs_both_headers_and_is_to_websocket() {
        assert!(upgrade(&map(&[("connection", "upgrade, http2-settings"), ("upgrade", "h2c")])).is_none());
        assert!(upgrade(&map(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")])).is_some());
        assert!(upgrade(&map(&[("upgrade", "websocket")])).is_none());
        assert!(upgrade(&map(&[("connection", "upgrade")])).is_none());
    }
}
