//! `capture_content = metadata_only`: what a record keeps when content must not leave.
//!
//! Of the bodies stay numbers, booleans and names: short, without spaces, in places that are known to hold a name (ids,
//! finish reasons, tools that were called, settings). Everything that is said is content: messages, texts, reasoning, tool
//! definitions and arguments, stop sequences, schemas, error messages, file names, addresses, citations. The model and who
//! made the call (six ids) stay as they are, the path as well: what the gateway itself sees is no content.

use serde_json::{Map, Value};

use crate::http::{Fields, Http, mask};
use crate::record::{CallError, CallRecord, Choice, Context, Media, Params, Request, Response, ToolCall};

/// String parameters that are settings, not content. Of MCP: the method, the tool's name and the version.
const SETTINGS: [&str; 12] = [
    "reasoning_effort",
    "service_tier",
    "tool_choice",
    "verbosity",
    "encoding_format",
    "truncation",
    "output_format",
    "quality",
    "size",
    "method",
    "tool",
    "protocol_version",
];

/// Characters of the longest name.
const MAX_NAME: usize = 128;
/// Characters of the longest id of a user, a session or a project.
const MAX_ID: usize = 200;

/// Leaves out all content; `shown` are the names of the context headers, lower case. Every field of what comes from the
/// bodies is named here, so that a new one does not compile before somebody has decided what it is.
pub fn drop_content(record: &mut CallRecord, shown: &[&str]) {
    let Request { model: _, message_count: _, params, stream: _, messages, tools } = &mut record.request;
    messages.clear();
    tools.clear();
    drop_params(params);
    drop_response(&mut record.response);
    drop_context(&mut record.context);
    if let Some(CallError { kind, message }) = &mut record.error {
        keep_name(kind);
        // Validation errors quote the request.
        *message = None;
    }
    if let Some(http) = &mut record.http {
        drop_http(http, shown);
    }
}

/// Headers that HTTP itself defines, or the trace: what they say is no content, names or not.
const TECHNICAL: [&str; 20] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "alt-svc",
    "cache-control",
    "connection",
    "content-encoding",
    "content-type",
    "date",
    "expires",
    "host",
    "keep-alive",
    "last-modified",
    "server",
    "strict-transport-security",
    "te",
    "transfer-encoding",
    "user-agent",
    "vary",
    "via",
];
/// What stands in the place of a value that may be content.
const LEFT_OUT: &str = "[left out]";

/// Of headers and of the query stay names; bodies were not kept in the first place.
fn drop_http(http: &mut Http, shown: &[&str]) {
    let request = &mut http.request;
    drop_values(&mut request.query, |_| false);
    let stays = |name: &str| TECHNICAL.contains(&name) || shown.contains(&name);
    drop_values(&mut request.headers, stays);
    request.body = None;
    if let Some(response) = &mut http.response {
        drop_values(&mut response.headers, stays);
        response.body = None;
    }
}

fn drop_values(fields: &mut Fields, stays: impl Fn(&str) -> bool) {
    let before = fields.fields.len();
    fields.fields.retain(|(name, _)| is_name(name));
    fields.left_out += (before - fields.fields.len()) as u64;
    for (name, value) in &mut fields.fields {
        // Hidden already, or empty: nothing is said.
        let says = !value.is_empty() && !is_name(value) && !mask::is_hidden(value);
        if says && !stays(&name.to_ascii_lowercase()) {
            *value = LEFT_OUT.to_owned();
        }
    }
}

fn drop_params(params: &mut Params) {
    let Params {
        temperature: _,
        top_p: _,
        max_tokens: _,
        frequency_penalty: _,
        presence_penalty: _,
        seed: _,
        stop,
        n: _,
        other,
    } = params;
    *stop = None;
    let kept = std::mem::take(other).into_iter().filter(|(key, _)| is_name(key));
    *other = kept.filter_map(|(key, value)| setting(&key, value).map(|kept| (key, kept))).collect();
}

fn drop_response(response: &mut Response) {
    let Response {
        id,
        model: _,
        text,
        reasoning,
        refusal,
        tool_calls,
        finish_reasons,
        more_choices,
        embedding_dims: _,
        embedding_count: _,
        system_fingerprint,
        service_tier,
        media,
        request_id,
        api_version,
        extra,
    } = response;
    (*text, *reasoning, *refusal) = (None, None, None);
    for name in [id, system_fingerprint, service_tier, request_id, api_version] {
        keep_name(name);
    }
    finish_reasons.retain(|reason| is_name(reason));
    for Media { modality: _, mime_type, uri, file_id, bytes: _, sha256, content } in media {
        (*uri, *sha256, *content) = (None, None, None);
        keep_name(file_id);
        *mime_type = mime_type.take().filter(|kind| kind.split('/').all(is_name));
    }
    *extra = Map::new();
    drop_arguments(tool_calls);
    for Choice { text, reasoning, refusal, tool_calls, finish_reason } in more_choices {
        (*text, *reasoning, *refusal) = (None, None, None);
        keep_name(finish_reason);
        drop_arguments(tool_calls);
    }
}

fn drop_arguments(calls: &mut [ToolCall]) {
    for ToolCall { id, name, arguments } in calls {
        keep_name(id);
        keep_name(name);
        *arguments = None;
    }
}

fn drop_context(context: &mut Context) {
    let Context { user_id, session_id, chat_id, message_id, organization_id, project_id, environment: _, metadata } =
        context;
    for id in [user_id, session_id, chat_id, message_id, organization_id, project_id] {
        *id = id.take().filter(|id| id.chars().count() <= MAX_ID && !id.contains(char::is_control));
    }
    names_only(metadata);
}

/// What a parameter says, if it is a setting: numbers and booleans, strings where a setting is known to be one, of
/// `response_format` the type, of `stream_options` the switches.
fn setting(key: &str, value: Value) -> Option<Value> {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => Some(value),
        Value::String(text) => (SETTINGS.contains(&key) && text.split('/').all(is_name)).then_some(Value::String(text)),
        Value::Object(mut members) if key == "response_format" => {
            members.retain(|key, value| key == "type" && value.as_str().is_some_and(is_name));
            (!members.is_empty()).then_some(Value::Object(members))
        }
        Value::Object(mut members) if key == "stream_options" => {
            members.retain(|key, value| is_name(key) && value.is_boolean());
            Some(Value::Object(members))
        }
        Value::Array(_) | Value::Object(_) => None,
    }
}

/// Keeps names, numbers and booleans under names, however deep.
fn names_only(map: &mut Map<String, Value>) {
    map.retain(|key, value| is_name(key) && is_kept(value));
}

fn is_kept(value: &mut Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
        Value::String(text) => is_name(text),
        Value::Array(values) => {
            values.retain_mut(is_kept);
            true
        }
        Value::Object(map) => {
            names_only(map);
            true
        }
    }
}

fn keep_name(name: &mut Option<String>) {
    *name = name.take().filter(|name| is_name(name));
}

/// True for an identifier: letters, digits, `_`, `-`, `.`, `:`, and few of them.
fn is_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':');
    (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(fits)
}
