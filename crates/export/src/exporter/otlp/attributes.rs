//! The attributes of one span: each key once, nothing empty, everything bounded.

use std::collections::{BTreeSet, HashSet};

use bytes::Bytes;
use serde_json::Value;

use super::bounds::{Bounds, Cutter, cut, json_text, picked};
use crate::exporter::clean;
use crate::exporter::proto::{AnyValue, ArrayValue, KeyValue, any_value, attribute};

/// Bytes of a key; those that come from a request may be anything.
const MAX_KEY: usize = 256;

/// See the module.
pub(super) struct Attributes {
    pub bounds: Bounds,
    list: Vec<KeyValue>,
    keys: HashSet<Bytes>,
    /// What is not whole, by its key.
    cut: BTreeSet<String>,
}

impl Attributes {
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, list: Vec::new(), keys: HashSet::new(), cut: BTreeSet::new() }
    }

    /// Adds an attribute; what is unknown or empty is none, and a key that is there already stays as it is.
    pub fn put(&mut self, key: impl Into<Bytes>, value: Option<impl Into<any_value::Value>>) {
        let (key, Some(value)) = (key.into(), value) else { return };
        if self.keys.contains(&key) {
            return;
        }
        if key.len() > MAX_KEY {
            return self.leave_out(&String::from_utf8_lossy(&key));
        }
        let key = if key.contains(&0) { cleaned(&key) } else { key };
        if let Some(value) = self.within(&key, value.into()) {
            self.keys.insert(key.clone());
            self.list.push(attribute(key, value));
        }
    }

    /// Adds a text.
    pub fn put_text(&mut self, key: impl Into<Bytes>, text: Option<&str>) {
        let Some(text) = text else { return };
        let key = key.into();
        // Cut before it is copied.
        let kept = cut(text, self.bounds.value);
        if kept.len() < text.len() {
            self.note(&key);
        }
        self.put(key, Some(kept.to_owned()));
    }

    /// Adds JSON text.
    pub fn put_json(&mut self, key: impl Into<Bytes>, make: impl Fn(&mut Cutter) -> Option<Value>) {
        let key = key.into();
        if self.keys.contains(&key) {
            return;
        }
        let (text, has_cut) = json_text(self.bounds, make);
        if has_cut {
            self.note(&key);
        }
        self.put(key, text);
    }

    /// Adds a number of tokens or of anything else.
    pub fn put_count(&mut self, key: impl Into<Bytes>, count: Option<u64>) {
        self.put(key, count.map(|count| i64::try_from(count).unwrap_or(i64::MAX)));
    }

    /// The entries, with their true indices, that are spread over attributes below `key`.
    pub fn pick<'a, T>(&mut self, key: &str, all: &'a [T]) -> Vec<(usize, &'a T)> {
        if all.len() > self.bounds.items {
            self.note(key.as_bytes());
        }
        picked(all.len(), self.bounds.items).filter_map(|index| Some((index, all.get(index)?))).collect()
    }

    /// Notes that something below `key` is left out.
    pub fn leave_out(&mut self, key: &str) {
        self.note(cut(key, MAX_KEY / 4).as_bytes());
    }

    /// All of them; the last one, where there is any, tells which are not whole.
    pub fn finish(mut self, key: &'static str) -> Vec<KeyValue> {
        let cut: Vec<String> = std::mem::take(&mut self.cut).into_iter().collect();
        self.put(key, Some(cut));
        self.list
    }

    fn note(&mut self, key: &[u8]) {
        if self.cut.len() < self.bounds.items {
            self.cut.insert(String::from_utf8_lossy(key).into_owned());
        }
    }

    /// The value within bounds; `None` where it says nothing.
    fn within(&mut self, key: &Bytes, value: any_value::Value) -> Option<any_value::Value> {
        match value {
            any_value::Value::String(text) if text.is_empty() => None,
            any_value::Value::String(text) if text.contains(&0) => self.within(key, cleaned(&text).into()),
            any_value::Value::String(text) if text.len() > self.bounds.value => {
                self.note(key);
                let whole = String::from_utf8_lossy(&text);
                Some(cut(&whole, self.bounds.value).to_owned().into())
            }
            any_value::Value::Double(number) if !number.is_finite() => None,
            any_value::Value::Array(ArrayValue { values }) => {
                if values.len() > self.bounds.items {
                    self.note(key);
                }
                let values = values.into_iter().take(self.bounds.items).filter_map(|item| item.value);
                let values: Vec<AnyValue> = values
                    .filter_map(|value| self.within(key, value))
                    .map(|value| AnyValue { value: Some(value) })
                    .collect();
                (!values.is_empty()).then_some(any_value::Value::Array(ArrayValue { values }))
            }
            value => Some(value),
        }
    }
}

/// A text without NUL.
fn cleaned(text: &[u8]) -> Bytes {
    clean::cleaned(&String::from_utf8_lossy(text)).into()
}
