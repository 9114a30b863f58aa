//! Errors in bodies: every provider says it a little differently.

use crate::json::{Json, Parsed};
use crate::record::CallError;

/// The error that a body tells of. In a body of a failed response (`failed`) a bare message counts as well; in one that
/// succeeded only an explicit `error` does.
pub fn read(body: &Json<'_>, failed: bool) -> Option<CallError> {
    // Gemini wraps its errors in an array.
    let body = body.items().first().unwrap_or(body);
    let error = body.get("error");
    if error.members().is_empty() {
        // In a list, or as it is: `{"error": "..."}`.
        if let Some(message) = words(error) {
            return Some(CallError { kind: kind(body), message: Some(message) });
        }
    } else {
        return Some(CallError { kind: kind(error).or_else(|| kind(body)), message: message(error) });
    }
    // Older vLLM: {"object": "error", "message": ..., "type": ...}.
    if !failed && body.get("object").str() != Some("error") {
        return None;
    }
    let (kind, message) = (kind(body), message(body));
    (message.is_some() || kind.is_some()).then_some(CallError { kind, message })
}

/// The message of an error: AWS writes it with a capital in some services; FastAPI's stands under `detail`, in a list
/// where a validation failed; Mistral puts the one into the other.
fn message(error: &Json<'_>) -> Option<String> {
    ["message", "Message", "detail"].into_iter().find_map(|key| words(error.get(key)))
}

/// Words: a text, the first of a list, or what an object has for them.
fn words(value: &Json<'_>) -> Option<String> {
    let first = value.items().first().unwrap_or(value);
    let inner = || ["msg", "message", "detail", "error"].into_iter().map(|key| first.get(key));
    let deeper = |value: &Json<'_>| value.items().first().unwrap_or(value).get("msg").filled().map(str::to_owned);
    let said = first.filled().or_else(|| inner().find_map(Json::filled)).map(str::to_owned);
    said.or_else(|| inner().find_map(deeper))
}

/// Characters kept of an error in plain words.
const MAX_PLAIN: usize = 200;

/// An error that is told in plain words; `parsed` is what they are as JSON. Pages are no words.
pub fn plain(text: &str, parsed: &Parsed<'_>) -> Option<CallError> {
    let value = &parsed.value;
    let whole = parsed.problem.is_none();
    // `503 Service Unavailable` begins as a number, `[proxy] no` as a list.
    let is_json = value.is_object() || value.count_items().is_some_and(|count| whole || count > 0);
    if is_json || whole && value.is_null() {
        return None;
    }
    let text = value.str().filter(|_| whole).unwrap_or(text).trim();
    let message = text.chars().take(MAX_PLAIN).collect();
    (!text.is_empty() && !text.starts_with('<')).then_some(CallError { kind: None, message: Some(message) })
}

/// `type`, else Google's `status`, else a `code` that is a word (Databricks: `error_code`), else AWS' `__type`, which may
/// have a namespace.
fn kind(value: &Json<'_>) -> Option<String> {
    let aws = || Some(value.get("__type").str()?.rsplit('#').next()?.to_owned());
    ["type", "status", "code", "error_code"].into_iter().find_map(|key| value.get(key).word()).or_else(aws)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::parse;

    fn told(body: &str, failed: bool) -> Option<(Option<String>, Option<String>)> {
        read(&parse(body).value, failed).map(|error| (error.kind, error.message))
    }

    #[test]
    fn the_shapes_in_the_field() {
        let both = |kind: &str, message: &str| Some((Some(kind.to_owned()), Some(message.to_owned())));
        let rate = r#"{"error":{"message":"slow down","type":"rate_limit","code":"rate_limit_exceeded"}}"#;
        assert_eq!(told(rate, false), both("rate_limit", "slow down"));
        assert_eq!(told(r#"{"error":{"code":"401","message":"no"}}"#, true), both("401", "no"));
        assert_eq!(told(r#"{"error":"model not found"}"#, true), Some((None, Some("model not found".into()))));
        let vllm = r#"{"object":"error","message":"too long","type":"BadRequestError","code":400}"#;
        assert_eq!(told(vllm, false), both("BadRequestError", "too long"));
        let fastapi = r#"{"detail":[{"msg":"field required","type":"missing"}]}"#;
        assert_eq!(told(fastapi, true), Some((None, Some("field required".into()))));
        assert_eq!(told(r#"{"error":["Input is too long"]}"#, true), Some((None, Some("Input is too long".into()))));
        let mistral = r#"{"object":"error","message":{"detail":[{"type":"missing","msg":"Field required"}]},"type":"invalid_request_error"}"#;
        assert_eq!(told(mistral, true), both("invalid_request_error", "Field required"));
        assert_eq!(told(r#"{"detail":{"error":"not here"}}"#, true), Some((None, Some("not here".into()))));
        let databricks = r#"{"error_code":"BAD_REQUEST","message":"no such endpoint"}"#;
        assert_eq!(told(databricks, true), both("BAD_REQUEST", "no such endpoint"));
        let google = r#"[{"error":{"code":400,"message":"bad","status":"INVALID_ARGUMENT"}}]"#;
        assert_eq!(told(google, true), both("INVALID_ARGUMENT", "bad"));
    }

    #[test]
    fn an_answer_that_succeeded_is_no_error() {
        for body in [r#"{"error":null,"message":"hi"}"#, r#"{"message":{"role":"assistant"}}"#, "{}", "[]", "7"] {
            assert_eq!(told(body, false), None, "{body}");
        }
        assert_eq!(told("{}", true), None);
    }
}
