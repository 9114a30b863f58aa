//! The typed configuration, and the schema as the Admin API shows it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // tests fail by panicking

use ai_tracing_config::ai_tracing::{self, AiTracing, LangfuseApi, LogLevel};
use ai_tracing_config::{plugins, prometheus};
use serde_json::json;

#[test]
fn the_defaults_are_a_valid_configuration() {
    let defaults = AiTracing::default_value();
    assert_eq!(ai_tracing::schema().create(defaults.clone()).unwrap(), defaults);
    let typed = AiTracing::from_value(&defaults).unwrap();
    assert_eq!((typed.langfuse_api, typed.log_level), (LangfuseApi::Auto, LogLevel::Info));
    assert_eq!((typed.queue.max_batch_size, typed.queue.initial_retry_delay), (100, 0.5));
    assert_eq!(serde_json::to_value(&typed).unwrap().as_object().unwrap().len(), defaults.as_object().unwrap().len());
}

#[test]
fn debug_shows_no_keys() {
    let config = json!({
        "langfuse_enabled": true, "langfuse_public_key": "pk-hunter1", "langfuse_secret_key": "sk-hunter2",
        "otlp_headers": {"Authorization": "Api-Token hunter3"},
    });
    let shown = format!("{:?}", AiTracing::from_value(&config).unwrap());
    assert!(!shown.contains("hunter") && shown.contains("langfuse_secret_key: Some([hidden])"), "{shown}");
    assert!(shown.contains(r#"otlp_headers: Some(["Authorization"])"#), "{shown}");
}

#[test]
fn errors_show_no_keys() {
    let config = json!({"langfuse_secret_key": {"value": "sk-hunter2"}, "langfuse_endpoint": "https://a:hunter2@b"});
    let error = AiTracing::from_value(&config).unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("hunter"), "{shown}");
}

#[test]
fn every_parameter_is_described() {
    fn described(path: &str, record: &ai_tracing_config::schema::Record) {
        use ai_tracing_config::schema::Kind;
        for (name, field) in &record.fields {
            assert!(field.description.ends_with('.'), "{path}.{name}");
            match &field.kind {
                Kind::Record(inner) => described(name, inner),
                Kind::Array(element) => {
                    if let Kind::Record(inner) = &element.kind {
                        described(name, inner);
                    }
                }
                _ => {}
            }
        }
    }
    described("config", &ai_tracing::schema().record);
    described("config", &prometheus::schema().record);
}

#[test]
fn the_prometheus_plugins_switches_are_kongs() {
    let config = prometheus::schema().create(json!({"ai_metrics": true, "per_consumer": null})).unwrap();
    let config: prometheus::Prometheus = serde_json::from_value(config).unwrap();
    let expected = prometheus::Prometheus {
        per_consumer: None,
        ai_metrics: Some(true),
        status_code_metrics: Some(false),
        latency_metrics: Some(false),
        bandwidth_metrics: Some(false),
        upstream_health_metrics: Some(false),
        wasm_metrics: Some(false),
    };
    assert_eq!(config, expected);
    let wrong = prometheus::schema().create(json!({"ai_metrics": 1, "metrics": true})).unwrap_err();
    assert_eq!(wrong.to_string(), "2 schema violations (ai_metrics: expected a boolean; metrics: unknown field)");
}

#[test]
fn the_schema_as_kong_shows_it() {
    insta::assert_json_snapshot!(plugins::to_kong_json("ai-tracing").unwrap());
    insta::assert_json_snapshot!(plugins::to_kong_json("prometheus").unwrap());
    assert_eq!(plugins::to_kong_json("rate-limiting"), None);
    for name in plugins::NAMES {
        assert!(plugins::find(name).is_some(), "{name}");
    }
}
