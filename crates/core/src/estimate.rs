//! Token counts where the provider gave none.

/// Tokens of `text`.
pub fn estimate_tokens(_model: Option<&str>, text: &str) -> u64 {
    text.len().div_ceil(4) as u64
}

/// Tokens of a conversation of (role, text).
pub fn estimate_chat<'a>(model: Option<&str>, messages: impl Iterator<Item = (&'a str, String)>) -> u64 {
    messages.map(|(_, text)| 4 + estimate_tokens(model, &text)).sum::<u64>() + 3
}
