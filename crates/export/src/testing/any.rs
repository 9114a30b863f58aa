//! Values of any kind, for properties that hold for every record.

use proptest::prelude::*;
use serde_json::{Map, Value};

/// Text in which NUL, quotes and what takes several bytes are not rare.
pub(crate) fn text() -> impl Strategy<Value = String> {
    let char = prop_oneof![Just('\0'), Just('"'), Just('\\'), Just('ü'), Just('🌍'), any::<char>()];
    prop::collection::vec(char, 0..80).prop_map(|chars| chars.into_iter().collect())
}

pub(crate) fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        text().prop_map(Value::from)
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((text(), inner), 0..4).prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

pub(crate) fn json_map() -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::vec((text(), json_value()), 0..4).prop_map(|pairs| pairs.into_iter().collect())
}
