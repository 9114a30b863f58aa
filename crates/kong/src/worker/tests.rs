use serde_json::json;

use super::*;

const CHAT: &str = r#"{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}]}"#;
const ANSWER: &str = r#"{"id":"x","object":"chat.completion","model":"gpt-4o-mini-2024","choices":[{"index":0,"message":
    {"role":"assistant","content":"hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":8,"completion_tokens":2,"total_tokens":10}}"#;

fn worker() -> (Worker, i32) {
    let mut worker = Worker::start(StartOptions::default()).unwrap();
    let config = worker.put_config(b"{}").unwrap();
    (worker, config)
}

fn begin(worker: &mut Worker, config: i32, path: &str) -> Option<i32> {
    begin_with(worker, config, path, &json_head()).map(|begun| begun.call)
}

fn begin_with(worker: &mut Worker, config: i32, path: &str, headers: &[Option<&[u8]>]) -> Option<Begun> {
    let row = ["POST", path, "", "h", "up", path, "s", "r", ""].map(|text| Some(text.as_bytes()));
    worker.begin(config, &Request::new(&row, Pairs::new(headers), 80), Duration::from_millis(3))
}

fn json_head() -> [Option<&'static [u8]>; 2] {
    [Some(b"content-type"), Some(b"application/json")]
}

#[test]
fn a_call_is_handed_over_once_and_its_number_is_gone() {
    let (mut worker, config) = worker();
    let call = begin(&mut worker, config, "/v1/chat/completions").unwrap();
    assert!(worker.request_body(call, CHAT.as_bytes()));
    assert!(
        worker.response_head(call, 200, &Pairs::new(&json_head())) && worker.response_body(call, ANSWER.as_bytes())
    );
    assert!(worker.report().held_bytes > CHAT.len() + ANSWER.len());
    let numbers = worker.finish(call, End::Complete, false, true).unwrap();
    let numbers: Value = serde_json::from_str(&numbers).unwrap();
    assert_eq!(numbers["meta"]["provider_name"], "openai_compatible");
    assert_eq!(
        (&numbers["meta"]["request_model"], &numbers["meta"]["response_model"]),
        (&json!("gpt-4o-mini"), &json!("gpt-4o-mini-2024"))
    );
    assert!(numbers["meta"]["llm_latency"].as_f64().unwrap() >= 0.0);
    assert_eq!((&numbers["usage"]["prompt_tokens"], &numbers["usage"]["total_tokens"]), (&json!(8), &json!(10)));
    assert!(numbers["usage"]["cost"].as_f64().unwrap() > 0.0 && numbers["usage"]["time_per_token"].is_number());

    assert!(!worker.request_body(call, b"x") && !worker.response_body(call, b"x") && !worker.request_unseen(call));
    assert_eq!(worker.finish(call, End::Complete, false, true), None);
    let report = worker.report();
    assert_eq!((report.open, report.held_bytes, report.engine.sink.accepted), (0, 0, 1));
    assert_eq!(report.calls, Counts { begun: 1, ..Counts::default() });
    assert_eq!(worker.stop(Duration::from_secs(5)).left, 0);
}

#[test]
fn the_callers_trace_is_joined_and_its_state_goes_where_it_is_not() {
    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
    let (mut worker, config) = worker();
    let mut begin = |headers: &[&str]| {
        let headers: Vec<_> = headers.iter().map(|text| Some(text.as_bytes())).collect();
        let begun = begin_with(&mut worker, config, "/v1/chat/completions", &headers).unwrap();
        assert_eq!(begun.traceparent.len(), 55);
        (begun.traceparent.starts_with(&PARENT[..36]) && begun.traceparent.ends_with("-00"), begun.drop_tracestate)
    };
    assert_eq!(begin(&[]), (false, false));
    assert_eq!(begin(&["TraceParent", PARENT]), (true, false));
    assert_eq!(begin(&["traceparent", PARENT, "tracestate", "a=b"]), (true, false));
    assert_eq!(begin(&["traceparent", "00-nonsense-01", "tracestate", "a=b"]), (false, true));
    assert_eq!(begin(&["tracestate", "a=b"]), (false, true));
}

#[test]
fn an_answer_may_come_in_another_dialect_than_the_request() {
    let (mut worker, config) = worker();
    for (dialect, tokens) in [("openai_chat", json!(2)), ("no_dialect", Value::Null)] {
        let call = begin(&mut worker, config, "/v1/messages").unwrap();
        let asked = r#"{"model":"claude-3-5-haiku","system":"Be brief.","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}"#;
        assert!(worker.request_body(call, asked.as_bytes()) && worker.answered_in(call, dialect));
        assert!(
            worker.response_head(call, 200, &Pairs::new(&json_head())) && worker.response_body(call, ANSWER.as_bytes())
        );
        let numbers = worker.finish(call, End::Complete, false, true).unwrap();
        let numbers: Value = serde_json::from_str(&numbers).unwrap();
        assert_eq!(numbers["meta"]["provider_name"], "anthropic");
        assert_eq!(numbers["usage"]["completion_tokens"], tokens);
    }
}

#[test]
fn other_traffic_and_unknown_configurations_begin_nothing() {
    let (mut worker, config) = worker();
    assert!(begin(&mut worker, config, "/index.html").is_none());
    assert!(begin(&mut worker, config + 1, "/v1/chat/completions").is_none());
    let call = begin(&mut worker, config, "/v1/chat/completions").unwrap();
    assert!(worker.drop_config(config) && !worker.drop_config(config));
    assert!(begin(&mut worker, config, "/v1/chat/completions").is_none());
    assert!(worker.request_body(call, CHAT.as_bytes()), "an open call keeps what it needs");
    worker.finish(call, End::ClientGone, true, false);
    assert_eq!(worker.report().engine.sink.accepted, 1);
}

#[test]
fn a_wrong_configuration_is_refused_without_its_secrets() {
    let (mut worker, _) = worker();
    let wrong: [(&[u8], &str); 4] = [
        (b"{", "no JSON"),
        (br#"{"langfuse_enabled": true, "langfuse_secret_key": "sk-lf-1"}"#, "langfuse_public_key"),
        (br#"{"redact": [{"pattern": "(a"}]}"#, "redact[1].pattern"),
        (
            br#"{"langfuse_enabled": true, "langfuse_public_key": "pk", "langfuse_secret_key": "{vault://env/sk}"}"#,
            "SK is not set",
        ),
    ];
    for (conf, why) in wrong {
        let refused = worker.put_config(conf).unwrap_err();
        assert!(refused.contains(why) && !refused.contains("sk-lf-1"), "{refused}");
    }
    assert_eq!(worker.report().configs, 1);
}

#[test]
fn a_panic_costs_the_call_it_happened_in() {
    let (mut worker, config) = worker();
    let call = begin(&mut worker, config, "/v1/chat/completions").unwrap();
    let other = begin(&mut worker, config, "/v1/chat/completions").unwrap();
    assert!(worker.with_call(call, |_| panic!("a defect")));
    assert!(!worker.request_body(call, b"x") && worker.finish(call, End::Complete, false, true).is_none());
    assert!(worker.request_body(other, CHAT.as_bytes()));
    worker.finish(other, End::Complete, false, false);
    let report = worker.report();
    assert_eq!((report.calls.defects, report.open, report.held_bytes, report.engine.sink.accepted), (1, 0, 0, 1));
}

#[test]
fn without_memory_calls_are_traced_without_their_bodies() {
    let mut worker = Worker::start(StartOptions { capture_memory: 20_000, ..StartOptions::default() }).unwrap();
    let config = worker.put_config(b"{}").unwrap();
    let call = begin(&mut worker, config, "/v1/chat/completions").unwrap();
    (0..30).for_each(|_| assert!(worker.response_body(call, &[b'x'; 1000])));
    let report = worker.report();
    assert!(report.held_bytes < 40_000 && report.calls.starved == 1, "{report:?}");
    worker.finish(call, End::Complete, false, false);
    assert_eq!(worker.report().held_bytes, 0);
}

#[test]
fn a_request_body_in_a_file_is_read_up_to_the_limit() {
    let mut worker = Worker::start(StartOptions::default()).unwrap();
    let config = worker.put_config(br#"{"max_body_size": 1048576}"#).unwrap();
    let path = std::env::temp_dir().join(format!("ai-tracing-kong-{}", std::process::id()));
    std::fs::write(&path, vec![b'a'; 3 << 20]).unwrap();
    let call = begin(&mut worker, config, "/v1/chat/completions").unwrap();
    assert!(worker.request_file(call, path.to_str().unwrap()));
    std::fs::remove_file(&path).unwrap();
    let held = worker.report().held_bytes;
    assert!((1 << 20..3 << 19).contains(&held), "{held}");
    assert!(worker.request_file(call, "/nowhere"), "what cannot be read is an issue of the trace");
    worker.finish(call, End::Complete, false, false);
}

#[test]
fn stopping_hands_over_what_is_open() {
    let (mut worker, config) = worker();
    let call = begin(&mut worker, config, "/v1/chat/completions").unwrap();
    worker.request_body(call, CHAT.as_bytes());
    let sink = worker.sink.clone();
    assert_eq!(worker.stop(Duration::from_secs(5)).left, 0);
    drop(sink);
}
