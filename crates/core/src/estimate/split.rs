//! Cutting text into the pieces (words, numbers, punctuation, white space) inside which tokens are made.

use std::sync::LazyLock;

use regex::Regex;

// The published rules end with `\s+(?!\S)|\s+`: white space, but for its last character when a word follows, to which
// that character then belongs. There is no look-ahead here: `\s+` takes all of it, and `pieces` gives the last back.

/// Rules of `o200k_base`.
pub(super) static O200K: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let suffix = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?";
    let start = r"[^\r\n\p{L}\p{N}]?";
    let (upper, lower) = (r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]");
    compile(&format!(
        r"{start}{upper}*{lower}+{suffix}|{start}{upper}+{lower}*{suffix}|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*"
    ))
});

/// Rules of `cl100k_base`.
pub(super) static CL100K: LazyLock<Option<Regex>> = LazyLock::new(|| {
    compile(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*")
});

/// Anchored, so that a search begins and ends at one place and all of them together take linear time.
fn compile(words: &str) -> Option<Regex> {
    Regex::new(&format!(r"^(?:{words}|\s*[\r\n]+|\s+)")).ok()
}

/// The pieces of `text`, which together are all of it.
pub(super) fn pieces<'a>(rules: &Regex, mut text: &'a str) -> impl Iterator<Item = &'a str> {
    std::iter::from_fn(move || {
        let end = rules.find(text)?.end();
        let (mut piece, rest) = text.split_at_checked(end)?;
        if !rest.is_empty()
            && !piece.ends_with(['\r', '\n'])
            && let Some((last, _)) = piece.char_indices().next_back()
            && last > 0
            && piece.chars().all(char::is_whitespace)
        {
            piece = piece.get(..last)?;
        }
        text = text.get(piece.len()..)?;
        Some(piece)
    })
}
