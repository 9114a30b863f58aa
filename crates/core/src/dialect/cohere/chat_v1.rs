//! Cohere's first chat, `POST /v1/chat`: a `message` and its `chat_history` in, a `text` out.
//!
//! Streams are JSON lines (`application/stream+json`) or server-sent events; `event_type` tells what each is, and the
//! last one, `stream-end`, has the whole response. Tool calls have neither an id nor JSON text: `{name, parameters}`.
//! Source: <https://docs.cohere.com/v1/reference/chat>.

use crate::dialect::facts::{ChoiceFacts, RequestFacts, ResponseFacts, append, keep_first};
use crate::dialect::{Dialect, Event, cohere, openai};
use crate::json::Json;
use crate::record::{Content, Message, ToolCall};

/// See the module.
#[derive(Debug)]
pub struct CohereChatV1;

impl Dialect for CohereChatV1 {
    fn name(&self) -> &'static str {
        "cohere_chat_v1"
    }

    /// Writer's chat has the same path, and `messages`.
    fn accepts(&self, request: &Json<'_>) -> bool {
        request.get("message").str().is_some() && request.get("messages").is_null()
    }

    fn read_request(&self, body: &Json<'_>, facts: &mut RequestFacts) {
        cohere::read_request(body, facts);
        let request = &mut facts.request;
        if let Some(preamble) = body.get("preamble").filled() {
            request.messages.push(text("system", preamble));
        }
        let history = body.get("chat_history").items();
        for turn in history {
            read_turn(turn, &mut request.messages);
        }
        let message = body.get("message");
        if let Some(message) = message.str() {
            request.message_count = Some(history.len() as u64 + 1);
            // With the results of tools comes an empty message.
            if !message.is_empty() || body.get("tool_results").items().is_empty() {
                request.messages.push(text("user", message));
            }
        }
        read_results(body.get("tool_results"), &mut request.messages);
        request.tools = body.get("tools").items().iter().map(Json::to_value).collect();
    }

    fn read_response(&self, body: &Json<'_>, _: &RequestFacts, facts: &mut ResponseFacts) {
        read_whole(body, facts);
    }

    fn read_event(&self, event: &Event<'_>, _: &RequestFacts, facts: &mut ResponseFacts) {
        let body = event.body;
        // Until the end tells the response's.
        keep_first(&mut facts.id, body.get("generation_id").id());
        let kind = body.get("event_type").str().unwrap_or(event.name);
        if kind == "stream-end" {
            read_end(body, facts);
            read_whole(body.get("response"), facts);
        } else if facts.choice(0).is_some_and(|choice| read_piece(kind, body, choice)) {
            facts.token_at(event.at);
        }
    }

    fn read_usage(&self, usage: &Json<'_>, facts: &mut ResponseFacts) {
        cohere::read_meta(usage, facts);
    }

    fn tail_names(&self) -> [&'static str; 2] {
        ["meta", "model"]
    }
}

fn text(role: &str, text: &str) -> Message {
    Message { role: role.to_owned(), content: Some(Content::Text(text.to_owned())), ..Message::default() }
}

fn read_turn(turn: &Json<'_>, messages: &mut Vec<Message>) {
    let role = match turn.get("role").str() {
        Some("USER" | "User") => "user",
        Some("CHATBOT" | "Chatbot") => "assistant",
        Some("SYSTEM" | "System") => "system",
        Some("TOOL" | "Tool") => "tool",
        other => other.unwrap_or_default(),
    };
    let results = turn.get("tool_results");
    if !results.items().is_empty() {
        return read_results(results, messages);
    }
    messages.push(Message {
        role: role.to_owned(),
        content: openai::content(turn.get("message")),
        tool_calls: turn.get("tool_calls").items().iter().map(tool_call).collect(),
        ..Message::default()
    });
}

/// `{call: {name, parameters}, outputs: [...]}`, one a call.
fn read_results(results: &Json<'_>, messages: &mut Vec<Message>) {
    messages.extend(results.items().iter().map(|result| Message {
        role: "tool".to_owned(),
        content: openai::arguments(result.get("outputs")).map(Content::Text),
        name: result.get("call").get("name").id(),
        ..Message::default()
    }));
}

fn tool_call(value: &Json<'_>) -> ToolCall {
    ToolCall {
        id: value.get("id").id(),
        name: value.get("name").id(),
        arguments: openai::arguments(value.get("parameters")),
    }
}

/// Reads a piece of a stream. True when it carried a generated token.
fn read_piece(kind: &str, body: &Json<'_>, choice: &mut ChoiceFacts) -> bool {
    let said = body.get("text").filled();
    match kind {
        // What is said beside the pieces of tool calls is the plan; the response has it as its text.
        "text-generation" | "tool-calls-chunk" => {
            if let Some(said) = said {
                append(&mut choice.text, said);
            }
            let delta = body.get("tool_call_delta");
            if delta.is_object()
                && let Some(tool) = choice.tool(delta.get("index").count(), None)
            {
                openai::merge(&mut tool.call, tool_call(delta));
            }
            said.is_some() || delta.is_object()
        }
        "tool-calls-generation" => {
            keep_first(&mut choice.text, said.map(str::to_owned));
            read_calls(body, choice)
        }
        _ => false,
    }
}

/// Whole calls take the place of their pieces.
fn read_calls(body: &Json<'_>, choice: &mut ChoiceFacts) -> bool {
    let calls = body.get("tool_calls").items();
    if !calls.is_empty() {
        choice.tool_calls.clear();
    }
    for (position, call) in calls.iter().enumerate() {
        if let Some(tool) = choice.tool(Some(position as u64), None) {
            tool.call = tool_call(call);
        }
    }
    !calls.is_empty()
}

/// Why a stream ended, whether or not its end carries the response.
pub fn read_end(body: &Json<'_>, facts: &mut ResponseFacts) {
    if let (Some(reason), Some(choice)) = (body.get("finish_reason").word(), facts.choice(0)) {
        choice.finish_reason = Some(reason);
    }
}

/// Reads a whole response; what a stream said before is in it again.
fn read_whole(body: &Json<'_>, facts: &mut ResponseFacts) {
    let id = body.get("response_id").id().or_else(|| body.get("generation_id").id());
    facts.id = id.or(facts.id.take());
    let (said, reason) = (body.get("text").str(), body.get("finish_reason").word());
    let calls = !body.get("tool_calls").items().is_empty();
    if (said.is_some() || reason.is_some() || calls)
        && let Some(choice) = facts.choice(0)
    {
        read_calls(body, choice);
        if let Some(said) = said {
            choice.text = Some(said.to_owned());
        }
        choice.finish_reason = reason.or(choice.finish_reason.take());
    }
    for key in ["citations", "search_queries", "is_search_required", "token_count"] {
        openai::keep_extra(facts, key, body.get(key));
    }
    cohere::read_meta(body.get("meta"), facts);
}
