//! References to secrets that are kept outside of the configuration: `{vault://env/NAME}` and
//! `{vault://env/NAME/key}`, as in Kong (<https://developer.konghq.com/gateway/entities/vault/>).
//!
//! The configuration keeps the reference; the value is looked up when the configuration is put to use. Only the `env`
//! vault exists here: its names are environment variables, upper case, with `_` for `-`. With a key the variable holds
//! a JSON object, and the string under the key is the value.

use std::fmt;

use serde_json::Value;

/// Why a reference has no value. Carries names, never values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VaultError {
    /// Not of the form `{vault://env/NAME}` or `{vault://env/NAME/key}`.
    Malformed,
    /// A vault other than `env`.
    UnknownVault(String),
    /// The environment variable is not set, or empty.
    NotSet(String),
    /// The environment variable does not hold a JSON object.
    NotJson(String),
    /// The JSON object has no string under the key.
    NoKey {
        /// The environment variable.
        variable: String,
        /// The key.
        key: String,
    },
}

impl fmt::Display for VaultError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("vault reference must be {vault://env/NAME} or {vault://env/NAME/key}"),
            Self::UnknownVault(name) => write!(f, "vault '{name}' is not supported: use {{vault://env/NAME}}"),
            Self::NotSet(variable) => write!(f, "environment variable {variable} is not set"),
            Self::NotJson(variable) => write!(f, "environment variable {variable} does not hold a JSON object"),
            Self::NoKey { variable, key } => {
                write!(f, "environment variable {variable} has no string under the key '{key}'")
            }
        }
    }
}

impl std::error::Error for VaultError {}

/// Whether a string is meant as a reference, valid or not.
pub fn is_reference(text: &str) -> bool {
    text.starts_with("{vault://") && text.ends_with('}')
}

/// The environment variable that `text` refers to as a whole; `None` when it is no such reference.
pub fn variable(text: &str) -> Option<String> {
    let name = text.strip_prefix("{vault://env/")?.strip_suffix('}')?;
    let plain = !name.is_empty() && !name.contains(['/', '?', '#', '%']);
    plain.then(|| name.to_uppercase().replace('-', "_"))
}

/// The value that `text` refers to; `text` itself when it is not a reference. `lookup` reads an environment variable.
///
/// # Errors
/// When the reference is malformed, names another vault, or has no value.
pub fn resolve(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<String, VaultError> {
    if !is_reference(text) {
        return Ok(text.to_owned());
    }
    let reference = text.strip_prefix("{vault://").and_then(|rest| rest.strip_suffix('}'));
    let (vault, path) = reference.and_then(|rest| rest.split_once('/')).ok_or(VaultError::Malformed)?;
    if vault != "env" {
        return Err(VaultError::UnknownVault(vault.to_owned()));
    }
    let (name, key) = match path.split_once('/') {
        Some((name, key)) => (name, Some(key)),
        None => (path, None),
    };
    let plain = |part: &str| !part.is_empty() && !part.contains(['/', '?', '#', '%']);
    if !plain(name) || !key.is_none_or(plain) {
        return Err(VaultError::Malformed);
    }
    let variable = name.to_uppercase().replace('-', "_");
    let Some(value) = lookup(&variable).filter(|value| !value.is_empty()) else {
        return Err(VaultError::NotSet(variable));
    };
    let Some(key) = key else {
        return Ok(value);
    };
    match serde_json::from_str(&value) {
        Ok(Value::Object(fields)) => match fields.get(key).and_then(Value::as_str) {
            Some(value) if !value.is_empty() => Ok(value.to_owned()),
            _ => Err(VaultError::NoKey { variable, key: key.to_owned() }),
        },
        _ => Err(VaultError::NotJson(variable)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "LANGFUSE_SECRET_KEY" => Some("sk-lf-1".to_owned()),
            "LANGFUSE" => Some(r#"{"secret-key": "sk-lf-2", "port": 1}"#.to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    #[test]
    fn names_are_environment_variables() {
        for reference in ["{vault://env/langfuse-secret-key}", "{vault://env/LANGFUSE_SECRET_KEY}"] {
            assert_eq!(resolve(reference, &lookup), Ok("sk-lf-1".to_owned()), "{reference}");
        }
    }

    #[test]
    fn a_reference_tells_its_variable() {
        let variables = ["{vault://env/otel-endpoint}", "{vault://env/A/key}", "{vault://aws/a}", "a"].map(variable);
        assert_eq!(variables, [Some("OTEL_ENDPOINT".to_owned()), None, None, None]);
    }

    #[test]
    fn a_key_selects_from_a_json_object() {
        assert_eq!(resolve("{vault://env/langfuse/secret-key}", &lookup), Ok("sk-lf-2".to_owned()));
    }

    #[test]
    fn what_is_no_reference_stays() {
        for text in ["sk-lf-3", "", "{vault:/env/x}", "vault://env/x"] {
            assert_eq!(resolve(text, &lookup), Ok(text.to_owned()));
        }
    }

    #[test]
    fn errors_name_the_variable_and_never_the_value() {
        let cases = [
            ("{vault://env/missing-one}", "environment variable MISSING_ONE is not set"),
            ("{vault://env/empty}", "environment variable EMPTY is not set"),
            ("{vault://aws/x}", "vault 'aws' is not supported: use {vault://env/NAME}"),
            ("{vault://env}", "vault reference must be {vault://env/NAME} or {vault://env/NAME/key}"),
            ("{vault://env/}", "vault reference must be {vault://env/NAME} or {vault://env/NAME/key}"),
            ("{vault://env/a/b/c}", "vault reference must be {vault://env/NAME} or {vault://env/NAME/key}"),
            ("{vault://env/a?prefix=b}", "vault reference must be {vault://env/NAME} or {vault://env/NAME/key}"),
            (
                "{vault://env/langfuse-secret-key/a}",
                "environment variable LANGFUSE_SECRET_KEY does not hold a JSON object",
            ),
            ("{vault://env/langfuse/port}", "environment variable LANGFUSE has no string under the key 'port'"),
        ];
        for (reference, message) in cases {
            assert_eq!(resolve(reference, &lookup).map_err(|error| error.to_string()), Err(message.to_owned()));
        }
    }
}
