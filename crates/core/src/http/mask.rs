//! Which values of headers and of queries are secrets, and what is shown of them: the scheme, where one stands in front.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

use super::Fields;
use crate::redact::{Builtin, Redactor};

/// What stands in the place of a secret.
pub(crate) const HIDDEN: &str = "****";

/// What a name has in it whose value is a secret.
const SECRET: [&str; 10] =
    ["auth", "key", "token", "secret", "cookie", "passw", "signature", "credential", "session", "pwd"];
/// Names whose value is one, too short to be looked for within others: of Azure's shared access signatures, of the keys of
/// its functions, of passwords.
const SECRET_NAMES: [&str; 3] = ["sig", "code", "pass"];

/// All of those in one pass over a name, in any case.
static SEARCH: LazyLock<Option<AhoCorasick>> =
    LazyLock::new(|| AhoCorasick::builder().ascii_case_insensitive(true).build(SECRET).ok());

/// Schemes of HTTP authentication, and words that providers use as one.
const SCHEMES: [&str; 12] = [
    "bearer",
    "basic",
    "digest",
    "negotiate",
    "ntlm",
    "hawk",
    "token",
    "key",
    "apikey",
    "api-key",
    "api-token",
    "aws4-hmac-sha256",
];

/// Keys that are known by their form, wherever they stand.
static KEYS: LazyLock<Redactor> = LazyLock::new(|| Redactor::default().with_builtin([Builtin::ApiKey]));

/// Hides what is secret in headers. `shown` are names, lower case, of headers that the record shows anyway.
pub(crate) fn headers(fields: &mut Fields, shown: &[&str]) {
    for (name, value) in &mut fields.fields {
        if shown.iter().any(|shown| name.eq_ignore_ascii_case(shown)) {
            continue;
        }
        if is_secret(name) && !is_harmless(name, value) {
            *value = hidden(value);
        } else {
            inner_parameters(value);
            known_keys(value);
        }
    }
}

/// Hides what is secret in the parameters of a query.
pub(crate) fn query(fields: &mut Fields) {
    for (name, value) in &mut fields.fields {
        // Some servers take `;` for `&`.
        let is_within = value.split(';').skip(1).any(|part| is_secret(part.split('=').next().unwrap_or_default()));
        if name.split(';').any(is_secret) || is_within {
            *value = HIDDEN.to_owned();
        } else {
            inner_parameters(value);
            known_keys(value);
        }
        known_keys(name);
    }
}

/// Replaces keys that are known by their form.
pub(crate) fn known_keys(text: &mut String) {
    if let Some(masked) = KEYS.redact(text) {
        *text = masked;
    }
}

fn is_secret(name: &str) -> bool {
    let has_part = SEARCH.as_ref().is_none_or(|search| search.is_match(name));
    has_part || SECRET_NAMES.iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// Rate limits and usage count tokens, and switches say yes or no: these are no secrets.
fn is_harmless(name: &str, value: &str) -> bool {
    const LONGEST: usize = 32;
    let name = name.to_ascii_lowercase();
    let counts = name.contains("tokens") || name.contains("token-count");
    // `1000`, `6m0s`, `2026-01-02T03:04:05Z`.
    let is_count = value.len() <= LONGEST
        && value.starts_with(|first: char| first.is_ascii_digit())
        && value.bytes().all(|byte| byte.is_ascii_digit() || b".:+-TZhms".contains(&byte));
    (counts && is_count) || ["true", "false"].iter().any(|word| value.eq_ignore_ascii_case(word))
}

fn hidden(value: &str) -> String {
    match value.trim().split_once(' ') {
        Some((scheme, _)) if SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known)) => {
            format!("{scheme} {HIDDEN}")
        }
        _ => HIDDEN.to_owned(),
    }
}

/// Whether a value is [`hidden`]: nothing of it is left.
pub(crate) fn is_hidden(value: &str) -> bool {
    value.ends_with(HIDDEN) && hidden(value) == value
}

/// Hides the secrets of the addresses in a value, such as a redirect's: in their queries, fragments and paths.
fn inner_parameters(value: &mut String) {
    const BEGINS: [char; 4] = ['?', '&', '#', ';'];
    let Some(start) = value.find(BEGINS) else { return };
    let (address, parameters) = value.split_at(start);
    let (mut masked, mut hides) = (address.to_owned(), false);
    for (at, sign) in parameters.match_indices(BEGINS) {
        let parameter = parameters.get(at + 1..).and_then(|rest| rest.split(BEGINS).next()).unwrap_or_default();
        // A secret may hold a `;`.
        if hides && sign == ";" {
            continue;
        }
        let name = parameter.split_once('=').map(|(name, _)| name);
        hides = name.is_some_and(|it| is_secret(&percent_encoding::percent_decode_str(it).decode_utf8_lossy()));
        masked.push_str(sign);
        match name.filter(|_| hides) {
            Some(name) => masked.extend([name, "=", HIDDEN]),
            None => masked.push_str(parameter),
        }
    }
    *value = masked;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(name: &str, value: &str) -> String {
        let mut fields = Fields { fields: vec![(name.into(), value.into())], left_out: 0 };
        headers(&mut fields, &["x-session-id"]);
        fields.fields.remove(0).1
    }

    fn parameters(text: &str) -> Vec<(String, String)> {
        let mut fields = Fields::of_query(text);
        query(&mut fields);
        fields.fields
    }

    #[test]
    fn of_a_secret_the_scheme_is_shown_at_most() {
        for (name, value, shown) in [
            ("authorization", "Bearer hunter2", "Bearer ****"),
            ("Proxy-Authorization", "basic aHVudGVyMg==", "basic ****"),
            ("authorization", "AWS4-HMAC-SHA256 Credential=AKIA/x, Signature=hunter2", "AWS4-HMAC-SHA256 ****"),
            ("authorization", "hunter2 is it", "****"),
            ("authorization", "Bearer", "****"),
            ("cookie", "a=hunter2; b=c", "****"),
            ("x-api-key", "hunter2", "****"),
            ("mcp-session-id", "hunter2", "****"),
            ("x-tokens", "hunter2", "****"),
            ("x-custom", "Bearer abcDEF1234567890", "Bearer [API_KEY]"),
            ("location", "https://x.test/a?b=c&sig=hunter2#d", "https://x.test/a?b=c&sig=****#d"),
            ("location", "https://x.test/#b=c&access_token=hunter2", "https://x.test/#b=c&access_token=****"),
            ("location", "/a;jsessionid=hunter2?b=c", "/a;jsessionid=****?b=c"),
            ("location", "/a?b=c;k%65y=hunter2;hunter2&d=e", "/a?b=c;k%65y=****&d=e"),
            (
                "referer",
                "https://x.test/?to=https://y.test/?pass=hunter2",
                "https://x.test/?to=https://y.test/?pass=****",
            ),
            ("link", "</a?b=1>; rel=next, </a?sig=hunter2>; rel=last", "</a?b=1>; rel=next, </a?sig=****"),
        ] {
            assert_eq!(header(name, value), shown, "{name}: {value}");
        }
    }

    #[test]
    fn what_is_no_secret_is_shown_as_it_is() {
        for (name, value) in [
            ("x-session-id", "s-1"),
            ("X-Session-Id", "s-1"),
            ("content-type", "application/json"),
            ("x-ratelimit-remaining-tokens", "149984"),
            ("x-ratelimit-reset-tokens", "6m0s"),
            ("anthropic-ratelimit-tokens-reset", "2026-01-02T03:04:05Z"),
            ("x-amzn-bedrock-input-token-count", "12"),
            ("access-control-allow-credentials", "true"),
            ("x-request-id", "req_0123456789abcdef0123456789abcdef"),
            ("location", "https://x.test/a?b=c"),
            ("link", "</a?b=1>; rel=\"next\", </a?b=2#c>; rel=\"last\""),
            ("accept", "text/html;q=0.9, */*;q=0.1;"),
        ] {
            assert_eq!(header(name, value), value, "{name}");
        }
    }

    #[test]
    fn parameters_are_decoded_and_secrets_hidden() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            parameters(
                "api-version=2024-10-21&k%65y=hunter2&q=a+b%26c&flag&&a=1;token=hunter2&sig=x&b;sig=x&code=x\
                 &to=https://x.test/%3Ftoken=x"
            ),
            [
                pair("api-version", "2024-10-21"),
                pair("key", "****"),
                pair("q", "a b&c"),
                pair("flag", ""),
                pair("a", "****"),
                pair("sig", "****"),
                pair("b;sig", "****"),
                pair("code", "****"),
                pair("to", "https://x.test/?token=****"),
            ]
        );
        assert_eq!(parameters("%ff=%ff"), [pair("\u{fffd}", "\u{fffd}")]);
        let many = Fields::of_query(&"a=b&".repeat(500));
        assert_eq!((many.fields.len(), many.left_out), (super::super::MAX_FIELDS, 300));
    }

    proptest! {
        #[test]
        fn nothing_of_a_secret_is_left(
            (before, after) in ("[a-zA-Z-]{0,8}", "[a-zA-Z-]{0,8}"),
            word in prop::sample::select(SECRET.to_vec()),
            scheme in prop::sample::select(vec!["", "Bearer ", "Token  ", "Api-Key ", "nonsense "]),
            secret in "[!-~]{0,12}hunter2[ -~]{0,12}",
        ) {
            let name = format!("{before}{word}{after}");
            let shown = header(&name, &format!("{scheme}{secret}"));
            prop_assert!(!shown.contains("hunter2"), "{name}: {shown}");
            let encoded: String = secret.bytes().map(|byte| format!("%{byte:02x}")).collect();
            let shown = parameters(&format!("a=b&{name}={encoded}"));
            prop_assert!(!shown.iter().any(|(_, value)| value.contains("hunter2")), "{name}: {shown:?}");
        }
    }
}
