//! Langfuse's rules for environments: `[a-z0-9-_]`, at most 40 characters, not beginning with "langfuse".

const MAX: usize = 40;

/// The environment as Langfuse takes it: lower case, every other character a `-`, cut at 40 characters, and
/// `env-` in front of what begins with "langfuse". `None` when no letter or digit is left; Langfuse then says
/// `default`.
pub(super) fn normalise(environment: &str) -> Option<String> {
    let allowed = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c) { c } else { '-' };
    let mut normal: String = environment.trim().to_lowercase().chars().map(allowed).collect();
    if !normal.contains(|c: char| c.is_ascii_alphanumeric()) {
        return None;
    }
    if normal.starts_with("langfuse") {
        normal.insert_str(0, "env-");
    }
    normal.truncate(MAX);
    Some(normal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environments_become_what_langfuse_takes() {
        let long = "a".repeat(50);
        for (environment, expected) in [
            ("production", Some("production")),
            (" Staging EU ", Some("staging-eu")),
            ("qa_1.2", Some("qa_1-2")),
            ("langfuse-prod", Some("env-langfuse-prod")),
            ("LANGFUSE", Some("env-langfuse")),
            ("zürich", Some("z-rich")),
            (long.as_str(), Some(&long[..40])),
            ("本番", None),
            ("--", None),
            ("", None),
        ] {
            assert_eq!(normalise(environment).as_deref(), expected, "{environment}");
        }
    }
}
