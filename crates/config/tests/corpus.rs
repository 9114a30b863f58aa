//! Every configuration in `configs/`: accepted ones with what becomes of them, refused ones with path and message of
//! each error. The files know nothing of Rust: a schema in another language is held against the same ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // tests fail by panicking

use std::collections::BTreeMap;
use std::path::Path;

use ai_tracing_config::ai_tracing::AiTracing;
use ai_tracing_config::entities::plugin;
use serde_json::{Value, json};

fn cases(kind: &str) -> Vec<(String, Value)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/configs").join(kind);
    let mut cases: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            (name, serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap())
        })
        .collect();
    cases.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(cases.len() > 10, "{kind}: found only {} files", cases.len());
    cases
}

fn plugin(config: &Value) -> Value {
    json!({"name": "ai-tracing", "config": config})
}

#[test]
fn valid_configurations_are_accepted() {
    for (name, case) in cases("valid") {
        let created =
            plugin::schema().create(plugin(&case["config"])).unwrap_or_else(|error| panic!("{name}: {error}"));
        for (field, expected) in case["expect"].as_object().unwrap() {
            assert_eq!(&created["config"][field], expected, "{name}: {field}");
        }
        let typed = AiTracing::from_value(&case["config"]).unwrap_or_else(|error| panic!("{name}: {error}"));
        let again = AiTracing::from_value(&serde_json::to_value(&typed).unwrap()).unwrap();
        assert_eq!(typed, again, "{name}");
    }
}

#[test]
fn invalid_configurations_are_refused_with_every_path() {
    for (name, case) in cases("invalid") {
        let refused = plugin::schema().create(plugin(&case["config"])).expect_err(&name);
        let expected: BTreeMap<String, String> = serde_json::from_value(case["errors"].clone()).unwrap();
        let found: BTreeMap<String, String> = refused.errors().iter().cloned().collect();
        assert_eq!(found, expected, "{name}");
        assert_eq!(found.len(), refused.errors().len(), "{name}: a path is named twice");
        assert!(AiTracing::from_value(&case["config"]).is_err(), "{name}");
    }
}
