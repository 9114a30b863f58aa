//! OpenAI moderation: `POST .../moderations`, texts or pictures in, the policy categories that they fall into out.
//! Mistral's has the same shape, and another for conversations (`/chat/moderations`).
//!
//! Source: <https://platform.openai.com/docs/api-reference/moderations>.

use serde_json::{Map, Value};

use crate::dialect::facts::{RequestFacts, ResponseFacts};
use crate::dialect::{Dialect, openai};
use crate::json::Json;

/// Results that are kept of one answer.
const MAX_RESULTS: usize = 64;

/// See the module.
#[derive(Debug)]
pub struct OpenAiModeration;

impl Dialect for OpenAiModeration {
    fn name(&self) -> &'static str {
        "openai_moderation"
    }

    fn accepts(&self, request: &Json<'_>) -> bool {
        !request.get("input").is_null()
    }

    fn read_request(&self, body: &Json<'_>, facts: &mut RequestFacts) {
        openai::read_request(body, facts);
        let input = body.get("input");
        let first = input.items().first();
        facts.request.messages = if first.is_some_and(|item| !item.get("role").is_null()) {
            input.items().iter().map(openai::read_message).collect()
        } else if first.is_some_and(Json::is_object) {
            // Parts of one thing: texts and pictures.
            vec![openai::user(openai::content(input))]
        } else {
            openai::read_texts(input)
        };
    }

    fn read_response(&self, body: &Json<'_>, _: &RequestFacts, facts: &mut ResponseFacts) {
        openai::read_envelope(body, facts);
        let results = body.get("results").items();
        let flags = || results.iter().filter_map(|result| result.get("flagged").bool());
        if flags().next().is_some() {
            facts.keep_extra("flagged", flags().any(|flagged| flagged).into());
        }
        let mut all: Vec<String> = results.iter().flat_map(categories).collect();
        all.sort_unstable();
        all.dedup();
        if !results.is_empty() {
            facts.keep_extra("categories", all.into());
        }
        if results.len() > 1 {
            let kept: Vec<Value> = results.iter().take(MAX_RESULTS).map(result).collect();
            facts.keep_extra("results", kept.into());
        }
    }
}

/// One input's result.
fn result(result: &Json<'_>) -> Value {
    let mut members = Map::new();
    if let Some(flagged) = result.get("flagged").bool() {
        members.insert("flagged".into(), flagged.into());
    }
    members.insert("categories".into(), categories(result).collect::<Vec<_>>().into());
    Value::Object(members)
}

/// The names of the categories that are true.
fn categories<'r>(result: &'r Json<'_>) -> impl Iterator<Item = String> + 'r {
    let members = result.get("categories").members().iter();
    members.filter(|(_, is)| is.bool() == Some(true)).map(|(name, _)| name.to_string())
}
