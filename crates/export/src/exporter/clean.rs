//! What the stores behind receivers cannot take (PostgreSQL's texts, ClickHouse's JSON): NUL characters. They become
//! U+FFFD, in keys as well: one of them would cost a whole batch.
//!
//! Lone surrogates, the other hazard, cannot occur: a Rust string has none.

use serde_json::{Map, Value};

/// Replaces NUL in a string.
pub(super) fn text(text: &mut String) {
    if text.contains('\0') {
        *text = cleaned(text);
    }
}

/// A string without NUL.
pub(super) fn cleaned(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// Replaces NUL in every string of a value, and in every key.
pub(super) fn value(value: &mut Value) {
    match value {
        Value::String(string) => text(string),
        Value::Array(items) => items.iter_mut().for_each(self::value),
        Value::Object(object) => map(object),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Replaces NUL in the keys and values of an object.
pub(super) fn map(map: &mut Map<String, Value>) {
    map.values_mut().for_each(value);
    if map.keys().any(|key| key.contains('\0')) {
        let dirty = std::mem::take(map);
        map.extend(dirty.into_iter().map(|(key, value)| (key.replace('\0', "\u{fffd}"), value)));
    }
}
