//! Tool definitions of every provider in one shape.

use serde_json::Value;

/// What a tool is unless it says otherwise.
const FUNCTION: &str = "function";

/// One tool that a request offers.
pub(super) struct Tool<'a> {
    /// `function`, or the provider's own word for a tool of its own.
    pub kind: &'a str,
    pub name: Option<&'a str>,
    pub description: Option<&'a str>,
    /// JSON schema of its arguments.
    pub parameters: Option<&'a Value>,
}

/// The tools of a request, as sent: OpenAI's `{type, function: {...}}` (Responses: without the inner object),
/// Anthropic's `{name, input_schema}`, Bedrock's `{toolSpec}`, Gemini's lists of `functionDeclarations`.
pub(super) fn of(definitions: &[Value]) -> Vec<Tool<'_>> {
    definitions.iter().flat_map(several).map(tool).collect()
}

/// Gemini's definitions stand for several tools each.
fn several(definition: &Value) -> Vec<&Value> {
    let declared = ["functionDeclarations", "function_declarations"];
    match declared.iter().find_map(|key| definition.get(key)).and_then(Value::as_array) {
        Some(declarations) => declarations.iter().collect(),
        None => vec![definition],
    }
}

fn tool(definition: &Value) -> Tool<'_> {
    let inner = ["function", "custom", "toolSpec"].iter().find_map(|key| definition.get(key)).unwrap_or(definition);
    let text = |key: &str| inner.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let schemas = ["parameters", "input_schema", "inputSchema", "parametersJsonSchema", "parameter_definitions"];
    let schema = schemas.iter().find_map(|key| inner.get(key)).filter(|schema| !schema.is_null());
    // A tool of the provider's own has a type, or is named by its only member: `{"googleSearch": {}}`.
    let kind = definition.get("type").and_then(Value::as_str);
    let only = definition.as_object().filter(|map| map.len() == 1 && kind.is_none());
    let own = only.and_then(|map| map.keys().next().map(String::as_str).filter(|_| inner.get("name").is_none()));
    let kind = kind.or(own).unwrap_or(FUNCTION);
    Tool {
        kind,
        name: text("name").or(Some(kind).filter(|kind| *kind != FUNCTION)),
        description: text("description"),
        // Bedrock wraps it once more.
        parameters: schema.map(|schema| schema.get("json").unwrap_or(schema)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_shape_is_told() {
        let schema = json!({"type": "object"});
        let definitions = [
            json!({"type": "function", "function": {"name": "a", "description": "A.", "parameters": schema}}),
            json!({"type": "function", "name": "b", "parameters": schema}),
            json!({"name": "c", "input_schema": schema}),
            json!({"toolSpec": {"name": "d", "inputSchema": {"json": schema}}}),
            json!({"functionDeclarations": [{"name": "e", "parameters": schema}, {"name": "f"}]}),
            json!({"type": "web_search"}),
            json!({"googleSearch": {}}),
            json!("nonsense"),
        ];
        let told: Vec<_> = of(&definitions)
            .into_iter()
            .map(|tool| (tool.kind.to_owned(), tool.name.map(str::to_owned), tool.parameters.is_some()))
            .collect();
        let expected = [
            ("function", Some("a"), true),
            ("function", Some("b"), true),
            ("function", Some("c"), true),
            ("function", Some("d"), true),
            ("function", Some("e"), true),
            ("function", Some("f"), false),
            ("web_search", Some("web_search"), false),
            ("googleSearch", Some("googleSearch"), false),
            ("function", None, false),
        ];
        let expected = expected.map(|(kind, name, schema)| (kind.to_owned(), name.map(str::to_owned), schema));
        assert_eq!(told, expected);
        assert_eq!(of(&definitions)[0].description, Some("A."));
    }
}
