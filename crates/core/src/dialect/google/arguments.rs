//! Arguments of a function call that Vertex AI streams value by value (`streamFunctionCallArguments`): `partialArgs` say
//! where each stands, as in `{"jsonPath": "$.order.items[0].name", "stringValue": "te", "willContinue": true}`.
//!
//! Source: <https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal/function-calling>.

use serde_json::{Map, Value};

use super::either;
use crate::json::Json;

/// Levels of nesting that are read.
const MAX_DEPTH: usize = 32;

/// Adds a value, or the next piece of a string.
pub fn add(piece: &Json<'_>, arguments: &mut Value) {
    let path = either(piece, "jsonPath", "json_path").str().unwrap_or_default();
    let Some(slot) = slot(path, arguments) else { return };
    let string = either(piece, "stringValue", "string_value");
    match (slot, string.str()) {
        (Value::String(text), Some(more)) => text.push_str(more),
        (slot, Some(text)) => *slot = Value::String(text.to_owned()),
        (slot, None) => {
            let number = either(piece, "numberValue", "number_value");
            let value = if number.is_null() { either(piece, "boolValue", "bool_value") } else { number };
            if !value.is_null() {
                *slot = value.to_value();
            }
        }
    }
}

/// The place that a path names, made where it is not there yet: members as `.name` or `['name']`, items as `[0]`.
fn slot<'v>(path: &str, arguments: &'v mut Value) -> Option<&'v mut Value> {
    let mut rest = path.strip_prefix('$')?;
    let mut value = arguments;
    for _ in 0..MAX_DEPTH {
        if rest.is_empty() {
            break;
        }
        let (key, after, bracket) = match rest.strip_prefix('[') {
            Some(inner) => inner.split_once(']').map(|(key, after)| (key, after, true))?,
            None => {
                let inner = rest.strip_prefix('.')?;
                let (key, after) = inner.split_at(inner.find(['.', '[']).unwrap_or(inner.len()));
                (key, after, false)
            }
        };
        rest = after;
        value = match key.parse::<usize>() {
            Ok(index) if bracket => item(index, value)?,
            _ => member(key.trim_matches(['\'', '"']), value)?,
        };
    }
    rest.is_empty().then_some(value)
}

/// Items come in their order: at most one is new.
fn item(index: usize, list: &mut Value) -> Option<&mut Value> {
    if list.is_null() {
        *list = Value::Array(Vec::new());
    }
    let items = list.as_array_mut()?;
    if index == items.len() {
        items.push(Value::Null);
    }
    items.get_mut(index)
}

fn member<'v>(name: &str, object: &'v mut Value) -> Option<&'v mut Value> {
    if object.is_null() {
        *object = Value::Object(Map::new());
    }
    Some(object.as_object_mut()?.entry(name).or_insert(Value::Null))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::parse;

    fn assembled(pieces: &[&str]) -> Value {
        let mut arguments = Value::Null;
        for piece in pieces {
            add(&parse(piece).value, &mut arguments);
        }
        arguments
    }

    #[test]
    fn values_and_pieces_of_strings_come_to_their_places() {
        let arguments = assembled(&[
            r#"{"jsonPath": "$.city", "stringValue": "New ", "willContinue": true}"#,
            r#"{"jsonPath": "$.city", "stringValue": "York"}"#,
            r#"{"jsonPath": "$.days[0].hot", "boolValue": true}"#,
            r#"{"jsonPath": "$.days[1]['max']", "numberValue": 31.5}"#,
            r#"{"jsonPath": "$.note", "nullValue": "NULL_VALUE"}"#,
        ]);
        let wanted = r#"{"city": "New York", "days": [{"hot": true}, {"max": 31.5}], "note": null}"#;
        assert_eq!(arguments, parse(wanted).value.to_value());
    }

    #[test]
    fn paths_that_lead_nowhere_are_passed_over() {
        let deep = format!(r#"{{"jsonPath": "${}", "stringValue": "x"}}"#, ".a".repeat(1000));
        let pieces = [
            r#"{"jsonPath": "$.a", "numberValue": 1}"#,
            r#"{"jsonPath": "$.a.b", "numberValue": 2}"#,
            r#"{"jsonPath": "$.list[4000000000]", "numberValue": 2}"#,
            r#"{"jsonPath": "nonsense", "numberValue": 2}"#,
            &deep,
        ];
        assert_eq!(assembled(&pieces), parse(r#"{"a": 1, "list": []}"#).value.to_value());
    }
}
