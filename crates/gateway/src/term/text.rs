//! Making traced text harmless, and fitting it into columns.
//!
//! A trace holds what strangers sent: escape sequences that would retitle or repaint the terminal, line breaks that
//! would forge rows, direction marks and invisible characters that would hide what is there. They are written as the
//! escapes that they are, such as `\x1b`.

use std::borrow::Cow;
use std::fmt::Write;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Text for one line: nothing in it moves the cursor.
pub fn line(text: &str) -> Cow<'_, str> {
    harmless(text, |_| false)
}

/// Text of several lines: line breaks stay, tabs become spaces.
pub fn block(text: &str) -> String {
    // A line that ends as DOS ends it is no attack.
    let text = text.replace("\r\n", "\n").replace('\t', "    ");
    harmless(&text, |c| c == '\n').into_owned()
}

/// JSON for a terminal: the same values, with the characters that harm written as JSON's own escapes.
pub fn json(text: &str) -> Cow<'_, str> {
    let hostile = |c: char| is_hostile(c) && c != '\n';
    if !text.chars().any(hostile) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if hostile(c) {
            // Such characters stand in strings only: everything else in JSON is ASCII without control characters.
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| _ = write!(safe, "\\u{unit:04x}"));
        } else {
            safe.push(c);
        }
    }
    Cow::Owned(safe)
}

fn harmless(text: &str, allowed: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.chars().any(|c| is_hostile(c) && !allowed(c)) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            c if !is_hostile(c) || allowed(c) => safe.push(c),
            '\n' => safe.push_str("\\n"),
            '\r' => safe.push_str("\\r"),
            '\t' => safe.push_str("\\t"),
            c if u32::from(c) < 0x100 => _ = write!(safe, "\\x{:02x}", u32::from(c)),
            c => _ = write!(safe, "\\u{{{:x}}}", u32::from(c)),
        }
    }
    Cow::Owned(safe)
}

/// Control characters, and what reorders, breaks or hides text: Unicode's bidirectional controls, line and paragraph
/// separators, invisible operators and tag characters. Zero-width joiners stay: emoji and several scripts need them.
fn is_hostile(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Columns that the text takes on a terminal.
pub fn width(text: &str) -> usize {
    text.width()
}

/// The text in at most `columns`, with `…` where it was cut.
pub fn clip(text: &str, columns: usize) -> Cow<'_, str> {
    if width(text) <= columns {
        return Cow::Borrowed(text);
    }
    let mut end = 0;
    for (at, c) in text.char_indices() {
        let next = at + c.len_utf8();
        // Measured as a whole: the width of joined characters is not the sum of theirs.
        if text.get(..next).is_none_or(|head| width(head) + 1 > columns) {
            break;
        }
        end = next;
    }
    let head = text.get(..end).unwrap_or_default();
    if columns == 0 { Cow::Borrowed("") } else { Cow::Owned(format!("{head}…")) }
}

/// The end of the text in at most `columns`, with `…` where the beginning was cut.
pub fn clip_start(text: &str, columns: usize) -> Cow<'_, str> {
    if width(text) <= columns || columns == 0 {
        return clip(text, columns);
    }
    let fits = |at: &usize| text.get(*at..).is_some_and(|tail| width(tail) < columns);
    let start = text.char_indices().map(|(at, _)| at).find(fits).unwrap_or(text.len());
    Cow::Owned(format!("…{}", text.get(start..).unwrap_or_default()))
}

/// The text's lines, broken at spaces (or, where a word is longer than a line, anywhere) to fit `columns`. Nothing is
/// lost but the spaces at the breaks.
pub fn wrap(text: &str, columns: Option<usize>) -> Vec<String> {
    let Some(columns) = columns else { return text.lines().map(str::to_owned).collect() };
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        wrap_line(paragraph, columns.max(8), &mut lines);
    }
    lines
}

fn wrap_line(text: &str, columns: usize, lines: &mut Vec<String>) {
    if width(text) <= columns {
        lines.push(text.to_owned());
        return;
    }
    let (mut line, mut used) = (String::new(), 0);
    for word in text.split_inclusive(' ') {
        // The space after a word may stand beyond the edge.
        if used > 0 && used + width(word.trim_end_matches(' ')) > columns {
            lines.push(line.trim_end_matches(' ').to_owned());
            (line, used) = (String::new(), 0);
        }
        for c in word.chars() {
            let wide = c.width().unwrap_or(0);
            if used + wide > columns && c != ' ' {
                lines.push(std::mem::take(&mut line));
                used = 0;
            }
            line.push(c);
            used += wide;
        }
    }
    if !line.is_empty() {
        lines.push(line.trim_end_matches(' ').to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_the_cursor_is_written_out() {
        assert_eq!(line("plain, naïve, 漢字, 👩‍💻"), "plain, naïve, 漢字, 👩‍💻");
        assert_eq!(line("a\x1b]0;title\x07b\r\nc\td\u{9b}31m\u{7f}\0"), r"a\x1b]0;title\x07b\r\nc\td\x9b31m\x7f\x00");
        assert_eq!(
            line("user\u{202e}gnp.exe\u{2028}\u{200b}\u{e0041}"),
            r"user\u{202e}gnp.exe\u{2028}\u{200b}\u{e0041}"
        );
        assert_eq!(block("one\r\n\ttwo\x1b[2J\rthree\n"), "one\n    two\\x1b[2J\\rthree\n");
    }

    #[test]
    fn no_character_escapes_into_the_terminal() {
        for c in (0..=0x10_ffff).filter_map(char::from_u32) {
            let shown = line(c.encode_utf8(&mut [0; 4])).into_owned();
            assert!(!shown.chars().any(char::is_control), "{c:?}");
        }
    }

    #[test]
    fn json_keeps_its_value() {
        let value = serde_json::json!({"text": "a\u{9b}31m\u{7f}\u{202e}\u{e0041} ü"});
        let shown = json(&serde_json::to_string(&value).unwrap()).into_owned();
        assert_eq!(shown, r#"{"text":"a\u009b31m\u007f\u202e\udb40\udc41 ü"}"#);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }

    #[test]
    fn clipping_counts_columns() {
        assert_eq!(clip("hello", 5), "hello");
        assert_eq!(clip("hello", 4), "hel…");
        assert_eq!(clip("漢字漢字", 8), "漢字漢字");
        assert_eq!(clip("漢字漢字", 7), "漢字漢…");
        assert_eq!(clip("漢字漢字", 6), "漢字…");
        assert_eq!(clip("漢字", 1), "…");
        assert_eq!(clip("漢字", 0), "");
    }

    #[test]
    fn the_end_can_be_what_stays() {
        assert_eq!(clip_start("file.har#12", 11), "file.har#12");
        assert_eq!(clip_start("file.har#12", 7), "…har#12");
        assert_eq!(clip_start("漢字漢字", 6), "…漢字");
        assert_eq!(clip_start("漢字", 1), "…");
        assert_eq!(clip_start("漢字", 0), "");
    }

    #[test]
    fn wrapping_loses_nothing() {
        assert_eq!(wrap("the quick brown fox jumps", Some(10)), ["the quick", "brown fox", "jumps"]);
        assert_eq!(wrap("abcdefghijklmnop qr", Some(8)), ["abcdefgh", "ijklmnop", "qr"]);
        assert_eq!(wrap("漢字漢字漢字", Some(8)), ["漢字漢字", "漢字"]);
        assert_eq!(wrap("a\n\n  b", Some(8)), ["a", "", "  b"]);
        assert_eq!(wrap("one two", None), ["one two"]);
    }

    proptest::proptest! {
        #[test]
        fn no_line_is_wider_than_the_terminal(text in ".{0,200}", columns in 8usize..40) {
            let text = line(&text).into_owned();
            for wrapped in wrap(&text, Some(columns)) {
                // Joined characters are never wider than the sum that breaks lines.
                proptest::prop_assert!(width(&wrapped) <= columns, "{wrapped:?}");
            }
            proptest::prop_assert!(width(&clip(&text, columns)) <= columns);
            proptest::prop_assert!(width(&clip_start(&text, columns)) <= columns);
            let kept = |text: &str| text.chars().filter(|c| *c != ' ').collect::<String>();
            proptest::prop_assert_eq!(kept(&wrap(&text, Some(columns)).concat()), kept(&text));
        }
    }
}
