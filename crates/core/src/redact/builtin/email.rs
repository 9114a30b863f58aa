//! E-mail addresses, also with `%40` for `@` as in URLs.
//!
//! Letters of alphabets that are written with spaces count as letters; Chinese or Thai around an address does not become
//! part of it.

use std::ops::Range;

use memchr::memchr2;

use super::scan::escape;

pub fn find(text: &str, from: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    // Nothing is looked at twice from the same side.
    let mut floor = from;
    let mut at = from;
    loop {
        at += memchr2(b'@', b'%', bytes.get(at..)?)?;
        let sign = match bytes.get(at..)? {
            [b'@', ..] => 1,
            [b'%', b'4', b'0', ..] => 3,
            _ => {
                at += 1;
                continue;
            }
        };
        let local = local(text.get(floor..at).unwrap_or_default());
        let domain = domain(text.get(at + sign..).unwrap_or_default());
        if local > 0 && domain > 0 {
            return Some(at - local..at + sign + domain);
        }
        at += sign;
        floor = at;
    }
}

/// Bytes at the end of `before` that are the part in front of the `@`.
fn local(before: &str) -> usize {
    let is_part = |c: char| is_letter(c) || matches!(c, '0'..='9' | '.' | '_' | '%' | '+' | '-' | '\'' | '~');
    let start = before.rfind(|c| !is_part(c)).map_or(0, |at| before.ceil_char_boundary(at + 1));
    let part = before.get(start..).unwrap_or_default();
    // `\njo@example.com`: the letter belongs to the line end.
    let escaped = (1..=5).find(|more| escape(before.as_bytes().get(..start + more).unwrap_or_default()) == more + 1);
    let part = part.get(escaped.unwrap_or(0)..).unwrap_or_default();
    part.trim_start_matches(['.', '-', '\'', '%']).len()
}

/// Bytes at the start of `after` that are a domain: up to the last label of which two letters can be a top level.
fn domain(after: &str) -> usize {
    let is_part = |c: char| is_letter(c) || matches!(c, '0'..='9' | '.' | '-');
    let run = after.get(..after.find(|c| !is_part(c)).unwrap_or(after.len())).unwrap_or_default();
    if run.starts_with(['.', '-']) {
        return 0;
    }
    let mut end = 0;
    for (dot, _) in run.match_indices('.') {
        let label = run.get(dot + 1..).unwrap_or_default();
        let letters = label.find(|c| !is_letter(c)).unwrap_or(label.len());
        let encoded = label.starts_with("xn--").then(|| label.find('.').unwrap_or(label.len()));
        if label.chars().take(2).filter(|c| is_letter(*c)).count() == 2 {
            end = dot + 1 + encoded.unwrap_or(letters);
        }
    }
    end
}

/// A letter of Latin, Greek, Cyrillic or Armenian.
fn is_letter(c: char) -> bool {
    c.is_ascii_alphabetic() || ('\u{aa}'..'\u{590}').contains(&c) && c.is_alphabetic()
}
