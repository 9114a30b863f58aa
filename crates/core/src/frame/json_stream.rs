//! JSON values one after another: NDJSON, NUL-delimited, concatenated, or the items of one big array.
//!
//! vLLM's `/generate` writes objects that end in `\n` (newer) or `\0` (older), Ollama and Cohere write NDJSON, Gemini
//! writes one array that grows. All of them are top-level values with separators between, so one scanner that follows
//! brackets and strings serves them all.

use memchr::{memchr, memchr2};

use super::{Frame, Framing, MAX_FRAME};

/// A push parser of top-level JSON objects; an array around them is seen through.
#[derive(Debug, Default)]
pub struct JsonStream {
    value: Vec<u8>,
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// Bytes of the current value beyond [`MAX_FRAME`].
    over: u64,
    skipped: u64,
}

impl Framing for JsonStream {
    fn push(&mut self, bytes: &[u8], on_frame: &mut dyn FnMut(Frame<'_>)) {
        let mut rest = bytes;
        loop {
            if self.depth == 0 {
                // Between values: everything but the beginning of an object is a separator.
                let Some(start) = memchr(b'{', rest) else { return };
                rest = rest.get(start..).unwrap_or_default();
            }
            let Some(end) = self.end_of_value(rest) else {
                return self.keep(rest);
            };
            let (piece, after) = rest.split_at(end);
            self.complete(piece, on_frame);
            rest = after;
        }
    }

    fn finish(&mut self, on_frame: &mut dyn FnMut(Frame<'_>)) {
        if self.depth > 0 {
            self.complete(b"", on_frame);
        }
        self.resync();
    }

    /// What follows may begin inside a value; its inner objects then look like values of their own until brackets
    /// balance again. Readers ignore objects they do not know.
    fn resync(&mut self) {
        self.value.clear();
        (self.depth, self.in_string, self.escaped, self.over) = (0, false, false, 0);
    }

    fn issues(&self) -> Vec<String> {
        super::too_long(self.skipped)
    }
}

impl JsonStream {
    /// Follows the value up to its end, or through all of `bytes`.
    fn end_of_value(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            if std::mem::take(&mut self.escaped) {
                if rest.is_empty() {
                    self.escaped = true;
                    return None;
                }
                at += 1;
            } else if self.in_string {
                let end = memchr2(b'"', b'\\', rest)?;
                self.escaped = rest.get(end) == Some(&b'\\');
                self.in_string = self.escaped;
                at += end + 1;
            } else {
                let next = rest.iter().position(|byte| matches!(byte, b'"' | b'{' | b'[' | b'}' | b']'))?;
                at += next + 1;
                match rest.get(next) {
                    Some(b'"') => self.in_string = true,
                    Some(b'{' | b'[') => self.depth += 1,
                    _ => self.depth -= 1,
                }
                if self.depth == 0 {
                    return Some(at);
                }
            }
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = MAX_FRAME.saturating_sub(self.value.len()).min(bytes.len());
        self.value.extend_from_slice(bytes.get(..room).unwrap_or_default());
        self.over += (bytes.len() - room) as u64;
    }

    /// `last` is the end of the value; it is copied only behind what is kept already.
    fn complete(&mut self, last: &[u8], on_frame: &mut dyn FnMut(Frame<'_>)) {
        if self.value.is_empty() && last.len() <= MAX_FRAME {
            return on_frame(Frame { name: b"", data: last, exception: false });
        }
        self.keep(last);
        self.skipped += std::mem::take(&mut self.over);
        on_frame(Frame { name: b"", data: &self.value, exception: false });
        self.value.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<String> {
        let mut values = Vec::new();
        let mut on_value = |frame: Frame<'_>| values.push(String::from_utf8_lossy(frame.data).into_owned());
        let mut stream = JsonStream::default();
        for piece in pieces {
            stream.push(piece, &mut on_value);
        }
        stream.finish(&mut on_value);
        values
    }

    #[test]
    fn all_delimiters_are_one() {
        let wanted = [r#"{"a":"}\"{","b":[{}]}"#, r#"{"c":1}"#];
        for text in [
            format!("{}\n{}\n", wanted[0], wanted[1]),
            format!("{}\0{}\0", wanted[0], wanted[1]),
            format!("{}{}", wanted[0], wanted[1]),
            format!("[{},\r\n{}]", wanted[0], wanted[1]),
        ] {
            assert_eq!(values([text.as_bytes()]), wanted, "{text:?}");
        }
    }

    #[test]
    fn a_cut_value_is_reported() {
        assert_eq!(values([br#"{"a":1}{"b":"x"#.as_slice()]), [r#"{"a":1}"#, r#"{"b":"x"#]);
        assert_eq!(values([b"  [ ".as_slice()]), [] as [&str; 0]);
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_values(
            text in r#"([\[\]{}",:a\\ \n\x00]|\{"a":"[a-z\\"]{0,3}"\}){0,24}"#,
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            prop_assert_eq!(values(cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]])), values([bytes]));
        }
    }
}
