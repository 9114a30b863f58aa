//! JSON from a reader, token by token: what is not wanted is passed over without being kept, and of a string no more is
//! kept than asked for. However long a document, a string or a nesting is, memory stays within what the caller asks for.
//!
//! What is passed over is checked for its strings and brackets only. RFC 8259.

use std::io::{self, BufRead};

use memchr::memchr2;

/// Longest key, number or other short scalar that is kept, in bytes; nothing in HAR has a longer one.
const SHORT: usize = 1 << 10;

/// Why a document cannot be read any further.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The input failed, or its compression is corrupt.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The input ends inside of a value.
    #[error("the file ends too early")]
    Truncated,
    /// Something stands where it cannot.
    #[error("{0} expected")]
    Expected(&'static str),
}

/// A string of which no more was kept than asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    /// What was kept.
    pub text: String,
    /// Bytes that were not, counted as UTF-8.
    pub lost: u64,
}

/// Reads tokens.
#[derive(Debug)]
pub struct Lexer<R> {
    input: R,
    at: u64,
}

impl<R: BufRead> Lexer<R> {
    /// Begins at the reader's position; a byte order mark is passed over.
    pub fn new(mut input: R) -> io::Result<Self> {
        const MARK: &[u8] = b"\xef\xbb\xbf";
        // The mark may come in pieces: what looks like it from its first byte on can be nothing else, as no JSON begins so.
        let mut at = 0;
        for expected in MARK {
            if input.fill_buf()?.first() != Some(expected) {
                break;
            }
            input.consume(1);
            at += 1;
        }
        Ok(Self { input, at })
    }

    /// Bytes read so far: where a problem is.
    pub fn position(&self) -> u64 {
        self.at
    }

    /// The next byte that is no white space, not taken; `None` at the end.
    pub fn peek(&mut self) -> Result<Option<u8>, Problem> {
        loop {
            let buffer = self.input.fill_buf()?;
            let Some(first) = buffer.first() else { return Ok(None) };
            if !first.is_ascii_whitespace() {
                return Ok(Some(*first));
            }
            let blank = buffer.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            self.consume(blank);
        }
    }

    /// The keys of an object, one by one: `each` has to take the value. Anything else than an object is passed over,
    /// and `false`.
    pub fn object(&mut self, each: &mut dyn FnMut(&mut Self, &str) -> Result<(), Problem>) -> Result<bool, Problem> {
        if !self.opens(b'{')? {
            self.skip()?;
            return Ok(false);
        }
        let mut first = true;
        while let Some(key) = self.key(&mut first)? {
            each(self, &key)?;
        }
        Ok(true)
    }

    /// The items of an array, one by one: `each` has to take them. Anything else than an array is passed over.
    pub fn array(&mut self, each: &mut dyn FnMut(&mut Self) -> Result<(), Problem>) -> Result<(), Problem> {
        if !self.opens(b'[')? {
            return self.skip();
        }
        let mut first = true;
        while self.item(&mut first)? {
            each(self)?;
        }
        Ok(())
    }

    /// Takes an opening bracket, if it is what comes next.
    pub fn opens(&mut self, bracket: u8) -> Result<bool, Problem> {
        let opens = self.significant()? == bracket;
        if opens {
            self.consume(1);
        }
        Ok(opens)
    }

    /// The next key of the object that is open; `None` when it ends. `first` is true before the first one.
    pub fn key(&mut self, first: &mut bool) -> Result<Option<String>, Problem> {
        if !self.continues(b'}', "a comma or the end of the object", first)? {
            return Ok(None);
        }
        if self.significant()? != b'"' {
            return Err(Problem::Expected("a key in quotes"));
        }
        let key = self.string(SHORT)?.text;
        self.take(b':', "a colon")?;
        Ok(Some(key))
    }

    /// Whether the array that is open has a further item. `first` is true before the first one.
    pub fn item(&mut self, first: &mut bool) -> Result<bool, Problem> {
        self.continues(b']', "a comma or the end of the array", first)
    }

    /// A string, of which `limit` bytes are kept; a number or a truth value as it is written. Anything else is passed
    /// over.
    pub fn text(&mut self, limit: usize) -> Result<Option<Text>, Problem> {
        match self.significant()? {
            b'"' => self.string(limit).map(Some),
            b'{' | b'[' => self.skip().map(|()| None),
            _ => {
                let text = self.scalar()?;
                Ok((text != "null").then_some(Text { text, lost: 0 }))
            }
        }
    }

    /// A number, or a string that is one. Anything else is passed over.
    pub fn number(&mut self) -> Result<Option<f64>, Problem> {
        let text = self.text(SHORT)?;
        Ok(text.and_then(|text| text.text.trim().parse().ok()).filter(|number: &f64| number.is_finite()))
    }

    /// Passes a value over, however deep it is.
    pub fn skip(&mut self) -> Result<(), Problem> {
        let mut depth = 0_u64;
        loop {
            match self.significant()? {
                b'"' => drop(self.string(0)?),
                b'{' | b'[' => {
                    self.consume(1);
                    depth += 1;
                    continue;
                }
                b'}' | b']' if depth > 0 => {
                    self.consume(1);
                    depth -= 1;
                }
                b',' | b':' if depth > 0 => {
                    self.consume(1);
                    continue;
                }
                _ => drop(self.scalar()?),
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }

    fn significant(&mut self) -> Result<u8, Problem> {
        self.peek()?.ok_or(Problem::Truncated)
    }

    fn consume(&mut self, bytes: usize) {
        self.input.consume(bytes);
        self.at += bytes as u64;
    }

    fn take(&mut self, byte: u8, name: &'static str) -> Result<(), Problem> {
        if self.significant()? != byte {
            return Err(Problem::Expected(name));
        }
        self.consume(1);
        Ok(())
    }

    fn continues(&mut self, end: u8, expected: &'static str, first: &mut bool) -> Result<bool, Problem> {
        if self.significant()? == end {
            self.consume(1);
            return Ok(false);
        }
        if !std::mem::take(first) {
            self.take(b',', expected)?;
        }
        Ok(true)
    }

    /// A number, `true`, `false`, `null`, or a word that is none of them.
    fn scalar(&mut self) -> Result<String, Problem> {
        let mut kept = Vec::new();
        loop {
            let buffer = self.input.fill_buf()?;
            let belongs = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.' | b'_');
            let length = buffer.iter().take_while(belongs).count();
            let (word, ended) = (buffer.get(..length).unwrap_or_default(), length < buffer.len() || buffer.is_empty());
            kept.extend_from_slice(word.get(..word.len().min(SHORT - kept.len().min(SHORT))).unwrap_or_default());
            self.consume(length);
            if ended {
                break;
            }
        }
        match kept.first() {
            Some(b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => Ok(String::from_utf8_lossy(&kept).into_owned()),
            _ => Err(Problem::Expected("a value")),
        }
    }

    /// The string whose opening quote comes next.
    fn string(&mut self, limit: usize) -> Result<Text, Problem> {
        self.consume(1);
        let mut kept = Kept::new(limit);
        loop {
            let buffer = self.input.fill_buf()?;
            if buffer.is_empty() {
                return Err(Problem::Truncated);
            }
            let Some(end) = memchr2(b'"', b'\\', buffer) else {
                kept.push(buffer);
                let length = buffer.len();
                self.consume(length);
                continue;
            };
            let (plain, rest) = buffer.split_at(end);
            kept.push(plain);
            let is_end = rest.first() == Some(&b'"');
            self.consume(end + 1);
            if is_end {
                return Ok(kept.finish());
            }
            self.escape(&mut kept)?;
        }
    }

    fn escape(&mut self, kept: &mut Kept) -> Result<(), Problem> {
        let byte = self.byte()?;
        match byte {
            b'"' | b'\\' | b'/' => kept.push(&[byte]),
            b'b' => kept.push(b"\x08"),
            b'f' => kept.push(b"\x0c"),
            b'n' => kept.push(b"\n"),
            b'r' => kept.push(b"\r"),
            b't' => kept.push(b"\t"),
            b'u' => {
                let mut unit = 0_u16;
                for _ in 0..4 {
                    let digit = char::from(self.byte()?).to_digit(16);
                    let digit = digit.and_then(|digit| u16::try_from(digit).ok());
                    unit = unit << 4 | digit.ok_or(Problem::Expected("a hexadecimal digit"))?;
                }
                kept.push_unit(unit);
            }
            _ => return Err(Problem::Expected("an escape sequence")),
        }
        Ok(())
    }

    fn byte(&mut self) -> Result<u8, Problem> {
        let byte = *self.input.fill_buf()?.first().ok_or(Problem::Truncated)?;
        self.consume(1);
        Ok(byte)
    }
}

/// A string on its way: what is kept of it, and how much is not.
struct Kept {
    bytes: Vec<u8>,
    limit: usize,
    lost: u64,
    /// The first half of a surrogate pair.
    high: Option<u16>,
}

impl Kept {
    fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), limit, lost: 0, high: None }
    }

    fn push(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if self.high.take().is_some() {
            self.push_char(char::REPLACEMENT_CHARACTER);
        }
        self.append(bytes);
    }

    /// A UTF-16 code unit; halves of a pair come one after the other, and what has no other half becomes U+FFFD.
    fn push_unit(&mut self, unit: u16) {
        if let Some(high) = self.high.take() {
            if let Some(Ok(pair)) = char::decode_utf16([high, unit]).next() {
                return self.push_char(pair);
            }
            self.push_char(char::REPLACEMENT_CHARACTER);
        }
        match unit {
            0xd800..=0xdbff => self.high = Some(unit),
            _ => self.push_char(char::from_u32(unit.into()).unwrap_or(char::REPLACEMENT_CHARACTER)),
        }
    }

    fn push_char(&mut self, char: char) {
        self.append(char.encode_utf8(&mut [0; 4]).as_bytes());
    }

    fn append(&mut self, bytes: &[u8]) {
        // Once something is lost, everything behind it is.
        let room = if self.lost > 0 { 0 } else { self.limit.saturating_sub(self.bytes.len()) };
        let (kept, lost) = bytes.split_at(room.min(bytes.len()));
        self.bytes.extend_from_slice(kept);
        self.lost += lost.len() as u64;
    }

    fn finish(mut self) -> Text {
        if self.high.take().is_some() {
            self.push_char(char::REPLACEMENT_CHARACTER);
        }
        let mut lost = self.lost;
        let text = String::from_utf8(self.bytes).unwrap_or_else(|error| {
            let (whole, valid) = (error.utf8_error().error_len().is_some(), error.utf8_error().valid_up_to());
            let mut bytes = error.into_bytes();
            if lost > 0 && !whole {
                // The cut went through a character.
                lost += (bytes.len() - valid) as u64;
                bytes.truncate(valid);
            }
            String::from_utf8_lossy(&bytes).into_owned()
        });
        Text { text, lost }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Read};

    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::*;

    /// Hands out a few bytes at a time.
    struct Dribble<'a>(&'a [u8], usize);

    impl Read for Dribble<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(buffer.len()).min(self.0.len());
            let (now, later) = self.0.split_at(count);
            buffer[..count].copy_from_slice(now);
            self.0 = later;
            Ok(count)
        }
    }

    fn lexer(text: &[u8], piece: usize) -> Lexer<impl BufRead> {
        Lexer::new(BufReader::with_capacity(piece, Dribble(text, piece))).unwrap()
    }

    /// Reads a value as a whole.
    fn value<R: BufRead>(lexer: &mut Lexer<R>) -> Result<Value, Problem> {
        Ok(match lexer.peek()? {
            Some(b'{') => {
                let mut map = Map::new();
                lexer.object(&mut |lexer, key| {
                    map.insert(key.to_owned(), value(lexer)?);
                    Ok(())
                })?;
                Value::Object(map)
            }
            Some(b'[') => {
                let mut items = Vec::new();
                lexer.array(&mut |lexer| {
                    items.push(value(lexer)?);
                    Ok(())
                })?;
                Value::Array(items)
            }
            Some(b'"') => Value::String(lexer.text(usize::MAX)?.unwrap().text),
            _ => serde_json::from_str(&lexer.scalar()?).unwrap(),
        })
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f32>().prop_map(|number| json!(number)),
            "\\PC{0,20}|[\\x00-\\x7f]{0,10}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map("[a-z\"\\\\é]{0,6}", inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn every_document_reads_the_same_in_any_pieces(document in any_json(), piece in 1usize..20, pretty: bool) {
            let text = if pretty { serde_json::to_vec_pretty(&document) } else { serde_json::to_vec(&document) }.unwrap();
            // As read, not as written: the last digit of a float may differ.
            let expected: Value = serde_json::from_slice(&text).unwrap();
            let mut whole = lexer(&text, piece);
            prop_assert_eq!(value(&mut whole).unwrap(), expected);
            let mut skipped = lexer(&text, piece);
            skipped.skip().unwrap();
            prop_assert_eq!(skipped.peek().unwrap(), None);
            prop_assert_eq!((whole.position(), skipped.position()), (text.len() as u64, text.len() as u64));
        }

        #[test]
        fn nothing_panics(text in prop::collection::vec(any::<u8>(), 0..60), piece in 1usize..9) {
            let _ = lexer(&text, piece).skip();
            let _ = lexer(&text, piece).object(&mut |lexer, _| lexer.text(3).map(drop));
        }

        #[test]
        fn a_cut_string_keeps_whole_characters(text in "\\PC{0,30}", limit in 0usize..40, piece in 1usize..9) {
            let document = serde_json::to_vec(&text).unwrap();
            let kept = lexer(&document, piece).text(limit).unwrap().unwrap();
            prop_assert!(text.starts_with(&kept.text) && kept.text.len() <= limit);
            prop_assert_eq!(kept.text.len() as u64 + kept.lost, text.len() as u64);
        }
    }

    #[test]
    fn surrogates_are_joined_or_replaced() {
        let read = |text: &str| lexer(text.as_bytes(), 3).text(99).unwrap().unwrap().text;
        assert_eq!(read(r#""\ud83c\udf0d""#), "🌍");
        assert_eq!(read(r#""\ud83cx\udf0d\ud83c""#), "\u{fffd}x\u{fffd}\u{fffd}");
        assert_eq!(read("\"a\nb\t\""), "a\nb\t", "control characters are taken as they are");
    }

    #[test]
    fn depth_costs_no_stack() {
        let text = [vec![b'['; 1_000_000], vec![b']'; 1_000_000]].concat();
        lexer(&text, 4096).skip().unwrap();
        assert!(matches!(lexer(&text[..1_500_000], 4096).skip(), Err(Problem::Truncated)));
    }

    #[test]
    fn other_types_are_passed_over() {
        let mut lexer = lexer(br#"[{"a":[1]}, "7.5", 8, null, true, "x", 1e999]"#, 2);
        let mut numbers = Vec::new();
        lexer
            .array(&mut |lexer| {
                numbers.push(lexer.number()?);
                Ok(())
            })
            .unwrap();
        assert_eq!(numbers, [None, Some(7.5), Some(8.0), None, None, None, None]);
    }

    #[test]
    fn problems_are_told_apart() {
        let skip = |text: &str| lexer(text.as_bytes(), 2).skip().map_err(|problem| problem.to_string());
        for cut in ["{", "[1,", "\"a", "\"\\", "\"\\u00", ""] {
            assert_eq!(skip(cut), Err("the file ends too early".into()), "{cut}");
        }
        assert_eq!(skip("}"), Err("a value expected".into()));
        assert_eq!(skip("<html>"), Err("a value expected".into()));
        let mut lexer = lexer(b"{\"a\" 1}", 2);
        assert_eq!(lexer.object(&mut |lexer, _| lexer.skip()).unwrap_err().to_string(), "a colon expected");
        assert_eq!(lexer.position(), 5);
    }
}
