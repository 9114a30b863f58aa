//! The reader: one pass over the text, recursive to [`MAX_DEPTH`] and no further.

use std::borrow::Cow;

use memchr::memchr2;

use super::{Json, MAX_DEPTH, MAX_NODES, MAX_NUMBERS, Parsed, Problem};

/// Reads the first JSON value of `input`. What follows it is an error unless it is white space or NUL.
pub fn parse(input: &str) -> Parsed<'_> {
    let mut reader = Reader { input, bytes: input.as_bytes(), at: 0, nodes: 0, numbers: 0, problem: None };
    if reader.bytes.starts_with(b"\xef\xbb\xbf") {
        reader.at = 3;
    }
    let value = reader.value(0).unwrap_or(Json::Null);
    if reader.problem.is_none() {
        reader.space();
        if let Some(offset) = reader.bytes.iter().skip(reader.at).position(|byte| *byte != 0) {
            reader.problem = Some(Problem::Invalid(reader.at + offset));
        }
    }
    Parsed { value, problem: reader.problem }
}

struct Reader<'a> {
    input: &'a str,
    bytes: &'a [u8],
    at: usize,
    nodes: usize,
    /// Numbers in arrays that can be copied.
    numbers: usize,
    problem: Option<Problem>,
}

impl<'a> Reader<'a> {
    /// The value at the cursor; `None` when there is none (the problem is noted).
    fn value(&mut self, depth: usize) -> Option<Json<'a>> {
        self.space();
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return self.stop(Problem::TooMany);
        }
        match self.peek() {
            None => self.stop(Problem::Truncated),
            Some(b'"') => {
                let text = self.string()?;
                Some(if self.problem_stops().is_some() { Json::CutString(text) } else { Json::String(text) })
            }
            Some(b'{' | b'[') if depth >= MAX_DEPTH => self.skip_nested(),
            Some(b'{') => Some(self.object(depth)),
            Some(b'[') => Some(self.numbers().unwrap_or_else(|| self.array(depth))),
            Some(b'-' | b'0'..=b'9') if !self.rest().starts_with(b"-I") => {
                let number = self.number();
                // More digits may have followed.
                if depth > 0 && self.at >= self.bytes.len() {
                    return self.stop(Problem::Truncated);
                }
                Some(Json::Number(number))
            }
            Some(_) => self.word(),
        }
    }

    fn object(&mut self, depth: usize) -> Json<'a> {
        self.at += 1;
        let mut members = Vec::new();
        loop {
            self.space();
            match self.peek() {
                Some(b'}') => {
                    self.at += 1;
                    break;
                }
                Some(b',') if !members.is_empty() => self.at += 1,
                Some(b'"') => {
                    let Some(key) = self.string() else { break };
                    self.space();
                    match self.peek() {
                        Some(b':') if self.problem_stops().is_none() => self.at += 1,
                        other => {
                            self.unexpected(other);
                            break;
                        }
                    }
                    let Some(value) = self.value(depth + 1) else { break };
                    members.push((key, value));
                    if self.problem_stops().is_some() {
                        break;
                    }
                }
                other => {
                    self.unexpected(other);
                    break;
                }
            }
        }
        Json::Object(members)
    }

    fn array(&mut self, depth: usize) -> Json<'a> {
        self.at += 1;
        let mut items = Vec::new();
        loop {
            self.space();
            match self.peek() {
                Some(b']') => {
                    self.at += 1;
                    break;
                }
                Some(b',') if !items.is_empty() => self.at += 1,
                _ => {
                    let Some(value) = self.value(depth + 1) else { break };
                    items.push(value);
                    if self.problem_stops().is_some() {
                        break;
                    }
                }
            }
        }
        Json::Array(items)
    }

    /// An array of numbers, read as one: vectors of thousands of floats are never looked into. Null when it is cut.
    /// `None`, with the cursor where it was, for any other array.
    fn numbers(&mut self) -> Option<Json<'a>> {
        let start = self.at + 1;
        let rest = self.bytes.get(start..)?;
        let first = rest.iter().find(|byte| !byte.is_ascii_whitespace())?;
        if !matches!(first, b'-' | b'0'..=b'9') {
            return None;
        }
        let mut commas = 0;
        let end = rest.iter().position(|byte| {
            commas += usize::from(*byte == b',');
            !matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E' | b',') && !byte.is_ascii_whitespace()
        });
        let end = match end {
            Some(end) if rest.get(end) == Some(&b']') => end,
            Some(_) => return None,
            None => {
                self.at = self.bytes.len();
                self.stop::<()>(Problem::Truncated);
                return Some(Json::Null);
            }
        };
        self.at = start + end + 1;
        let raw = self.input.get(start..start + end)?.trim();
        // A trailing comma leaves an empty last item.
        let count = commas + 1 - usize::from(raw.ends_with(','));
        if count <= MAX_NUMBERS && self.numbers + count <= MAX_NODES {
            self.numbers += count;
            return Some(Json::Numbers(count, raw.trim_end_matches(',')));
        }
        Some(Json::Numbers(count, ""))
    }

    fn number(&mut self) -> &'a str {
        let start = self.at;
        let rest = self.rest();
        let length = rest.iter().position(|byte| !matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'));
        self.at += length.unwrap_or(rest.len());
        self.input.get(start..self.at).unwrap_or_default()
    }

    /// A string; when the input ends inside it, what there is of it.
    fn string(&mut self) -> Option<Cow<'a, str>> {
        let start = self.at + 1;
        let mut from = start;
        let mut owned: Option<String> = None;
        loop {
            let Some(offset) = memchr2(b'"', b'\\', self.bytes.get(from..).unwrap_or_default()) else {
                self.at = self.bytes.len();
                self.stop::<()>(Problem::Truncated);
                return Some(finish(owned, self.input.get(from..).unwrap_or_default()));
            };
            let end = from + offset;
            let plain = self.input.get(from..end).unwrap_or_default();
            self.at = end + 1;
            if self.bytes.get(end) == Some(&b'"') {
                return Some(finish(owned, plain));
            }
            let text = owned.get_or_insert_with(|| String::with_capacity(offset + 16));
            text.push_str(plain);
            match self.escape() {
                Some(escaped) => text.push(escaped),
                None => {
                    let problem = if self.at >= self.bytes.len() { Problem::Truncated } else { Problem::Invalid(end) };
                    self.stop::<()>(problem);
                    return owned.map(Cow::Owned);
                }
            }
            from = self.at;
        }
    }

    /// The character that an escape stands for; the cursor is behind the backslash.
    fn escape(&mut self) -> Option<char> {
        let kind = self.peek()?;
        self.at += 1;
        Some(match kind {
            b'n' => '\n',
            b't' => '\t',
            b'r' => '\r',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'"' | b'\\' | b'/' => char::from(kind),
            b'u' => {
                let first = self.hex4()?;
                if (0xd800..0xdc00).contains(&first) && self.rest().starts_with(b"\\u") {
                    let rewind = self.at;
                    self.at += 2;
                    let second = self.hex4()?;
                    if (0xdc00..0xe000).contains(&second) {
                        let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                        return Some(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                    }
                    self.at = rewind;
                }
                char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            _ => return None,
        })
    }

    fn hex4(&mut self) -> Option<u32> {
        let digits = self.input.get(self.at..self.at + 4);
        let Some(digits) = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit())) else {
            if self.bytes.len() < self.at + 4 {
                self.at = self.bytes.len();
            }
            return None;
        };
        self.at += 4;
        u32::from_str_radix(digits, 16).ok()
    }

    fn word(&mut self) -> Option<Json<'a>> {
        /// What each stands for: a boolean, or null.
        const WORDS: [(&[u8], Option<bool>); 6] = [
            (b"null", None),
            (b"true", Some(true)),
            (b"false", Some(false)),
            (b"NaN", None),
            (b"Infinity", None),
            (b"-Infinity", None),
        ];
        for (word, value) in WORDS {
            if self.rest().starts_with(word) {
                self.at += word.len();
                return Some(value.map_or(Json::Null, Json::Bool));
            }
            if word.starts_with(self.rest()) {
                return self.stop(Problem::Truncated);
            }
        }
        self.stop(Problem::Invalid(self.at))
    }

    /// Passes over a value that is nested too deep, without recursion.
    fn skip_nested(&mut self) -> Option<Json<'a>> {
        let mut depth = 0usize;
        loop {
            match self.peek() {
                None => return self.stop(Problem::Truncated),
                Some(b'{' | b'[') => depth += 1,
                Some(b'}' | b']') => depth -= 1,
                Some(b'"') => {
                    self.string();
                    self.at -= 1;
                }
                Some(_) => {}
            }
            self.at += 1;
            if depth == 0 {
                self.problem.get_or_insert(Problem::TooDeep);
                return Some(Json::Null);
            }
        }
    }

    /// The problem that ends all reading, if there is one: a value that was too deep was skipped, reading goes on.
    fn problem_stops(&self) -> Option<Problem> {
        self.problem.filter(|problem| *problem != Problem::TooDeep)
    }

    fn stop<T>(&mut self, problem: Problem) -> Option<T> {
        if self.problem_stops().is_none() {
            self.problem = Some(problem);
        }
        None
    }

    fn unexpected(&mut self, byte: Option<u8>) {
        let problem = if byte.is_none() { Problem::Truncated } else { Problem::Invalid(self.at) };
        self.stop::<()>(problem);
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }
}

fn finish<'a>(owned: Option<String>, last: &'a str) -> Cow<'a, str> {
    match owned {
        None => Cow::Borrowed(last),
        Some(mut text) => {
            text.push_str(last);
            Cow::Owned(text)
        }
    }
}
