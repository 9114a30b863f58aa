//! Counting tokens where the provider gave no count.
//!
//! Two of OpenAI's published encodings: `cl100k_base` for the models that use it, `o200k_base` for all others. For
//! models of other vendors, whose tokenizers differ, that is a good guess and no more; whoever calls this flags the
//! count as estimated. Time is linear in the text's length whatever the text is, memory constant: the vocabularies
//! (4.1 and 2.0 MiB) are part of the program and read in place.

mod hash;
mod split;
#[cfg(test)]
mod tests;
mod vocabulary;

use regex::Regex;
use vocabulary::Vocabulary;

/// Bytes that are counted of one call; the rest is taken to be like them. Prose takes 0.1 s a MiB, the worst text that
/// was found 0.5 s.
const MAX_COUNTED: usize = 1 << 20;

/// Tokens that frame each message of a chat (the published rule for `gpt-3.5-turbo-0613` and all later chat models:
/// <https://cookbook.openai.com/examples/how_to_count_tokens_with_tiktoken>).
const PER_MESSAGE: u64 = 3;

/// Tokens that begin the answer; they are counted as the prompt's.
const PRIMING: u64 = 3;

/// Tokens of `text`, as `model` would see it. Of more than 1 MiB, the beginning is counted and extrapolated.
pub fn estimate_tokens(model: Option<&str>, text: &str) -> u64 {
    estimate_texts(model, std::iter::once(text))
}

/// Tokens of several texts that stand alone, such as the inputs of an embeddings call. Of more than 1 MiB in all, the
/// beginning is counted and extrapolated.
pub fn estimate_texts<T: AsRef<str>>(model: Option<&str>, texts: impl IntoIterator<Item = T>) -> u64 {
    let mut count = Count::new(model);
    for text in texts {
        count.add(text.as_ref());
    }
    count.tokens()
}

/// Tokens of a prompt made of messages, each a role and its text, with what frames them. Names of participants, tools
/// and pictures are not counted. Of more than 1 MiB in all, the beginning is counted and extrapolated.
pub fn estimate_chat<'a, T: AsRef<str>>(model: Option<&str>, messages: impl Iterator<Item = (&'a str, T)>) -> u64 {
    let mut count = Count::new(model);
    let mut framing = PRIMING;
    for (role, text) in messages {
        count.add(role);
        count.add(text.as_ref());
        framing += PER_MESSAGE;
    }
    framing.saturating_add(count.tokens())
}

/// The tokens of one call's texts.
struct Count {
    encoding: Encoding,
    /// Tokens in the bytes that were counted.
    tokens: u64,
    counted: usize,
    skipped: usize,
}

impl Count {
    fn new(model: Option<&str>) -> Self {
        Self { encoding: Encoding::of(model), tokens: 0, counted: 0, skipped: 0 }
    }

    fn add(&mut self, text: &str) {
        let room = text.len().min(MAX_COUNTED.saturating_sub(self.counted));
        let end = (0..=room).rev().find(|&end| text.is_char_boundary(end)).unwrap_or_default();
        self.tokens += self.encoding.count(text.get(..end).unwrap_or_default());
        self.counted += end;
        self.skipped += text.len() - end;
    }

    /// What was skipped is taken to be like what was counted.
    fn tokens(&self) -> u64 {
        let skipped = u128::from(self.tokens) * self.skipped as u128 / self.counted.max(1) as u128;
        self.tokens.saturating_add(u64::try_from(skipped).unwrap_or(u64::MAX))
    }
}

/// A way to cut text into tokens.
struct Encoding {
    rules: Option<&'static Regex>,
    vocabulary: &'static Vocabulary,
}

impl Encoding {
    fn of(model: Option<&str>) -> Self {
        if model.is_some_and(uses_cl100k) {
            Self { rules: split::CL100K.as_ref(), vocabulary: &vocabulary::CL100K }
        } else {
            Self { rules: split::O200K.as_ref(), vocabulary: &vocabulary::O200K }
        }
    }

    fn count(&self, text: &str) -> u64 {
        // The rules always compile, which a test sees to; four bytes a token is the rule of thumb.
        let Some(rules) = self.rules else { return text.len().div_ceil(4) as u64 };
        split::pieces(rules, text).map(|piece| self.vocabulary.count(piece) as u64).sum()
    }
}

/// GPT-4 before GPT-4o, GPT-3.5, the embedding models, and the two base models that are left.
fn uses_cl100k(model: &str) -> bool {
    let name = model.rsplit('/').next().unwrap_or_default();
    let name = name.strip_prefix("ft:").unwrap_or(name);
    let begins = |start: &str| name.get(..start.len()).is_some_and(|name| name.eq_ignore_ascii_case(start));
    let older = ["gpt-4", "gpt-3.5", "gpt-35", "text-embedding-", "davinci-002", "babbage-002"];
    let newer = ["gpt-4o", "gpt-4.1", "gpt-4.5"];
    older.iter().any(|start| begins(start)) && !newer.iter().any(|start| begins(start))
}
