//! Strings that are JSON themselves, such as a tool call's arguments: what is valid before stays valid.

use memchr::{memchr, memchr2};
use serde::de::IgnoredAny;
use serde_json::Value;

/// True when it is worth reading `text` as JSON.
pub(super) fn begins(text: &str) -> bool {
    matches!(text.trim_ascii_start().as_bytes().first(), Some(b'{' | b'[' | b'"'))
}

/// True when `text` is JSON.
pub(super) fn is_valid(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// Replaces in each string and number of a JSON text by itself: strings by what they say, without their escapes. A number
/// that is replaced becomes a string. `replace` is given what stands in front, and the value; `None` leaves it as it is.
/// `None` when nothing was replaced. A text that is no JSON loses nothing.
pub(super) fn replace(text: &str, replace: &dyn Fn(&str, &str) -> Option<String>) -> Option<String> {
    let bytes = text.as_bytes();
    let mut redacted: Option<String> = None;
    let mut copied = 0;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let end = match byte {
            b'"' => match closing(bytes, at + 1) {
                Some(quote) => quote + 1,
                // Cut inside a string: nobody knows what it says.
                None => break,
            },
            b'0'..=b'9' | b'-' => at + number(bytes.get(at..).unwrap_or_default()),
            _ => {
                at += 1;
                continue;
            }
        };
        let before = text.get(..at).unwrap_or_default();
        if let Some(value) = value(text.get(at..end).unwrap_or_default(), &|value| replace(before, value)) {
            let redacted = redacted.get_or_insert_default();
            redacted.push_str(text.get(copied..at).unwrap_or_default());
            redacted.push_str(&Value::String(value).to_string());
            copied = end;
        }
        at = end;
    }
    let mut redacted = redacted?;
    redacted.push_str(text.get(copied..).unwrap_or_default());
    Some(redacted)
}

/// What becomes of one literal.
fn value(literal: &str, replace: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let Some(raw) = literal.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else { return replace(literal) };
    if memchr(b'\\', raw.as_bytes()).is_none() {
        return replace(raw);
    }
    match serde_json::from_str::<String>(literal) {
        Ok(said) => replace(&said),
        Err(_) => replace(raw),
    }
}

/// Where the string that begins at `from` is closed.
fn closing(bytes: &[u8], mut from: usize) -> Option<usize> {
    loop {
        let at = from + memchr2(b'"', b'\\', bytes.get(from..)?)?;
        if bytes.get(at) == Some(&b'"') {
            return Some(at);
        }
        from = at + 2;
    }
}

/// Bytes of the number at the start.
fn number(bytes: &[u8]) -> usize {
    let part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
    bytes.iter().position(|byte| !part(byte)).unwrap_or(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upper(text: &str) -> Option<String> {
        replace(text, &|_, value| value.contains(['x', '7']).then(|| value.to_uppercase() + "\"!"))
    }

    #[test]
    fn only_what_is_replaced_changes() {
        assert_eq!(upper(r#" {"a" : "x", "b":[1.50, 70 ]}"#).unwrap(), r#" {"a" : "X\"!", "b":[1.50, "70\"!" ]}"#);
        assert_eq!(upper(r#"{"a":"\u0078\n\"é"}"#).unwrap(), r#"{"a":"X\n\"É\"!"}"#);
        assert_eq!(upper(r#"{"a":"b","c":1e5}"#), None);
    }

    #[test]
    fn what_is_no_json_loses_nothing() {
        assert_eq!(upper("{x: 'no', \"x\", \"cut x").unwrap(), "{x: 'no', \"X\\\"!\", \"cut x");
        assert_eq!(upper("\"x\tx\\q\" \\").unwrap(), "\"X\\tX\\\\Q\\\"!\" \\");
        assert_eq!(upper("\"cut x\\"), None);
    }
}
