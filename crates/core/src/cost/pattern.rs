//! Matching of model names: `*` patterns, and the prefixes that a name may carry.

/// True when `pattern` matches the whole of `name`. `*` stands for any characters, none included; letters match in
/// either case.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = strip_start(name, first) else { return false };
    let Some(mut part) = parts.next() else { return rest.is_empty() };
    // Each part between two stars is taken where it occurs first, which leaves the most to the later ones.
    for next in parts {
        let Some(at) = (0..=rest.len()).find(|&at| strip_start(rest.get(at..).unwrap_or_default(), part).is_some())
        else {
            return false;
        };
        rest = rest.get(at + part.len()..).unwrap_or_default();
        part = next;
    }
    let Some(start) = rest.len().checked_sub(part.len()) else { return false };
    rest.get(start..).is_some_and(|end| end.eq_ignore_ascii_case(part))
}

/// Length of a pattern's literal part: the longer, the more specific.
pub(super) fn specificity(pattern: &str) -> usize {
    pattern.len() - pattern.matches('*').count()
}

fn strip_start<'a>(name: &'a str, start: &str) -> Option<&'a str> {
    name.get(..start.len())?.eq_ignore_ascii_case(start).then(|| name.get(start.len()..)).flatten()
}

/// The names under which a model may be known, the one it came with first: also what stands behind each `/`
/// (`openai/gpt-4o`, `models/gemini-2.5-pro`, ARNs), and behind Bedrock's `us.anthropic.`.
pub(super) fn names(model: &str) -> impl Iterator<Item = &str> {
    let behind_slashes = model.match_indices('/').filter_map(|(at, _)| model.get(at + 1..));
    let behind_vendor = model.rsplit_once("anthropic.").map(|(_, name)| name);
    std::iter::once(model).chain(behind_slashes).chain(behind_vendor).filter(|name| !name.is_empty())
}
