//! The Model Context Protocol over HTTP: one JSON-RPC 2.0 message a POST, answered by JSON or by server-sent events.
//!
//! Recorded are requests, which are answered: `initialize`, `tools/list`, `tools/call`, …. Notifications and a client's own
//! answers say nothing that anybody waits for; they are declined.
//! Source: <https://modelcontextprotocol.io/specification/2025-06-18/basic/transports>; since 2026-07-28 there is no
//! `initialize`, and each request says in `_meta` who asks.

use serde_json::{Value, json};

use super::facts::{RequestFacts, ResponseFacts, append};
use super::{Dialect, Endpoint, media, openai};
use crate::json::Json;
use crate::record::{CallError, Message, Operation, ToolCall};

/// Where it is found: servers are mounted anywhere, this name is the custom. The body has to be JSON-RPC.
pub const ENDPOINTS: &[Endpoint] =
    &[Endpoint { anybodys: true, ..Endpoint::of("mcp", "/mcp", &Mcp, Operation::Other) }];

/// See the module.
#[derive(Debug)]
pub struct Mcp;

impl Dialect for Mcp {
    fn name(&self) -> &'static str {
        "mcp"
    }

    fn accepts(&self, request: &Json<'_>) -> bool {
        let request = first(request);
        request.get("jsonrpc").str() == Some("2.0")
            && request.get("method").str().is_some()
            && request.get("id").id().is_some()
    }

    fn read_request(&self, body: &Json<'_>, facts: &mut RequestFacts) {
        let body = first(body);
        let params = body.get("params");
        let method = body.get("method").word();
        let told = facts.headers.get("mcp-protocol-version").map(str::to_owned);
        let mut note = |key: &str, value: Value| {
            if !value.is_null() {
                facts.request.params.other.insert(key.to_owned(), value);
            }
        };
        note("id", json!(body.get("id").id()));
        let meta = params.get("_meta");
        let versions = [params.get("protocolVersion"), meta.get("io.modelcontextprotocol/protocolVersion")];
        note("protocol_version", json!(versions.into_iter().find_map(Json::word).or(told)));
        let clients = [params.get("clientInfo"), meta.get("io.modelcontextprotocol/clientInfo")];
        note("client_info", clients.into_iter().find(|client| client.is_object()).map_or(Value::Null, Json::to_value));
        match method.as_deref() {
            Some("tools/call") => {
                let name = params.get("name").id();
                note("tool", json!(name));
                let call = ToolCall { id: None, name, arguments: openai::arguments(params.get("arguments")) };
                let message = Message { role: "assistant".into(), tool_calls: vec![call], ..Message::default() };
                facts.request.messages = vec![message];
            }
            Some("prompts/get") => note("prompt", json!(params.get("name").id())),
            Some("resources/read") => note("resource", json!(params.get("uri").id())),
            _ => {}
        }
        note("method", json!(method));
    }

    /// Events of a stream may be the server's own requests and notifications: those have no result.
    fn read_response(&self, body: &Json<'_>, _: &RequestFacts, facts: &mut ResponseFacts) {
        let body = first(body);
        if let (Some(error), Some(code)) = (&mut facts.error, body.get("error").get("code").id()) {
            error.kind.get_or_insert(code);
        }
        let result = body.get("result");
        for (key, name) in [
            ("protocolVersion", "protocol_version"),
            ("serverInfo", "server_info"),
            ("structuredContent", "structured_content"),
        ] {
            facts.keep_extra(name, result.get(key).to_value());
        }
        // `input_required`: the server asks back.
        if let Some(kind) = result.get("resultType").word().filter(|kind| kind != "complete") {
            facts.keep_extra("result_type", kind.into());
        }
        for list in ["tools", "prompts", "resources"] {
            if let Some(count) = result.get(list).count_items() {
                facts.keep_extra(list, json!(count));
            }
        }
        for part in result.get("content").items() {
            read_content(part, facts);
        }
        if result.get("isError").bool() == Some(true) {
            let message = facts.choices.first().and_then(|choice| choice.text.clone());
            facts.error.get_or_insert(CallError { kind: Some("tool_error".to_owned()), message });
        }
    }
}

/// The message, or the first of a batch (allowed until 2025-06-18).
fn first<'b>(body: &'b Json<'b>) -> &'b Json<'b> {
    body.items().first().unwrap_or(body)
}

/// One part of what a tool answers.
fn read_content(part: &Json<'_>, facts: &mut ResponseFacts) {
    let kind = part.get("type").str().unwrap_or_default();
    match kind {
        "image" | "audio" => {
            let mime_type = part.get("mimeType").word();
            facts.keep_media([media::inline(kind, mime_type.as_deref(), part.get("data"))]);
        }
        "resource_link" => facts.keep_media([media::address("file", part.get("uri"))]),
        _ => {
            // A resource that is text stands inside.
            let text = part.get("text").str().or_else(|| part.get("resource").get("text").str());
            if let (Some(text), Some(choice)) = (text, facts.choice(0)) {
                append(&mut choice.text, text);
            }
        }
    }
}
