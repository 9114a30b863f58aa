//! What is asked of untrusted bytes, one function a target: it panics when the bytes break a promise.
//!
//! The fuzzer (`fuzz/`) and the test `fuzz_seeds` run the same functions, so this is not a test by itself. The first
//! byte of an input chooses how the rest is cut into pieces.

#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)] // shared by crates that use a part each; a broken promise should say so at once

pub mod bodies;
pub mod exchange;
pub mod frames;

use serde_json::Value;

/// A target.
pub type Target = fn(&[u8]);

/// All targets by name.
pub const TARGETS: [(&str, Target); 7] = [
    ("sse", frames::sse),
    ("json_stream", frames::json_stream),
    ("aws_event", frames::aws_event),
    ("json", bodies::json),
    ("inflate", bodies::inflate),
    ("form", exchange::form),
    ("exchange", exchange::exchange),
];

/// SplitMix64: numbers that look random and are the same each time.
pub struct Random(pub u64);

impl Random {
    /// The next number, below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % limit.max(1) as u64) as usize
    }
}

/// The bytes in pieces, as `choice` says: byte by byte, in equal pieces, or cut anywhere.
pub fn pieces(choice: u8, bytes: &[u8]) -> Vec<&[u8]> {
    if choice < 16 {
        return bytes.chunks(usize::from(choice) + 1).collect();
    }
    let mut random = Random(u64::from(choice));
    let mut cuts: Vec<usize> = (0..choice % 16).map(|_| random.below(bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

/// Whether two values are the same, but for the last digits of a float, which serde_json's reader may get wrong.
pub fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let pair = |(key, value): (&String, &Value)| other.get(key).is_some_and(|other| same(value, other));
            one.len() == other.len() && one.iter().all(pair)
        }
        (Value::Number(one), Value::Number(other)) => {
            let (one, other) = (one.as_f64().unwrap(), other.as_f64().unwrap());
            one == other || (one - other).abs() <= 1e-12 * one.abs()
        }
        _ => one == other,
    }
}
