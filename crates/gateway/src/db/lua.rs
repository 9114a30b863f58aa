//! Values in the notation that Kong's error messages use: a Lua table on one line, keys sorted.

use serde_json::Value;

/// Writes a value: `{id="...",tags={"a","b"}}`. Arrays with gaps (`null`) number what follows the first gap.
pub fn pretty(value: &Value) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::String(text) => quote(text, out),
        Value::Array(items) => {
            let dense = items.iter().position(Value::is_null).unwrap_or(items.len());
            let mut parts = items.iter().enumerate().filter(|(_, item)| !item.is_null()).peekable();
            out.push('{');
            while let Some((index, item)) = parts.next() {
                if index >= dense {
                    out.push_str(&format!("[{}]=", index + 1));
                }
                write(item, out);
                if parts.peek().is_some() {
                    out.push(',');
                }
            }
            out.push('}');
        }
        Value::Object(fields) => {
            let mut keys: Vec<_> = fields.iter().collect();
            keys.sort_by_key(|(key, _)| key.as_str());
            out.push('{');
            for (index, (key, item)) in keys.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                if is_identifier(key) {
                    out.push_str(key);
                } else {
                    out.push('[');
                    quote(key, out);
                    out.push(']');
                }
                out.push('=');
                write(item, out);
            }
            out.push('}');
        }
        other => out.push_str(&other.to_string()),
    }
}

fn quote(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            c => out.push(c),
        }
    }
    out.push('"');
}

fn is_identifier(key: &str) -> bool {
    const RESERVED: [&str; 22] = [
        "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if", "in", "local", "nil",
        "not", "or", "repeat", "return", "then", "true", "until", "while",
    ];
    !RESERVED.contains(&key)
        && key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tables_read_as_kong_writes_them() {
        let cases = [
            (json!({ "name": "key-auth", "consumer": null }), r#"{consumer=null,name="key-auth"}"#),
            (json!({ "service": { "id": "1" } }), r#"{service={id="1"}}"#),
            (json!({ "services": [null, "twice"] }), r#"{services={[2]="twice"}}"#),
            (json!({ "a": ["x", null, "z"] }), r#"{a={"x",[3]="z"}}"#),
            (json!({ "@entity": ["a \"b\""], "end": 1 }), r#"{["@entity"]={"a \"b\""},["end"]=1}"#),
            (json!([]), "{}"),
        ];
        for (value, text) in cases {
            assert_eq!(pretty(&value), text);
        }
    }
}
