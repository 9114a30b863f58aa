//! Keys and tokens: one pass for everything that one can begin with, then a look at what follows.

use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use memchr::memmem;

use super::keys::{Alphabet, LABELS, PREFIXES};
use super::scan::begins;

/// Characters that a secret has at least where only its label tells that it is one.
const LABELLED: usize = 12;
/// The same of a password in a URL.
const PASSWORD: usize = 1;

/// What a hit may be beside the prefixes and the labels, in the order of the searcher's patterns.
const OTHERS: [&str; 3] = ["eyJ", "://", "-----BEGIN "];

static SEARCH: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
    let prefixes = PREFIXES.iter().map(|(prefix, ..)| *prefix);
    // Letters of any case; of a prefix, the case is looked at afterwards.
    AhoCorasick::builder()
        .match_kind(MatchKind::LeftmostLongest)
        .ascii_case_insensitive(true)
        .kind(Some(AhoCorasickKind::DFA))
        .build(OTHERS.into_iter().chain(LABELS.iter().copied()).chain(prefixes))
        .ok()
});

/// What a hit turned out to be.
enum Look {
    /// A secret, from and to.
    Secret(Range<usize>),
    /// None; the next may begin here. Skipping what was looked at in vain keeps the time linear.
    Not(usize),
}

pub fn find(text: &str, from: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let search = SEARCH.as_ref()?;
    let mut at = from;
    loop {
        let hit = search.find(bytes.get(at..)?)?;
        let (start, end) = (at + hit.start(), at + hit.end());
        let look = match hit.pattern().as_usize() {
            0 => token(bytes, start),
            1 => password(bytes, end).map_or(Look::Not(end), Look::Secret),
            2 => private_key(bytes, start).map_or(Look::Not(end), Look::Secret),
            more => match PREFIXES.get((more - OTHERS.len()).wrapping_sub(LABELS.len())) {
                Some(prefix) => key(bytes, start, *prefix),
                None => labelled(bytes, start, end).map_or(Look::Not(start + 1), Look::Secret),
            },
        };
        match look {
            Look::Secret(found) => return Some(found),
            Look::Not(next) => at = next,
        }
    }
}

/// Where the run of these characters at `from` ends.
fn run(bytes: &[u8], from: usize, alphabet: Alphabet) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    from + rest.iter().position(|byte| !alphabet.has(*byte)).unwrap_or(rest.len())
}

/// The same without a full stop at its end.
fn sentence_run(bytes: &[u8], from: usize, alphabet: Alphabet) -> usize {
    let end = run(bytes, from, alphabet);
    let stops = bytes.get(from..end).unwrap_or_default().iter().rev().take_while(|byte| **byte == b'.').count();
    end - stops
}

fn key(bytes: &[u8], start: usize, (prefix, alphabet, least): (&str, Alphabet, usize)) -> Look {
    let behind = start + prefix.len();
    if bytes.get(start..behind) != Some(prefix.as_bytes()) || !begins(bytes, start) {
        return Look::Not(start + 1);
    }
    let end = sentence_run(bytes, behind, alphabet);
    match bytes.get(behind..end) {
        Some(said) if said.len() < least => Look::Not(start + 1),
        Some(said) if is_random(said) => Look::Secret(start..end),
        // No key begins in there that would be random.
        _ => Look::Not(end),
    }
}

/// A JSON web token: two parts at least, the first of which is a JSON object.
fn token(bytes: &[u8], start: usize) -> Look {
    if bytes.get(start..start + 3) != Some(b"eyJ") || !begins(bytes, start) {
        return Look::Not(start + 1);
    }
    let header = run(bytes, start, Alphabet::Url);
    let end = sentence_run(bytes, header, Alphabet::Dotted);
    // The point and the payload.
    if header - start >= 12 && end - header > 12 { Look::Secret(start..end) } else { Look::Not(end) }
}

/// User and password of a URL whose scheme ends at `start`.
fn password(bytes: &[u8], start: usize) -> Option<Range<usize>> {
    let rest = bytes.get(start..)?;
    let end = rest.iter().position(|byte| {
        matches!(byte, b'@' | b'/' | b'?' | b'#' | b'"' | b'\'' | b'<' | b'>' | b'\\' | b'[')
            || byte.is_ascii_whitespace()
    })?;
    let said = rest.get(..end)?;
    let colon = memchr::memchr(b':', said)?;
    (rest.get(end) == Some(&b'@') && said.len() > colon + PASSWORD).then_some(start..start + end)
}

/// A PEM block of a private key, cut or not, its line ends as they are or escaped.
fn private_key(bytes: &[u8], start: usize) -> Option<Range<usize>> {
    const LABEL: usize = 64;
    const MARK: &[u8] = b"PRIVATE KEY";
    const END: &[u8] = b"-----END ";
    const DASHES: &[u8] = b"-----";
    let rest = bytes.get(start..)?;
    let body = memmem::find(rest.get(..rest.len().min(LABEL))?, MARK)? + MARK.len();
    let is_part = |byte: u8| Alphabet::Base64.has(byte) || matches!(byte, b'\n' | b'\r' | b'\t' | b'\\' | b':' | b',');
    let until = |stop: &dyn Fn(u8) -> bool| {
        let body = rest.get(body..).unwrap_or_default();
        body.iter().position(|byte| stop(*byte)).unwrap_or(body.len())
    };
    // Headers and the last line have spaces in them; what was cut is followed by words.
    let text = rest.get(body..body + until(&|byte| !is_part(byte) && byte != b' '))?;
    let length = match memmem::find(text, END) {
        None => until(&|byte| !is_part(byte)),
        Some(last) => {
            let behind = last + END.len();
            memmem::find(text.get(behind..)?, DASHES).map_or(text.len(), |at| behind + at + DASHES.len())
        }
    };
    Some(start..start + body + length)
}

/// What stands behind a label, which ends at `from`.
fn labelled(bytes: &[u8], start: usize, from: usize) -> Option<Range<usize>> {
    let first = bytes.get(start)?;
    if first.is_ascii_alphabetic() && !begins(bytes, start) && !matches!(bytes.get(start - 1), Some(b'_')) {
        return None;
    }
    let end = sentence_run(bytes, from, Alphabet::Base64);
    let parameter = bytes.get(from.checked_sub(1)?) == Some(&b'=');
    let said = bytes.get(from..end)?;
    let least = if parameter { LABELLED / 2 } else { LABELLED };
    (said.len() >= least && (parameter || is_random(said))).then_some(from..end)
}

/// True for what is no words: a digit in it, or a capital within a word, or padding.
fn is_random(said: &[u8]) -> bool {
    said.iter().any(|byte| byte.is_ascii_digit() || *byte == b'=')
        || said.windows(2).any(|pair| matches!(pair, [b'a'..=b'z', b'A'..=b'Z']))
}
