//! Kong's references to secrets: `{vault://env/NAME}`, and `{vault://env/NAME/KEY}` for one key of a JSON object.
//!
//! As in Kong, the variable's name is upper-cased and `-` becomes `_`. Other vaults are refused.

/// Resolves `text` if it is a reference; any other text stands for itself. Errors name the variable, never a value.
pub(crate) fn resolve(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let Some(reference) = text.strip_prefix("{vault://").and_then(|rest| rest.strip_suffix('}')) else {
        return Ok(text.to_owned());
    };
    let Some(path) = reference.strip_prefix("env/") else {
        return Err("only references to environment variables are supported: {vault://env/NAME}".into());
    };
    let (name, key) = match path.split_once('/') {
        Some((name, key)) => (name, Some(key)),
        None => (path, None),
    };
    if name.is_empty() {
        return Err("the reference names no environment variable".into());
    }
    let variable = name.to_uppercase().replace('-', "_");
    let value = lookup(&variable).ok_or_else(|| format!("environment variable {variable} is not set"))?;
    let Some(key) = key else { return Ok(value) };
    let object: serde_json::Value =
        serde_json::from_str(&value).map_err(|_| format!("environment variable {variable} holds no JSON object"))?;
    match object.get(key).and_then(serde_json::Value::as_str) {
        Some(value) => Ok(value.to_owned()),
        None => Err(format!("environment variable {variable} has no key {key} that is a string")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "SECRET_KEY" => Some("sk-lf-1".into()),
            "LANGFUSE" => Some(r#"{"public":"pk-lf-1","number":1}"#.into()),
            _ => None,
        }
    }

    #[test]
    fn references_resolve_and_other_text_stands_for_itself() {
        let resolve = |text: &str| resolve(text, &lookup);
        assert_eq!(resolve("pk-lf-x").unwrap(), "pk-lf-x");
        assert_eq!(resolve("{vault://env/secret-key}").unwrap(), "sk-lf-1");
        assert_eq!(resolve("{vault://env/SECRET_KEY}").unwrap(), "sk-lf-1");
        assert_eq!(resolve("{vault://env/langfuse/public}").unwrap(), "pk-lf-1");
    }

    #[test]
    fn errors_name_the_variable_and_never_a_value() {
        for (text, error) in [
            ("{vault://env/missing}", "environment variable MISSING is not set"),
            ("{vault://env/langfuse/number}", "environment variable LANGFUSE has no key number that is a string"),
            ("{vault://env/secret-key/x}", "environment variable SECRET_KEY holds no JSON object"),
            ("{vault://env/}", "the reference names no environment variable"),
            ("{vault://hcv/a}", "only references to environment variables are supported: {vault://env/NAME}"),
        ] {
            assert_eq!(resolve(text, &lookup).unwrap_err(), error);
        }
    }
}
