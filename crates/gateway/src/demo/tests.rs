use std::borrow::Cow;
use std::sync::Arc;

use ai_tracing_core::capture::{Capture, Headers, Ids, RequestHead};
use ai_tracing_core::record::{Content, Message};
use ai_tracing_core::settings::Settings;
use serde_json::Value;

use super::llm::Pace;
use super::*;

struct Sent<'a>(&'a [(&'static str, String)]);

impl Headers for Sent<'_> {
    fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        self.0.iter().find(|(header, _)| *header == name).map(|(_, value)| value.as_str().into())
    }
}

/// Sends the call straight to the simulated LLM; the record of what it answered.
async fn record_of(llm: &str, call: &Call) -> CallRecord {
    let ids = Ids { call: call.title.into(), trace: 1, span: 2 };
    let headers = Sent(&call.headers);
    let (upstream, service, route, consumer) = (None, None, None, None);
    let (method, path, query, host) = ("POST", call.path, None, "localhost");
    let head = RequestHead { method, path, query, host, headers: &headers, upstream, service, route, consumer };
    let mut capture = Capture::start(&Arc::new(Settings::default()), &head, ids, At(0)).unwrap();
    capture.request_body(call.body.to_string().as_bytes());
    let sent: Vec<_> = call.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut answer = Client::new().post(llm, call.path, &sent, call.body.to_string()).await.unwrap();
    let media_type = answer.head.headers.get("content-type").map(|value| value.to_str().unwrap().to_owned());
    let answered: Vec<_> = media_type.map(|value| ("content-type", value)).into_iter().collect();
    capture.response_head(answer.status(), &Sent(&answered), At(1));
    let mut at = 2;
    while call.hang_up_after.is_none_or(|pieces| at < 2 + pieces as u64) {
        let Some(piece) = answer.next().await.unwrap() else { break };
        capture.response_body(&piece, At(at));
        at += 1;
    }
    capture.finish(call.end, At(at)).into_record().unwrap()
}

#[tokio::test]
async fn the_simulated_llm_answers_each_call_as_the_demo_expects() {
    let llm = llm::start(Pace::NONE).await.unwrap().to_string();
    for call in calls() {
        let record = record_of(&llm, &call).await;
        assert!(call.is_of(&record), "{}", call.title);
        call.check(&record).unwrap();
        assert_eq!(record.issues, [""; 0], "{}", call.title);
    }
}

#[tokio::test]
async fn a_wrong_trace_fails_the_demo() {
    let llm = llm::start(Pace::NONE).await.unwrap().to_string();
    let calls = calls();
    let record = record_of(&llm, &calls[0]).await;
    let failures = [
        CallRecord { stream: true, ..record.clone() },
        CallRecord { tokens_estimated: true, ..record.clone() },
        CallRecord { context: Default::default(), ..record.clone() },
        CallRecord { usage: Default::default(), ..record.clone() },
    ];
    for (index, wrong) in failures.iter().enumerate() {
        assert!(calls[0].check(wrong).is_err(), "{index}");
    }
}

#[tokio::test]
async fn a_missing_trace_fails_the_demo() {
    let data = tempfile::tempdir().unwrap();
    let store =
        crate::calls::Store::open(data.path(), crate::calls::Retention { max_age: Duration::MAX, max_bytes: u64::MAX })
            .unwrap();
    let error = wait_for_traces(data.path(), &calls()[..2], Instant::now()).await.unwrap_err();
    assert_eq!(error.to_string(), "no trace in time of: chat, chat with metadata");
    assert!(ordered(&calls(), Vec::new()).is_err());
    store.close().unwrap();
}

#[tokio::test]
async fn answers_have_the_shapes_that_traces_are_read_from() {
    let llm = llm::start(Pace::NONE).await.unwrap().to_string();
    let calls = calls();
    let of = async |title: &str| record_of(&llm, calls.iter().find(|call| call.title == title).unwrap()).await;

    let metadata = of("chat with metadata").await;
    assert_eq!(metadata.context.project_id.as_deref(), Some("project-xyz"));
    assert_eq!(metadata.context.metadata.get("variables").unwrap().get("language"), Some(&Value::from("en")));
    let system = Some(Content::Text("You are a helpful assistant.".into()));
    assert_eq!(metadata.request.messages[0], Message { role: "system".into(), content: system, ..Message::default() });
    assert!(metadata.cost.is_some());

    let streamed = of("chat, streamed").await;
    assert_eq!(streamed.response.text, metadata.response.text);
    assert_eq!(streamed.response.finish_reasons, ["stop"]);
    assert!(streamed.timing.time_to_first_token_ms.is_some());

    assert_eq!(of("chat with tools").await.response.tool_calls[0].name.as_deref(), Some("get_weather"));
    assert_eq!(of("embeddings").await.response.embedding_dims, Some(64));
    assert_eq!(of("text completion").await.response.finish_reasons, ["length"]);
    let (whole, streamed) = (of("vLLM generate").await, of("vLLM generate, streamed").await);
    assert_eq!(whole.response.text, streamed.response.text);
    assert_eq!(of("chat, over the rate limit").await.error.unwrap().kind.as_deref(), Some("tokens"));
    let partial = of("chat, streamed, client hangs up").await.response.text.unwrap();
    assert!(partial.starts_with("Quantum computing uses") && partial.len() < 100, "{partial}");
}

#[test]
fn the_ready_line_is_told_from_log_lines() {
    let ready = r#"{"event":"ready","proxy":["127.0.0.1:8000"],"admin":"127.0.0.1:8001","status":"127.0.0.1:8100","console":"127.0.0.1:8002"}"#;
    let addresses = gateway::addresses(ready).unwrap();
    let Addresses { proxy, admin, console } = addresses;
    assert_eq!([proxy, admin, console], ["127.0.0.1:8000", "127.0.0.1:8001", "127.0.0.1:8002"]);
    for other in ["", "listening", r#"{"level":"INFO","proxy":["x"],"admin":"y"}"#, "[1]"] {
        assert_eq!(gateway::addresses(other), None, "{other}");
    }
}
