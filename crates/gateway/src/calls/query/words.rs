//! The text that a filter asks for, as SQLite's full-text search reads it.
//!
//! The beginning of a word is looked up among the words that there are, and these are searched for. FTS5 itself would
//! gather the calls of every word that begins so before it tells the first one: seconds, and memory, for `a*`.

use rusqlite::OptionalExtension;

use super::filter::Filter;
use super::{ReadError, Reader};

/// Words that may begin as a search says.
const WORDS: usize = 300;

/// The words of all calls, and a table that takes a text to pieces as that of the calls does. They live as long as the
/// connection, in its memory.
const TABLES: &str = "
    PRAGMA temp_store = MEMORY;
    CREATE VIRTUAL TABLE IF NOT EXISTS temp.known_words USING fts5vocab(main, search, instance);
    CREATE VIRTUAL TABLE IF NOT EXISTS temp.given USING fts5 (text, tokenize = 'unicode61 remove_diacritics 2');
    CREATE VIRTUAL TABLE IF NOT EXISTS temp.given_words USING fts5vocab(temp, given, instance);";

/// What is looked for in the content.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sought {
    /// No text is asked for.
    Anything,
    /// Nothing that could be a word, or that begins any.
    Nothing,
    /// Words and phrases, for MATCH.
    Words(String),
}

/// Words that stand together.
#[derive(Debug, PartialEq, Eq)]
struct Phrase<'a> {
    text: &'a str,
    /// The last of them is the beginning of a word.
    begins: bool,
}

impl Reader {
    /// What a filter looks for. Each word and phrase is quoted, so that nothing in it is an operator.
    pub(super) fn sought(&self, filter: &Filter) -> Result<Sought, ReadError> {
        let Some(text) = &filter.text else { return Ok(Sought::Anything) };
        let mut parts = Vec::new();
        for Phrase { text, begins } in phrases(text) {
            if !begins {
                parts.push(format!("\"{text}\""));
                continue;
            }
            let mut before = self.pieces(text)?;
            let Some(begin) = before.pop() else { continue };
            let ends = self.beginning_with(&begin)?;
            if ends.is_empty() {
                return Ok(Sought::Nothing);
            }
            let before = before.join(" ");
            let ends: Vec<_> = ends.iter().map(|end| format!("\"{before} {end}\"")).collect();
            parts.push(format!("({})", ends.join(" OR ")));
        }
        Ok(if parts.is_empty() { Sought::Nothing } else { Sought::Words(parts.join(" AND ")) })
    }

    /// The words of a text, as the search knows them.
    fn pieces(&self, text: &str) -> Result<Vec<String>, ReadError> {
        self.connection.execute_batch(TABLES)?;
        self.connection.execute("INSERT INTO temp.given (text) VALUES (?)", [text])?;
        let mut statement = self.connection.prepare_cached("SELECT term FROM temp.given_words ORDER BY offset")?;
        let pieces = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        self.connection.execute("DELETE FROM temp.given", [])?;
        Ok(pieces)
    }

    /// The words that begin so.
    fn beginning_with(&self, begin: &str) -> Result<Vec<String>, ReadError> {
        let mut statement =
            self.connection.prepare_cached("SELECT term FROM temp.known_words WHERE term >= ? LIMIT 1")?;
        let (mut words, mut from) = (Vec::new(), begin.to_owned());
        // From one to the next: the table has a row for each time that a word stands anywhere.
        while let Some(word) = statement.query_row([&from], |row| row.get::<_, String>(0)).optional()? {
            if !word.starts_with(begin) {
                break;
            }
            if words.len() == WORDS {
                return Err(ReadError::TooManyWords { begin: begin.to_owned(), most: WORDS });
            }
            // No word has this character.
            from = format!("{word}\u{1}");
            words.push(word);
        }
        Ok(words)
    }
}

/// The words and phrases of a text; what stands between two quotation marks is a phrase.
fn phrases(text: &str) -> Vec<Phrase<'_>> {
    let mut phrases = Vec::new();
    for (index, piece) in text.split('"').enumerate() {
        let parts: Vec<&str> = if index % 2 == 1 { vec![piece] } else { piece.split_whitespace().collect() };
        let parts = parts.into_iter().filter(|part| part.contains(char::is_alphanumeric));
        phrases.extend(parts.map(|text| Phrase { text, begins: text.ends_with('*') }));
    }
    phrases
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_phrases_are_told_apart() {
        let read = |text: &'static str| {
            phrases(text).into_iter().map(|phrase| (phrase.text, phrase.begins)).collect::<Vec<_>>()
        };
        assert_eq!(read("rate limit"), [("rate", false), ("limit", false)]);
        assert_eq!(read(r#"say "rate limit" NOT"#), [("say", false), ("rate limit", false), ("NOT", false)]);
        assert_eq!(read("lisb*"), [("lisb*", true)]);
        assert_eq!(read(r#"un"closed quote"#), [("un", false), ("closed quote", false)]);
        assert_eq!(read(r#" "" * -- "#), []);
    }
}
