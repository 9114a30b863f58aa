//! One rule: what is looked for, and what stands in its place.

use std::ops::Range;

use regex::Regex;

use super::builtin::Builtin;

/// A text that would grow beyond this by its replacements is replaced as a whole.
const MAX_TEXT: usize = 64 << 20;

#[derive(Debug)]
pub(super) struct Rule {
    pub finder: Finder,
    /// Taken literally.
    pub replacement: String,
}

/// What finds.
#[derive(Debug)]
pub(super) enum Finder {
    Pattern(Regex),
    Builtin(Builtin),
}

impl Rule {
    /// `text` with every match replaced; `None` when there is none. `before` is what stands in front of it.
    pub fn replace(&self, before: &str, text: &str) -> Option<String> {
        let mut found = self.find(before, text, 0)?;
        let mut redacted = String::with_capacity(text.len());
        let mut end = 0;
        loop {
            redacted.push_str(text.get(end..found.start).unwrap_or_default());
            redacted.push_str(&self.replacement);
            end = found.end;
            if redacted.len() > MAX_TEXT {
                return Some(self.replacement.clone());
            }
            match self.find(before, text, end) {
                Some(next) => found = next,
                None => break,
            }
        }
        redacted.push_str(text.get(end..).unwrap_or_default());
        Some(redacted)
    }

    /// The first match at or after `from` that is not empty: there is nothing to replace in the others.
    fn find(&self, before: &str, text: &str, mut from: usize) -> Option<Range<usize>> {
        match &self.finder {
            Finder::Builtin(kind) => kind.find(before, text, from),
            Finder::Pattern(pattern) => {
                while from <= text.len() {
                    let found = pattern.find_at(text, from)?;
                    if !found.is_empty() {
                        return Some(found.range());
                    }
                    from = text.ceil_char_boundary(found.end() + 1).max(found.end() + 1);
                }
                None
            }
        }
    }
}
