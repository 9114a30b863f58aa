//! The calls that the demo sends, and what their traces must say.

use ai_tracing_core::record::{CallRecord, End, Operation};
use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::llm::RATE_LIMITED_MODEL;

/// One call.
pub struct Call {
    pub title: &'static str,
    pub path: &'static str,
    pub headers: Vec<(&'static str, String)>,
    pub body: Value,
    /// Hang up after so many pieces of the answer.
    pub hang_up_after: Option<usize>,
    /// The status to expect.
    pub status: u16,
    /// What the trace must say.
    pub operation: Operation,
    pub stream: bool,
    pub end: End,
    pub estimated: bool,
    /// Its trace is printed in full.
    pub shown: bool,
    message_id: String,
}

impl Call {
    fn new(title: &'static str, path: &'static str, operation: Operation, body: Value) -> Self {
        Self {
            title,
            path,
            headers: vec![("content-type", "application/json".into())],
            stream: body.get("stream") == Some(&Value::Bool(true)),
            body,
            hang_up_after: None,
            status: 200,
            operation,
            end: End::Complete,
            estimated: false,
            shown: false,
            message_id: String::new(),
        }
    }

    fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    fn estimated(self) -> Self {
        Self { estimated: true, ..self }
    }

    /// True when the record is this call's trace.
    pub fn is_of(&self, record: &CallRecord) -> bool {
        record.context.message_id.as_ref() == Some(&self.message_id)
    }

    /// Compares the trace with what happened.
    pub fn check(&self, record: &CallRecord) -> Result<()> {
        let told = (record.operation, record.stream, record.status, record.end, record.tokens_estimated);
        let happened = (self.operation, self.stream, Some(self.status), self.end, self.estimated);
        ensure!(
            told == happened,
            "{}: the trace says (operation, stream, status, end, estimated) = {told:?}, which was {happened:?}",
            self.title
        );
        let user = self.headers.iter().find(|(name, _)| *name == "x-user-id").map(|(_, user)| user);
        ensure!(user.is_none_or(|user| record.context.user_id.as_ref() == Some(user)), "{}: another user", self.title);
        ensure!(
            self.status != 200 || record.usage.output.is_some() || self.operation == Operation::Embeddings,
            "{}: no tokens counted",
            self.title
        );
        ensure!(self.status == 200 || record.error.is_some(), "{}: the provider's error is missing", self.title);
        Ok(())
    }
}

/// All calls, in the order of sending.
pub fn calls() -> Vec<Call> {
    let mut calls = vec![
        chat("chat", json!({"temperature": 0.7, "max_tokens": 500})).header("x-session-id", "session-abcde"),
        with_metadata(),
        chat("chat, streamed", json!({"stream": true, "stream_options": {"include_usage": true}}))
            .header("x-chat-id", "chat-67890"),
        chat("chat, streamed without usage", json!({"stream": true})).estimated(),
        with_tools(),
        Call::new(
            "text completion",
            "/v1/completions",
            Operation::TextCompletion,
            json!({"model": "gpt-3.5-turbo-instruct", "prompt": "Once upon a time", "max_tokens": 12}),
        ),
        Call::new(
            "embeddings",
            "/v1/embeddings",
            Operation::Embeddings,
            json!({"model": "text-embedding-3-small", "input": ["a qubit", "a bit"], "dimensions": 64}),
        ),
        Call::new(
            "vLLM generate",
            "/generate",
            Operation::TextCompletion,
            json!({"prompt": "Quantum computing is", "max_tokens": 16}),
        )
        .estimated(),
        Call::new(
            "vLLM generate, streamed",
            "/generate",
            Operation::TextCompletion,
            json!({"prompt": "Quantum computing is", "max_tokens": 16, "stream": true}),
        )
        .estimated(),
        Call { status: 429, ..chat("chat, over the rate limit", json!({"model": RATE_LIMITED_MODEL})) },
        Call {
            hang_up_after: Some(8),
            end: End::ClientGone,
            ..chat("chat, streamed, client hangs up", json!({"stream": true, "max_tokens": 2000})).estimated()
        },
    ];
    for (index, call) in calls.iter_mut().enumerate() {
        // What tells the traces apart.
        call.message_id = format!("demo-{}", index + 1);
        call.headers.push(("x-message-id", call.message_id.clone()));
        if !call.headers.iter().any(|(name, _)| *name == "x-user-id") {
            call.headers.push(("x-user-id", "user-12345".into()));
        }
    }
    calls
}

fn chat(title: &'static str, more: Value) -> Call {
    let mut body = json!({
        "model": "gpt-4o-mini",
        "messages": [{"role": "user", "content": "Explain quantum computing in simple terms"}],
    });
    merge(&mut body, more);
    Call::new(title, "/v1/chat/completions", Operation::Chat, body)
}

fn with_metadata() -> Call {
    let body = json!({
        "model": "gpt-4",
        "messages": [
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": "Explain quantum computing in simple terms"},
        ],
        "temperature": 0.8,
        "max_tokens": 100,
        "stream": false,
        "metadata": {
            "user_id": "user-12345", "chat_id": "chat-67890", "session_id": "session-abcde", "project_id": "project-xyz",
            "features": {"web_search": true, "image_generation": false},
            "variables": {"user_tier": "premium", "language": "en"},
        },
    });
    let call = chat("chat with metadata", body).header("x-chat-id", "chat-67890");
    Call { shown: true, ..call }.header("x-organization-id", "org-acme")
}

fn with_tools() -> Call {
    let parameters = json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
    let tool = json!({"type": "function", "function": {"name": "get_weather", "parameters": parameters}});
    let messages = json!([{"role": "user", "content": "What is the weather in Paris?"}]);
    chat("chat with tools", json!({"messages": messages, "tools": [tool]})).header("x-user-id", "user-67890")
}

fn merge(body: &mut Value, more: Value) {
    if let (Value::Object(body), Value::Object(more)) = (body, more) {
        body.extend(more);
    }
}
