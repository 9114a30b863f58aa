//! Paths: how a request's path is normalised before it is matched, and how the path for the upstream is joined.
//!
//! Kong matches and forwards the normalised path, so that no encoding trick reaches an upstream past a route's rules:
//! escapes of unreserved characters are decoded, other escapes get upper-case digits, `.` and `..` are resolved,
//! repeated slashes merged (RFC 3986, 6.2.2). A path that is normal already, as nearly all are, is not copied.

use std::borrow::Cow;

/// The normalised form of a request's path.
pub fn normalize(path: &str) -> Cow<'_, str> {
    if is_normal(path.as_bytes()) { Cow::Borrowed(path) } else { Cow::Owned(rewrite(path)) }
}

/// No escapes, no bytes outside ASCII, no double slash and no segment that begins with a dot.
fn is_normal(path: &[u8]) -> bool {
    let mut before = 0;
    path.iter().all(|&byte| {
        let fine = byte != b'%' && byte.is_ascii() && !(before == b'/' && (byte == b'/' || byte == b'.'));
        before = byte;
        fine
    })
}

fn rewrite(path: &str) -> String {
    let decoded = decode_unreserved(path);
    let mut segments: Vec<&str> = Vec::new();
    let mut parts = decoded.split('/').peekable();
    let mut directory = false;
    while let Some(part) = parts.next() {
        directory = false;
        match part {
            "" => directory = parts.peek().is_none(),
            "." => directory = true,
            ".." => {
                segments.pop();
                directory = true;
            }
            part => segments.push(part),
        }
    }
    let mut normal = String::with_capacity(decoded.len() + 1);
    for segment in &segments {
        normal.push('/');
        normal.push_str(segment);
    }
    if directory || normal.is_empty() {
        normal.push('/');
    }
    normal
}

fn decode_unreserved(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        let escaped = (byte == b'%').then(|| {
            let mut ahead = bytes.clone();
            let high = ahead.next().and_then(hex)?;
            let low = ahead.next().and_then(hex)?;
            bytes = ahead;
            Some(high << 4 | low)
        });
        match escaped.flatten() {
            Some(value) if value.is_ascii_alphanumeric() || b"-._~".contains(&value) => text.push(char::from(value)),
            Some(value) => push_escaped(&mut text, value),
            None if byte.is_ascii() => text.push(char::from(byte)),
            None => push_escaped(&mut text, byte),
        }
    }
    text
}

fn push_escaped(text: &mut String, byte: u8) {
    text.push('%');
    for digit in [byte >> 4, byte & 15] {
        text.push(char::from_digit(u32::from(digit), 16).unwrap_or('0').to_ascii_uppercase());
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// How a route joins paths: its `strip_path` and `path_handling`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Joining {
    /// Leave out what the route's path matched.
    pub strip: bool,
    /// `path_handling: v1`: no slash is added between the service's path and the rest.
    pub v1: bool,
}

/// The path for the upstream: `base` is the service's path (`/` where it has none), `matched` how many bytes of `path`
/// the route's path matched. The rules are those of Kong's table for `path_handling`.
pub fn join<'a>(base: &str, path: &'a str, matched: usize, joining: Joining) -> Cow<'a, str> {
    let rest = if joining.strip { path.get(matched..).unwrap_or_default() } else { path.get(1..).unwrap_or_default() };
    // What follows a stripped prefix begins a path of its own: it must not climb out of the service's.
    let rest = if joining.strip { below(rest) } else { rest };
    if base == "/" {
        return match (joining.strip, rest.starts_with('/')) {
            (false, _) => Cow::Borrowed(path),
            (true, true) => Cow::Borrowed(rest),
            (true, false) => Cow::Owned(format!("/{rest}")),
        };
    }
    let bare = base.strip_suffix('/');
    Cow::Owned(if joining.v1 {
        match bare {
            Some(bare) if rest.starts_with('/') => format!("{bare}{rest}"),
            _ => format!("{base}{rest}"),
        }
    } else if joining.strip {
        match (rest, bare) {
            ("", Some(bare)) if !path.ends_with('/') => bare.to_owned(),
            ("", None) if path.len() > 1 && path.ends_with('/') => format!("{base}/"),
            ("", _) => base.to_owned(),
            (rest, bare) if rest.starts_with('/') => format!("{}{rest}", bare.unwrap_or(base)),
            (rest, Some(_)) => format!("{base}{rest}"),
            (rest, None) => format!("{base}/{rest}"),
        }
    } else {
        match bare {
            Some(bare) => format!("{bare}{path}"),
            None if path == "/" => base.to_owned(),
            None => format!("{base}{path}"),
        }
    })
}

/// `rest` without a leading dot segment.
fn below(rest: &str) -> &str {
    match rest {
        "." | ".." => "",
        rest => rest.strip_prefix("./").or_else(|| rest.strip_prefix("../")).unwrap_or(rest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_paths_are_not_copied() {
        for path in ["/", "/v1/chat/completions", "/a.b/c", "/a/", "/openai/deployments/gpt-4o/chat"] {
            assert!(matches!(normalize(path), Cow::Borrowed(same) if same == path), "{path}");
        }
    }

    #[test]
    fn encodings_dots_and_slashes_are_resolved() {
        let table = [
            ("/a/../b", "/b"),
            ("/a/./b", "/a/b"),
            ("/a/%2e%2E/b", "/b"),
            ("/../../etc", "/etc"),
            ("//a//b/", "/a/b/"),
            ("/a/..", "/"),
            ("/a/b/..", "/a/"),
            ("/a/b/.", "/a/b/"),
            ("/%61%2f%zz", "/a%2F%zz"),
            ("/.well-known/x", "/.well-known/x"),
            ("/caf%c3%a9", "/caf%C3%A9"),
            ("/café", "/caf%C3%A9"),
            ("/100%", "/100%"),
        ];
        for (path, normal) in table {
            assert_eq!(normalize(path), normal, "{path}");
        }
    }

    /// The table of <https://docs.konghq.com/gateway/api/admin-oss/3.4.x/#path-handling-algorithms>: service path, route path, strip_path,
    /// path_handling, request path, upstream path.
    #[test]
    fn joins_paths_as_kong_documents() {
        let table = [
            ("/s", "/fv0", false, "v0", "/fv0/req", "/s/fv0/req"),
            ("/s", "/fv0", false, "v0", "/fv0", "/s/fv0"),
            ("/s", "/fv1", false, "v1", "/fv1/req", "/sfv1/req"),
            ("/s", "/fv1", false, "v1", "/fv1", "/sfv1"),
            ("/s", "/tv0", true, "v0", "/tv0/req", "/s/req"),
            ("/s", "/tv0", true, "v0", "/tv0", "/s"),
            ("/s", "/tv1", true, "v1", "/tv1/req", "/s/req"),
            ("/s", "/tv1", true, "v1", "/tv1", "/s"),
            ("/s", "/fv0/", false, "v0", "/fv0/req", "/s/fv0/req"),
            ("/s", "/fv0/", false, "v0", "/fv0/", "/s/fv0/"),
            ("/s", "/fv1/", false, "v1", "/fv1/req", "/sfv1/req"),
            ("/s", "/fv1/", false, "v1", "/fv1/", "/sfv1/"),
            ("/s", "/tv0/", true, "v0", "/tv0/req", "/s/req"),
            ("/s", "/tv0/", true, "v0", "/tv0/", "/s/"),
            ("/s", "/tv1/", true, "v1", "/tv1/req", "/sreq"),
            ("/s", "/tv1/", true, "v1", "/tv1/", "/s"),
            // A service without a path, and one whose path ends with a slash.
            ("/", "/tv0", true, "v0", "/tv0", "/"),
            ("/", "/tv0", true, "v0", "/tv0/req", "/req"),
            ("/", "/tv0/", true, "v0", "/tv0/req", "/req"),
            ("/", "/fv0", false, "v0", "/fv0/req", "/fv0/req"),
            ("/", "/tv1", true, "v1", "/tv1/req", "/req"),
            ("/s/", "/tv0", true, "v0", "/tv0", "/s"),
            ("/s/", "/tv0/", true, "v0", "/tv0/", "/s/"),
            ("/s/", "/tv0", true, "v0", "/tv0/req", "/s/req"),
            ("/s/", "/fv0", false, "v0", "/fv0/req", "/s/fv0/req"),
            ("/s/", "/tv1", true, "v1", "/tv1/req", "/s/req"),
            // A prefix need not end at a slash.
            ("/s", "/tv", true, "v0", "/tv../req", "/s/req"),
        ];
        for (base, route, strip, handling, request, upstream) in table {
            let joining = Joining { strip, v1: handling == "v1" };
            assert_eq!(
                join(base, request, route.len(), joining),
                upstream,
                "{base} {route} {strip} {handling} {request}"
            );
        }
    }
}
