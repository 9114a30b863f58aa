//! Server-sent events, as <https://html.spec.whatwg.org/multipage/server-sent-events.html> defines them.
//!
//! Lines end in LF, CRLF or CR; comments are passed over; the space after the colon is optional; several `data` lines
//! are joined by LF; a byte order mark may come first. Unlike a browser, an event that the end of the stream cuts is
//! still reported: its data is the best that is known. JSON where an event should begin is one: Gemini tells an error in
//! mid-stream so.

use memchr::memchr2;

use super::{Frame, Framing, MAX_FRAME};

/// A push parser of server-sent events.
#[derive(Debug, Default)]
pub struct Sse {
    /// The unfinished line.
    line: Vec<u8>,
    name: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    /// The event is JSON without a field's name.
    bare: bool,
    /// The last line ended in CR: an LF that follows belongs to it.
    after_cr: bool,
    started: bool,
    /// Bytes of an overlong line or event that were passed over.
    skipped: u64,
}

impl Framing for Sse {
    fn push(&mut self, mut bytes: &[u8], on_frame: &mut dyn FnMut(Frame<'_>)) {
        while !bytes.is_empty() {
            if std::mem::take(&mut self.after_cr) && bytes.first() == Some(&b'\n') {
                bytes = bytes.get(1..).unwrap_or_default();
                continue;
            }
            let Some(end) = memchr2(b'\n', b'\r', bytes) else {
                return self.keep(bytes);
            };
            let (line, rest) = bytes.split_at(end);
            self.after_cr = rest.first() == Some(&b'\r');
            bytes = rest.get(1..).unwrap_or_default();
            if self.line.is_empty() {
                self.line(line, on_frame);
            } else {
                self.keep(line);
                let whole = std::mem::take(&mut self.line);
                self.line(&whole, on_frame);
                self.line = whole;
                self.line.clear();
            }
        }
    }

    fn finish(&mut self, on_frame: &mut dyn FnMut(Frame<'_>)) {
        let line = std::mem::take(&mut self.line);
        if !line.is_empty() {
            self.line(&line, on_frame);
        }
        self.line(b"", on_frame);
    }

    fn resync(&mut self) {
        self.forget();
        // A comment swallows the rest of the line; what follows it is complete.
        self.line.clear();
        self.line.push(b':');
    }

    fn issues(&self) -> Vec<String> {
        super::too_long(self.skipped)
    }
}

impl Sse {
    fn keep(&mut self, bytes: &[u8]) {
        let room = MAX_FRAME.saturating_sub(self.line.len()).min(bytes.len());
        self.line.extend_from_slice(bytes.get(..room).unwrap_or_default());
        self.skipped += (bytes.len() - room) as u64;
    }

    /// Adds a line to the event's data.
    fn data(&mut self, value: &[u8]) {
        if self.has_data {
            self.data.push(b'\n');
        }
        self.has_data = true;
        let room = MAX_FRAME.saturating_sub(self.data.len()).min(value.len());
        self.data.extend_from_slice(value.get(..room).unwrap_or_default());
        self.skipped += (value.len() - room) as u64;
    }

    /// The next event begins.
    fn forget(&mut self) {
        self.name.clear();
        self.data.clear();
        self.has_data = false;
        self.bare = false;
    }

    fn line(&mut self, line: &[u8], on_frame: &mut dyn FnMut(Frame<'_>)) {
        let line = match line.strip_prefix(b"\xef\xbb\xbf") {
            Some(rest) if !self.started => rest,
            _ => line,
        };
        self.started = true;
        if line.is_empty() {
            if self.has_data {
                on_frame(Frame { name: &self.name, data: &self.data, exception: false });
            }
            self.forget();
            return;
        }
        self.bare |= !self.has_data && line.starts_with(b"{");
        if self.bare {
            return self.data(line);
        }
        let colon = memchr::memchr(b':', line).unwrap_or(line.len());
        let (field, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default();
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"data" => self.data(value),
            b"event" => {
                self.name.clear();
                self.name.extend_from_slice(value);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn events<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<(String, String)> {
        let mut events = Vec::new();
        let mut on_event = |event: Frame<'_>| {
            events.push((
                String::from_utf8_lossy(event.name).into_owned(),
                String::from_utf8_lossy(event.data).into_owned(),
            ));
        };
        let mut sse = Sse::default();
        for piece in pieces {
            sse.push(piece, &mut on_event);
        }
        sse.finish(&mut on_event);
        events
    }

    fn data(text: &str) -> Vec<String> {
        events([text.as_bytes()]).into_iter().map(|(_, data)| data).collect()
    }

    #[test]
    fn lines_end_in_lf_crlf_or_cr() {
        for end in ["\n", "\r\n", "\r"] {
            let text = ["data: a", "", "event: e", "data: b", "data: c", "", ""].join(end);
            assert_eq!(
                events([text.as_bytes()]),
                [("".into(), "a".into()), ("e".into(), "b\nc".into())],
                "line end {end:?}"
            );
        }
    }

    #[test]
    fn comments_ids_and_a_missing_space_are_fine() {
        assert_eq!(data("\u{feff}: OPENROUTER PROCESSING\n\nid: 1\ndata:{}\nretry: 5\n\n"), ["{}"]);
        assert_eq!(data("data\n\ndata:\n\n"), ["", ""]);
        assert_eq!(data("event: ping\n\n"), [] as [&str; 0], "an event without data is none");
    }

    #[test]
    fn json_without_a_field_is_an_event() {
        let text = "data: a\n\n{\n  \"error\": {\n    \"code\": 503\n  }\n}\n\ndata: b\n\n";
        assert_eq!(data(text), ["a", "{\n  \"error\": {\n    \"code\": 503\n  }\n}", "b"]);
        assert_eq!(data("data: {\ndata: }\n{\n\n"), ["{\n}"], "inside an event it is a field nobody knows");
    }

    #[test]
    fn the_last_event_needs_no_blank_line() {
        assert_eq!(data("data: a\n\ndata: [DONE]"), ["a", "[DONE]"]);
    }

    #[test]
    fn a_gap_costs_the_events_it_touches_and_no_more() {
        let mut got = Vec::new();
        let mut on_event = |event: Frame<'_>| got.push(String::from_utf8_lossy(event.data).into_owned());
        let mut sse = Sse::default();
        sse.push(b"data: 1\n\ndata: {\"cut", &mut on_event);
        sse.resync();
        sse.push(b"end of another\"}\n\ndata: 9\n\n", &mut on_event);
        sse.finish(&mut on_event);
        assert_eq!(got, ["1", "9"]);
    }

    #[test]
    fn an_endless_line_is_bounded() {
        let mut sse = Sse::default();
        let piece = vec![b'x'; 1 << 20];
        sse.push(b"data: ", &mut |_| {});
        for _ in 0..20 {
            sse.push(&piece, &mut |_| {});
        }
        assert!(sse.line.len() <= MAX_FRAME);
        assert!(sse.skipped >= (12 << 20) - 6);
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_events(
            text in "(data: ?[a-z{}é]{0,6}|event: [a-z]{0,3}|: c|id: 1|\u{feff}|)((\n|\r\n|\r)(data:[a-z]{0,4}|event:x|\\{|)){0,12}",
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]);
            prop_assert_eq!(events(pieces), events([bytes]));
        }
    }
}
