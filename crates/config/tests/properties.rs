//! Whatever comes in, nothing panics, and what was accepted once is accepted again, unchanged.

use ai_tracing_config::entities::{plugin, route, service};
use ai_tracing_config::{Schema, ai_tracing, form};
use proptest::prelude::*;
use serde_json::{Value, json};

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((".{0,6}", inner), 0..5)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

/// Texts near those that mean something.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "(https?|ftp)://[a-z@:0-9\\[\\]./?#%*]{0,16}",
        "[~/*.%a-f0-9\\[\\](){}]{0,12}",
        "\\{vault://[a-z/#?]{0,8}\\}",
        "[a-zA-Z0-9-]{0,8}(: ?[a-z]{0,3})?",
        Just("ai-tracing".to_owned()),
    ]
}

/// An accepted object, some of whose fields are replaced by values near what is wanted, or by anything.
fn near(schema: &'static Schema, base: Value) -> impl Strategy<Value = Value> {
    let names: Vec<&'static str> = schema
        .record
        .fields
        .iter()
        .map(|(name, _)| *name)
        .chain(schema.record.shorthands.iter().map(|s| s.name))
        .collect();
    let value = prop_oneof![
        any_json(),
        text().prop_map(Value::from),
        prop::collection::vec(text(), 0..3).prop_map(Value::from),
        (0..100_000i64).prop_map(Value::from),
        (0.0..2.0f64).prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
    ];
    prop::collection::vec((prop::sample::select(names), value), 0..4).prop_map(move |entries| {
        let mut object = base.as_object().cloned().unwrap_or_default();
        object.extend(entries.into_iter().map(|(name, value)| (name.to_owned(), value)));
        Value::Object(object)
    })
}

fn check(schema: &Schema, input: Value) {
    match schema.create(input.clone()) {
        Ok(created) => {
            assert_eq!(schema.create(created.clone()).as_ref(), Ok(&created));
            assert_eq!(schema.update(&created, json!({})).as_ref(), Ok(&created));
            assert_eq!(schema.update(&created, created.clone()).as_ref(), Ok(&created));
        }
        Err(invalid) => {
            assert!(!invalid.errors().is_empty() && !invalid.fields.is_null());
            assert!(invalid.to_string().contains("schema violation"));
        }
    }
    let _ = schema.update(&schema.defaults(), input.clone());
    let _ = schema.update(&input, schema.defaults());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn anything(input in any_json()) {
        for schema in [ai_tracing::schema(), plugin::schema(), route::schema(), service::schema()] {
            check(schema, input.clone());
        }
    }

    #[test]
    fn configurations(input in near(ai_tracing::schema(), json!({}))) {
        check(ai_tracing::schema(), input.clone());
        check(plugin::schema(), json!({"name": "ai-tracing", "config": input}));
    }

    #[test]
    fn plugins(input in near(plugin::schema(), json!({"name": "ai-tracing"}))) { check(plugin::schema(), input); }

    #[test]
    fn routes(input in near(route::schema(), json!({"paths": ["/"]}))) { check(route::schema(), input); }

    #[test]
    fn services(input in near(service::schema(), json!({"host": "a"}))) { check(service::schema(), input); }

    #[test]
    fn forms(pairs in prop::collection::vec(("[a-z.\\[\\]0-9_]{0,12}|config(\\.[a-z_]{1,8}|\\[[0-9]{0,4}\\]){0,20}", ".{0,6}"), 0..8)) {
        for schema in [plugin::schema(), route::schema(), service::schema()] {
            check(schema, form::decode(&pairs, schema, Some(&json!({"name": "ai-tracing"}))));
        }
    }
}
