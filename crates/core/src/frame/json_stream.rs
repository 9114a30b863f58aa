//! JSON values one after another: NDJSON, NUL-delimited, concatenated, or the items of one big array.
//!
//! vLLM's `/generate` writes objects that end in `\n` (newer) or `\0` (older), Ollama and Cohere write NDJSON, Gemini
//! writes one array that grows. All of them are top-level values with separators between, so one scanner that follows
//! brackets and strings serves them all.

use memchr::memchr2;

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
        while let Some(first) = rest.first().copied() {
            if self.depth == 0 {
                // Between values: everything but the beginning of an object is a separator.
                let Some(start) = memchr::memchr(b'{', rest) else { return };
                rest = rest.get(start..).unwrap_or_default();
                self.depth = 1;
                self.keep(b"{");
                rest = rest.get(1..).unwrap_or_default();
                continue;
            }
            let length = if self.escaped {
                self.escaped = false;
                1
            } else if self.in_string {
                match memchr2(b'"', b'\\', rest) {
                    None => rest.len(),
                    Some(end) => {
                        if rest.get(end) == Some(&b'\\') {
                            self.escaped = true;
                        } else {
                            self.in_string = false;
                        }
                        end + 1
                    }
                }
            } else {
                match first {
                    b'"' => self.in_string = true,
                    b'{' | b'[' => self.depth += 1,
                    b'}' | b']' => self.depth -= 1,
                    _ => {}
                }
                let plain = |byte: &u8| matches!(byte, b'"' | b'{' | b'[' | b'}' | b']');
                1 + rest.iter().skip(1).position(plain).filter(|_| self.depth > 0 && !self.in_string).unwrap_or(0)
            };
            let (piece, after) = rest.split_at(length.min(rest.len()));
            self.keep(piece);
            rest = after;
            if self.depth == 0 {
                self.complete(on_frame);
            }
        }
    }

    fn finish(&mut self, on_frame: &mut dyn FnMut(Frame<'_>)) {
        if self.depth > 0 {
            self.complete(on_frame);
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
    fn keep(&mut self, bytes: &[u8]) {
        let room = MAX_FRAME.saturating_sub(self.value.len()).min(bytes.len());
        self.value.extend_from_slice(bytes.get(..room).unwrap_or_default());
        self.over += (bytes.len() - room) as u64;
    }

    fn complete(&mut self, on_frame: &mut dyn FnMut(Frame<'_>)) {
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
