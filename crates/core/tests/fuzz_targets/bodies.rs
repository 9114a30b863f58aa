//! Bodies: lenient JSON, and content encodings.

use ai_tracing_core::inflate::{Inflate, Status};
use ai_tracing_core::json::{self, Problem};
use serde_json::Value;

use super::{pieces, same};

/// Whatever is read can be written and read back; and what serde_json reads, this reads alike.
pub fn json(input: &[u8]) {
    let text = json::text(input);
    let parsed = json::parse(&text);
    let value = parsed.value.to_value();
    let written = value.to_string();
    assert!(written.len() <= 16 * input.len() + 64, "{} bytes became {}", input.len(), written.len());
    let again = serde_json::from_str(&written).expect("what was read can be read back");
    assert!(same(&value, &again), "{value} became {again}");
    let Ok(strict) = serde_json::from_slice::<Value>(input) else { return };
    match parsed.problem {
        None => assert!(without_counts(&value) || same(&value, &strict), "{value} instead of {strict}"),
        Some(Problem::TooDeep | Problem::TooMany) => {}
        Some(problem) => panic!("{problem} in what serde_json reads"),
    }
}

/// True when the value has a count in place of numbers that are too many to be copied.
fn without_counts(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(without_counts),
        Value::Object(members) => members.contains_key("numbers") || members.values().any(without_counts),
        _ => false,
    }
}

const ENCODINGS: [&str; 6] = ["gzip", "deflate", "br", "zstd", "gzip, br", "zstd, deflate"];

/// The second byte chooses encoding and limit. Any chunking gives the same end and no less than what was decoded before
/// it; nothing is yielded beyond the limit.
pub fn inflate(input: &[u8]) {
    let Some((&[choice, options], bytes)) = input.split_first_chunk::<2>() else { return };
    let encoding = ENCODINGS[usize::from(options) % ENCODINGS.len()];
    let limit = if options >= 128 { 1 << 20 } else { 1 << 10 };
    let (whole, issue) = decode(encoding, limit, &[bytes]);
    let (pieced, piecewise) = decode(encoding, limit, &pieces(choice, bytes));
    assert!(whole.len() <= limit && pieced.len() <= limit);
    let corrupt = [&issue, &piecewise].into_iter().flatten().any(|issue| issue.contains("corrupt"));
    if corrupt {
        // Of the block in which the damage is, the libraries give more or less away.
        assert!(issue.is_some() && piecewise.is_some(), "{issue:?} or {piecewise:?}");
        assert!(whole.starts_with(&pieced) || pieced.starts_with(&whole));
    } else {
        assert_eq!((issue, whole), (piecewise, pieced));
    }
}

fn decode(encoding: &str, limit: usize, pieces: &[&[u8]]) -> (Vec<u8>, Option<String>) {
    let mut inflate = Inflate::new(encoding, limit).unwrap();
    let mut out = Vec::new();
    for piece in pieces {
        if inflate.push(piece, &mut out) == Status::Stopped {
            break;
        }
    }
    (out, inflate.finish())
}
