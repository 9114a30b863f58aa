//! Anthropic messages: `POST /v1/messages`, a conversation in, a message of content blocks out; and
//! `POST /v1/messages/count_tokens`, which only counts what the same request would send.
//!
//! Sources: <https://docs.anthropic.com/en/api/messages>, <https://docs.anthropic.com/en/api/messages-count-tokens>,
//! <https://docs.anthropic.com/en/docs/build-with-claude/streaming>.

use serde_json::{Value, json};

use super::{answer, content};
use crate::dialect::facts::{RequestFacts, ResponseFacts};
use crate::dialect::{Dialect, Event, openai};
use crate::json::Json;
use crate::record::{CallError, Message};

/// See the module.
#[derive(Debug)]
pub struct AnthropicMessages;

impl Dialect for AnthropicMessages {
    fn name(&self) -> &'static str {
        "anthropic_messages"
    }

    /// Nothing that people write to each other names a model, or has `max_tokens`, which is required here.
    fn accepts(&self, request: &Json<'_>) -> bool {
        let tells = ["max_tokens", "model"].iter().any(|key| !request.get(key).is_null());
        request.get("messages").count_items().is_some() && tells
    }

    fn read_request(&self, body: &Json<'_>, facts: &mut RequestFacts) {
        read_request(body, facts);
    }

    fn read_response(&self, body: &Json<'_>, _: &RequestFacts, facts: &mut ResponseFacts) {
        answer::read_message(body, facts);
        answer::read_ending(body, facts);
        for (index, block) in body.get("content").items().iter().enumerate() {
            answer::read_block(block, Some(index as u64), facts);
            answer::finish_block(Some(index as u64), facts);
        }
    }

    fn read_event(&self, event: &Event<'_>, request: &RequestFacts, facts: &mut ResponseFacts) {
        let body = event.body;
        let index = body.get("index").count();
        let token = match body.get("type").str().unwrap_or(event.name) {
            "message_start" => {
                let message = body.get("message");
                self.read_response(message, request, facts);
                // The output counted so far is none that was measured: a stream that breaks off has no other.
                if message.get("stop_reason").is_null() {
                    (facts.usage.output, facts.usage.total) = (None, None);
                }
                false
            }
            "content_block_start" => answer::read_block(body.get("content_block"), index, facts),
            "content_block_delta" => answer::read_delta(body.get("delta"), index, facts),
            "content_block_stop" => {
                answer::finish_block(index, facts);
                false
            }
            "message_delta" => {
                answer::read_ending(body.get("delta"), facts);
                answer::read_ending(body, facts);
                false
            }
            // A whole message in one event, as some that answer from a cache send it.
            "message" => {
                self.read_response(body, request, facts);
                body.get("content").count_items() > Some(0)
            }
            "error" => {
                let error = body.get("error");
                facts.error.get_or_insert_with(|| CallError {
                    kind: error.get("type").word(),
                    message: error.get("message").filled().map(str::to_owned),
                });
                false
            }
            _ => false,
        };
        if token {
            facts.token_at(event.at);
        }
    }

    fn read_usage(&self, usage: &Json<'_>, facts: &mut ResponseFacts) {
        answer::read_usage(usage, facts);
    }
}

/// See the module.
#[derive(Debug)]
pub struct AnthropicCountTokens;

impl Dialect for AnthropicCountTokens {
    fn name(&self) -> &'static str {
        "anthropic_count_tokens"
    }

    fn accepts(&self, request: &Json<'_>) -> bool {
        request.get("messages").count_items().is_some()
    }

    fn read_request(&self, body: &Json<'_>, facts: &mut RequestFacts) {
        read_request(body, facts);
    }

    fn read_response(&self, body: &Json<'_>, _: &RequestFacts, facts: &mut ResponseFacts) {
        facts.usage.input = body.get("input_tokens").count();
        facts.keep_extra("context_management", body.get("context_management").to_value());
    }
}

/// Members of a request that are content, context or read by themselves.
const NOT_PARAMETERS: [&str; 11] = [
    "model",
    "messages",
    "system",
    "tools",
    "metadata",
    "stream",
    "temperature",
    "top_p",
    "max_tokens",
    "stop_sequences",
    "mcp_servers",
];

fn read_request(body: &Json<'_>, facts: &mut RequestFacts) {
    let request = &mut facts.request;
    request.model = body.get("model").id();
    request.stream = body.get("stream").bool().unwrap_or(false);
    request.params.temperature = body.get("temperature").f64();
    request.params.top_p = body.get("top_p").f64();
    request.params.max_tokens = body.get("max_tokens").i64();
    request.params.stop = openai::stop(body.get("stop_sequences"));
    openai::keep_other(body, &NOT_PARAMETERS, &mut request.params);
    // Which servers, without the tokens to use them.
    let servers: Vec<Value> = body.get("mcp_servers").items().iter().map(mcp_server).collect();
    if !servers.is_empty() {
        request.params.other.insert("mcp_servers".into(), servers.into());
    }
    if let Some(system) = content::read_content(body.get("system"), content::block) {
        request.messages.push(Message { role: "system".into(), content: Some(system), ..Message::default() });
    }
    let messages = body.get("messages");
    request.messages.extend(messages.items().iter().flat_map(|message| content::read_message(message, content::block)));
    request.message_count = messages.count_items().map(|count| count as u64);
    request.tools = body.get("tools").items().iter().map(Json::to_value).collect();
    if let Value::Object(metadata) = body.get("metadata").to_value() {
        facts.metadata = metadata;
    }
}

fn mcp_server(server: &Json<'_>) -> Value {
    json!({ "name": server.get("name").word(), "type": server.get("type").word(), "url": server.get("url").word() })
}
