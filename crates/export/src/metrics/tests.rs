use ai_tracing_core::record::CallRecord;
use ai_tracing_core::time::At;
use serde_json::{Value, json};

use super::*;
use crate::stats::{DestinationStats, MetricsStats, Stats};
use crate::testing;

fn record(changes: Value) -> CallRecord {
    let mut record = testing::minimal("0198c0de-0000-7000-8000-000000000001");
    merge(&mut record, changes);
    serde_json::from_value(record).unwrap()
}

fn merge(into: &mut Value, changes: Value) {
    match (into, changes) {
        (Value::Object(into), Value::Object(changes)) => {
            for (name, change) in changes {
                merge(into.entry(name).or_insert(Value::Null), change);
            }
        }
        (into, change) => *into = change,
    }
}

fn call(model: &str) -> CallRecord {
    record(json!({
        "provider": "openai", "status": 200, "request": {"model": model},
        "usage": {"input": 10, "output": 5, "total": 15}, "cost": {"input": 0.25, "output": 0.25, "total": 0.5},
        "timing": {"total_duration_ms": 300.5, "upstream_ms": 290.0, "gateway_ms": 0.5, "time_per_token_ms": 60.1},
        "context": {"user_id": "ann", "session_id": "s-1"},
    }))
}

fn page(options: Options, records: &[CallRecord]) -> String {
    let metrics = LlmMetrics::new(options);
    records.iter().for_each(|record| metrics.observe(record));
    let mut page = Page::default();
    metrics.write(&mut page, records.first().map_or(At(0), |record| record.timing.ended_at()));
    page.into_text()
}

/// The samples whose names begin so.
fn samples<'a>(page: &'a str, name: &str) -> Vec<&'a str> {
    page.lines().filter(|line| line.starts_with(name)).collect()
}

#[test]
fn a_page_as_kong_writes_it() {
    let stream = record(json!({
        "provider": "groq", "stream": true, "status": 200, "request": {"model": "llama"}, "tokens_estimated": true,
        "usage": {"input": 7, "output": 0, "total": 7},
        "timing": {"total_duration_ms": 2000.0, "upstream_ms": 90.0, "gateway_ms": 0.25, "time_to_first_token_ms": 95.0},
        "context": {"user_id": "bob", "session_id": "s-1"},
    }));
    insta::assert_snapshot!(page(Options::default(), &[call("gpt-4o"), call("gpt-4o"), stream]));
}

#[test]
fn nothing_is_said_of_what_nobody_reported() {
    let page = page(Options::default(), &[record(json!({"provider": "openai"}))]);
    assert_eq!(
        samples(&page, "kong_ai_llm_"),
        [
            "kong_ai_llm_requests_total{ai_provider=\"openai\",ai_model=\"\",cache_status=\"\",vector_db=\"\",\
             embeddings_provider=\"\",embeddings_model=\"\",workspace=\"default\",request_mode=\"oneshot\"} 1",
            "kong_ai_llm_active_users{window=\"5m\"} 0",
            "kong_ai_llm_active_users{window=\"1h\"} 0",
            "kong_ai_llm_active_sessions{window=\"5m\"} 0",
            "kong_ai_llm_active_sessions{window=\"1h\"} 0",
        ]
    );
}

#[test]
fn names_and_the_consumer_label_are_switches() {
    let options = Options { consumer: true, unprefixed: true, ..Options::default() };
    let mut record = call("m");
    record.consumer = Some("acme".into());
    let page = page(options, &[record]);
    assert!(!page.contains("kong_ai"));
    let requests = samples(&page, "ai_llm_requests_total");
    assert!(requests[0].ends_with(r#"workspace="default",request_mode="oneshot",consumer="acme"} 1"#), "{requests:?}");
    assert!(samples(&page, "ai_llm_provider_latency_ms_bucket")[0].contains(r#"consumer="acme",le="250"} 0"#));
}

#[test]
fn errors_are_told_by_kind() {
    let failures = [
        json!({"status": 429, "error": {"type": "rate_limit_exceeded", "message": "m"}}),
        json!({"status": 429}),
        json!({"status": 200, "error": {"type": "server_error", "message": "m"}}),
        json!({"status": 200, "end": "client_gone"}),
        json!({"status": 504, "end": "timeout"}),
        json!({"status": 200}),
    ];
    let page = page(Options::default(), &failures.map(record));
    let kinds: Vec<&str> = samples(&page, "kong_ai_llm_errors_total")
        .into_iter()
        .map(|line| line.split_once("error_type=").unwrap().1)
        .map(|rest| rest.split(",workspace").next().unwrap())
        .collect();
    assert_eq!(kinds, ["\"429\"", "\"client_gone\"", "\"provider_error\"", "\"timeout\""]);
    assert!(samples(&page, "kong_ai_llm_errors_total")[0].ends_with(" 2"));
}

#[test]
fn label_sets_are_bounded_and_what_is_folded_is_counted() {
    let metrics = LlmMetrics::new(Options { max_label_sets: 3, ..Options::default() });
    for index in 0..10_000 {
        metrics.observe(&call(&format!("model-{index}")));
    }
    metrics.observe(&call("model-0"));
    metrics.observe(&call(&"x".repeat(1 << 20)));
    assert_eq!(metrics.label_sets(), (4, 9998));
    let mut page = Page::default();
    metrics.write(&mut page, At(0));
    let page = page.into_text();
    let totals: Vec<_> = samples(&page, "kong_ai_llm_requests_total")
        .into_iter()
        .map(|line| (line.split('"').nth(3).unwrap(), line.rsplit(' ').next().unwrap()))
        .collect();
    assert_eq!(totals, [("model-0", "2"), ("model-1", "1"), ("model-2", "1"), ("other", "9998")]);
}

#[test]
fn a_label_value_is_cut_at_a_character() {
    assert_eq!(bounded("gpt"), "gpt");
    let long = format!("{}é", "x".repeat(127));
    assert_eq!(bounded(&long), "x".repeat(127));
}

#[test]
fn what_shares_its_labels_is_one_sample() {
    let langfuse = |delivered, failing: Option<&str>| DestinationStats {
        name: "langfuse https://langfuse.test".into(),
        delivered,
        oldest_seconds: delivered as f64,
        failing: failing.map(str::to_owned),
        ..DestinationStats::default()
    };
    let store = DestinationStats { name: "local-store".into(), delivered: 7, ..DestinationStats::default() };
    let receiver = |delivered, failing: Option<&str>| MetricsStats {
        name: "otlp-metrics http://otlp.test".into(),
        delivered,
        failing: failing.map(str::to_owned),
        ..MetricsStats::default()
    };
    let stats = Stats {
        destinations: vec![langfuse(2, None), store, langfuse(3, Some("503"))],
        metrics: vec![receiver(5, Some("503")), receiver(2, None)],
        ..Stats::default()
    };
    let mut page = Page::default();
    write_pipeline(&stats, &LlmMetrics::new(Options::default()), &mut page);
    let page = page.into_text();
    assert_eq!(
        samples(&page, "ai_tracing_export_delivered_total"),
        [
            "ai_tracing_export_delivered_total{exporter=\"langfuse\",destination=\"https://langfuse.test\"} 5",
            "ai_tracing_export_delivered_total{exporter=\"local-store\",destination=\"\"} 7",
        ]
    );
    assert!(samples(&page, "ai_tracing_export_failing{exporter=\"langfuse\"")[0].ends_with(" 1"));
    assert!(samples(&page, "ai_tracing_export_queued_oldest_seconds")[0].ends_with(" 3"));
    let of_metrics = "{exporter=\"otlp-metrics\",destination=\"http://otlp.test\"}";
    assert_eq!(
        samples(&page, "ai_tracing_otlp_metrics_delivered"),
        [format!("ai_tracing_otlp_metrics_delivered_total{of_metrics} 7")]
    );
    assert_eq!(
        samples(&page, "ai_tracing_otlp_metrics_failing"),
        [format!("ai_tracing_otlp_metrics_failing{of_metrics} 1")]
    );
    let names: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    let unique: std::collections::BTreeSet<_> = names.iter().collect();
    assert_eq!(unique.len(), names.len(), "a name stands on a page once");
}

/// What feeding costs. Run it with `cargo test --release -p ai-tracing-export feeding -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn feeding_is_cheap() {
    let metrics = LlmMetrics::new(Options::default());
    let records: Vec<_> = (0..100).map(|index| call(&format!("model-{index}"))).collect();
    let begun = std::time::Instant::now();
    let rounds = 5_000;
    (0..rounds).for_each(|_| records.iter().for_each(|record| metrics.observe(record)));
    let each = begun.elapsed() / (rounds * 100);
    let begun = std::time::Instant::now();
    let mut page = Page::default();
    metrics.write(&mut page, At(0));
    let bytes = page.into_text().len();
    eprintln!("{each:?} a call; a page of 100 label sets, {bytes} bytes, in {:?}", begun.elapsed());
}
