//! Paths as Kong matches and forwards them: normalised, so that no encoding trick reaches an upstream past a route's
//! rules.
//!
//! Escapes of unreserved characters are decoded, other escapes get upper-case digits, `.` and `..` are resolved, repeated
//! slashes merged (RFC 3986, 6.2.2). The validation of routes and the routing of requests share this one function: what
//! a route may say is what a request can match.

use std::borrow::Cow;

/// The normalised form of a path. A path that is normal already, as nearly all are, is not copied.
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
}
