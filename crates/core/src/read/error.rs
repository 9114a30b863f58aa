//! Errors in bodies: every provider says it a little differently.

use crate::json::{Json, Parsed};
use crate::record::CallError;

/// The error that a body tells of. In a body of a failed response (`failed`) a bare message counts as well; in one that
/// succeeded only an explicit `error` does.
pub fn read(body: &Json<'_>, failed: bool) -> Option<CallError> {
    // Gemini wraps its errors in an array.
    let body = body.items().first().unwrap_or(body);
    let error = body.get("error");
    match error {
        Json::Object(members) if !members.is_empty() => {
            return Some(CallError {
                kind: kind(error).or_else(|| kind(body)),
                message: error.get("message").filled().map(str::to_owned),
            });
        }
        Json::String(message) | Json::CutString(message) if !message.is_empty() => {
            return Some(CallError { kind: kind(body), message: Some(message.to_string()) });
        }
        _ => {}
    }
    // Older vLLM: {"object": "error", "message": ..., "type": ...}.
    let says_error = failed || body.get("object").str() == Some("error");
    let detail = body.get("detail");
    // AWS: some services write it with a capital.
    let message = body.get("message").filled().or_else(|| body.get("Message").filled());
    let message = message.map(str::to_owned).or_else(|| {
        // FastAPI: {"detail": "..."} or {"detail": [{"msg": ..., "type": ...}]}.
        detail.filled().or_else(|| detail.items().first()?.get("msg").filled()).map(str::to_owned)
    });
    (says_error && (message.is_some() || kind(body).is_some())).then(|| CallError { kind: kind(body), message })
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

/// `type`, else Google's `status`, else a `code` that is a word, else AWS' `__type`, which may have a namespace.
fn kind(value: &Json<'_>) -> Option<String> {
    let aws = || Some(value.get("__type").str()?.rsplit('#').next()?.to_owned());
    [value.get("type"), value.get("status"), value.get("code")].into_iter().find_map(Json::word).or_else(aws)
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
