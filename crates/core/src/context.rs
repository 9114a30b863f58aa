//! Who made the call: the context headers and the body's `metadata`; a header wins over the body.

use serde_json::{Map, Value};

use crate::record::Context;

/// The six context ids, by the name they have in the body's `metadata`, in the order of
/// [`ContextHeaders`](crate::settings::ContextHeaders).
pub const FIELDS: [&str; 6] = ["user_id", "session_id", "chat_id", "message_id", "organization_id", "project_id"];

/// Longest id that is kept, in bytes; Langfuse cuts at 200 characters, and no id that is longer is one.
const MAX_ID: usize = 1024;

/// Puts the context together. `headers` are the values of the context headers in the order of [`FIELDS`], `user` is
/// OpenAI's `user`.
pub(crate) fn context(
    headers: [Option<String>; 6],
    mut metadata: Map<String, Value>,
    user: Option<String>,
    environment: &str,
) -> Context {
    let mut ids = FIELDS.into_iter().zip(headers).map(|(field, header)| {
        // What is no id stays what the caller says about the call.
        let is_id = matches!(metadata.get(field), Some(Value::String(_) | Value::Number(_) | Value::Null));
        let in_body = if is_id { metadata.remove(field) } else { None };
        id(header).or_else(|| match in_body {
            Some(Value::String(text)) => id(Some(text)),
            Some(Value::Number(number)) => Some(number.to_string()),
            _ => None,
        })
    });
    let [user_id, session_id, chat_id, message_id, organization_id, project_id] =
        std::array::from_fn(|_| ids.next().flatten());
    drop(ids);
    Context {
        user_id: user_id.or(id(user)),
        session_id: session_id.or_else(|| chat_id.clone()),
        chat_id,
        message_id,
        organization_id,
        project_id,
        environment: (!environment.is_empty()).then(|| environment.to_owned()),
        metadata,
    }
}

/// An id that says something: trimmed, not empty, bounded.
fn id(value: Option<String>) -> Option<String> {
    let mut value = value?;
    let end = value.floor_char_boundary(MAX_ID.min(value.len()));
    value.truncate(end);
    let trimmed = value.trim();
    (!trimmed.is_empty()).then(|| trimmed.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn a_header_wins_and_the_rest_stays_metadata() {
        let headers = [Some("u-header".into()), None, Some(" ".into()), None, None, Some("p".into())];
        let body = metadata(serde_json::json!({
            "user_id": "u-body", "chat_id": 7, "features": {"web_search": true}, "tier": "gold"
        }));
        let context = context(headers, body, Some("u-openai".into()), "production");
        assert_eq!(context.user_id.as_deref(), Some("u-header"));
        assert_eq!(context.chat_id.as_deref(), Some("7"), "an empty header is none");
        assert_eq!(context.session_id.as_deref(), Some("7"), "chat_id stands in for session_id");
        assert_eq!(context.project_id.as_deref(), Some("p"));
        assert_eq!(context.metadata, metadata(serde_json::json!({"features": {"web_search": true}, "tier": "gold"})));
    }

    #[test]
    fn what_is_no_id_stays_metadata() {
        let body = metadata(serde_json::json!({"session_id": {"a": 1}, "user_id": ["b"], "project_id": true}));
        let context = context([const { None }; 6], body.clone(), None, "");
        assert_eq!((context.session_id, context.user_id, context.project_id), (None, None, None));
        assert_eq!(context.metadata, body);
    }

    #[test]
    fn openai_user_is_the_last_resort() {
        let context = context([const { None }; 6], Map::new(), Some("u".into()), "");
        assert_eq!((context.user_id.as_deref(), context.environment), (Some("u"), None));
    }
}
